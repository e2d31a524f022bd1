//! The barrier under a promise: afterwards nothing that this standby does can acknowledge another byte to its upstream.
//!
//! An empty `primary_conninfo` alone is no barrier: a walreceiver that is connected goes on, and the startup process asks for another
//! one with the setting *it* has, which may be the old one for as long as replay is held up
//! ([decision](../../../../docs/decisions/2026-11-21-promise-barrier.md)). So, in this order:
//!
//! 1. the setting is on disk, and the postmaster has read it and passed the signal on ([`crate::sql::follow`]);
//! 2. the startup process has read it ([`startup`]): it asks for no walreceiver any more;
//! 3. those that run, or were asked for before, are ended, until the postmaster has none left to start ([`receivers`]).
//!
//! Where this cannot be had in time the server is to be ended and started anew, without an upstream: the caller's matter. Durability
//! of the promised epoch is his, too, and comes before this.

mod children;
mod receivers;
mod startup;

use crate::{SessionError, Settings, session::Session, sql, sql::SqlError};
use std::time::Duration;
use tanist_engine::SyncNames;
use tokio::time::Instant;

/// Why the barrier does not stand. But for [`CutError::NotStandby`], a start without upstream makes it stand.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The server is not in recovery: there is nothing to be cut from.
    #[error("the server is no standby")]
    NotStandby,
    /// PostgreSQL 13 does not tell that its replay has paused, and so not that it has read the setting.
    #[error("PostgreSQL {0} cannot tell whether its startup process has read a setting")]
    TooOld(u32),
    /// Replay stands still or is in a wait that cannot be ended from outside.
    #[error("the startup process has not read the setting after {0:?}: {1}")]
    Startup(Duration, String),
    /// A walreceiver did not end, or new ones kept coming.
    #[error("a walreceiver is left after {0:?}")]
    Receiver(Duration),
    /// The setting is not in force.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The server does not answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The process table cannot be read, or a process not be signalled.
    #[error("processes of the server: {0}")]
    Process(#[from] std::io::Error),
}

/// How long the parts took, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Until the postmaster had the setting.
    pub reloaded: Duration,
    /// From then until the startup process had read it.
    pub read: Duration,
    /// From then until no walreceiver was left.
    pub ended: Duration,
    /// Readers that held replay up were ended.
    pub readers_ended: u64,
}

/// Ends sessions that hold replay up, if any do now; returns how many. A promotion waits for them otherwise, for ever where
/// `max_standby_streaming_delay` says so.
pub async fn free_replay(settings: &Settings, limit: Duration) -> Result<u64, SessionError> {
    let session = Session::open(settings, limit).await?;
    let ended = startup::free(&session, limit).await;
    session.close().await;
    ended
}

/// Cuts the running standby under this postmaster off from any upstream. A paused replay is resumed; sessions in a transaction are
/// ended if they hold replay up.
pub async fn cut(settings: &Settings, postmaster: i32, names: &SyncNames, limit: Duration) -> Result<Cut, CutError> {
    let begun = Instant::now();
    let deadline = begun + limit;
    let session = Session::open(settings, limit).await?;
    if !startup::in_recovery(&session, limit).await? {
        return Err(CutError::NotStandby);
    }
    sql::follow(settings, None, names, limit).await?;
    let reloaded = begun.elapsed();
    let readers_ended = startup::wait_until_read(&session, deadline, limit).await?;
    session.close().await;
    let read = begun.elapsed();
    receivers::end_all(settings, postmaster, deadline, limit).await?;
    Ok(Cut { reloaded, read: read.saturating_sub(reloaded), ended: begun.elapsed().saturating_sub(read), readers_ended })
}
