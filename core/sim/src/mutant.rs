//! Rules of lease, guard, executor and PostgreSQL's configuration that can be switched off, to show that the simulator sees it.
//!
//! Bad changes of the engine itself are source patches, in `mutants/`.

/// One rule that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the bad change it makes")]
pub enum Mutant {
    AnyRecordIsMine,
    Unconfirmed,
    IgnoreLeaderKey,
    AcquireWithoutRecord,
    AcquireLeavesSync,
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
    pub const ALL: [Self; 24] = [
        Self::AnyRecordIsMine,
        Self::Unconfirmed,
        Self::IgnoreLeaderKey,
        Self::AcquireWithoutRecord,
        Self::AcquireLeavesSync,
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
