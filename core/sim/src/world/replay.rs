//! Replay of a standby that is paused, held up by readers, or does not move at all.
//!
//! While it waits so, the startup process reads no new setting: a walreceiver goes on streaming from whom it was told before.

use super::{
    World,
    event::{Inside, Local, Process},
};
use crate::{
    model::{
        clock::{MS, SEC},
        postgres::Server,
    },
    mutant::Mutant,
};
use tanist_engine::{FenceState, Job, Postgres, SyncNames};

/// What keeps the startup process from reading settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// An operator paused it.
    pub paused: bool,
    /// Readers hold it up, per active fault.
    pub blocked: u16,
    /// The startup process is frozen, per active fault.
    pub frozen: u16,
}

impl Replay {
    /// New settings are read.
    pub fn moves(&self) -> bool {
        !self.paused && self.blocked == 0 && self.frozen == 0
    }
}

impl World {
    /// A fault of replay begins or ends.
    pub fn hold_replay(&mut self, node: usize, which: fn(&mut Replay) -> &mut u16, on: bool) {
        let cell = which(&mut self.nodes[node].replay);
        *cell = if on { *cell + 1 } else { cell.saturating_sub(1) };
    }

    /// `pg_wal_replay_pause()`, or `resume`.
    pub fn pause_replay(&mut self, node: usize, on: bool) {
        self.nodes[node].replay.paused = on && self.nodes[node].pg.server == Server::Standby;
    }

    /// How long the barrier of a promise takes, by what the replay does (docs/decisions/2026-11-21-promise-barrier.md).
    pub(super) fn barrier(&mut self, node: usize) -> u64 {
        let replay = self.nodes[node].replay;
        let took = match (replay.frozen > 0, replay.moves()) {
            (true, _) => 3 * SEC,
            (false, true) => self.rng.range(3 * MS, 400 * MS),
            (false, false) => self.rng.range(290 * MS, 1_500 * MS),
        };
        self.slowed("a barrier", took);
        took
    }

    /// The barrier: from here on no walreceiver of an older upstream runs. `false`: it could not be had.
    pub(super) fn cut(&mut self, node: usize) -> bool {
        let moves = self.nodes[node].replay.moves();
        if !moves && self.options.without(Mutant::ReloadIsCut) {
            self.nodes[node].pg.upstream = None;
            return true;
        }
        if self.nodes[node].replay.frozen > 0 {
            return self.cut_by_restart(node);
        }
        // Replay that was paused goes on, readers are ended.
        self.nodes[node].replay = Replay::default();
        self.drop_connection(node);
        self.nodes[node].pg.upstream = None;
        true
    }

    /// The server is ended at once and started with nobody to follow. Its position is unknown until all local WAL is replayed.
    fn cut_by_restart(&mut self, node: usize) -> bool {
        if !self.nodes[node].runs(Process::Guard) || self.nodes[node].guard.page.fence == FenceState::Running {
            return false;
        }
        self.crash_postgres(node);
        let since = self.reading(node).boot;
        let names = self.reserved(node);
        let here = &mut self.nodes[node];
        here.replay = Replay::default();
        here.pg.life += 1;
        here.pg.server = Server::Starting { since, as_primary: false };
        here.pg.upstream = None;
        (here.pg.names_file, here.pg.names, here.pg.names_next) = (names.clone(), names, None);
        here.pg.exhausted = false;
        here.guard.page.fence = FenceState::Open;
        let took = self.rng.range(100 * MS, 2 * SEC);
        self.slowed("a recovery", took);
        self.later(node, took, Local::Inside(Inside::Up));
        self.postgres_changed(node, Postgres::Starting { since, as_primary: false });
        true
    }

    /// The names for what a job starts.
    pub(super) fn names_for(&self, node: usize, job: &Job) -> SyncNames {
        if self.options.without(Mutant::NoReservedName) {
            return SyncNames::Nobody;
        }
        let agent = &self.nodes[node].agent;
        SyncNames::for_job(job, &agent.policy, &agent.seen.store, &agent.memory)
    }

    /// The names with which a server is told to follow.
    pub(super) fn reserved(&self, node: usize) -> SyncNames {
        if self.options.without(Mutant::NoReservedName) {
            return SyncNames::Nobody;
        }
        let agent = &self.nodes[node].agent;
        SyncNames::at_start(&agent.policy, &agent.seen.store)
    }
}
