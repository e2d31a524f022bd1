//! Which walsenders tell of the data directory that a member has now (SAFETY §4.8), and of this history.
//!
//! A member raises its mark when its data directory is given up, with no server running in it. A walsender of the server before may
//! outlive it for up to `wal_sender_timeout` where the network has dropped the end of the connection, and shows what was flushed *there*.
//! So a member that has a mark counts by a connection that began after the mark was known: one that the first look at PostgreSQL which was
//! begun after that did not find. Those it found are ended, so that nobody waits for a member that has connected in between.

use super::{members, replaced, turn::Turn};
use crate::{Action, Connection, DataMark, Marked, Member, MemberName, Postgres, ServerRole, StandbySeen, SyncState};

/// Keeps for each mark the connections that were there when it became known.
pub(super) fn notice(turn: &mut Turn<'_>) {
    let marks = &turn.seen.store.data;
    if marks.is_empty() && turn.memory.marked.is_empty() {
        return;
    }
    let known = std::mem::take(&mut turn.memory.marked);
    turn.memory.marked = marks.iter().filter_map(|mark| kept(&known, mark).or_else(|| found(turn, mark))).collect();
}

fn kept(known: &[Marked], mark: &DataMark) -> Option<Marked> {
    known.iter().find(|marked| marked.mark == *mark).cloned()
}

/// What this look finds; nothing while it says nothing of connections, or was begun before the marks were known.
fn found(turn: &Turn<'_>, mark: &DataMark) -> Option<Marked> {
    let before = match &turn.seen.postgres {
        Postgres::Unknown | Postgres::Unresponsive { .. } => return None,
        Postgres::NoData | Postgres::HalfMade | Postgres::Stopped(_) | Postgres::Starting { .. } => Vec::new(),
        Postgres::Running(running) => match &running.role {
            // Nobody is pointed at a standby.
            ServerRole::Standby { .. } => Vec::new(),
            ServerRole::Primary { standbys, .. } => {
                turn.memory.data_since.filter(|since| turn.seen.probed >= *since)?;
                connections(standbys, &mark.name).collect()
            }
        },
    };
    Some(Marked { mark: mark.clone(), before })
}

fn connections<'a>(standbys: &'a [StandbySeen], name: &'a MemberName) -> impl Iterator<Item = Connection> + use<'a> {
    standbys.iter().filter(move |standby| standby.name == *name).map(|standby| standby.connection)
}

/// Members whose walsenders may tell of a directory that is gone. `/sync` of this leader names the others with their mark: that was looked
/// at when it was written.
pub(super) fn doubtful(turn: &Turn<'_>, present: &SyncState, role: &ServerRole) -> Vec<MemberName> {
    let ServerRole::Primary { standbys, .. } = role else { return Vec::new() };
    let mine = present.leader.as_ref() == Some(&turn.seen.me);
    let vouched = |mark: &DataMark| {
        let named = mine && present.standbys.contains(&mark.name) && !replaced::gave_up(&turn.seen.store, present, &mark.name);
        let marked = turn.memory.marked.iter().find(|marked| marked.mark == *mark);
        named || marked.is_some_and(|marked| !connections(standbys, &mark.name).any(|present| marked.before.contains(&present)))
    };
    turn.seen.store.data.iter().filter(|mark| !vouched(mark)).map(|mark| mark.name.clone()).collect()
}

/// Members whose walsenders may tell of another history. A standby whose agent has not heard of this primary, and that still is pointed at
/// its address from an earlier time, may have WAL that was never here; so may one that went on receiving from another leader until it was
/// pointed here. PostgreSQL refuses it, and yet it tells first, each time, what it has flushed. So one that `/sync` of this leader does
/// not name has to say itself that it follows this epoch's timeline, or a later epoch, and that it is on this timeline: it gets there only
/// with a history that this one continues.
pub(super) fn strangers(turn: &Turn<'_>, present: &SyncState, role: &ServerRole) -> Vec<MemberName> {
    let ServerRole::Primary { position, .. } = role else { return Vec::new() };
    let named = |name: &MemberName| present.leader.as_ref() == Some(&turn.seen.me) && present.standbys.contains(name);
    let here = Some(position.timeline);
    let follows = |member: &Member| member.timeline == here && member.follows.is_some_and(|epoch| epoch >= position.opened_by);
    let strange = members::others(turn).filter(|member| !named(&member.name) && !follows(member));
    strange.map(|member| member.name.clone()).collect()
}

/// Ends what is left of connections from before a mark.
pub(super) fn end(turn: &mut Turn<'_>, doubtful: &[MemberName], role: &ServerRole) {
    let ServerRole::Primary { standbys, .. } = role else { return };
    let stale = turn.memory.marked.iter().filter(|marked| doubtful.contains(&marked.mark.name)).find_map(|marked| {
        let name = &marked.mark.name;
        let connections: Vec<_> = connections(standbys, name).filter(|present| marked.before.contains(present)).collect();
        (!connections.is_empty()).then(|| Action::EndConnections { name: name.clone(), connections })
    });
    if let Some(action) = stale {
        turn.act(action);
    }
}
