//! The second opinion: rejects decisions that would break I1 to I4, by the facts alone.
//!
//! It shares no code with `decide` (a mistake there must not be repeated here), asks only *may this be done now*, never *is it useful*,
//! and knows nothing of reasons. The agent replaces a rejected decision by "do nothing this turn, the guard stays armed".

mod facts;
mod failsafe;
mod history;
mod jobs;
mod lease;
mod promise;
mod show;
mod sync;

use crate::{Action, Decision, Moment, Observation, Policy};
use facts::Facts;

/// A decision that would break an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each is the words it shows")]
pub enum Violation {
    #[error("asks to be woken in the past")]
    WakeInThePast,
    #[error("acquires a lease that is not vacant at that revision")]
    AcquireNotVacant,
    #[error("{what} without holding a lease that still runs")]
    NotMine { what: &'static str },
    #[error("{what} under another epoch than that of the held lease")]
    WrongEpoch { what: &'static str },
    #[error("arms the guard beyond the end of the lease, or for less than a fence may take")]
    ArmTooLong,
    #[error("arms the guard for an epoch older than the newest it was armed for: it refuses")]
    ArmTooOld,
    #[error("{what} while PostgreSQL may be writable and no fence is complete")]
    MayWrite { what: &'static str },
    #[error("begins a job while one runs, or two at once")]
    TwoJobs,
    #[error("{what} without the guard armed for the epoch")]
    NotArmed { what: &'static str },
    #[error("opens a timeline that was not claimed for the epoch")]
    NotClaimed,
    #[error("claims a timeline number that somebody has claimed already")]
    ClaimTaken,
    #[error("{what} although an epoch at least as high was shown already")]
    EpochWentBack { what: &'static str },
    #[error("lets a node lead that /sync does not name")]
    NotInSync,
    #[error("{what} while PostgreSQL is in a state that forbids it")]
    WrongState { what: &'static str },
    #[error("{what} although nothing shows that the old server is gone")]
    NotFenced { what: &'static str },
    #[error("{what} although its storage takes no writes")]
    Storage { what: &'static str },
    #[error("{what} with data of another cluster")]
    Foreign { what: &'static str },
    #[error("throws data away while /sync names this node")]
    DataNeeded,
    #[error("follows or copies a server of an older epoch, or itself")]
    OldUpstream,
    #[error("points PostgreSQL at a leader before the end of its own WAL is known")]
    EndUnknown,
    #[error("points PostgreSQL at a leader whose history its own is no part of")]
    OtherHistory,
    #[error("shows a primary that was not proved under this epoch and timeline")]
    NotProved,
    #[error("records a timeline that is not the running one, or begins after its end")]
    WrongTimeline,
    #[error("writes over a revision that is not the one in view")]
    WrongRevision,
    #[error("/sync would let a node lead that may miss an acknowledged write")]
    SyncTooWide,
    #[error("promises what it does not keep, or did before")]
    PromiseUnsound,
    #[error("lets a node lead before enough have promised its epoch, or one of them has more")]
    NotElected,
    #[error("counts on a data directory that was replaced")]
    DataForgotten,
    #[error("/sync of a strict cluster would lose its standby")]
    StrictLoosened,
    #[error("the names would acknowledge writes that nobody named in /sync has")]
    NamesTooWide,
    #[error("takes a lease that others were named for, or that this node has agreed to wait for")]
    BoundToWait,
    #[error("names members of which one is bound by nothing, or not itself")]
    NamedUnbound,
    #[error("asks the members to wait without a primary that runs by permission, or without knowing who may take over")]
    AskedInVain,
    #[error("ends the agent before everything is stopped and released")]
    ExitTooEarly,
}

/// Checks a decision against I1 to I4.
pub fn audit(policy: &Policy, seen: &Observation, decision: &Decision, now: Moment) -> Result<(), Violation> {
    if decision.wake_at <= now {
        return Err(Violation::WakeInThePast);
    }
    let facts = Facts { policy, seen, now };
    jobs::at_most_one(&facts, &decision.actions)?;
    decision.actions.iter().try_for_each(|action| permit(&facts, decision, action))
}

/// Whether one effect may be asked for now.
fn permit(facts: &Facts<'_>, decision: &Decision, action: &Action) -> Result<(), Violation> {
    match action {
        // Harmless at any time: a fence or a raised mark cost availability, never safety; the others change nothing that leads.
        Action::Fence | Action::AskPeers | Action::PublishMember(_) | Action::RaiseData { .. } | Action::Checkpoint => Ok(()),
        Action::Acquire { record } => lease::acquire(facts, *record),
        Action::Renew => facts.mine("renews").map(drop),
        Action::Release { handoff: _, clear_switchover: _ } => lease::release(facts),
        Action::Arm { epoch, until } => lease::arm(facts, *epoch, *until),
        Action::Disarm => lease::disarm(facts),
        Action::Exit => lease::exit(facts),
        Action::Run(job) => jobs::run(facts, job),
        Action::EndConnections { .. } => facts.primary("ends connections").map(drop),
        Action::SetSyncNames(names) => sync::names(facts, &decision.memory, names),
        Action::WriteSync { state, data } => sync::write(facts, &decision.memory, state, data),
        Action::WritePromise { epoch, position, revision } => promise::tell(facts, *epoch, *position, *revision),
        Action::AdoptDirectory => jobs::adopt(facts),
        Action::WriteInitialize { system_id } => show::initialize(facts, system_id),
        Action::ClaimTimeline { timeline, epoch, parent: _ } => show::claim(facts, *timeline, *epoch),
        Action::RecordTimeline { timeline, epoch, begin, parent: _ } => show::record(facts, *timeline, *epoch, *begin),
        Action::Prove { epoch } => show::prove(facts, *epoch),
        Action::PublishPrimary(face) => show::primary(facts, face),
        Action::PublishStatus { optime: _ } => facts.mine("writes /status").map(drop),
        Action::ClearSwitchover { revision } => show::clear_switchover(facts, *revision),
        Action::Emit(emission) => show::emit(facts, emission),
        Action::NameFailsafe { members } => failsafe::name(facts, members.as_ref()),
        Action::AskToWait { epoch } => failsafe::ask(facts, &decision.memory, *epoch),
    }
}
