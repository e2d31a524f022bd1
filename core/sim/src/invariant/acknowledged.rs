//! I2: an acknowledged write of a synchronous cluster is in every later primary; of an asynchronous one at most `maximum_lag_on_failover`
//! behind the last `/status` is lost.

use crate::{fault::Kind, model::clock::SEC, world::World};
use std::time::Duration;
use tanist_engine::{Lsn, MemberName, Moment, SyncNames, Upstream};

impl World {
    /// A write returned as committed.
    pub(crate) fn acknowledged(&mut self, node: usize, lsn: u64) {
        self.coverage.acknowledged += 1;
        self.check_strict(node);
        // Promised: this node was the leader of `/sync` since the mode was last off. A stale one counts as well: it must not acknowledge.
        if !self.checks.synchronous[node] || self.checks.store_restored {
            return;
        }
        let branch = self.nodes[node].pg.wal.branch();
        let begin = self.nodes[node].pg.wal.branch_begin();
        self.check_witnesses(node, branch, begin, lsn);
        let entry = self.checks.promised.entry(branch).or_insert((begin, lsn));
        entry.1 = entry.1.max(lsn);
        if self.store.snap.sync().and_then(|sync| sync.leader.as_ref()) == Some(&self.names[node]) {
            self.check_electors(branch, begin, lsn);
        }
        if let Some(current) = self.current_primary().filter(|current| *current != node)
            && !self.nodes[current].pg.wal.covers(branch, begin, lsn)
        {
            let text = format!(
                "{} acknowledged {lsn} of branch {branch} that the primary {} does not have",
                self.names[node], self.names[current]
            );
            self.violate("I2", text);
        }
    }

    /// Whoever the commit waited for has it, whatever it reported: a standby of another history may report what it has of that. A stale
    /// primary, also one that runs on after a pause while nobody else is up, may hear late what was true when it was sent, and is judged by
    /// what its successor has.
    fn check_witnesses(&mut self, node: usize, branch: u32, begin: u64, lsn: u64) {
        if self.current_primary() != Some(node) || self.nodes[node].exempt_until > self.now {
            return;
        }
        let pg = &self.nodes[node].pg;
        let enough = |names: &SyncNames| {
            let Some((count, standbys)) = names.demand() else { return *names == SyncNames::Nobody };
            let has = |standby: &MemberName| {
                // What other hands took from it after it had answered, it had.
                self.find(standby).is_some_and(|at| self.checks.robbed[at] || self.nodes[at].pg.wal.covers(branch, begin, lsn))
            };
            standbys.iter().filter(|standby| has(standby)).count() >= count as usize
        };
        if !pg.names_in_use().any(enough) {
            let text = format!("{} acknowledged {lsn} of branch {branch} by standbys that do not have it", self.names[node]);
            self.violate("I2", text);
        }
    }

    /// The writable node of the highest epoch.
    fn current_primary(&self) -> Option<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].pg.writable()).max_by_key(|node| self.writable_epoch(*node))
    }

    /// A standby is pointed at a server of an epoch: none below what was promised, and of one number only whom it was promised to.
    pub(crate) fn check_upstream(&mut self, node: usize, leader: &Upstream) {
        let promised = &self.nodes[node].fence;
        let Upstream { name, epoch, .. } = leader;
        // Not by the engine's own words, which would judge themselves.
        let other = promised.epoch == *epoch && promised.to.as_ref().is_some_and(|to| to != name);
        if promised.epoch > *epoch || other {
            let text = format!("{} follows {name} of epoch {epoch} and has promised {promised:?}", self.names[node]);
            self.violate("I2", text);
        }
    }

    /// A node has become writable: has it all that was promised?
    pub(crate) fn check_winner(&mut self, node: usize) {
        self.coverage.failovers += 1;
        self.check_failover(node);
        let epoch = self.writable_epoch(node);
        self.checks.writable_under.push((epoch, node));
        if self.nodes[node].exempt_until > self.now {
            // A stale one that runs on after a pause: what it acknowledges is judged, its opening is not, also when it starts again.
            self.checks.optime[node] = None;
            return;
        }
        let wal = &self.nodes[node].pg.wal;
        let lost = self.checks.promised.iter().find(|(branch, (from, lsn))| !wal.covers(**branch, *from, *lsn));
        if let Some((branch, (_, lsn))) = lost {
            let text = format!(
                "{} is writable under epoch {epoch} without the acknowledged write {lsn} of branch {branch}",
                self.names[node]
            );
            self.violate("I2", text);
        }
        self.check_bound(node);
    }

    /// A checkpoint before a planned stop of a primary ends that was begun then: `/status` was told on while it ran.
    pub(crate) fn check_status(&mut self, node: usize, begun: Moment) {
        let agent = &self.nodes[node].agent;
        let (now, waits) = (self.reading(node).boot, agent.policy.loop_wait + Duration::from_secs(2));
        // What was asked for is what the checkpoint is for.
        let before = self.now.saturating_sub(now.since(begun).as_nanos() as u64 + 5 * SEC);
        let calm = self.faults.iter().all(|fault| {
            matches!(fault.kind, Kind::Switchover | Kind::StopService) || fault.at > self.now || fault.at + fault.span < before
        }) && !self.checks.store_restored;
        let leads = self.leader() == Some(node) && self.can_write(node) && agent.mirror.watching;
        let told = self.store.snap.optime();
        let moved = self.nodes[node].pg.wal.end() > told.map_or(0, |optime| optime.0);
        if now.since(begun) > waits && calm && leads && moved && told == self.checks.status_at_checkpoint[node] {
            let text = format!("{} has told no position since its checkpoint began", self.names[node]);
            self.violate("status", text);
        }
    }

    fn check_bound(&mut self, node: usize) {
        // A synchronous cluster may be behind by what nobody acknowledged, and stays so when the mode is switched off under this lease.
        if self.store.snap.sync().is_some_and(|sync| sync.leader.is_some()) {
            self.checks.optime[node] = None;
        }
        // What was written while it took the lease belongs to "the WAL written since the last /status".
        let Some(Lsn(optime)) = self.checks.optime[node].filter(|_| !self.checks.store_restored) else { return };
        let end = self.nodes[node].pg.wal.end();
        let lag = optime.saturating_sub(end);
        if lag > self.options.maximum_lag && self.nodes[node].pg.wal.timeline_begin().is_some() {
            let text = format!("{} was promoted {lag} bytes behind the last /status", self.names[node]);
            self.violate("I2", text);
        }
    }

    /// `/sync` was emptied: from now on the mode is asynchronous, and earlier promises are bounded ones.
    pub(crate) fn check_mode(&mut self) {
        match self.store.snap.sync().and_then(|sync| sync.leader.as_ref()).and_then(|leader| self.find(leader)) {
            Some(leader) => self.checks.synchronous[leader] = true,
            None => {
                self.checks.promised.clear();
                self.checks.synchronous.fill(false);
            }
        }
    }
}
