//! The one row of a probe: one statement, one round trip, on a primary and on a standby, in PostgreSQL 13 to 18.
//!
//! Deliberately without interpretation; [`crate::Prober`] does that.

use crate::{SessionError, in_force};
use tanist_engine::{Connection, Lsn, StandbySeen, Timeline};
use tokio_postgres::{Row, types::PgLsn};

/// Whether the server is in recovery is asked once: the functions of the other role raise errors, and a promotion may come between.
/// The walsenders are looked at after the primary's position (the lateral reference is there for that): a standby that keeps up is
/// seen to have it.
pub(crate) const SQL: &str = "\
WITH role AS MATERIALIZED (SELECT pg_is_in_recovery() AS recovery),
     server AS MATERIALIZED (SELECT recovery, CASE WHEN NOT recovery THEN pg_current_wal_flush_lsn() END AS flushed FROM role)
SELECT recovery,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_id,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started,
       (extract(epoch FROM pg_conf_load_time()) * 1000000)::int8 AS loaded,
       current_setting('synchronous_standby_names') AS names,
       current_setting('primary_conninfo') AS conninfo,
       current_setting('primary_slot_name') AS slot,
       current_setting('restore_command') AS restore_command,
       EXISTS (SELECT FROM pg_settings WHERE pending_restart) AS pending_restart,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS sessions,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline,
       CASE WHEN NOT recovery THEN pg_walfile_name(flushed) END AS wal_file, flushed,
       CASE WHEN recovery THEN pg_last_wal_receive_lsn() END AS received,
       CASE WHEN recovery THEN pg_last_wal_replay_lsn() END AS replayed,
       CASE WHEN recovery THEN pg_is_wal_replay_paused() END AS paused,
       (SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup' LIMIT 1) AS startup_wait,
       CASE WHEN recovery THEN (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::int8 END AS replayed_commit,
       w.latest_end_lsn AS upstream_end,
       w.pid AS receiver_pid, w.status AS receiver_status, w.received_tli AS receiver_timeline,
       s.*
  FROM server LEFT JOIN pg_stat_wal_receiver AS w ON true,
       LATERAL (SELECT array_agg(pid) AS pids, array_agg(application_name) AS applications, array_agg(sync_priority) AS priorities,
               array_agg(flush_lsn IS NOT NULL) AS flush_known, array_agg(state IN ('streaming', 'catchup')) AS sends,
               array_agg(state) AS states, array_agg(flush_lsn) AS flush, array_agg(sync_state) AS sync_states,
               array_agg(usename::text) AS users, array_agg(host(client_addr)) AS addresses,
               array_agg((extract(epoch FROM backend_start) * 1000000)::int8) AS begun
          FROM pg_stat_replication WHERE server.recovery IS NOT NULL OR server.flushed IS NOT NULL) AS s";

/// The row.
#[derive(Debug)]
pub(crate) struct ProbeRow {
    pub(crate) system_id: String,
    pub(crate) at: in_force::Loaded,
    pub(crate) names: String,
    pub(crate) pending_restart: bool,
    pub(crate) sessions: i64,
    pub(crate) checkpoint_timeline: Timeline,
    pub(crate) replication: Vec<Walsender>,
    pub(crate) role: RoleRow,
}

/// One line of pg_stat_replication, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "columns of pg_stat_replication")]
pub struct Walsender {
    pub usename: String,
    pub application_name: String,
    pub client_addr: Option<String>,
    pub state: String,
    pub sync_state: String,
    pub sync_priority: i32,
}

/// What only a server of that role tells.
#[derive(Debug)]
pub(crate) enum RoleRow {
    Primary { timeline: Timeline, flushed: Lsn, senders: Vec<in_force::Sender>, standbys: Vec<StandbySeen> },
    Standby(StandbyRow),
}

/// A server in recovery.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandbyRow {
    /// `None`: streaming was never asked for since the start, that is, local WAL has not been exhausted.
    pub(crate) received: Option<Lsn>,
    pub(crate) replayed: Lsn,
    /// Commit time of the last replayed transaction, microseconds since 1970 by the primary's clock.
    pub(crate) replayed_commit: Option<i64>,
    /// End of the upstream's WAL, as its walsender last said.
    pub(crate) upstream_end: Option<Lsn>,
    pub(crate) paused: bool,
    pub(crate) startup_wait: Option<String>,
    pub(crate) conninfo: String,
    pub(crate) slot: String,
    pub(crate) restore_command: String,
    pub(crate) receiver_pid: Option<i32>,
    pub(crate) receiver_timeline: Option<Timeline>,
    pub(crate) streaming: bool,
}

impl ProbeRow {
    pub(crate) fn read(row: &Row) -> Result<Self, SessionError> {
        let role = if row.try_get("recovery")? { RoleRow::Standby(standby(row)?) } else { primary(row)? };
        Ok(Self {
            system_id: row.try_get("system_id")?,
            at: in_force::Loaded { started: row.try_get("started")?, loaded: row.try_get("loaded")? },
            names: row.try_get("names")?,
            pending_restart: row.try_get("pending_restart")?,
            sessions: row.try_get("sessions")?,
            checkpoint_timeline: timeline(row.try_get("checkpoint_timeline")?),
            replication: replication(row)?,
            role,
        })
    }
}

fn primary(row: &Row) -> Result<RoleRow, SessionError> {
    let file: Option<&str> = row.try_get("wal_file")?;
    let timeline = file
        .and_then(file_timeline)
        .ok_or_else(|| SessionError::Lost("the name of the WAL file was not understood".to_owned()))?;
    Ok(RoleRow::Primary {
        timeline,
        flushed: lsn(row, "flushed")?.unwrap_or_default(),
        senders: in_force::senders(row)?,
        standbys: standbys(row)?,
    })
}

fn standby(row: &Row) -> Result<StandbyRow, SessionError> {
    let status: Option<&str> = row.try_get("receiver_status")?;
    Ok(StandbyRow {
        received: lsn(row, "received")?,
        replayed: lsn(row, "replayed")?.unwrap_or_default(),
        replayed_commit: row.try_get("replayed_commit")?,
        upstream_end: lsn(row, "upstream_end")?,
        paused: row.try_get::<_, Option<bool>>("paused")?.unwrap_or(false),
        startup_wait: row.try_get("startup_wait")?,
        conninfo: row.try_get("conninfo")?,
        slot: row.try_get("slot")?,
        restore_command: row.try_get("restore_command")?,
        receiver_pid: row.try_get("receiver_pid")?,
        receiver_timeline: row.try_get::<_, Option<i32>>("receiver_timeline")?.filter(|number| *number > 0).map(timeline),
        streaming: status == Some("streaming"),
    })
}

/// Walsenders that send WAL; a base backup is none of them.
fn standbys(row: &Row) -> Result<Vec<StandbySeen>, SessionError> {
    let names: Option<Vec<Option<String>>> = row.try_get("applications")?;
    let states: Option<Vec<Option<String>>> = row.try_get("states")?;
    let flush: Option<Vec<Option<PgLsn>>> = row.try_get("flush")?;
    let sync: Option<Vec<Option<String>>> = row.try_get("sync_states")?;
    let pids: Option<Vec<i32>> = row.try_get("pids")?;
    let begun: Option<Vec<i64>> = row.try_get("begun")?;
    let (Some(names), Some(states), Some(flush), Some(sync)) = (names, states, flush, sync) else { return Ok(Vec::new()) };
    let (Some(pids), Some(begun)) = (pids, begun) else { return Ok(Vec::new()) };
    let connections = pids.into_iter().zip(begun).map(|(pid, began)| Connection { pid, began });
    let rows = names.into_iter().zip(states).zip(flush).zip(sync).zip(connections);
    let seen = rows.filter_map(|((((name, state), flushed), sync), connection)| {
        // A standby that has never told what it flushed is no standby that could be waited for, for instance a backup's WAL stream.
        let flushed = Lsn(u64::from(flushed?));
        Some(StandbySeen {
            name: name.unwrap_or_default().as_str().into(),
            streaming: state.as_deref() == Some("streaming"),
            flushed,
            sync: matches!(sync.as_deref(), Some("sync" | "quorum")),
            connection,
        })
    });
    Ok(seen.collect())
}

/// All that take WAL from this server, also base backups.
fn replication(row: &Row) -> Result<Vec<Walsender>, SessionError> {
    let column = |name: &str| Ok::<_, SessionError>(row.try_get::<_, Option<Vec<Option<String>>>>(name)?.unwrap_or_default());
    let priorities: Option<Vec<Option<i32>>> = row.try_get("priorities")?;
    let who = column("users")?.into_iter().zip(column("applications")?).zip(column("addresses")?);
    let how = column("states")?.into_iter().zip(column("sync_states")?).zip(priorities.unwrap_or_default());
    let line =
        |(((user, application), client_addr), ((state, sync_state), priority)): (((_, _), _), ((_, _), Option<i32>))| Walsender {
            usename: Option::unwrap_or_default(user),
            application_name: Option::unwrap_or_default(application),
            client_addr,
            state: Option::unwrap_or_default(state),
            sync_state: Option::unwrap_or_default(sync_state),
            sync_priority: priority.unwrap_or_default(),
        };
    Ok(who.zip(how).map(line).collect())
}

fn lsn(row: &Row, column: &str) -> Result<Option<Lsn>, SessionError> {
    Ok(row.try_get::<_, Option<PgLsn>>(column)?.map(|lsn| Lsn(u64::from(lsn))))
}

/// Timeline numbers are unsigned, SQL shows them as signed.
fn timeline(number: i32) -> Timeline {
    Timeline(number.cast_unsigned())
}

/// The first eight hexadecimal digits of a WAL file's name.
pub(crate) fn file_timeline(name: &str) -> Option<Timeline> {
    u32::from_str_radix(name.get(..8)?, 16).ok().map(Timeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timelines() {
        assert_eq!(file_timeline("0000000A0000000000000001"), Some(Timeline(10)));
        assert_eq!(file_timeline("short"), None);
        assert_eq!(timeline(-1), Timeline(u32::MAX));
    }
}
