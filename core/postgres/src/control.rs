//! The control file, as `pg_controldata` prints it.
//!
//! Deliberately not read by ourselves: its layout differs between major versions, the program of the installed version knows it.

use crate::Settings;
use std::{
    collections::BTreeMap,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::Stdio,
    time::{Duration, UNIX_EPOCH},
};
use tanist_engine::{Lsn, Position, Stopped, Timeline};

/// Tells one control file from another one in its place: its number and, where the file system keeps it, when it was made, for numbers are
/// used again. PostgreSQL and its tools rewrite the file in place.
pub fn identity(found: &Metadata) -> String {
    let made = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    format!("{} {}", found.ino(), made.map_or(0, |at| at.as_nanos()))
}

/// What of the control file somebody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlData {
    /// The database system identifier.
    pub system_id: String,
    /// State of the cluster.
    pub state: ClusterState,
    /// Start of the latest checkpoint record.
    pub checkpoint: Lsn,
    /// Its timeline.
    pub checkpoint_timeline: Timeline,
    /// How far recovery must go at least; zero on a primary.
    pub minimum_recovery: Lsn,
    /// Its timeline.
    pub minimum_recovery_timeline: Timeline,
    /// Size of a WAL page.
    pub wal_block: u64,
    /// Size of a WAL segment.
    pub wal_segment: u64,
    /// Changes of hint bits are in WAL (`wal_log_hints` or data checksums): pg_rewind finds every block that changed.
    pub hints_logged: bool,
    /// The settings of the primary that a standby must not go below, by parameter name.
    pub minimum_settings: BTreeMap<&'static str, u32>,
}

/// "Database cluster state".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Shut down in order, as a primary.
    ShutDown,
    /// Shut down in order, as a standby.
    ShutDownInRecovery,
    /// Running, or crashed, as a primary.
    InProduction,
    /// Running, or crashed, as a standby.
    InArchiveRecovery,
    /// Crashed as a primary, and again during the recovery from that.
    InCrashRecovery,
    /// The shutdown of a primary did not finish.
    ShuttingDown,
    /// Made by initdb and not started yet, or not finished starting.
    StartingUp,
}

/// Why there is no control data.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The program is missing.
    #[error("{}: not found; set postgresql.bin_dir to the directory of PostgreSQL's programs", .0.display())]
    NoProgram(PathBuf),
    /// The program could not be run.
    #[error("{}: {error}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The program did not end in time.
    #[error("{}: no answer within {limit:?}; the storage may hang", program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// How long.
        limit: Duration,
    },
    /// The program reported an error.
    #[error("pg_controldata: {0}")]
    Refused(String),
    /// The checksum of the control file is wrong.
    #[error("the control file is damaged: {0}")]
    Damaged(String),
    /// A line is missing or has another form.
    #[error("pg_controldata: `{0}` is missing or not understood")]
    Field(&'static str),
}

/// Parameters that must be at least as high on a standby as they were on its primary, with their labels.
const MINIMUMS: [(&str, &str); 5] = [
    ("max_connections", "max_connections setting"),
    ("max_worker_processes", "max_worker_processes setting"),
    ("max_wal_senders", "max_wal_senders setting"),
    ("max_prepared_transactions", "max_prepared_xacts setting"),
    ("max_locks_per_transaction", "max_locks_per_xact setting"),
];

/// Size in WAL of a shutdown checkpoint record in PostgreSQL 13 to 18: record header 24, block-less data header 2, `CheckPoint` 88,
/// aligned to 8.
const CHECKPOINT_RECORD: u64 = 120;
/// Header of a WAL page, and of the first page of a segment.
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

impl ControlData {
    /// Runs `pg_controldata`.
    pub async fn read(settings: &Settings, limit: Duration) -> Result<Self, ControlError> {
        let program = settings.program("pg_controldata");
        let mut command = tokio::process::Command::new(&program);
        command.arg("-D").arg(&settings.data_dir).env("LC_ALL", "C").env_remove("PGDATA");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // To execute a file waits for the disk that it is on.
        let run = async {
            let started = tokio::task::spawn_blocking(move || command.spawn()).await;
            started.map_err(std::io::Error::other)??.wait_with_output().await
        };
        let output = match tokio::time::timeout(limit, run).await {
            Err(_) => return Err(ControlError::Timeout { program, limit }),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => return Err(ControlError::NoProgram(program)),
            Ok(Err(error)) => return Err(ControlError::Run { program, error }),
            Ok(Ok(output)) => output,
        };
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(ControlError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Self::parse(&text)
    }

    /// Reads the program's output (in the C locale).
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        if let Some(warning) = text.lines().find(|line| line.starts_with("WARNING")) {
            return Err(ControlError::Damaged(warning.to_owned()));
        }
        let fields: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once(':')).map(|(label, value)| (label.trim(), value.trim())).collect();
        let field = |label: &'static str| fields.get(label).copied().ok_or(ControlError::Field(label));
        fn number<T: std::str::FromStr>(label: &'static str, text: &str) -> Result<T, ControlError> {
            text.parse().map_err(|_| ControlError::Field(label))
        }
        let lsn = |label| number::<Lsn>(label, field(label)?);
        let timeline = |label| number::<u32>(label, field(label)?).map(Timeline);
        let mut minimum_settings = BTreeMap::new();
        for (parameter, label) in MINIMUMS {
            minimum_settings.insert(parameter, number(label, field(label)?)?);
        }
        let data = Self {
            system_id: field("Database system identifier")?.to_owned(),
            state: ClusterState::parse(field("Database cluster state")?)?,
            checkpoint: lsn("Latest checkpoint location")?,
            checkpoint_timeline: timeline("Latest checkpoint's TimeLineID")?,
            minimum_recovery: lsn("Minimum recovery ending location")?,
            minimum_recovery_timeline: timeline("Min recovery ending loc's timeline")?,
            wal_block: number("WAL block size", field("WAL block size")?)?,
            wal_segment: number("Bytes per WAL segment", field("Bytes per WAL segment")?)?,
            hints_logged: field("wal_log_hints setting")? == "on" || field("Data page checksum version")? != "0",
            minimum_settings,
        };
        if data.wal_block <= SEGMENT_HEADER || data.wal_segment < data.wal_block {
            return Err(ControlError::Field("WAL block size"));
        }
        Ok(data)
    }

    /// End of the latest checkpoint record, were it the record of a shutdown (or any other checkpoint): the position every standby
    /// has that received it. Arithmetic instead of `pg_waldump`, because the segment may be gone; the record's size is the same in
    /// all supported versions.
    pub fn checkpoint_end(&self) -> Lsn {
        let mut at = self.checkpoint.0;
        let mut left = CHECKPOINT_RECORD;
        loop {
            let room = self.wal_block - at % self.wal_block;
            if left <= room {
                return Lsn(at + left);
            }
            at += room;
            left -= room;
            at += if at.is_multiple_of(self.wal_segment) { SEGMENT_HEADER } else { PAGE_HEADER };
        }
    }

    /// The engine's view. `opened_by` is left at `Epoch::NONE`: the caller knows from the store's timeline claims who opened it.
    ///
    /// - clean primary: end of the shutdown checkpoint, which is the end of its history;
    /// - standby, clean or not: the minimum recovery end, or the last checkpoint's if that is later; WAL that was received and
    ///   not replayed is not counted, so this is a lower bound;
    /// - unclean primary: end of the last checkpoint, a lower bound.
    pub fn stopped(&self) -> Stopped {
        let opened_by = tanist_engine::Epoch::NONE;
        let checkpoint = Position { opened_by, timeline: self.checkpoint_timeline, lsn: self.checkpoint_end() };
        let recovery = Position { opened_by, timeline: self.minimum_recovery_timeline, lsn: self.minimum_recovery };
        let clean = matches!(self.state, ClusterState::ShutDown | ClusterState::ShutDownInRecovery);
        Stopped {
            clean,
            end_known: self.state == ClusterState::ShutDown,
            rewindable: clean && self.hints_logged,
            was_primary: match self.state {
                ClusterState::ShutDown | ClusterState::InProduction | ClusterState::ShuttingDown => true,
                ClusterState::InCrashRecovery => true,
                ClusterState::ShutDownInRecovery | ClusterState::InArchiveRecovery | ClusterState::StartingUp => false,
            },
            position: checkpoint.max(recovery),
            system_id: self.system_id.clone(),
        }
    }
}

impl ClusterState {
    fn parse(text: &str) -> Result<Self, ControlError> {
        Ok(match text {
            "shut down" => Self::ShutDown,
            "shut down in recovery" => Self::ShutDownInRecovery,
            "in production" => Self::InProduction,
            "in archive recovery" => Self::InArchiveRecovery,
            "in crash recovery" => Self::InCrashRecovery,
            "shutting down" => Self::ShuttingDown,
            "starting up" => Self::StartingUp,
            _ => return Err(ControlError::Field("Database cluster state")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
pg_control version number:            1300
Catalog version number:               202209061
Database system identifier:           7423648723846238764
Database cluster state:               shut down
pg_control last modified:             Sat 21 Nov 2026 04:00:00 AM UTC
Latest checkpoint location:           0/15550A8
Latest checkpoint's REDO location:    0/15550A8
Latest checkpoint's REDO WAL file:    000000010000000000000001
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
wal_log_hints setting:                on
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           0
";

    fn at(lsn: &str) -> ControlData {
        ControlData { checkpoint: lsn.parse().unwrap(), ..ControlData::parse(SAMPLE).unwrap() }
    }

    #[test]
    fn a_clean_primary() {
        let stopped = ControlData::parse(SAMPLE).unwrap().stopped();
        assert!(stopped.clean && stopped.was_primary && stopped.end_known && stopped.rewindable);
        let without = SAMPLE.replace("wal_log_hints setting:                on", "wal_log_hints setting:                off");
        assert!(!ControlData::parse(&without).unwrap().stopped().rewindable);
        let checksums = without.replace("checksum version:           0", "checksum version:           1");
        assert!(ControlData::parse(&checksums).unwrap().stopped().rewindable);
        assert_eq!(stopped.system_id, "7423648723846238764");
        assert_eq!((stopped.position.timeline, stopped.position.lsn.to_string()), (Timeline(1), "0/1555120".to_owned()));
    }

    #[test]
    fn a_record_may_cross_pages_and_segments() {
        assert_eq!(at("0/1001F88").checkpoint_end().to_string(), "0/1002000", "ends with the page");
        assert_eq!(at("0/1001F90").checkpoint_end().to_string(), "0/1002020", "8 bytes on the next page, after its header");
        assert_eq!(at("0/1FFFFD0").checkpoint_end().to_string(), "0/2000070", "72 bytes in the next segment");
    }

    #[test]
    fn a_standby_counts_what_it_replayed() {
        let text = SAMPLE
            .replace("shut down", "in archive recovery")
            .replace("ending location:     0/0", "ending location:     0/3000000")
            .replace("timeline:   0", "timeline:   2");
        let stopped = ControlData::parse(&text).unwrap().stopped();
        assert!(!stopped.clean && !stopped.was_primary && !stopped.end_known && !stopped.rewindable);
        assert_eq!((stopped.position.timeline, stopped.position.lsn.to_string()), (Timeline(2), "0/3000000".to_owned()));
    }

    #[test]
    fn nothing_is_guessed() {
        assert!(matches!(ControlData::parse(""), Err(ControlError::Field(_))));
        assert!(matches!(
            ControlData::parse(&SAMPLE.replace("shut down", "asleep")),
            Err(ControlError::Field("Database cluster state"))
        ));
        assert!(matches!(ControlData::parse(&SAMPLE.replace("8192", "8")), Err(ControlError::Field("WAL block size"))));
        let damaged = format!("WARNING: Calculated CRC checksum does not match value stored in file.\n{SAMPLE}");
        assert!(matches!(ControlData::parse(&damaged), Err(ControlError::Damaged(_))));
    }
}
