//! `IDENTIFY_SYSTEM` on a replication connection: the only question that a standby answers with the timeline it has replayed.
//!
//! The answer is (timeline of replay, end of replay), or the end of received WAL where that is of the same timeline. The SQL views
//! tell a timeline only while a walreceiver runs, and the control file that of the last restart point.

use crate::{SessionError, Settings, session::Session};
use std::time::Duration;
use tanist_engine::{Lsn, Timeline};
use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

/// Asks.
pub(crate) async fn identify(settings: &Settings, limit: Duration) -> Result<(Timeline, Lsn), SessionError> {
    timeout(limit, ask(settings, limit)).await.map_err(|_| SessionError::Timeout(limit))?
}

async fn ask(settings: &Settings, limit: Duration) -> Result<(Timeline, Lsn), SessionError> {
    let session = Session::open_replication(settings, limit).await?;
    let messages = session.client.simple_query("IDENTIFY_SYSTEM").await?;
    session.close().await;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get("timeline")?.parse().ok()?, row.get("xlogpos")?.parse().ok()?)),
        _ => None,
    });
    let (timeline, lsn) = row.ok_or_else(|| SessionError::Lost("IDENTIFY_SYSTEM: answer not understood".to_owned()))?;
    Ok((Timeline(timeline), lsn))
}
