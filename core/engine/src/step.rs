//! The steps and causes that reasons carry: where in a sequence a decision stands, in words.

use crate::{MemberName, Moment, Storage, Timeline};
use serde::{Deserialize, Serialize};

/// Why PostgreSQL is fenced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum FenceCause {
    #[error("it may be writable and the guard holds no permission for it")]
    NotArmed,
    #[error("{holder} holds the lease")]
    LeaseTheirs { holder: MemberName },
    #[error("nobody holds the lease any more")]
    LeaseVacant,
    #[error("the lease is over")]
    LeaseOver,
    #[error("it does not answer new sessions")]
    Unresponsive,
    #[error("its data directory cannot be looked at")]
    Blind,
    #[error("the shutdown takes longer than allowed")]
    StopTooLong,
    #[error("the start takes longer than primary_start_timeout")]
    StartTooLong,
    #[error("the promotion does not end")]
    PromotionTooLong,
    #[error("{job} failed, what it left behind must not run")]
    JobFailed { job: String },
    #[error("it was not shut down in order, making sure that nothing of it is left")]
    Leftovers,
    #[error("its data belong to another cluster")]
    Foreign,
    #[error("{why}")]
    StorageBroken { why: String },
}

/// Where a promotion stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum PromoteStep {
    #[error("claiming timeline {timeline}")]
    Claim { timeline: Timeline },
    #[error("arming the guard")]
    Arm,
    #[error("opening timeline {timeline}")]
    Open { timeline: Timeline },
}

/// Where the change of the synchronous standby stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum SyncStep {
    #[error("switched off, first emptying /sync")]
    EmptySync,
    #[error("synchronous_standby_names is on its way to every process")]
    NamesPending,
    #[error("no standby, declaring in /sync that only this node may lead")]
    DeclareAlone,
    #[error("/sync allows it: making commits wait for nobody")]
    OpenNames,
    #[error("making commits wait for {standbys}")]
    Demand { standbys: String },
    #[error("everything acknowledged is there, naming {standbys} in /sync")]
    Confirm { standbys: String },
    #[error("a write of /sync may still be under way, writing over it")]
    Settle,
    #[error("holding commits back until a standby has everything")]
    Reserve,
    #[error("waiting until {standby} has everything")]
    CatchUp { standby: MemberName },
    #[error("{standby} is gone, giving it until {until}")]
    Grace { standby: MemberName, until: Moment },
    #[error("strict, and no standby that could acknowledge: commits wait")]
    NoStandby,
}

/// Why a switchover is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum Refusal {
    #[error("it was asked of {leader}, who does not lead")]
    OtherLeader { leader: MemberName },
    #[error("the candidate leads already")]
    AlreadyLeads,
    #[error("it was asked for before the lease was taken")]
    Overtaken,
    #[error("{candidate} is no member of the cluster, or may not lead")]
    NoSuchCandidate { candidate: MemberName },
    #[error("{candidate} is not the synchronous standby")]
    NotSynchronous { candidate: MemberName },
    #[error("{candidate} does not stream, or is too far behind")]
    TooFarBehind { candidate: MemberName },
    #[error("the storage of {candidate} is {storage}")]
    Storage { candidate: MemberName, storage: Storage },
    #[error("there is no healthy candidate")]
    NoCandidate,
    #[error("PostgreSQL could not be stopped in order")]
    StopFailed,
}

/// Why a data directory is copied anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum CloneWhy {
    #[error("there is no data here")]
    NoData,
    #[error("an unfinished copy or rewind is here")]
    HalfMade,
    #[error("this old primary, not shut down in order, has ended again and again before it answered")]
    NeverStarts,
    #[error("own history is not part of the leader's")]
    Diverged,
    #[error("the leader does not have the write-ahead log any more that is needed next")]
    WalGone,
    #[error("no streaming for long, and own history cannot be shown to be part of the leader's")]
    NeverStreams,
    #[error("rewound for an earlier leader, and own history cannot be shown to be part of this one's")]
    Unplaced,
}

/// Where the orderly stop of the node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum StopStep {
    #[error("checkpoint")]
    Checkpoint,
    #[error("stopping PostgreSQL")]
    Postgres,
    #[error("releasing the lease")]
    Release,
    #[error("done")]
    Done,
}

/// Where a restart stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum RestartStep {
    #[error("checkpoint")]
    Checkpoint,
    #[error("stopping it")]
    Stop,
    #[error("starting it again under the same lease")]
    Start,
}
