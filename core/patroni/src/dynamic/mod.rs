//! The dynamic configuration: rules that are the same on every node. It begins as `bootstrap.dcs` in patroni.yml and lives in the key
//! `config` afterwards.
//!
//! What cannot be understood is an error that names the option; what is understood and has no effect yet, or is bent, is a note.
//! Silence means: obeyed.

mod note;
mod options;
mod patch;
mod postgresql;
mod slots;
mod timing;

pub use note::DynamicNote;
pub use patch::patch;
pub use postgresql::{DynamicPostgresql, is_cluster_wide, parameter_map, text_lines};
pub use slots::SlotRules;
pub use timing::Timing;

use crate::{
    DecodeError,
    fields::{self, Fields},
    parse_bool, parse_bytes,
};
use serde_json::Value;
use std::time::Duration;
use tanist_engine::{Policy, SyncMode, Tags};

/// The configuration, with defaults filled in and times bent into shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicConfig {
    /// `ttl`, `loop_wait`, `retry_timeout`.
    pub timing: Timing,
    /// How far a replica may be behind and still be promoted, bytes (asynchronous mode).
    pub maximum_lag_on_failover: u64,
    /// Synchronous replication.
    pub synchronous_mode: SynchronousMode,
    /// Without a standby nothing is acknowledged.
    pub synchronous_mode_strict: bool,
    /// For how many standbys a commit waits, where there are so many; at least one.
    pub synchronous_node_count: u32,
    /// How long a crashed primary may take to come up again; `None`: not configured.
    pub primary_start_timeout: Option<Duration>,
    /// How long a fast shutdown may take; zero: without limit.
    pub primary_stop_timeout: Duration,
    /// While the store is away the primary stays as long as every member agrees to wait.
    pub failsafe_mode: bool,
    /// Maintenance mode.
    pub pause: bool,
    /// Replication slots.
    pub slots: SlotRules,
    /// The section `postgresql`.
    pub postgresql: DynamicPostgresql,
}

/// The option `synchronous_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynchronousMode {
    /// Asynchronous.
    #[default]
    Off,
    /// Chosen standbys.
    On,
    /// Any of several.
    Quorum,
}

impl DynamicConfig {
    const KEY: &'static str = "config";
    /// Patroni's default: 1 MiB.
    const MAXIMUM_LAG: u64 = 1 << 20;
    /// More standbys than anybody has.
    const MOST_STANDBYS: u32 = 100;

    /// Reads the key `config`.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Vec<DynamicNote>), DecodeError> {
        Self::read(fields::parse(Self::KEY, bytes)?)
    }

    /// Reads it from a value, such as `bootstrap.dcs`.
    pub fn read(value: Value) -> Result<(Self, Vec<DynamicNote>), DecodeError> {
        let mut notes = Vec::new();
        let mut fields = Fields::of(Self::KEY, value)?;
        let timing = Timing::read(&mut fields, &mut notes)?;
        let maximum_lag_on_failover = match fields.take("maximum_lag_on_failover") {
            None => Self::MAXIMUM_LAG,
            Some(Value::Number(number)) => number.as_u64().ok_or_else(|| fields.wrong("maximum_lag_on_failover", BYTES))?,
            Some(Value::String(text)) => parse_bytes(&text).ok_or_else(|| fields.wrong("maximum_lag_on_failover", BYTES))?,
            Some(_) => return Err(fields.wrong("maximum_lag_on_failover", BYTES)),
        };
        let synchronous_mode = SynchronousMode::read(&mut fields)?;
        let seconds = |number: Option<u64>| number.map(Duration::from_secs);
        let start = fields.number("primary_start_timeout")?;
        let start = start.or(fields.number("master_start_timeout")?);
        let stop = fields.number("primary_stop_timeout")?;
        let stop = stop.or(fields.number("master_stop_timeout")?);
        let synchronous_mode_strict = fields.flag("synchronous_mode_strict")?.unwrap_or(false);
        let count = fields.number("synchronous_node_count")?.unwrap_or(1);
        let synchronous_node_count = u32::try_from(count).ok().filter(|count| (1..=Self::MOST_STANDBYS).contains(count));
        let synchronous_node_count =
            synchronous_node_count.ok_or_else(|| fields.wrong("synchronous_node_count", "a number from 1 to 100"))?;
        let failsafe_mode = fields.flag("failsafe_mode")?.unwrap_or(false);
        let pause = fields.flag("pause")?.unwrap_or(false);
        if pause {
            notes.push(DynamicNote::Unsupported { option: "pause".to_owned(), instead: "the cluster is not paused" });
        }
        let mut slots = SlotRules::read(&mut fields, &mut notes)?;
        let section = Value::Object(fields.map("postgresql")?);
        let postgresql = DynamicPostgresql::read(Fields::of(Self::KEY, section)?, &mut notes)?;
        slots.use_slots = postgresql.use_slots;
        options::report_rest(fields, "", &options::TOP, &mut notes);
        let config = Self {
            timing,
            maximum_lag_on_failover,
            synchronous_mode,
            synchronous_mode_strict,
            synchronous_node_count,
            primary_start_timeout: seconds(start),
            primary_stop_timeout: seconds(stop).unwrap_or_default(),
            failsafe_mode,
            pause,
            slots,
            postgresql,
        };
        Ok((config, notes))
    }

    /// The engine's policy on a node with these tags.
    pub fn policy(&self, tags: Tags) -> Policy {
        let Self {
            timing: Timing { ttl, loop_wait, retry_timeout },
            maximum_lag_on_failover,
            synchronous_mode,
            synchronous_mode_strict: strict,
            synchronous_node_count: node_count,
            primary_start_timeout,
            primary_stop_timeout,
            failsafe_mode: failsafe,
            pause: _,
            slots: _,
            postgresql,
        } = self;
        let synchronous = match synchronous_mode {
            SynchronousMode::Off => SyncMode::Off,
            SynchronousMode::On => SyncMode::On { strict: *strict, node_count: *node_count },
            SynchronousMode::Quorum => SyncMode::Quorum { strict: *strict, node_count: *node_count },
        };
        Policy {
            ttl: *ttl,
            loop_wait: *loop_wait,
            retry_timeout: *retry_timeout,
            maximum_lag_on_failover: *maximum_lag_on_failover,
            synchronous,
            primary_start_timeout: *primary_start_timeout,
            primary_stop_timeout: *primary_stop_timeout,
            diverged: postgresql.diverged(),
            failsafe: *failsafe,
            tags,
        }
    }
}

impl Default for DynamicConfig {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            maximum_lag_on_failover: Self::MAXIMUM_LAG,
            synchronous_mode: SynchronousMode::Off,
            synchronous_mode_strict: false,
            synchronous_node_count: 1,
            primary_start_timeout: None,
            primary_stop_timeout: Duration::ZERO,
            failsafe_mode: false,
            pause: false,
            slots: SlotRules::default(),
            postgresql: DynamicPostgresql::default(),
        }
    }
}

impl SynchronousMode {
    fn read(fields: &mut Fields) -> Result<Self, DecodeError> {
        match fields.take("synchronous_mode") {
            None => Ok(Self::Off),
            Some(Value::String(word)) if word.eq_ignore_ascii_case("quorum") => Ok(Self::Quorum),
            Some(value) => match parse_bool(&value) {
                Some(true) => Ok(Self::On),
                Some(false) => Ok(Self::Off),
                None => Err(fields.wrong("synchronous_mode", "on, off or quorum")),
            },
        }
    }
}

const BYTES: &str = "a number of bytes, not negative";

#[cfg(test)]
mod tests;
