//! What this node knows of the leader lease.

use crate::{Epoch, MemberName, Moment, Revision};
use serde::{Deserialize, Serialize};

/// The lease as seen from here and now. "Unknown" is never "vacant" (invariant I3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lease {
    /// The store has not answered yet, or not for so long that nothing can be said.
    Unknown,
    /// Nobody holds it: released, or not renewed for ttl + 1 % by this node's own clock, confirmed by a linearizable read.
    Vacant {
        /// When that was established.
        since: Moment,
        /// The lease record's revision as last seen (zero: there is none); a take-over compares it.
        record: Revision,
        /// The last holder, where a record is there.
        last_holder: Option<MemberName>,
        /// The epoch of the last holder; `Epoch::NONE` when there was none.
        last_epoch: Epoch,
        /// The holder gave it up by itself, after a completed fence or a clean shutdown.
        released: bool,
    },
    /// This node holds it.
    Mine(Held),
    /// Another node holds it.
    Theirs(Theirs),
}

/// The lease, held by this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The fencing token of this acquisition.
    pub epoch: Epoch,
    /// The store's revision of the write that gave the leader key; every leader write compares it.
    pub acquisition: Revision,
    /// The lease ends here: the send of the last attempt known to have landed + ttl − 1 %.
    pub until: Moment,
    /// When the last successful attempt was sent.
    pub renewed: Moment,
    /// When the last attempt was sent, whatever became of it.
    pub attempted: Moment,
    /// An attempt is on its way; no second one beside it.
    pub in_flight: bool,
    /// `/sync` as the acquiring transaction read it: who may promote under this lease. `None`: not known; the view decides.
    pub sync_at_acquisition: Option<crate::SyncState>,
}

/// The lease, held by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Theirs {
    /// Who.
    pub holder: MemberName,
    /// Their fencing token.
    pub epoch: Epoch,
    /// When it becomes vacant by this node's clock if no newer revision of the record is received.
    pub vacant_at: Moment,
    /// The holder has this node's name but another start nonce: two nodes were configured with one name.
    pub twin: bool,
}
