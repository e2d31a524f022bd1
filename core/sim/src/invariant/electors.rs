//! I2, before it is too late: any `quorum` + 1 of the standbys that `/sync` names may elect one of them, so among any so many there is one
//! that has the acknowledged write. Where `quorum` is zero each of them has it.

use crate::{model::postgres::Dir, world::World};
use tanist_engine::MemberName;

impl World {
    /// After a commit that changed `/sync`: what was acknowledged before.
    pub(crate) fn check_all_electors(&mut self) {
        let promised: Vec<_> = self.checks.promised.iter().map(|(branch, (begin, lsn))| (*branch, *begin, *lsn)).collect();
        for (branch, begin, lsn) in promised {
            self.check_electors(branch, begin, lsn);
        }
    }

    /// After an acknowledgement by whom `/sync` names as the leader, and after its changes.
    pub(crate) fn check_electors(&mut self, branch: u32, begin: u64, lsn: u64) {
        let Some(sync) = self.store.snap.sync().filter(|_| !self.checks.store_restored) else { return };
        let lacks = |standby: &&MemberName| {
            self.find(standby).is_some_and(|at| !self.is_excused(at) && !self.nodes[at].pg.wal.covers(branch, begin, lsn))
        };
        let lacking: Vec<&str> = sync.standbys.iter().filter(lacks).map(|name| &*name.0).collect();
        if lacking.len() > sync.quorum as usize {
            let quorum = sync.quorum;
            let text = format!(
                "{lsn} of branch {branch} was acknowledged, and {} of /sync (quorum {quorum}) lack it",
                lacking.join(", ")
            );
            self.violate("I2", text);
        }
    }

    /// What other hands took from it, it had; until it has taken what is there now for its own, it is not elected.
    fn is_excused(&self, node: usize) -> bool {
        let here = &self.nodes[node];
        let own = here.pg.dir == Dir::Cluster && here.known_directory == here.pg.identity;
        self.checks.robbed[node] && !own
    }
}
