//! What the agent knows, and its folding into one observation.
//!
//! Only facts are kept here, the newest of each kind. Nothing is decided and nothing is waited for.

use super::{clock, fact::Fact};
use crate::{execute::Tools, links::GuardLink};
use std::collections::BTreeMap;
use tanist_engine::{
    Armed, Epoch, FenceState, Guard, Job, JobReport, MemberName, Moment, Observation, Peer, Position, Postgres, RunningJob,
    ServerRole, StorageSeen, StoreView, TimelineClaim, Upstream,
};

/// The newest facts.
pub struct World {
    me: MemberName,
    /// The cluster's keys.
    pub view: StoreView,
    postgres: Postgres,
    /// When the probe that found it was begun.
    probed: Moment,
    /// Probes begun before this moment saw a server that is gone or was not there yet.
    postgres_valid_from: Moment,
    /// What a look says of the names in force is true if it was begun after this; never, while they are being changed.
    names_valid_from: Moment,
    job: Option<RunningJob>,
    job_number: u64,
    last_job: Option<JobReport>,
    peers: BTreeMap<MemberName, Peer>,
    storage: StorageSeen,
    /// Who does not have the WAL any more that the standby here needs.
    wal_gone: Option<Upstream>,
    /// A restart was asked for then, of a primary or of a standby.
    restart: Option<(Moment, bool)>,
    stopping: bool,
}

impl World {
    /// Knows nothing but its name.
    pub fn new(me: MemberName) -> Self {
        Self {
            me,
            view: StoreView::default(),
            postgres: Postgres::Unknown,
            probed: Moment::ZERO,
            postgres_valid_from: Moment::ZERO,
            names_valid_from: Moment::ZERO,
            job: None,
            job_number: 0,
            last_job: None,
            peers: BTreeMap::new(),
            storage: StorageSeen::default(),
            wal_gone: None,
            restart: None,
            stopping: false,
        }
    }

    /// Takes one fact in.
    pub fn learn(&mut self, fact: Fact, now: Moment) {
        match fact {
            Fact::Store(view) => self.view = *view,
            Fact::Postgres { found, begun } if begun >= self.postgres_valid_from => {
                self.postgres = found;
                self.outlive_restart();
                self.probed = begun;
                if begun < self.names_valid_from {
                    self.postgres.names_unknown();
                }
            }
            // A look that is out of date, news of what is read anyway, and what the loop itself deals with.
            Fact::Postgres { .. }
            | Fact::Guard
            | Fact::Waits
            | Fact::GuardDead
            | Fact::Effect { .. }
            | Fact::Confirmed
            | Fact::Policy(_)
            | Fact::Reloaded
            | Fact::Detail
            | Fact::Fatal(_) => {}
            Fact::PostgresChanged(state) => {
                // What was asked for has begun.
                if matches!(state, Postgres::Starting { .. }) {
                    self.restart = None;
                }
                self.postgres = state;
                self.outlive_restart();
                self.probed = now;
                self.postgres_valid_from = now;
            }
            Fact::Job(number, outcome) => {
                if let Some(ended) = self.job.take_if(|_| number == self.job_number) {
                    self.last_job = Some(JobReport { job: ended.job, outcome, at: now });
                }
            }
            Fact::Peer(peer) => {
                self.peers.insert(peer.name.clone(), peer);
            }
            Fact::Storage(seen) => self.storage = seen,
            Fact::WalGone(from) => self.wal_gone = from,
            Fact::Restart(asked) => self.restart = asked.map(|at| (at, is_primary(&self.postgres))),
            Fact::Stop => self.stopping = true,
        }
    }

    /// A standby that is to be restarted and becomes the primary is not restarted any more, nor the other way round.
    fn outlive_restart(&mut self) {
        let changed = |asked_primary: bool| is_running(&self.postgres) && is_primary(&self.postgres) != asked_primary;
        self.restart = self.restart.filter(|(_, asked_primary)| !changed(*asked_primary));
    }

    /// Whom commits wait for is being changed: until that has ended nobody knows it.
    pub fn names_change(&mut self) {
        self.names_valid_from = Moment::MAX;
        self.postgres.names_unknown();
    }

    /// That has ended, one way or the other: the next look shows it.
    pub fn names_changed(&mut self, now: Moment) {
        self.names_valid_from = now;
    }

    /// A long job begins. Returns its number: what is heard of an earlier one, which this one did not wait for, is no news.
    pub fn begin(&mut self, job: Job, now: Moment) -> u64 {
        self.job = Some(RunningJob { job, since: now });
        self.job_number += 1;
        self.job_number
    }

    /// The long job that runs.
    pub fn job(&self) -> Option<&RunningJob> {
        self.job.as_ref()
    }

    /// Everything a decision may depend on.
    pub fn observe(&self, tools: &Tools) -> Observation {
        let mut peers: Vec<Peer> = self.peers.values().cloned().collect();
        for answer in peers.iter_mut().filter_map(|peer| peer.answer.as_mut()) {
            if let Some(position) = &mut answer.position {
                position.opened_by = opener(&self.view.timelines, position);
            }
        }
        Observation {
            me: self.me.clone(),
            lease: tools.keeper.lease(clock::reading()),
            store: self.store(),
            postgres: with_slot(placed(self.postgres.clone(), &self.view.timelines), tools),
            guard: guard_seen(&tools.guard),
            job: self.job.clone(),
            last_job: self.last_job.clone(),
            peers,
            probed: self.probed,
            promised: Some(tools.promise.now()),
            directory_replaced: tools.directory.is_replaced(),
            directory: tools.directory.number(),
            storage: self.storage.clone(),
            unreadable: tools.postgres.unreadable(),
            restart: self.restart.map(|(at, _)| at),
            wal_gone: self.wal_gone.clone(),
            stopping: self.stopping,
            failsafe: tools.failsafe.seen(&tools.keeper, clock::reading()),
        }
    }
}

impl World {
    /// The keys, with the promised positions placed by the claims.
    fn store(&self) -> StoreView {
        let mut view = self.view.clone();
        for promise in &mut view.promises {
            if let Some(position) = &mut promise.position {
                position.opened_by = opener(&self.view.timelines, position);
            }
        }
        view
    }
}

/// The guard's page in the engine's words.
fn guard_seen(link: &GuardLink) -> Guard {
    use tanist_guard::page::FenceState as Page;
    let page = link.page();
    let fence = match link.fence_state() {
        Page::Open => FenceState::Open,
        Page::Running => FenceState::Running,
        Page::Complete => FenceState::Complete,
    };
    // Fenced by the agent: the permission is used up, also while a guard that stands still cannot take it back.
    let armed = page.arm_view().filter(|_| !link.has_fenced());
    let armed = armed.map(|armed| Armed { epoch: Epoch(armed.epoch), until: Moment::from_nanos(armed.boot) });
    Guard { armed, newest: Epoch(page.epoch()), fence, budget: std::time::Duration::from_nanos(page.budget_ns()) }
}

/// The state with each position's opening epoch filled in from the claims.
fn placed(mut postgres: Postgres, claims: &[TimelineClaim]) -> Postgres {
    let position = match &mut postgres {
        Postgres::Stopped(stopped) => Some(&mut stopped.position),
        Postgres::Running(running) => match &mut running.role {
            ServerRole::Primary { position, .. } => Some(position),
            ServerRole::Standby { position, .. } => position.as_mut(),
        },
        _ => None,
    };
    if let Some(position) = position {
        position.opened_by = opener(claims, position);
    }
    postgres
}

/// The state with whether a standby streams through the slot that it should.
fn with_slot(mut postgres: Postgres, tools: &Tools) -> Postgres {
    if let Postgres::Running(running) = &mut postgres
        && let ServerRole::Standby { slot_differs, upstream: Some(_), .. } = &mut running.role
    {
        *slot_differs = tools.postgres.facts().is_some_and(|facts| facts.slot != tools.slots.own());
    }
    postgres
}

/// The epoch that claimed the position's timeline; none for the first one and for one nobody claimed.
fn opener(claims: &[TimelineClaim], position: &Position) -> Epoch {
    claims.iter().filter(|claim| claim.timeline == position.timeline).map(|claim| claim.epoch).max().unwrap_or_default()
}

fn is_running(postgres: &Postgres) -> bool {
    matches!(postgres, Postgres::Running(_))
}

fn is_primary(postgres: &Postgres) -> bool {
    matches!(postgres, Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::{JobOutcome, Lsn, Running, StopMode, SyncNames, Timeline};

    fn look(names: SyncNames, begun: u64) -> Fact {
        let role = ServerRole::Primary {
            position: Position { opened_by: Epoch::NONE, timeline: Timeline(1), lsn: Lsn(1) },
            timeline_begin: None,
            timeline_parent: None,
            proof: None,
            standbys: Vec::new(),
            names_in_force: Some(names),
            checkpointed: true,
        };
        let found = Postgres::Running(Running { role, system_id: "1".to_owned(), version: 150_000 });
        Fact::Postgres { found, begun: Moment::from_nanos(begun) }
    }

    fn names(world: &World) -> Option<SyncNames> {
        match &world.postgres {
            Postgres::Running(Running { role: ServerRole::Primary { names_in_force, .. }, .. }) => names_in_force.clone(),
            _ => None,
        }
    }

    /// The look may have been under way when the change was asked for, and its news be read after it had ended.
    #[test]
    fn names_are_unknown_until_a_look_after_their_change() {
        let mut world = World::new("a".into());
        let at = Moment::from_nanos;
        world.learn(look(SyncNames::Reserved, 10), at(11));
        assert_eq!(names(&world), Some(SyncNames::Reserved));
        world.names_change();
        assert_eq!(names(&world), None, "they are being changed");
        world.learn(look(SyncNames::Reserved, 12), at(20));
        assert_eq!(names(&world), None, "begun before the end of the change");
        world.names_changed(at(30));
        world.learn(look(SyncNames::Nobody, 29), at(31));
        assert_eq!(names(&world), None, "still");
        world.learn(look(SyncNames::Nobody, 30), at(40));
        assert_eq!(names(&world), Some(SyncNames::Nobody));
    }

    fn standby() -> Fact {
        let role =
            ServerRole::Standby { position: None, replayed: Lsn(1), upstream: None, streaming: false, slot_differs: false };
        Fact::PostgresChanged(Postgres::Running(Running { role, system_id: "1".to_owned(), version: 150_000 }))
    }

    /// Whoever asked for the restart of a standby did not ask for that of the primary it has become.
    #[test]
    fn a_restart_is_of_the_role_it_was_asked_in() {
        let mut world = World::new("a".into());
        let at = Moment::from_nanos;
        world.learn(standby(), at(1));
        world.learn(Fact::Restart(Some(at(2))), at(2));
        world.learn(standby(), at(3));
        assert!(world.restart.is_some());
        world.learn(Fact::PostgresChanged(Postgres::Unknown), at(4));
        assert!(world.restart.is_some(), "nothing is known of its role");
        world.learn(look(SyncNames::Nobody, 5), at(5));
        assert_eq!(world.restart, None);
    }

    #[test]
    fn what_is_heard_of_an_earlier_job_is_no_news() {
        let mut world = World::new("a".into());
        let at = Moment::from_nanos;
        let checkpoint = world.begin(Job::Checkpoint, at(1));
        let stop = world.begin(Job::Stop(StopMode::Fast), at(2));
        world.learn(Fact::Job(checkpoint, JobOutcome::Done), at(3));
        assert_eq!(world.job().map(|running| running.job.name()), Some(Job::Stop(StopMode::Fast).name()));
        world.learn(Fact::Job(stop, JobOutcome::Done), at(4));
        assert!(world.job().is_none());
    }
}
