//! I2: `/sync` and the names in force never part.
//!
//! Checked as sets. *Acknowledging*: the smallest sets of nodes that have a write when the names acknowledge it. *Electable*: the
//! nodes `/sync` lets lead. Every electable node must be in every acknowledging set, since one electable node is enough to be promoted.

use super::{Violation, facts::Facts};
use crate::{MemberName, Memory, Postgres, ServerRole, StandbySeen, SyncMode, SyncNames, SyncState};
use std::collections::BTreeSet;

type Names = BTreeSet<MemberName>;

/// `/sync` may be written so.
pub(super) fn write(facts: &Facts<'_>, memory: &Memory, next: &SyncState) -> Result<(), Violation> {
    facts.mine("writes /sync")?;
    facts.primary("writes /sync")?;
    let view = facts.seen.store.sync.clone().unwrap_or_default();
    if next.revision != view.revision {
        return Err(Violation::WrongRevision);
    }
    let strict = facts.policy.synchronous.is_strict();
    if facts.policy.synchronous == SyncMode::Off {
        return if next.leader.is_none() && next.standbys.is_empty() { Ok(()) } else { Err(Violation::SyncTooWide) };
    }
    if next.leader.as_ref() != Some(&facts.seen.me) || next.standbys.contains(&facts.seen.me) {
        return Err(Violation::SyncTooWide);
    }
    // What opens commits, before the store knows the cluster: another node may yet make another one.
    if facts.seen.store.initialize.is_none() {
        return Err(Violation::WrongState { what: "writes /sync" });
    }
    if next.standbys.is_empty() {
        // Only this node leads, and it has everything. Strict clusters keep the one standby that they have.
        let lost = strict && view.leader == next.leader && view.standbys.len() == 1;
        return if lost { Err(Violation::StrictLoosened) } else { Ok(()) };
    }
    let Some((names, standbys)) = replication(facts) else { return Err(Violation::SyncTooWide) };
    let sound = acknowledging(names, &facts.seen.me).iter().all(|set| next.standbys.is_subset(set))
        && next.standbys.iter().all(|name| confirmed(memory, names, standbys, name));
    if sound { Ok(()) } else { Err(Violation::SyncTooWide) }
}

/// The names may be set so.
pub(super) fn names(facts: &Facts<'_>, next: &SyncNames) -> Result<(), Violation> {
    facts.mine("sets the synchronous names")?;
    facts.primary("sets the synchronous names")?;
    let view = facts.seen.store.sync.clone().unwrap_or_default();
    let strict = facts.policy.synchronous.is_strict();
    if *next == SyncNames::Nobody && strict {
        return Err(Violation::NamesTooWide);
    }
    let Some(leader) = view.leader else {
        // Anybody may lead: asynchronous, or just about to be.
        let open = !facts.policy.synchronous.is_on() || *next == SyncNames::Reserved;
        return if open { Ok(()) } else { Err(Violation::NamesTooWide) };
    };
    let electable: Names = view.standbys.into_iter().chain([leader]).collect();
    let sound = acknowledging(next, &facts.seen.me).iter().all(|set| electable.is_subset(set));
    if sound { Ok(()) } else { Err(Violation::NamesTooWide) }
}

/// The smallest sets that have an acknowledged write.
fn acknowledging(names: &SyncNames, me: &MemberName) -> Vec<Names> {
    match names {
        SyncNames::Reserved => Vec::new(),
        SyncNames::Nobody => vec![Names::from([me.clone()])],
        SyncNames::FirstOf { standbys, .. } | SyncNames::AnyOf { standbys, .. } => {
            standbys.iter().map(|standby| Names::from([me.clone(), standby.clone()])).collect()
        }
    }
}

/// It streams and has flushed what was written when the present names came into force.
fn confirmed(memory: &Memory, names: &SyncNames, standbys: &[StandbySeen], name: &MemberName) -> bool {
    let target = memory.sync_target.as_ref().filter(|target| target.names == *names).map(|target| target.lsn);
    let streams = standbys.iter().find(|standby| standby.name == *name && standby.streaming);
    streams.is_some_and(|standby| target.is_some_and(|target| standby.flushed >= target))
}

/// The names in force and the walsenders.
fn replication<'a>(facts: &Facts<'a>) -> Option<(&'a SyncNames, &'a [StandbySeen])> {
    let Postgres::Running(running) = &facts.seen.postgres else { return None };
    match &running.role {
        ServerRole::Primary { names_in_force, standbys, .. } => Some((names_in_force.as_ref()?, standbys)),
        ServerRole::Standby { .. } => None,
    }
}
