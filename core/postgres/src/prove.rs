//! The proof that clients can write: a new session gets a transaction id and has its commit on disk (SAFETY: proof of writability).

use crate::{SessionError, Settings, probe_row::file_timeline, session::Session};
use std::time::Duration;
use tanist_engine::{Epoch, Moment, WriteProof};
use tokio::time::timeout;

/// Runs the write probe. `at` is the moment before the call: the proof is true of a later one.
///
/// Assigning a transaction id alone would not flush WAL at commit; the (transactional) message, 60 bytes of WAL that nobody
/// decodes unless he asks for messages, makes the commit wait for the disk. `synchronous_commit = local` (set for every session of
/// ours): while the names in force match nobody, anything else would wait for ever and a healthy primary would look dead.
pub async fn prove(settings: &Settings, epoch: Epoch, at: Moment, limit: Duration) -> Result<WriteProof, SessionError> {
    timeout(limit, run(settings, epoch, at, limit)).await.map_err(|_| SessionError::Timeout(limit))?
}

async fn run(settings: &Settings, epoch: Epoch, at: Moment, limit: Duration) -> Result<WriteProof, SessionError> {
    let mut session = Session::open(settings, limit).await?;
    let transaction = session.client.build_transaction().read_only(false).start().await?;
    let sql =
        "SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'tanist', ''), pg_walfile_name(pg_current_wal_lsn())";
    let row = transaction.query_one(sql, &[]).await?;
    let timeline = file_timeline(row.try_get(2)?)
        .ok_or_else(|| SessionError::Lost("the name of the WAL file was not understood".to_owned()))?;
    transaction.commit().await?;
    session.close().await;
    Ok(WriteProof { epoch, timeline, at })
}
