//! What is done to a running server over a session. Promotion is not among it: that is the guard's.

use crate::{ConfigureError, InForce, ServerConfig, SessionError, Settings, configure, conninfo, session, session::Session};
use std::time::Duration;
use tanist_engine::{Connection, SyncNames, Upstream};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;

/// Why a change did not come to pass.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// A file.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The server.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server has not taken the change over in time. It is written and may come into force at any moment.
    #[error("{what}: written, not in force after {limit:?}")]
    NotInForce {
        /// Which setting.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
}

/// CHECKPOINT: on a primary to make the shutdown that follows short, on a standby a restart point.
pub async fn checkpoint(settings: &Settings, limit: Duration) -> Result<(), SessionError> {
    session::run(settings, "CHECKPOINT", limit).await
}

/// Ends walsenders. Returns how many have been told; they end a moment later. One whose process number belongs to another one by now is
/// left alone.
pub async fn end_connections(settings: &Settings, connections: &[Connection], limit: Duration) -> Result<u32, SessionError> {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication \
               JOIN unnest($1::int4[], $2::int8[]) AS stale (number, began) \
                 ON pid = number AND (extract(epoch FROM backend_start) * 1000000)::int8 = began";
    let (pids, begun): (Vec<i32>, Vec<i64>) = connections.iter().map(|connection| (connection.pid, connection.began)).unzip();
    count(settings, sql, &[&pids, &begun], limit).await
}

/// Lets the server read its configuration again. Returns when the signal has been sent, not when it has been followed.
pub async fn reload(settings: &Settings, limit: Duration) -> Result<(), SessionError> {
    session::run(settings, "SELECT pg_reload_conf()", limit).await
}

/// What the server says against the rules in `pg_hba.conf` as it is on the disk now: the first line that it cannot read.
pub async fn rules_fault(settings: &Settings, limit: Duration) -> Result<Option<String>, SessionError> {
    let sql = "SELECT format('line %s: %s', line_number, error) FROM pg_hba_file_rules WHERE error IS NOT NULL LIMIT 1";
    let session = Session::open(settings, limit).await?;
    let row = timeout(limit, session.client.query_opt(sql, &[])).await.map_err(|_| SessionError::Timeout(limit))??;
    session.close().await;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// How many client sessions there are.
pub async fn session_count(settings: &Settings, limit: Duration) -> Result<u32, SessionError> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    count(settings, sql, &[], limit).await
}

/// The number that a statement counts, in a session of its own.
async fn count(settings: &Settings, sql: &str, with: &[&(dyn ToSql + Sync)], limit: Duration) -> Result<u32, SessionError> {
    let session = Session::open(settings, limit).await?;
    let row = timeout(limit, session.client.query_one(sql, with)).await.map_err(|_| SessionError::Timeout(limit))??;
    let count: i64 = row.try_get(0)?;
    session.close().await;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Writes the configuration on a thread that may wait for the disk: of a standby with this upstream, or of a primary.
async fn write_for(settings: &Settings, standby: Option<Option<&Upstream>>, names: &SyncNames) -> Result<(), ConfigureError> {
    let (settings, standby, names) = (settings.clone(), standby.map(|upstream| upstream.cloned()), names.clone());
    let file = settings.config_file();
    let write = move || match &standby {
        None => configure::write_for(&settings, ServerConfig::Primary, &names),
        Some(upstream) => configure::write_for(&settings, ServerConfig::Standby { upstream: upstream.as_ref() }, &names),
    };
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written.map(drop),
        Err(error) => Err(ConfigureError { path: file, error: std::io::Error::other(error) }),
    }
}

/// Sets whom commits wait for: writes the primary's configuration, reloads, and returns when the names are in force everywhere.
/// Asked for again it only waits. Cancelled or failed, the names may be in force or not: ask [`InForce`], or set them again.
pub async fn set_sync_names(settings: &Settings, in_force: &InForce, names: &SyncNames, limit: Duration) -> Result<(), SqlError> {
    let deadline = Instant::now() + limit;
    in_force.changing();
    in_force.forget_unless(names);
    write_for(settings, None, names).await?;
    // Also when the file has the names already: an earlier attempt may have died before this.
    reload(settings, limit).await?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SqlError::NotInForce { what: "synchronous_standby_names", limit });
        }
        match in_force.check(settings, left).await {
            Ok(found) if found.as_ref() == Some(names) => return Ok(()),
            // Busy, or late: nothing that the rest of the time could not mend.
            Ok(_) | Err(SessionError::Timeout(_) | SessionError::Full(_)) => {}
            Err(error) => return Err(error.into()),
        }
        sleep(Duration::from_millis(2)).await;
    }
}

/// Points the running standby at another upstream (or at none), without a restart: since PostgreSQL 13 the walreceiver is
/// restarted by a reload. Returns when the postmaster has read the setting and passed it on; whether the standby then streams, the
/// probe shows. `names` are what this standby must keep: the reserved name in synchronous mode.
///
/// A walreceiver that is already connected to the old upstream may live on for a while; who must be sure that none acknowledges any
/// more ends it by its process id ([`crate::Facts::receiver_pid`]).
pub async fn follow(
    settings: &Settings,
    upstream: Option<&Upstream>,
    names: &SyncNames,
    limit: Duration,
) -> Result<(), SqlError> {
    let deadline = Instant::now() + limit;
    write_for(settings, Some(upstream), names).await?;
    reload(settings, limit).await?;
    let wanted = upstream.map(|upstream| conninfo::primary_conninfo(settings, upstream)).unwrap_or_default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(SqlError::NotInForce { what: "primary_conninfo", limit });
        }
        let session = Session::open(settings, left).await?;
        let sql = "SELECT current_setting('primary_conninfo')";
        let row = timeout(left, session.client.query_one(sql, &[]))
            .await
            .map_err(|_| SessionError::Timeout(left))?
            .map_err(SessionError::from)?;
        let shown: String = row.try_get(0).map_err(SessionError::from)?;
        session.close().await;
        if shown == wanted {
            return Ok(());
        }
        sleep(Duration::from_millis(2)).await;
    }
}
