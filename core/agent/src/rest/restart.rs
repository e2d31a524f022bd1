//! `POST /restart`: checks the request, tells the run loop, and waits for what comes of it. The engine carries it out.

use super::{Api, facts};
use crate::run::{Fact, Status, clock};
use std::{sync::Arc, time::Duration};
use tanist_engine::{Moment, Postgres, ServerRole};
use tanist_patroni::rest::{RestartRequest, RestartView};

/// How often the outcome is looked for; nobody else waits for it.
const LOOK: Duration = Duration::from_millis(20);
/// How long a restart may take where the request does not say.
const LIMIT: Duration = Duration::from_secs(300);

/// Patroni's words where a node is not as the request wants it.
pub(crate) const NOT_SATISFIED: &str = "restart conditions are not satisfied";

/// Code and text of the answer.
pub(super) async fn carry_out(api: &Api, body: &[u8]) -> (u16, String) {
    let request = match RestartRequest::decode(body) {
        Ok(request) => request,
        Err(error) => return (400, error.to_string()),
    };
    if request.schedule.is_some() {
        return (400, "scheduled restart is not supported by this version of tanist".to_owned());
    }
    let Some(status) = api.status.get() else { return (503, "PostgreSQL has not been looked at yet".to_owned()) };
    let Some(view) = view(api, &status) else { return (503, "PostgreSQL is not running".to_owned()) };
    if !request.applies(&view) {
        return (503, NOT_SATISFIED.to_owned());
    }
    if status.seen.restart.is_some() {
        return (503, "a restart is already in progress".to_owned());
    }
    let Some(before) = started(api) else { return (503, "PostgreSQL is not running".to_owned()) };
    let asked = clock::now();
    tracing::warn!("a restart of PostgreSQL was asked for over REST");
    api.tools.facts.tell(Fact::Restart(Some(asked)));
    // Nobody waits for a request for ever: it is taken back at its limit, also when whoever made it has gone away.
    let (watched, limit) = (api.clone(), request.timeout.unwrap_or(LIMIT));
    let watch = tokio::spawn(async move {
        let outcome = outcome(&watched, before, asked, limit).await;
        if outcome.is_err() {
            watched.tools.facts.tell(Fact::Restart(None));
        }
        outcome
    });
    match watch.await {
        Ok(Ok(())) => (200, "restarted successfully".to_owned()),
        Ok(Err(why)) => (503, format!("restart failed: {why}")),
        Err(error) => (503, format!("restart failed: {error}")),
    }
}

/// `DELETE /restart`: none is ever scheduled.
pub(super) fn forget() -> (u16, String) {
    (404, "no restarts are scheduled".to_owned())
}

fn view(api: &Api, status: &Status) -> Option<RestartView> {
    let Postgres::Running(running) = &status.seen.postgres else { return None };
    let (_, role) = facts::state_and_role(&status.seen.postgres);
    let pending = !api.tools.postgres.pending_restart().is_empty();
    Some(RestartView { role, version: running.version, pending })
}

/// When the server that runs was started, by its own clock.
fn started(api: &Api) -> Option<i64> {
    api.tools.postgres.facts().map(|known| known.postmaster_started)
}

/// Waits until another server runs in the same role, and as primary has been proved writable.
async fn outcome(api: &Api, before: i64, asked: Moment, limit: Duration) -> Result<(), String> {
    while clock::now().since(asked) < limit {
        tokio::time::sleep(LOOK).await;
        let Some(status) = api.status.get() else { continue };
        if started(api).is_some_and(|now| now != before) && is_up(&status) {
            return Ok(());
        }
    }
    Err(api.status.get().map_or_else(String::new, |status| status.reason.to_string()))
}

fn is_up(status: &Arc<Status>) -> bool {
    match &status.seen.postgres {
        Postgres::Running(running) => match &running.role {
            ServerRole::Primary { proof, .. } => proof.is_some(),
            ServerRole::Standby { .. } => true,
        },
        _ => false,
    }
}
