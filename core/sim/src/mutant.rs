//! Rules of lease, guard, executor and PostgreSQL's configuration that can be switched off, to show that the simulator sees it.
//!
//! Not here, because no cluster of tanists alone can tell: to take the lease over somebody else's leader key, and not to rewrite `/sync`
//! in the acquiring transaction (every leader write compares the acquisition number as well). Both need a Patroni in the cluster.

/// One rule that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the bad change it makes")]
pub enum Mutant {
    AnyRecordIsMine,
    Unconfirmed,
    AcquireWithoutRecord,
    RenewWithoutCompare,
    RenewWithoutLeaderKey,
    FailedCompareIsLoss,
    UnknownIsFailed,
    UntilFromAnswer,
    LeaderWriteUnfenced,
    ExtendOverFence,
    NoBudget,
    BootClockOnly,
    GuardNeverFences,
    PromoteUnarmed,
    FenceSparesBackends,
    NoWatchdog,
    NamesSetIsInForce,
    NoReservedName,
    PositionAlwaysKnown,
    TimelineUnclaimed,
    FaceAlwaysBelieved,
    QueueDropsFailures,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::AnyRecordIsMine,
        Self::Unconfirmed,
        Self::AcquireWithoutRecord,
        Self::RenewWithoutCompare,
        Self::RenewWithoutLeaderKey,
        Self::FailedCompareIsLoss,
        Self::UnknownIsFailed,
        Self::UntilFromAnswer,
        Self::LeaderWriteUnfenced,
        Self::ExtendOverFence,
        Self::NoBudget,
        Self::BootClockOnly,
        Self::GuardNeverFences,
        Self::PromoteUnarmed,
        Self::FenceSparesBackends,
        Self::NoWatchdog,
        Self::NamesSetIsInForce,
        Self::NoReservedName,
        Self::PositionAlwaysKnown,
        Self::TimelineUnclaimed,
        Self::FaceAlwaysBelieved,
        Self::QueueDropsFailures,
    ];

    /// The mutant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name)
    }
}
