//! What one decision leaves for the next.
//!
//! Only pacing, grace periods and what has been announced: nothing that safety rests on. The engine is asked again with an empty
//! memory after every crash of the agent, and the tests do the same after every step.

use crate::{
    Action, CloneWhy, Connection, DataMark, Epoch, Lsn, MemberFace, MemberName, Moment, Revision, Role, StoreView, SyncNames,
};
use serde::{Deserialize, Serialize};

/// The engine's memory on one node. Lost when the agent ends; every field has a safe meaning when it is `Default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The role the last callback announced.
    pub announced: Option<Role>,
    /// The epoch it was announced for.
    pub announced_epoch: Epoch,
    /// `on_stop` has been announced.
    pub stop_announced: bool,
    /// The member key as last written.
    pub member: Option<MemberFace>,
    /// When it was last written.
    pub member_at: Option<Moment>,
    /// When `/status` was last written.
    pub status_at: Option<Moment>,
    /// When the other members were last asked for their positions.
    pub asked_at: Option<Moment>,
    /// This node does not race before then: it gave the lease up after a failure.
    pub no_lead_until: Option<Moment>,
    /// The epoch whose lease is being given up.
    pub giving_up: Option<Epoch>,
    /// The epoch whose release was asked for, and in whose favour. Its outcome may stay unknown, and it may land late: under this lease
    /// nothing may become writable any more.
    pub released: Option<(Epoch, Option<MemberName>)>,
    /// The epoch of the last promotion that was begun. An agent that has forgotten it takes a lease up again only while the guard is armed,
    /// and so has not fenced since.
    pub opening: Option<Epoch>,
    /// When the guard was first asked for a permission under the lease of that epoch, which it has not given since.
    pub permission_asked: Option<(Epoch, Moment)>,
    /// When the guard was last asked to forget the permission of a lease that is over.
    pub disarm_asked: Option<Moment>,
    /// Since when the end of the own WAL is not known to the holder of the lease of that epoch, which would promote.
    pub unplaced: Option<(Epoch, Moment)>,
    /// The failed job that has already been answered by giving up.
    pub failure_at: Option<Moment>,
    /// When PostgreSQL was first seen down under the held lease, and the lease's epoch.
    pub down_since: Option<(Epoch, Moment)>,
    /// The restart that was asked for then has begun: the server is being stopped for it. Until it has been told.
    pub restart_begun: Option<Moment>,
    /// It has been seen down since.
    pub restart_down: bool,
    /// The server was stopped for a restart under the lease of that epoch, and is started again.
    pub restarted: Option<Epoch>,
    /// The server was a standby when it last answered, or has been started as one.
    pub was_standby: bool,
    /// The standby follows the right leader of that epoch without streaming, since then.
    pub not_streaming: Option<(Epoch, Moment)>,
    /// It was started anew under the lease of that epoch because it did not stream, and has not since.
    pub started_anew: Option<Epoch>,
    /// The data directory has to be replaced by the data of the leader of this epoch (rewound or copied anew), and why.
    pub must_replace: Option<(Epoch, CloneWhy)>,
    /// pg_rewind has refused or failed under the leader of that epoch, and what it said.
    pub rewind_failed: Option<(Epoch, String)>,
    /// How often in a row an old primary was started and has not answered, under the lease of that epoch: as a primary by its holder, or
    /// with nobody to follow where it was not shut down in order.
    pub started_alone: Option<(Epoch, u32)>,
    /// The last epoch for which the data were replaced.
    pub replaced_for: Option<Epoch>,
    /// Synchronous standbys that are away, and when each was first missed.
    pub sync_missed: Vec<(MemberName, Moment)>,
    /// Synchronous standbys whose member keys are gone, and when each was first missed.
    pub sync_keyless: Vec<(MemberName, Moment)>,
    /// The position to which a standby must have flushed before `/sync` may name it.
    pub sync_target: Option<SyncTarget>,
    /// The last write of `/sync` that was asked for, by the revision it compares. While `/sync` is seen with that revision the write may
    /// yet land, or has landed: also one under an epoch before, for a leader key that is put back gives the lease a new one, and the
    /// view may be older than that.
    pub sync_asked: Option<Revision>,
    /// No write of `/sync` that an agent before this one asked for under the present lease can be open any more: this one has seen
    /// the lease with others, or `/sync` change.
    pub sync_clear: bool,
    /// The revision of `/sync` that this agent first saw under a lease it found held.
    pub sync_first: Option<Revision>,
    /// The marks of data directories, as last seen.
    pub data: Vec<DataMark>,
    /// When they were first seen so.
    pub data_since: Option<Moment>,
    /// For each of them, the member's connections that may be of the directory before.
    pub marked: Vec<Marked>,
    /// The replacement of the data directory was announced over this revision of its mark.
    pub data_raised: Option<(u64, Revision)>,
    /// The epoch for which this node's walreceiver is cut, and since when that is known.
    pub cut_since: Option<(Epoch, Moment)>,
    /// How often in a row the lease was handed to somebody who had more.
    pub handed_over: u32,
    /// `/initialize` was asked for under the present lease, perhaps under an epoch before: that write may yet land, or has landed.
    pub initialize_asked: bool,
    /// The switchover that is being carried out.
    pub switchover: Option<SwitchoverProgress>,
    /// The checkpoint before an orderly stop of the node was asked for then.
    pub stop_checkpoint: Option<Moment>,
    /// Members that the lease record names and the store does not show any more, and when each was first missed.
    pub failsafe_missed: Vec<(MemberName, Moment)>,
}

/// A member that has given up its data directory, as the first look at PostgreSQL found it that was begun when that was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Its mark.
    pub mark: DataMark,
    /// Connections that were there: what they report may be of the old directory.
    pub before: Vec<Connection>,
}

/// Everything that was ever acknowledged lies before `lsn`: it was read while `names` were already in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTarget {
    /// The names that were in force.
    pub names: SyncNames,
    /// The epoch it was read under.
    pub epoch: Epoch,
    /// The primary's position then.
    pub lsn: Lsn,
}

/// A switchover under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchoverProgress {
    /// The revision of `/failover`.
    pub revision: Revision,
    /// When this leader first saw the request.
    pub seen_at: Moment,
    /// Who was chosen, once somebody could be.
    pub chosen: Option<Chosen>,
}

impl Memory {
    /// A write of `/sync` may still land: of this agent, whose answer has not come, or of one before it under the same lease.
    pub fn sync_may_land(&self, store: &StoreView) -> bool {
        self.sync_is_asked(store) || !self.sync_clear
    }

    /// A write of `/sync` that this agent asked for may still land.
    pub fn sync_is_asked(&self, store: &StoreView) -> bool {
        self.sync_asked == Some(store.sync_revision())
    }

    /// An action could not be begun, because one of its kind was under way. What that one says or brings was so earlier, and the store need
    /// not show the difference to the engine: asked once more when it has ended. Whoever carries actions out calls it.
    pub fn asked_in_vain(&mut self, action: &Action) {
        match action {
            Action::PublishMember(_) => self.member = None,
            Action::AskPeers => self.asked_at = None,
            _ => {}
        }
    }
}

/// Who shall lead after a switchover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The name.
    pub candidate: MemberName,
    /// When the switchover's checkpoint was asked for.
    pub checkpoint_at: Moment,
}
