//! What reaches the agent's process, and who of it sees to that.

use super::{World, event::Local};

impl World {
    /// An event in the agent's process.
    pub fn agent_event(&mut self, node: usize, what: Local) {
        match what {
            Local::Answer { call, answer } => self.answered(node, call, Some(answer)),
            Local::Timeout => self.give_up(node),
            Local::Retry { call } => self.retry_lease(node, call),
            Local::Shown { watch, snap } => self.shown(node, watch, snap),
            Local::Relist { watch } => self.relist(node, watch),
            Local::Wake { wake } => self.woken(node, wake),
            Local::Nudge { turns } if self.nodes[node].agent.turns == turns => self.turn(node),
            Local::Nudge { .. } => {}
            Local::Storage => self.storage_looked(node),
            Local::KeepAlive => self.keep_alive(node),
            Local::Look { look } => self.look(node, look),
            Local::Found { begun, found } => self.found(node, begun, *found),
            Local::EffectEnded { effect, done } => {
                self.end_effect(node, effect, done);
                self.turn(node);
            }
            Local::Proof { epoch } => self.probe_writes(node, epoch),
            Local::Confirmed => {
                self.nodes[node].agent.confirming = false;
                self.turn(node);
            }
            Local::Peer(peer) => {
                let peers = &mut self.nodes[node].agent.seen.peers;
                match peers.iter_mut().find(|known| known.name == peer.name) {
                    Some(known) => *known = *peer,
                    None => peers.push(*peer),
                }
                self.turn(node);
            }
            Local::Asked { from, ask } => self.asked(node, from, &ask),
            Local::Voted { round, by, refused } => self.voted(node, round, by, refused),
            Local::RoundEnds { round } => self.round_ends(node, round),
            Local::Work { job } => self.work(node, job),
            Local::JobEnded { job, outcome } => self.job_ended(node, job, outcome),
            Local::Watchdog { look } => self.watchdog(node, look),
            Local::OwnFence { stage, dead_guard } => self.own_fence(node, stage, dead_guard),
            Local::Deliver => self.deliver(node),
            Local::Effects(actions) => self.effects(node, actions),
            Local::Delivered { number, attempt } => self.delivered(node, number, attempt),
            Local::Call => self.call_plugin(node),
            Local::Called { number, outcome } => self.plugin_called(node, number, outcome),
            Local::HostUp => self.host_up(node),
            Local::Exit { dead_guard } => self.last_exit(node, dead_guard),
            // The guard's and PostgreSQL's.
            _ => {}
        }
    }
}
