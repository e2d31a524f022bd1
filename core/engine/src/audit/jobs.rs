//! I1, I2 and I3: what the guard is asked to run.

use super::{Violation, facts::Facts, history, promise};
use crate::{Action, Epoch, FenceState, Job, Lease, Postgres, Running, ServerRole, StartAs, Timeline, Upstream};

/// One writer of the data directory at a time.
pub(super) fn at_most_one(facts: &Facts<'_>, actions: &[Action]) -> Result<(), Violation> {
    let begun = actions.iter().filter(|action| matches!(action, Action::Run(_))).count();
    let free = facts.seen.job.as_ref().is_none_or(|running| running.job.gives_way());
    if begun > usize::from(free) { Err(Violation::TwoJobs) } else { Ok(()) }
}

pub(super) fn run(facts: &Facts<'_>, job: &Job) -> Result<(), Violation> {
    let what = job.name();
    if facts.seen.guard.fence == FenceState::Running {
        return Err(Violation::WrongState { what });
    }
    if !matches!(job, Job::Stop(_)) {
        facts.can_write(what)?;
    }
    match job {
        Job::Bootstrap => bootstrap(facts, what),
        Job::Clone { from } => {
            upstream(facts, from)?;
            replaceable(facts, what)
        }
        Job::Rewind { from } => rewind(facts, what, from),
        Job::Start(StartAs::Standby(leader)) => {
            startable(facts, what)?;
            leader.iter().try_for_each(|leader| {
                upstream(facts, leader)?;
                history::before_start(facts, leader)
            })
        }
        Job::Start(StartAs::Primary { epoch }) => {
            if facts.seen.directory_replaced {
                return Err(Violation::DataForgotten);
            }
            writable(facts, what, *epoch)?;
            startable(facts, what)
        }
        Job::Promote { epoch, timeline } => promote(facts, what, *epoch, *timeline),
        Job::Follow(leader) => {
            facts.own_data(what)?;
            upstream(facts, leader)?;
            in_recovery(facts, what)?;
            history::before_follow(facts, leader)
        }
        Job::PostBootstrap => {
            facts.mine(what)?;
            facts.primary(what).map(drop)
        }
        Job::Promise { epoch, to } => promise::make(facts, *epoch, to.as_ref()),
        Job::Checkpoint | Job::Stop(_) => Ok(()),
    }
}

/// A cluster is made once, by the holder of the lease, where there is nothing.
fn bootstrap(facts: &Facts<'_>, what: &'static str) -> Result<(), Violation> {
    facts.mine(what)?;
    let empty = matches!(facts.seen.postgres, Postgres::NoData | Postgres::HalfMade);
    if empty && facts.seen.store.initialize.is_none() { Ok(()) } else { Err(Violation::WrongState { what }) }
}

/// What every way to a writable PostgreSQL needs.
fn writable(facts: &Facts<'_>, what: &'static str, epoch: Epoch) -> Result<(), Violation> {
    facts.mine_at(what, epoch)?;
    facts.armed(what, epoch)?;
    facts.own_data(what)
}

/// A standby is opened only on a claimed timeline, under an epoch newer than all that was shown and none of
/// another's, by who may lead.
fn promote(facts: &Facts<'_>, what: &'static str, epoch: Epoch, timeline: Timeline) -> Result<(), Violation> {
    writable(facts, what, epoch)?;
    in_recovery(facts, what)?;
    let store = &facts.seen.store;
    if !store.timelines.iter().any(|claim| claim.epoch == epoch && claim.timeline == timeline) {
        return Err(Violation::NotClaimed);
    }
    // Opened before: the number would mean two histories.
    if let Postgres::Running(Running { role: ServerRole::Standby { position: Some(position), .. }, .. }) = &facts.seen.postgres
        && position.timeline >= timeline
    {
        return Err(Violation::NotClaimed);
    }
    let forbidden = facts.seen.promised.as_ref().is_some_and(|promised| promised.forbids(&facts.seen.me, epoch));
    if forbidden || store.primary.as_ref().is_some_and(|face| face.epoch >= epoch) {
        return Err(Violation::EpochWentBack { what });
    }
    let acquired = facts.mine(what)?.sync_at_acquisition.as_ref().filter(|sync| sync.leader.is_some());
    match acquired.or(facts.seen.store.electors()) {
        Some(sync) => promise::elected(facts, sync, epoch),
        None => Ok(()),
    }
}

/// Nothing is started beside a server, nor where one may have left a backend behind.
fn startable(facts: &Facts<'_>, what: &'static str) -> Result<(), Violation> {
    facts.own_data(what)?;
    match &facts.seen.postgres {
        Postgres::Stopped(stopped) if stopped.clean || facts.seen.guard.fence == FenceState::Complete => Ok(()),
        Postgres::Stopped(_) => Err(Violation::NotFenced { what }),
        _ => Err(Violation::WrongState { what }),
    }
}

/// A directory that may be thrown away: of this cluster, not in use, not needed by `/sync`.
fn replaceable(facts: &Facts<'_>, what: &'static str) -> Result<(), Violation> {
    if !matches!(facts.seen.postgres, Postgres::NoData | Postgres::HalfMade) {
        startable(facts, what)?;
    }
    let named = facts.seen.store.electors().is_some_and(|sync| sync.names(&facts.seen.me));
    if named { Err(Violation::DataNeeded) } else { Ok(()) }
}

/// A whole directory is rewound, shut down in order, from the server that the present lease shows.
fn rewind(facts: &Facts<'_>, what: &'static str, from: &Upstream) -> Result<(), Violation> {
    upstream(facts, from)?;
    let shown = facts.seen.store.primary.as_ref().is_some_and(|face| face.name == from.name && face.epoch == from.epoch);
    if !shown {
        return Err(Violation::OldUpstream);
    }
    match &facts.seen.postgres {
        Postgres::Stopped(stopped) if stopped.clean => replaceable(facts, what),
        _ => Err(Violation::WrongState { what }),
    }
}

/// A directory that was replaced by other hands is taken for known when no leader counts on the one before it.
pub(super) fn adopt(facts: &Facts<'_>) -> Result<(), Violation> {
    let named = facts.seen.store.electors().is_some_and(|sync| sync.names(&facts.seen.me));
    if named { Err(Violation::DataNeeded) } else { Ok(()) }
}

fn in_recovery(facts: &Facts<'_>, what: &'static str) -> Result<(), Violation> {
    match &facts.seen.postgres {
        Postgres::Running(running) if matches!(running.role, ServerRole::Standby { .. }) => Ok(()),
        _ => Err(Violation::WrongState { what }),
    }
}

/// Only a leader of the newest known epoch is followed or copied.
fn upstream(facts: &Facts<'_>, leader: &Upstream) -> Result<(), Violation> {
    let shown = facts.seen.store.primary.as_ref().map_or(Epoch::NONE, |face| face.epoch);
    let leased = match &facts.seen.lease {
        Lease::Theirs(theirs) => theirs.epoch,
        Lease::Mine(held) => held.epoch,
        Lease::Vacant { last_epoch, .. } => *last_epoch,
        Lease::Unknown => Epoch::NONE,
    };
    let forbidden = facts.seen.promised.as_ref().is_some_and(|promised| promised.forbids(&leader.name, leader.epoch));
    if leader.name == facts.seen.me || forbidden || leader.epoch < shown.max(leased) {
        Err(Violation::OldUpstream)
    } else {
        Ok(())
    }
}
