//! What the agent tells the broker, in the engine's types. [`crate::compose`] turns it into events and views.

use tanist_engine::{Emission, Epoch, Face, Lsn, Member, MemberName, Timeline};

/// The cluster as this node sees it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFace {
    /// The epoch of the present lease, whoever holds it.
    pub epoch: Epoch,
    /// Who holds it.
    pub leader: Option<MemberName>,
    /// The endpoint that was proved writable, as published. Of another epoch than `epoch`: the last known, nobody believes it.
    pub primary: Option<Face>,
    /// This node's role.
    pub role: tanist_engine::Role,
    /// The members.
    pub members: Vec<Member>,
    /// The primary's last known WAL position.
    pub lsn: Option<Lsn>,
}

/// A callback to deliver, and what was known when it was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmissionContext {
    /// The engine's part.
    pub emission: Emission,
    /// The cluster at that moment.
    pub face: ClusterFace,
    /// This node's timeline.
    pub timeline: Option<Timeline>,
    /// This node's WAL position.
    pub lsn: Option<Lsn>,
    /// Why, in words.
    pub cause: String,
}
