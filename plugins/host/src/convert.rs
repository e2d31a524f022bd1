//! From wire types to the contract's types and back. Structs are taken apart by name, so that a new field breaks the build here.

use crate::{bindings::types, text::clip};
use tanist_broker::protocol::{Action, Event, Member, PluginError, Primary, Role, View};

/// Longest error text that is passed on.
const MAX_ERROR: usize = 4 << 10;

pub(crate) fn event(event: Event, deadline_ms: u32) -> types::Event {
    let Event {
        cluster,
        node,
        epoch,
        sequence,
        idempotency_key,
        action: what,
        role: now,
        previous_role,
        leader,
        previous_leader,
        timeline,
        lsn,
        members,
        cause,
        dry_run,
        attributes,
    } = event;
    types::Event {
        cluster,
        node,
        epoch,
        sequence,
        idempotency_key,
        action: action(what),
        role: role(now),
        previous_role: role(previous_role),
        leader,
        previous_leader,
        timeline,
        lsn: lsn.map(wal_position),
        members: members.into_iter().map(member).collect(),
        cause,
        deadline_ms,
        dry_run,
        attributes,
    }
}

pub(crate) fn view(view: View, deadline_ms: u32) -> types::View {
    let View {
        cluster,
        node,
        epoch,
        sequence,
        idempotency_key,
        role: now,
        leader,
        previous_leader,
        primary: proved,
        lsn,
        members,
        cause,
        dry_run,
        attributes,
    } = view;
    types::View {
        cluster,
        node,
        epoch,
        sequence,
        idempotency_key,
        role: role(now),
        leader,
        previous_leader,
        primary: proved.map(primary),
        lsn: lsn.map(wal_position),
        members: members.into_iter().map(member).collect(),
        cause,
        deadline_ms,
        dry_run,
        attributes,
    }
}

pub(crate) fn plugin_error(error: types::PluginError) -> PluginError {
    match error {
        types::PluginError::Transient(text) => PluginError::Transient(clip(&text, MAX_ERROR)),
        types::PluginError::Permanent(text) => PluginError::Permanent(clip(&text, MAX_ERROR)),
        types::PluginError::Fenced(epoch) => PluginError::Fenced(epoch),
        types::PluginError::Other(text) => PluginError::Other(clip(&text, MAX_ERROR)),
    }
}

fn action(action: Action) -> types::Action {
    match action {
        Action::OnStart => types::Action::OnStart,
        Action::OnStop => types::Action::OnStop,
        Action::OnRestart => types::Action::OnRestart,
        Action::OnReload => types::Action::OnReload,
        Action::OnRoleChange => types::Action::OnRoleChange,
    }
}

fn role(role: Role) -> types::Role {
    match role {
        Role::Primary => types::Role::Primary,
        Role::Replica => types::Role::Replica,
        Role::Demoted => types::Role::Demoted,
        Role::Uninitialized => types::Role::Uninitialized,
    }
}

fn member(member: Member) -> types::Member {
    let Member { name, host, port, role: now, state, lag, site, tags } = member;
    types::Member {
        name,
        host: Some(host).filter(|host| !host.is_empty()),
        port: Some(port).filter(|port| *port != 0),
        role: role(now),
        state,
        lag,
        site: Some(site).filter(|site| !site.is_empty()),
        tags,
    }
}

fn primary(primary: Primary) -> types::Primary {
    let Primary { name, host, port, epoch, timeline } = primary;
    types::Primary { name, host, port, epoch, timeline }
}

/// PostgreSQL's form of a place in the write-ahead log.
fn wal_position(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}
