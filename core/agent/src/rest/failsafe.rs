//! `POST /failsafe`: a primary that does not reach the store asks this node to wait.
//!
//! Answered from what is in memory: neither the store nor PostgreSQL is asked, and the word is given under the lock that an acquisition
//! of this node takes as well.

use super::{Api, plain};
use crate::run::{Fact, Status};
use axum::{
    body::Bytes,
    http::{HeaderValue, StatusCode},
    response::Response,
};
use tanist_engine::{
    Epoch, Lease, MemberName, Postgres, ServerRole,
    failsafe::{Ask, Known, Refused},
};
use tanist_patroni::rest::{FailsafeRequest, OwnQuestion};

/// The answer: 200 and the position in the header `lsn`; 500 from a primary, 502 where the mode is off, 409 with the reason otherwise.
pub(super) fn asked(api: &Api, body: &Bytes) -> Response {
    let request = match FailsafeRequest::decode(body) {
        Ok(request) => request,
        Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let status = api.status.get();
    if is_off(api, status.as_deref()) {
        return plain(StatusCode::BAD_GATEWAY, "failsafe mode is not on".to_owned());
    }
    let ask = match meant(api, status.as_deref(), request) {
        Ok(ask) => ask,
        Err(why) => return plain(StatusCode::CONFLICT, why),
    };
    let before = status.as_ref().is_some_and(|status| status.seen.failsafe.waits.is_some());
    match api.tools.keeper.agree(&ask, known(api, status.as_deref())) {
        Ok(_) => {
            if !before {
                tracing::warn!(holder = %ask.holder, epoch = %ask.epoch, "agreed to wait: the primary does not reach the store");
            }
            api.tools.facts.tell(Fact::Waits);
            let mut answer = plain(StatusCode::OK, "Accepted".to_owned());
            if let Some(lsn) = status.and_then(|status| position(&status)).and_then(|lsn| HeaderValue::from_str(&lsn).ok()) {
                answer.headers_mut().insert("lsn", lsn);
            }
            answer
        }
        Err(refused) => {
            tracing::warn!(holder = %ask.holder, epoch = %ask.epoch, "not agreed to wait: {refused}");
            let code = if refused == Refused::Primary { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CONFLICT };
            plain(code, refused.to_string())
        }
    }
}

/// Off, as far as this agent has read the store at all. A record that names its members is stronger than a configuration that was
/// changed after it.
fn is_off(api: &Api, status: Option<&Status>) -> bool {
    let read = status.filter(|status| status.seen.store.as_of.is_some());
    read.is_some_and(|status| !status.policy.failsafe && !api.tools.keeper.is_failsafe_on_record())
}

/// The question, if it is meant for this node of this cluster. A Patroni does not say which leadership it speaks of: it is the one that
/// this node knows, and another holder's is refused.
fn meant(api: &Api, status: Option<&Status>, request: FailsafeRequest) -> Result<Ask, String> {
    let settings = &api.tools.settings;
    let Some(OwnQuestion { to, scope, system_id, ask }) = request.own else {
        return patroni(api, status, request.name);
    };
    if to != settings.name {
        return Err(format!("this is {}, not {to}", settings.name));
    }
    if scope != settings.cluster.scope {
        return Err(format!("this is a node of the cluster {}, not {scope}", settings.cluster.scope));
    }
    match (status.and_then(|status| status.seen.store.initialize.clone()), system_id) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(format!("this is the cluster {ours}, not {theirs}")),
        _ => Ok(ask),
    }
}

fn patroni(api: &Api, status: Option<&Status>, name: MemberName) -> Result<Ask, String> {
    let seen = status.map(|status| &status.seen);
    let led = match seen.map(|seen| &seen.lease) {
        Some(Lease::Theirs(theirs)) if theirs.holder == name => Some(theirs.epoch),
        _ => None,
    };
    // Its leader key may have expired since this node agreed for the first time.
    let agreed = seen.and_then(|seen| seen.failsafe.waits.as_ref()).filter(|(holder, _, _)| *holder == name);
    match led.or(agreed.map(|(_, epoch, _)| *epoch)) {
        Some(epoch) => Ok(Ask { holder: name, epoch, nonce: 0, ttl: api.tools.keeper.ttl(), round: 0 }),
        None => Err(format!("{name} is not known here as the leader")),
    }
}

fn known(api: &Api, status: Option<&Status>) -> Known {
    let writable = status.is_some_and(|status| match &status.seen.postgres {
        Postgres::Running(running) => matches!(running.role, ServerRole::Primary { .. }),
        Postgres::Starting { as_primary, .. } => *as_primary,
        _ => false,
    });
    let shown = status.and_then(|status| status.seen.store.primary.as_ref()).map_or(Epoch::NONE, |face| face.epoch);
    Known {
        primary: writable || api.tools.guard.page().arm_view().is_some(),
        highest: shown,
        promised: api.tools.promise.now(),
        ..Known::default()
    }
}

/// The end of this standby's WAL, for a Patroni that keeps slots by it.
fn position(status: &Status) -> Option<String> {
    let Postgres::Running(running) = &status.seen.postgres else { return None };
    match &running.role {
        ServerRole::Standby { position, replayed, .. } => {
            Some(position.map_or(*replayed, |position| position.lsn.max(*replayed)).0.to_string())
        }
        ServerRole::Primary { .. } => None,
    }
}
