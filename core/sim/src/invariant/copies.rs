//! Copies of what was acknowledged: a node does not throw its data away while `/sync` counts on them, and a synchronous primary that
//! crashed is not made writable again where a standby that has everything could take over: what it had not replicated would be read, and
//! lost by the next failover.

use crate::{
    model::postgres::Dir,
    world::{World, view},
};
use tanist_engine::{Action, CloneWhy, Decision, Lease, Member, MemberState, Reason};

impl World {
    /// The data directory is about to be copied over.
    pub(crate) fn check_copied_over(&mut self, node: usize) {
        let here = &self.nodes[node];
        let named = self.store.snap.sync().is_some_and(|sync| self.sync_names(sync, node));
        let counts = here.pg.dir == Dir::Cluster;
        if counts && named && !self.checks.store_restored {
            self.violate("I2", format!("{} throws its data away while /sync names it", self.names[node]));
        }
    }

    /// After a decision: data are found to have left the leader's history, or are about to be replaced for that. `replaces`: that was found
    /// before.
    pub(crate) fn check_thrown_away(&mut self, node: usize, decision: &Decision, replaces: bool) {
        let thrown_away = match &decision.reason {
            // Of one that does not start, or never streams, that cannot be known.
            Reason::Cloning { why, .. } | Reason::StoppingToReplace { why, .. } => {
                !matches!(why, CloneWhy::NeverStarts | CloneWhy::NeverStreams | CloneWhy::WalGone)
            }
            Reason::Rewinding { .. } => true,
            _ => !replaces && matches!(decision.memory.must_replace, Some((_, CloneWhy::Diverged))),
        };
        if thrown_away && decision.actions.iter().any(|action| matches!(action, Action::Run(_) | Action::RaiseData { .. })) {
            self.check_strayed(node);
        }
    }

    /// Data have left the history of the leader that the node sees: only when they have.
    fn check_strayed(&mut self, node: usize) {
        let Lease::Theirs(theirs) = &self.nodes[node].agent.seen.lease else { return };
        let Some(leader) = self.find(&theirs.holder) else { return };
        let (here, there) = (&self.nodes[node], &self.nodes[leader].pg);
        let whole = here.pg.dir == Dir::Cluster && !here.directory_replaced() && !here.pg.rewound;
        let (timeline, end) = (here.pg.wal.timeline(), here.pg.wal.end());
        let continues = there.system == here.pg.system && there.wal.send(timeline, end, end).is_some();
        let known = !self.options.no_parents && !self.checks.store_restored && !self.checks.robbed[node];
        if whole && continues && known {
            let text = format!("{} would throw away data that {} could continue", self.names[node], self.names[leader]);
            self.violate("copy", text);
        }
    }

    /// A primary that was not shut down in order is started as one again.
    pub(crate) fn check_restarted(&mut self, node: usize) {
        let pg = &self.nodes[node].pg;
        let on = view::config(&self.store.snap).is_some_and(|config| config.mode.is_on());
        let crashed = pg.was_primary && !pg.clean;
        let decided = self.options.start_timeout.is_some() || self.store.snap.face().is_none() || self.checks.store_restored;
        if !on || !crashed || decided {
            return;
        }
        let Some(sync) =
            self.store.snap.sync().filter(|sync| sync.leader.as_ref() == Some(&self.names[node]) && sync.quorum == 0)
        else {
            return;
        };
        // It goes by what it sees of the store.
        let agent = &self.nodes[node].agent;
        let seen =
            agent.seen.store.sync.as_ref().is_some_and(|seen| seen.standbys == sync.standbys && seen.leader == sync.leader);
        let told = agent.mirror.snap.as_ref().is_some_and(|snap| snap.revision == self.store.snap.revision);
        if !(seen && told && agent.policy.synchronous.is_on()) {
            return;
        }
        let ready = |member: &Member| matches!(member.state, MemberState::Streaming | MemberState::Running);
        let heir = (0..self.nodes.len()).find(|other| {
            let shown = self.store.snap.member(*other).is_some_and(ready);
            sync.standbys.contains(&self.names[*other]) && shown && self.could_lead(*other)
        });
        if let Some(heir) = heir {
            let text =
                format!("{} is restarted in place although {} has everything and is well", self.names[node], self.names[heir]);
            self.violate("I2", text);
        }
    }
}
