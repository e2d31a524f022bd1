//! Asking every other member's agent for its position, all at once.

use super::Tools;
use tanist_engine::Member;

impl Tools {
    pub(super) async fn ask_peers(&self, members: Vec<Member>) -> bool {
        self.peers.ask(&members, &self.facts).await;
        true
    }
}
