//! Rules of lease, guard, executor and PostgreSQL's configuration that can be switched off, to show that the simulator sees it.
//!
//! Not here: to put a promise over whatever is there (one that lands late is of an older epoch, and counts for nobody; what the comparison
//! saves is that it need not be told again), and not to rewrite `/sync` in the acquiring transaction (every leader write of a tanist
//! compares the acquisition number as well; only a Patroni's does not).

/// One rule that is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the bad change it makes")]
pub enum Mutant {
    AnyRecordIsMine,
    Unconfirmed,
    UnknownIsVacant,
    AcquireWithoutRecord,
    OverForeignKey,
    RenewWithoutCompare,
    RenewWithoutLeaderKey,
    FailedCompareIsLoss,
    UnknownIsFailed,
    UntilFromAnswer,
    ShorterTtlAtOnce,
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
    ReloadIsCut,
    TimelineUnclaimed,
    FaceAlwaysBelieved,
    QueueDropsFailures,
    HoldsThoughRefused,
    HoldsFromAnswer,
    AgreementForgotten,
    UnnamedTakes,
    AsksNextOnly,
    KeptBeforeLanding,
    BeyondTheExpiry,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::AnyRecordIsMine,
        Self::Unconfirmed,
        Self::UnknownIsVacant,
        Self::AcquireWithoutRecord,
        Self::OverForeignKey,
        Self::RenewWithoutCompare,
        Self::RenewWithoutLeaderKey,
        Self::FailedCompareIsLoss,
        Self::UnknownIsFailed,
        Self::UntilFromAnswer,
        Self::ShorterTtlAtOnce,
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
        Self::ReloadIsCut,
        Self::TimelineUnclaimed,
        Self::FaceAlwaysBelieved,
        Self::QueueDropsFailures,
        Self::HoldsThoughRefused,
        Self::HoldsFromAnswer,
        Self::AgreementForgotten,
        Self::UnnamedTakes,
        Self::AsksNextOnly,
        Self::KeptBeforeLanding,
        Self::BeyondTheExpiry,
    ];

    /// Only a Patroni in the cluster shows it.
    pub fn needs_patroni(self) -> bool {
        self == Self::BeyondTheExpiry
    }

    /// The mutant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name)
    }
}
