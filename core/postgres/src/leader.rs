//! What the leader says over the connection that a rewind would use, and whether it still has the write-ahead log that a standby needs
//! next.
//!
//! PostgreSQL does not tell the latter but in its log: a walreceiver whose WAL is gone asks for it for ever ("requested WAL segment … has
//! already been removed", PostgreSQL documentation, 27.2.5).

use crate::{Settings, conninfo, plan};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tanist_engine::{Lsn, Upstream};

/// Why the leader's word is not known.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The program could not be run.
    #[error("{}: {error}", program.display())]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No answer in time.
    #[error("psql: no answer within {0:?}")]
    Timeout(Duration),
    /// The leader refused.
    #[error("{0}")]
    Refused(String),
}

/// Asks the leader; each row's only column ends with a zero byte. The password comes from the file that
/// [`crate::configure::write_pgpass`] wrote.
pub(crate) async fn ask(settings: &Settings, from: &Upstream, sql: &str, limit: Duration) -> Result<Vec<u8>, LeaderError> {
    let program = settings.program("psql");
    let mut command = tokio::process::Command::new(&program);
    command.args(["--no-psqlrc", "--no-password", "--no-align", "--tuples-only", "--record-separator-zero", "--command", sql]);
    command.arg(conninfo::rewind_conninfo(settings, from)).env_clear().envs(plan::environment());
    command.env("PGPASSFILE", &settings.pgpass).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let run = async { command.spawn()?.wait_with_output().await };
    let output = match tokio::time::timeout(limit, run).await {
        Err(_) => return Err(LeaderError::Timeout(limit)),
        Ok(Err(error)) => return Err(LeaderError::Run { program, error }),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        return Err(LeaderError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(output.stdout)
}

/// The size of a segment, then the names of what is in `pg_wal`. `pg_ls_dir` is one of the functions that the user of a rewind may call.
const SQL: &str = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size' \
                   UNION ALL SELECT pg_catalog.pg_ls_dir('pg_wal', true, false)";

/// Whether the segment that holds `next` is older than every one the leader has. A leader that cannot say so is an error.
pub async fn has_lost(settings: &Settings, from: &Upstream, next: Lsn, limit: Duration) -> Result<bool, LeaderError> {
    let answer = ask(settings, from, SQL, limit).await?;
    let answer = String::from_utf8_lossy(&answer);
    let words = || answer.split(['\0', '\n']).map(str::trim);
    let size = words().find_map(|word| word.parse::<u64>().ok().filter(|size| word.len() < 24 && *size > 0));
    let size = size.ok_or_else(|| LeaderError::Refused("the size of a WAL segment was not told".to_owned()))?;
    let oldest = words().filter_map(|name| segment(name, size)).min();
    let oldest = oldest.ok_or_else(|| LeaderError::Refused("no WAL segment was told".to_owned()))?;
    Ok(next.0 / size < oldest)
}

/// The number of a segment, whatever its timeline (`XLogFromFileName`): 8 digits of the timeline, of the upper 32 bits of the position, and
/// of the segment in them.
fn segment(name: &str, size: u64) -> Option<u64> {
    let digits = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
    let number = |at: usize| u64::from_str_radix(name.get(at..at + 8)?, 16).ok();
    digits.then_some(())?;
    Some(number(8)? * ((1 << 32) / size) + number(16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_by_their_names() {
        let size = 16 << 20;
        assert_eq!(segment("000000030000000000000007", size), Some(7));
        assert_eq!(segment("000000010000000200000001", size), Some(2 * 256 + 1));
        assert_eq!(segment("000000010000000200000001", 1 << 20), Some(2 * 4096 + 1));
        for other in
            ["00000002.history", "000000030000000000000007.partial", "archive_status", "0000000300000000000000G7", "16777216"]
        {
            assert_eq!(segment(other, size), None, "{other}");
        }
    }
}
