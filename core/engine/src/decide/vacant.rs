//! Nobody holds the lease: who takes part in the race, by what is here.

use super::{ask, fence::fence, members, promise, race, returning, turn::Turn};
use crate::{
    Action, Epoch, FenceCause, Lease, MemberName, MemberState, Moment, Postgres, Reason, Revision, Role, ServerRole, Stopped,
};

/// `Lease::Vacant`, as far as the race uses it.
#[derive(Clone, Copy)]
pub(super) struct Vacancy {
    pub since: Moment,
    pub record: Revision,
    pub last_epoch: Epoch,
    pub released: bool,
}

/// What a node does about a vacant lease.
pub(super) fn vacant(turn: &mut Turn<'_>) -> Reason {
    let seen = turn.seen;
    let Lease::Vacant { since, record, last_holder: _, last_epoch, released } = seen.lease else { return Reason::LeaseUnknown };
    let vacancy = Vacancy { since, record, last_epoch, released };
    match &seen.postgres {
        Postgres::NoData | Postgres::HalfMade => without_data(turn, vacancy),
        Postgres::Stopped(stopped) => stopped_here(turn, vacancy, stopped),
        Postgres::Starting { .. } => Reason::PostgresStarting,
        Postgres::Running(running) => match &running.role {
            ServerRole::Standby { position, upstream, .. } => {
                promise::repeat(turn, upstream.as_ref()).unwrap_or_else(|| race::race(turn, vacancy, *position))
            }
            ServerRole::Primary { .. } => take_over(turn, vacancy),
        },
        Postgres::Unknown | Postgres::Unresponsive { .. } => Reason::ProbePending,
    }
}

/// Takes the lease.
pub(super) fn acquire(turn: &mut Turn<'_>, vacancy: Vacancy, reason: Reason) -> Reason {
    turn.step(Action::Acquire { record: vacancy.record }, reason)
}

/// This node keeps out of the race for now.
pub(super) fn out_of_race(turn: &mut Turn<'_>) -> Option<Reason> {
    if !turn.policy.tags.may_lead() {
        return Some(Reason::MayNotLead);
    }
    let until = turn.memory.no_lead_until?;
    (!turn.reached(until)).then_some(Reason::BackingOff { until })
}

/// Without data one can only create the cluster, and only if there is none.
fn without_data(turn: &mut Turn<'_>, vacancy: Vacancy) -> Reason {
    if turn.seen.store.initialize.is_some() {
        return Reason::NothingToLeadWith;
    }
    if let Some(member) = other_with_data(turn) {
        return Reason::MemberHasData { member };
    }
    out_of_race(turn).unwrap_or_else(|| acquire(turn, vacancy, Reason::NewCluster))
}

/// A member that has data: the store is new, the cluster is not.
fn other_with_data(turn: &Turn<'_>) -> Option<MemberName> {
    let has = |role: Role, state: MemberState| {
        matches!(role, Role::Primary | Role::Replica | Role::Demoted)
            && !matches!(state, MemberState::Initializing | MemberState::CreatingReplica)
    };
    members::others(turn).find(|member| has(member.role, member.state)).map(|member| member.name.clone())
}

/// A member that leads, or did, in a cluster that the store does not know.
pub(super) fn other_primary(turn: &Turn<'_>) -> Option<MemberName> {
    let told = members::others(turn).find(|member| member.role == Role::Primary).map(|member| member.name.clone());
    told.or_else(|| ask::fresh(turn, Moment::ZERO).find(|(_, answer)| ask::is_primary(answer)).map(|(peer, _)| peer.name.clone()))
}

/// Data, but no server. It is started as a standby, which replays what it has and then races by its true position; only where the
/// store knows no cluster an old primary leads with what it has.
fn stopped_here(turn: &mut Turn<'_>, vacancy: Vacancy, stopped: &Stopped) -> Reason {
    if turn.seen.store.initialize.is_none() && stopped.was_primary {
        if !stopped.clean && !turn.fence_complete() {
            return fence(turn, FenceCause::Leftovers);
        }
        return take_over(turn, vacancy);
    }
    // Whoever gave up the lease in somebody's favour waits for him: started at once, it would only have to be copied anew when it
    // has written more than he received.
    if stopped.was_primary
        && let Some(reason) = race::head_start_of_heir(turn, vacancy).or_else(|| backing_off(turn))
    {
        return reason;
    }
    if stopped.is_incomplete() {
        return Reason::NothingToLeadWith;
    }
    returning::start_standby(turn, stopped, None)
}

fn backing_off(turn: &mut Turn<'_>) -> Option<Reason> {
    out_of_race(turn).filter(|reason| matches!(reason, Reason::BackingOff { .. }))
}

/// The store knows no cluster and this node has one.
fn take_over(turn: &mut Turn<'_>, vacancy: Vacancy) -> Reason {
    if let Some(member) = other_primary(turn) {
        return Reason::MemberHasData { member };
    }
    out_of_race(turn).unwrap_or_else(|| acquire(turn, vacancy, Reason::TakeOver))
}
