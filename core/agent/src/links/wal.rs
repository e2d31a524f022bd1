//! A standby that does not stream for long: whether its leader still has the WAL that it needs next. PostgreSQL asks for it for ever.
//!
//! The leader is asked by SQL, over the connection that a rewind would use. Nobody is asked where there is a `restore_command`, which may
//! bring what the leader does not have.

use crate::{
    execute::Tools,
    run::{Fact, Status, StatusCell, clock},
};
use std::{sync::Arc, time::Duration};
use tanist_engine::{Lsn, Moment, Postgres, ServerRole, Upstream};
use tanist_postgres::leader;

/// How often it is looked whether a standby waits, and the leader asked.
const LOOK: Duration = Duration::from_secs(5);
/// How long the leader may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks for as long as the agent runs.
pub(crate) async fn watch(tools: Arc<Tools>, status: StatusCell) {
    let mut since: Option<Moment> = None;
    let mut told = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(status) = status.get() else { continue };
        let Some((from, next)) = waits(&status) else {
            since = None;
            if std::mem::take(&mut told) {
                tools.facts.tell(Fact::WalGone(None));
            }
            continue;
        };
        let long = clock::now() >= *since.get_or_insert_with(clock::now) + status.policy.ttl * 2;
        let settings = tools.postgres.settings();
        if !long || settings.restores() {
            continue;
        }
        match leader::has_lost(&settings, &from, next, LIMIT).await {
            Ok(true) => {
                tracing::warn!(leader = %from.name, %next, "the leader has removed the WAL that this standby needs next");
                told = true;
                tools.facts.tell(Fact::WalGone(Some(from)));
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(leader = %from.name, %error, "whether the leader has the WAL for this standby is not known")
            }
        }
    }
}

/// Whom a standby that does not stream is told to follow, and what it needs next.
fn waits(status: &Status) -> Option<(Upstream, Lsn)> {
    let Postgres::Running(running) = &status.seen.postgres else { return None };
    match &running.role {
        ServerRole::Standby { position: Some(position), upstream: Some(upstream), streaming: false, .. } => {
            Some((upstream.clone(), position.lsn))
        }
        _ => None,
    }
}
