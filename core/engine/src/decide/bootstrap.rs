//! A cluster that does not exist yet, and data that belong to another one.

use super::{
    fence::fence,
    leading::{release, released},
    turn::Turn,
};
use crate::{FenceCause, Job, Postgres, Reason};

/// The holder of the lease has no data: it makes the cluster if there is none, and otherwise must not lead.
pub(super) fn create(turn: &mut Turn<'_>) -> Reason {
    if turn.seen.store.initialize.is_some() {
        return release(turn, None, Reason::NoDataToLead);
    }
    if let Some(reason) = turn.held().and_then(|held| released(turn, held)) {
        return reason;
    }
    // A cluster that this lease has made is gone, and its identifier may yet reach the store, or has under an epoch before: under another
    // lease it cannot, and whoever takes that compares what is there.
    if let Some(epoch) = turn.held().map(|held| held.epoch).filter(|_| turn.memory.initialize_asked) {
        return release(turn, None, Reason::GivingUp { epoch });
    }
    turn.run(Job::Bootstrap, Reason::Bootstrapping)
}

/// Data of another cluster are never started, led with, or copied over.
pub(super) fn foreign(turn: &mut Turn<'_>) -> Option<Reason> {
    let ours = match &turn.seen.postgres {
        Postgres::Stopped(stopped) => &stopped.system_id,
        Postgres::Running(running) => &running.system_id,
        _ => return None,
    };
    let cluster = turn.seen.store.initialize.as_ref().filter(|cluster| *cluster != ours)?;
    let reason = Reason::ForeignDataDirectory { ours: ours.clone(), cluster: cluster.clone() };
    if turn.held().is_none() {
        return Some(reason);
    }
    // The cluster was replaced under a running leader: end it, so that nobody writes into the wrong one.
    if !turn.is_quiet() {
        return Some(fence(turn, FenceCause::Foreign));
    }
    Some(release(turn, None, reason))
}
