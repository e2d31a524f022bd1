//! Why a decision was taken: the same words in log, REST, CLI and tests.
//!
//! Every branch of `decide` ends in exactly one of these. The words are for somebody who is woken at night and has not read the
//! source; `kind` is the stable name for metrics, coverage and alerts.

use crate::{CloneWhy, Epoch, FenceCause, Lsn, MemberName, Moment, PromoteStep, Refusal, RestartStep, StopStep, SyncStep};
use serde::{Deserialize, Serialize};

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is explained by the words it shows, each field by its name")]
pub enum Reason {
    // Nothing can be decided yet.
    #[error("the store has not been read yet")]
    StoreNeverRead,
    #[error("PostgreSQL has not been probed yet")]
    ProbePending,
    #[error("{job} has ended, waiting until a probe of PostgreSQL shows it")]
    WaitForProbe { job: String },
    #[error("{job} is running")]
    JobRunning { job: String },
    #[error("{job} failed ({error}), trying again at {retry_at}")]
    JobFailed { job: String, error: String, retry_at: Moment },
    #[error("PostgreSQL is starting")]
    PostgresStarting,
    #[error("PostgreSQL does not answer new sessions since {since}, giving it until {until}")]
    Unresponsive { since: Moment, until: Moment },

    // The fence.
    #[error("fencing PostgreSQL: {cause}")]
    Fencing { cause: FenceCause },
    #[error("the guard is fencing PostgreSQL")]
    FenceRunning,
    #[error("{why}: not leading, and beginning nothing that writes")]
    StorageBroken { why: String },
    #[error("data directory belongs to system {ours}, the cluster is {cluster}: not touching it; remove it or correct the scope")]
    ForeignDataDirectory { ours: String, cluster: String },

    // The lease is not known.
    #[error("the store does not answer: who leads is unknown, nothing changes")]
    LeaseUnknown,
    #[error("the store does not answer: staying primary until the lease ends at {until}")]
    PrimaryOnUnknownLease { until: Moment },

    // The lease is vacant.
    #[error("no leader, {best} is the best candidate: acquiring the lease")]
    LeaderVacant { best: MemberName },
    #[error("the leader of epoch {epoch} handed over to this node: acquiring the lease")]
    HandedToMe { epoch: Epoch },
    #[error("no cluster yet: acquiring the lease to create one")]
    NewCluster,
    #[error("no cluster in the store, but data here: acquiring the lease to lead with it")]
    TakeOver,
    #[error("no leader, {best} is the better candidate and goes first until {until}")]
    WaitHeadStart { best: MemberName, until: Moment },
    #[error("no leader, the last one handed over to {to}, who goes first until {until}")]
    WaitHandoff { to: MemberName, until: Moment },
    #[error("PostgreSQL is down, asking the other members for their positions until {until}")]
    AskingSuccessors { until: Moment },
    #[error("no leader, asking the other members for their positions until {until}")]
    AskingPeers { until: Moment },
    #[error("no leader in the store, but {peer} says it is a running primary: not racing")]
    PeerStillPrimary { peer: MemberName },
    #[error("not named in /sync: only {leader} or its synchronous standby may lead without losing writes")]
    NotInSync { leader: MemberName },
    #[error("this node's tags forbid it to lead")]
    MayNotLead,
    #[error(
        "the last leader counted on others to wait and not on this node (failsafe mode): not taking over; when it is surely gone and none \
         of the others comes back run `tanist repair failsafe`"
    )]
    NotNamed,
    #[error("{lag} bytes behind the last known position of the leader, more than maximum_lag_on_failover ({limit})")]
    TooFarBehind { lag: u64, limit: u64 },
    #[error("own WAL position is not known yet: not taking over")]
    PositionUnknown,
    #[error("the data directory was replaced by other hands: what it lacks may have been acknowledged, not leading with it")]
    DirectoryReplaced,
    #[error("own history left the cluster's at or before {own}, not racing")]
    NotOfThisHistory { own: Lsn },
    #[error("no leader; this node gave up the lease and lets others win until {until}")]
    BackingOff { until: Moment },
    #[error("no complete data here and no leader to get them from")]
    NothingToLeadWith,
    #[error("the store knows no cluster, but {member} has data: not creating another one")]
    MemberHasData { member: MemberName },
    #[error(
        "the lease of epoch {epoch} has this node's name and is not its own: waiting for the end of its last run or of a twin"
    )]
    Twin { epoch: Epoch },

    // The lease is mine.
    #[error("creating the cluster")]
    Bootstrapping,
    #[error("permitting the guard to run a writable PostgreSQL under epoch {epoch}")]
    Arming { epoch: Epoch },
    #[error("starting PostgreSQL as primary under epoch {epoch}")]
    StartingPrimary { epoch: Epoch },
    #[error("PostgreSQL crashed under this lease, fence complete: restarting it in place")]
    RestartInPlace,
    #[error("PostgreSQL crashed under this lease, fence complete: waiting until {until} for a write of /sync that is under way")]
    WaitSync { until: Moment },
    #[error("PostgreSQL crashed under this lease, fence complete: releasing it, {candidate} can lead")]
    FailOverAfterCrash { candidate: MemberName },
    #[error("holding the lease without a data directory that could lead: releasing it")]
    NoDataToLead,
    #[error("own epoch {mine} is not above epoch {known}, which the cluster has already shown: run `tanist repair epoch`")]
    EpochNotNewer { mine: Epoch, known: Epoch },
    #[error("promoting: {step}")]
    Promoting { step: PromoteStep },
    #[error("not promoting before enough of /sync have promised epoch {epoch} and told their positions: {have} of {need}")]
    WaitPromises { epoch: Epoch, have: u32, need: u32 },
    #[error("{to} has more: handing the lease over to it")]
    HandingOver { to: MemberName },
    #[error("writing the new cluster's identifier to /initialize")]
    WritingInitialize,
    #[error("creating users and databases of the new cluster")]
    PostBootstrap,
    #[error("proving that PostgreSQL accepts writes under epoch {epoch}")]
    Proving { epoch: Epoch },
    #[error("publishing this node as primary of epoch {epoch}")]
    Publishing { epoch: Epoch },
    #[error("publishing has to wait: this node's own address is not in the store yet")]
    OwnAddressUnknown,
    #[error("leading with epoch {epoch}")]
    Leading { epoch: Epoch },
    #[error("leading with epoch {epoch} although {why}: nobody else could lead")]
    LeadingInTrouble { epoch: Epoch, why: String },
    #[error("{why}: stopping PostgreSQL so that {to}, which has room, takes over")]
    MakingWay { to: MemberName, why: String },
    #[error("{why}: giving up the lease, {to} has room")]
    RoomElsewhere { to: MemberName, why: String },
    #[error("the guard does not answer: giving up the lease, {to} can lead")]
    GuardSilent { to: MemberName },
    #[error("leading with epoch {epoch}; synchronous replication: {step}")]
    Synchronising { epoch: Epoch, step: SyncStep },
    #[error("leading with epoch {epoch} without the store: every member has agreed to wait (failsafe mode)")]
    LeadingFailsafe { epoch: Epoch },
    #[error("the store does not answer: asking every member to wait (failsafe mode), primary until {until}")]
    AskingToWait { until: Moment },
    #[error("the store does not answer, and {member} does not agree to wait (failsafe mode): {why}; primary until {until}")]
    FailsafeRefused { member: MemberName, why: String, until: Moment },
    #[error("the lease ended or the guard fenced: releasing what is left of it")]
    LeaseLost,
    #[error("giving up the lease of epoch {epoch} after a failure here")]
    GivingUp { epoch: Epoch },

    // The lease is theirs.
    #[error("following {leader}")]
    Following { leader: MemberName },
    #[error("following {leader}, changing its replication slot")]
    ChangingSlot { leader: MemberName },
    #[error("following {leader}, not streaming yet")]
    WaitStreaming { leader: MemberName },
    #[error("promising to follow no leader before epoch {epoch}: ending what still comes from the old one")]
    Promising { epoch: Epoch },
    #[error("epoch {promised} was promised here, the lease has epoch {epoch}: not following; run `tanist repair epoch`")]
    PromisedHigher { promised: Epoch, epoch: Epoch },
    #[error(
        "epoch {epoch} was promised to {to}, and is {leader}'s now: not following; after a restore of the store run `tanist repair epoch`"
    )]
    PromisedOther { epoch: Epoch, to: MemberName, leader: MemberName },
    #[error("following {leader}, which leads without the store: this node agreed to wait (failsafe mode)")]
    FollowingFailsafe { leader: MemberName },
    #[error("{leader} leads with epoch {epoch} but has not been proved writable yet")]
    LeaderNotProved { leader: MemberName, epoch: Epoch },
    #[error("copying the data directory of {from}: {why}")]
    Cloning { from: MemberName, why: CloneWhy },
    #[error("taking back what the data directory has beyond the history of {from} (pg_rewind)")]
    Rewinding { from: MemberName },
    #[error("own history left that of {from}: waiting for its checkpoint after promotion, to rewind from it")]
    WaitCheckpoint { from: MemberName },
    #[error("stopping PostgreSQL to replace its data by those of {from}: {why}")]
    StoppingToReplace { from: MemberName, why: CloneWhy },
    #[error(
        "keeping the data here ({failure}), as the configuration says, and not copying {from}: empty the directory to have it copied"
    )]
    KeepingDiverged { from: MemberName, failure: String },
    #[error("{from} has to be copied anew, but /sync still names this node: keeping its data until the leader has taken it out")]
    KeepingData { from: MemberName },
    #[error("announcing that the data directory will be replaced")]
    AnnouncingReplacement,
    #[error("starting PostgreSQL as a standby")]
    StartingStandby,
    #[error("not pointing PostgreSQL at {leader} before the end of its own WAL is known")]
    WaitOwnEnd { leader: MemberName },
    #[error("pointing PostgreSQL at {leader} of epoch {epoch}")]
    Repointing { leader: MemberName, epoch: Epoch },

    // Planned changes.
    #[error("switchover refused: {why}")]
    SwitchoverRefused { why: Refusal },
    #[error("switchover to {to}: checkpoint")]
    SwitchoverCheckpoint { to: MemberName },
    #[error("switchover to {to}: stopping PostgreSQL")]
    SwitchoverStop { to: MemberName },
    #[error("switchover to {to}: stopped in order, handing over the lease")]
    SwitchoverRelease { to: MemberName },
    #[error("restarting PostgreSQL, as the operator asked: {step}")]
    Restarting { step: RestartStep },
    #[error("stopping: {step}")]
    Stopping { step: StopStep },
}

impl Reason {
    /// A stable word for metrics, alerts and coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::StoreNeverRead => "store-never-read",
            Self::ProbePending => "probe-pending",
            Self::WaitForProbe { .. } => "wait-for-probe",
            Self::JobRunning { .. } => "job-running",
            Self::JobFailed { .. } => "job-failed",
            Self::PostgresStarting => "postgres-starting",
            Self::Unresponsive { .. } => "unresponsive",
            Self::Fencing { .. } => "fencing",
            Self::FenceRunning => "fence-running",
            Self::StorageBroken { .. } => "storage-broken",
            Self::ForeignDataDirectory { .. } => "foreign-data-directory",
            Self::LeaseUnknown => "lease-unknown",
            Self::PrimaryOnUnknownLease { .. } => "primary-on-unknown-lease",
            Self::LeaderVacant { .. } => "leader-vacant",
            Self::HandedToMe { .. } => "handed-to-me",
            Self::NewCluster => "new-cluster",
            Self::TakeOver => "take-over",
            Self::WaitHeadStart { .. } => "wait-head-start",
            Self::WaitHandoff { .. } => "wait-handoff",
            Self::AskingSuccessors { .. } => "asking-successors",
            Self::AskingPeers { .. } => "asking-peers",
            Self::PeerStillPrimary { .. } => "peer-still-primary",
            Self::NotInSync { .. } => "not-in-sync",
            Self::MayNotLead => "may-not-lead",
            Self::NotNamed => "not-named",
            Self::TooFarBehind { .. } => "too-far-behind",
            Self::PositionUnknown => "position-unknown",
            Self::DirectoryReplaced => "directory-replaced",
            Self::NotOfThisHistory { .. } => "not-of-this-history",
            Self::BackingOff { .. } => "backing-off",
            Self::NothingToLeadWith => "nothing-to-lead-with",
            Self::MemberHasData { .. } => "member-has-data",
            Self::Twin { .. } => "twin",
            Self::Bootstrapping => "bootstrapping",
            Self::Arming { .. } => "arming",
            Self::StartingPrimary { .. } => "starting-primary",
            Self::RestartInPlace => "restart-in-place",
            Self::WaitSync { .. } => "wait-sync",
            Self::FailOverAfterCrash { .. } => "fail-over-after-crash",
            Self::NoDataToLead => "no-data-to-lead",
            Self::EpochNotNewer { .. } => "epoch-not-newer",
            Self::Promoting { .. } => "promoting",
            Self::WaitPromises { .. } => "wait-promises",
            Self::HandingOver { .. } => "handing-over",
            Self::WritingInitialize => "writing-initialize",
            Self::PostBootstrap => "post-bootstrap",
            Self::Proving { .. } => "proving",
            Self::Publishing { .. } => "publishing",
            Self::OwnAddressUnknown => "own-address-unknown",
            Self::Leading { .. } => "leading",
            Self::LeadingInTrouble { .. } => "leading-in-trouble",
            Self::MakingWay { .. } => "making-way",
            Self::RoomElsewhere { .. } => "room-elsewhere",
            Self::GuardSilent { .. } => "guard-silent",
            Self::Synchronising { .. } => "synchronising",
            Self::LeadingFailsafe { .. } => "leading-failsafe",
            Self::AskingToWait { .. } => "asking-to-wait",
            Self::FailsafeRefused { .. } => "failsafe-refused",
            Self::LeaseLost => "lease-lost",
            Self::GivingUp { .. } => "giving-up",
            Self::Following { .. } => "following",
            Self::ChangingSlot { .. } => "changing-slot",
            Self::WaitStreaming { .. } => "wait-streaming",
            Self::Promising { .. } => "promising",
            Self::PromisedHigher { .. } => "promised-higher",
            Self::PromisedOther { .. } => "promised-other",
            Self::FollowingFailsafe { .. } => "following-failsafe",
            Self::LeaderNotProved { .. } => "leader-not-proved",
            Self::Cloning { .. } => "cloning",
            Self::Rewinding { .. } => "rewinding",
            Self::WaitCheckpoint { .. } => "wait-checkpoint",
            Self::StoppingToReplace { .. } => "stopping-to-replace",
            Self::KeepingDiverged { .. } => "keeping-diverged",
            Self::KeepingData { .. } => "keeping-data",
            Self::AnnouncingReplacement => "announcing-replacement",
            Self::StartingStandby => "starting-standby",
            Self::WaitOwnEnd { .. } => "wait-own-end",
            Self::Repointing { .. } => "repointing",
            Self::SwitchoverRefused { .. } => "switchover-refused",
            Self::SwitchoverCheckpoint { .. } => "switchover-checkpoint",
            Self::SwitchoverStop { .. } => "switchover-stop",
            Self::SwitchoverRelease { .. } => "switchover-release",
            Self::Restarting { .. } => "restarting",
            Self::Stopping { .. } => "stopping",
        }
    }

    /// Every word `kind` can return, in the order of the variants.
    #[rustfmt::skip]
    pub const ALL_KINDS: &'static [&'static str] = &[
        "store-never-read", "probe-pending", "wait-for-probe", "job-running", "job-failed", "postgres-starting", "unresponsive",
        "fencing", "fence-running", "storage-broken", "foreign-data-directory", "lease-unknown", "primary-on-unknown-lease",
        "leader-vacant",
        "handed-to-me", "new-cluster", "take-over", "wait-head-start", "wait-handoff", "asking-successors", "asking-peers",
        "peer-still-primary",
        "not-in-sync", "may-not-lead", "not-named", "too-far-behind", "position-unknown", "directory-replaced", "not-of-this-history",
        "backing-off",
        "nothing-to-lead-with", "member-has-data", "twin", "bootstrapping", "arming", "starting-primary", "restart-in-place", "wait-sync",
        "fail-over-after-crash", "no-data-to-lead", "epoch-not-newer", "promoting", "wait-promises", "handing-over", "writing-initialize",
        "post-bootstrap", "proving", "publishing", "own-address-unknown", "leading", "leading-in-trouble", "making-way",
        "room-elsewhere", "guard-silent", "synchronising",
        "leading-failsafe", "asking-to-wait", "failsafe-refused", "lease-lost", "giving-up",
        "following", "changing-slot", "wait-streaming", "promising", "promised-higher", "promised-other", "following-failsafe",
        "leader-not-proved", "cloning", "rewinding", "wait-checkpoint", "stopping-to-replace", "keeping-diverged", "keeping-data",
        "announcing-replacement",
        "starting-standby", "wait-own-end", "repointing", "switchover-refused", "switchover-checkpoint", "switchover-stop",
        "switchover-release", "restarting", "stopping",
    ];
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn all_kinds_lists_exactly_the_words_of_kind_in_order() {
        let words: Vec<&str> = include_str!("reason.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\","))
            .collect();
        assert_eq!(words, Reason::ALL_KINDS);
    }
}
