//! `/metrics` in Prometheus' text form: Patroni's series by name, label and meaning, so that its dashboards and alerts go on working, and
//! after them a few of our own.

use crate::PATRONI_VERSION;
use std::{fmt::Display, fmt::Write, time::Duration};
use tanist_engine::{Lsn, MemberState, Role, Storage};

/// What the series are made from. What is not known is shown as zero, as Patroni does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The cluster.
    pub scope: String,
    /// The node.
    pub name: String,
    /// State of PostgreSQL.
    pub state: MemberState,
    /// Its role as it runs.
    pub role: Role,
    /// When the postmaster was started, since 1970.
    pub postmaster_start_time: Option<Duration>,
    /// Of a primary: flushed up to here.
    pub location: Option<Lsn>,
    /// Of a standby: received up to here.
    pub received: Option<Lsn>,
    /// Of a standby: replayed up to here.
    pub replayed: Option<Lsn>,
    /// Commit time of the last replayed transaction, since 1970.
    pub replayed_timestamp: Option<Duration>,
    /// Replay was paused by somebody.
    pub replay_paused: bool,
    /// Streaming from its upstream.
    pub streaming: bool,
    /// Not streaming, with a command that fetches WAL from an archive.
    pub in_archive_recovery: bool,
    /// Named in `/sync` as a standby.
    pub sync_standby: bool,
    /// Named in `/sync` as a standby of a quorum.
    pub quorum_standby: bool,
    /// For example 150018.
    pub server_version: Option<u32>,
    /// Nobody holds the lock.
    pub cluster_unlocked: bool,
    /// The store is away, and all members have agreed to go on without it.
    pub failsafe: bool,
    /// Its timeline.
    pub timeline: Option<u32>,
    /// Unix time at which the store last answered; zero: never.
    pub dcs_last_seen: u64,
    /// Some setting waits for a restart.
    pub pending_restart: bool,
    /// Maintenance mode.
    pub paused: bool,
    /// What only tanist has.
    pub own: OwnMetrics,
}

/// Series that Patroni does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnMetrics {
    /// Proved writable under a lease with margin left: what `/primary` says.
    pub writable: bool,
    /// The epoch of the lease that is known; zero: none.
    pub epoch: u64,
    /// What is left of the lease that this node holds.
    pub lease_left: Duration,
    /// How long before its end the guard begins to fence.
    pub fence_budget: Duration,
    /// The fence has begun.
    pub fenced: bool,
    /// Since the agent's last decision.
    pub since_decision: Duration,
    /// The store answers.
    pub store_answers: bool,
    /// What the storage of the data directory takes.
    pub storage: Storage,
    /// Room in it, bytes; `None`: not known.
    pub storage_free: Option<u64>,
    /// Plugins by name.
    pub plugins: Vec<PluginMetrics>,
    /// Replication slots by name.
    pub slots: Vec<SlotMetrics>,
}

/// One replication slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMetrics {
    /// Its name.
    pub name: String,
    /// Somebody streams through it.
    pub active: bool,
    /// How much WAL it keeps, bytes.
    pub retained: u64,
}

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginMetrics {
    /// Its name.
    pub name: String,
    /// Calls that succeeded.
    pub delivered: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Events that wait.
    pub pending: u64,
}

/// The text under construction.
struct Page {
    text: String,
    labels: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _infallible = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, more: &str, value: impl Display) {
        let _infallible = writeln!(self.text, "{name}{{{}{more}}} {value}", self.labels);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn flag(&mut self, name: &str, help: &str, value: bool) {
        self.gauge(name, help, u8::from(value));
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<Lsn>) {
        self.head(name, "counter", help);
        self.line(name, "", value.map_or(0, |lsn| lsn.0));
    }
}

impl Metrics {
    /// The whole page.
    pub fn encode(&self) -> String {
        let labels = format!("scope=\"{}\",name=\"{}\"", escaped(&self.scope), escaped(&self.name));
        let mut page = Page { text: String::with_capacity(8 << 10), labels };
        self.server(&mut page);
        self.replication(&mut page);
        self.cluster(&mut page);
        self.own.encode(&mut page);
        page.text
    }

    fn server(&self, page: &mut Page) {
        let running = matches!(self.state, MemberState::Running | MemberState::Streaming);
        page.gauge("patroni_version", "Patroni semver without periods.", padded_version());
        page.flag("patroni_postgres_running", "Value is 1 if Postgres is running, 0 otherwise.", running);
        let started = seconds(self.postmaster_start_time);
        page.gauge("patroni_postmaster_start_time", "Epoch seconds since Postgres started.", started);
        let primary = self.role == Role::Primary;
        page.flag("patroni_primary", "Value is 1 if this node is the leader, 0 otherwise.", primary);
        let help = "Current location of the Postgres transaction log, 0 if this node is not the leader.";
        page.counter("patroni_xlog_location", help, self.location);
    }

    fn replication(&self, page: &mut Page) {
        page.flag("patroni_standby_leader", "Value is 1 if this node is the standby_leader, 0 otherwise.", false);
        page.flag("patroni_replica", "Value is 1 if this node is a replica, 0 otherwise.", self.role == Role::Replica);
        page.flag("patroni_sync_standby", "Value is 1 if this node is a sync standby, 0 otherwise.", self.sync_standby);
        page.flag("patroni_quorum_standby", "Value is 1 if this node is a quorum standby, 0 otherwise.", self.quorum_standby);
        let help = "Current location of the received Postgres transaction log, 0 if this node is not a replica.";
        page.counter("patroni_xlog_received_location", help, self.received);
        let help = "Current location of the replayed Postgres transaction log, 0 if this node is not a replica.";
        page.counter("patroni_xlog_replayed_location", help, self.replayed);
        let help = "Current timestamp of the replayed Postgres transaction log, 0 if null.";
        page.gauge("patroni_xlog_replayed_timestamp", help, seconds(self.replayed_timestamp));
        page.flag("patroni_xlog_paused", "Value is 1 if the Postgres xlog is paused, 0 otherwise.", self.replay_paused);
        if self.server_version.is_some() {
            page.flag("patroni_postgres_streaming", "Value is 1 if Postgres is streaming, 0 otherwise.", self.streaming);
            let help = "Value is 1 if Postgres is replicating from archive, 0 otherwise.";
            page.flag("patroni_postgres_in_archive_recovery", help, self.in_archive_recovery);
        }
    }

    fn cluster(&self, page: &mut Page) {
        let version = self.server_version.unwrap_or(0);
        page.gauge("patroni_postgres_server_version", "Version of Postgres (if running), 0 otherwise.", version);
        let help = "Value is 1 if the cluster is unlocked, 0 if locked.";
        page.flag("patroni_cluster_unlocked", help, self.cluster_unlocked);
        let help = "Value is 1 if failsafe mode is active, 0 if inactive.";
        page.flag("patroni_failsafe_mode_is_active", help, self.failsafe);
        let help = "Postgres timeline of this node (if running), 0 otherwise.";
        page.gauge("patroni_postgres_timeline", help, self.timeline.unwrap_or(0));
        let help = "Epoch timestamp when DCS was last contacted successfully by Patroni.";
        page.gauge("patroni_dcs_last_seen", help, self.dcs_last_seen);
        page.flag("patroni_pending_restart", "Value is 1 if the node needs a restart, 0 otherwise.", self.pending_restart);
        page.flag("patroni_is_paused", "Value is 1 if auto failover is disabled, 0 otherwise.", self.paused);
        page.gauge("patroni_postgres_state", "Numeric representation of Postgres state.", state_number(self.state));
    }
}

impl OwnMetrics {
    fn encode(&self, page: &mut Page) {
        let help = "Value is 1 if this node was proved writable under a lease with margin left, 0 otherwise.";
        page.flag("tanist_writable", help, self.writable);
        page.gauge("tanist_epoch", "Epoch of the lease as this node knows it, 0 if none.", self.epoch);
        let help = "What is left of the lease that this node holds, 0 if it holds none.";
        page.gauge("tanist_lease_left_seconds", help, seconds(Some(self.lease_left)));
        let help = "How long before the end of the lease the guard begins to fence.";
        page.gauge("tanist_fence_budget_seconds", help, seconds(Some(self.fence_budget)));
        page.flag("tanist_fenced", "Value is 1 if the guard has begun to fence Postgres, 0 otherwise.", self.fenced);
        let help = "Since the agent last took a decision.";
        page.gauge("tanist_since_decision_seconds", help, seconds(Some(self.since_decision)));
        page.flag("tanist_store_answers", "Value is 1 if the store answers, 0 otherwise.", self.store_answers);
        let help = "Value is 1 if the storage of the data directory takes writes in time, 0 otherwise.";
        page.flag("tanist_storage_works", help, self.storage != Storage::Broken);
        let help = "Value is 1 if the storage of the data directory has less room than tanist.storage.minimum_free, 0 otherwise.";
        page.flag("tanist_storage_full", help, self.storage == Storage::Full);
        if let Some(free) = self.storage_free {
            page.gauge("tanist_storage_free_bytes", "Room in the storage of the data directory.", free);
        }
        if !self.slots.is_empty() {
            page.head("tanist_slot_active", "gauge", "Value is 1 if somebody streams through the replication slot, 0 otherwise.");
            for slot in &self.slots {
                page.line("tanist_slot_active", &format!(",slot=\"{}\"", escaped(&slot.name)), u8::from(slot.active));
            }
            page.head("tanist_slot_retained_bytes", "gauge", "How much WAL the replication slot keeps.");
            for slot in &self.slots {
                page.line("tanist_slot_retained_bytes", &format!(",slot=\"{}\"", escaped(&slot.name)), slot.retained);
            }
        }
        if self.plugins.is_empty() {
            return;
        }
        type Series = (&'static str, &'static str, &'static str, fn(&PluginMetrics) -> u64);
        let series: [Series; 3] = [
            ("tanist_plugin_delivered_total", "counter", "Calls of the plugin that succeeded.", |plugin| plugin.delivered),
            ("tanist_plugin_failed_total", "counter", "Calls of the plugin that failed.", |plugin| plugin.failed),
            ("tanist_plugin_pending", "gauge", "Events that wait for the plugin.", |plugin| plugin.pending),
        ];
        for (name, kind, help, value) in series {
            page.head(name, kind, help);
            for plugin in &self.plugins {
                page.line(name, &format!(",plugin=\"{}\"", escaped(&plugin.name)), value(plugin));
            }
        }
    }
}

/// A label's value as Prometheus reads it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn seconds(span: Option<Duration>) -> String {
    span.map_or_else(|| "0".to_owned(), |span| format!("{}.{:06}", span.as_secs(), span.subsec_micros()))
}

/// `040104` for 4.1.4.
fn padded_version() -> String {
    PATRONI_VERSION.split('.').map(|part| format!("{part:0>2}")).collect()
}

/// Patroni's number of a state, which it promises never to change; -1 for a state it does not have.
fn state_number(state: MemberState) -> i8 {
    match state {
        MemberState::Initializing => 0,
        MemberState::CreatingReplica => 4,
        MemberState::Running | MemberState::Streaming => 5,
        MemberState::Starting => 6,
        MemberState::StartFailed => 8,
        MemberState::Stopping => 11,
        MemberState::Stopped => 12,
        MemberState::Crashed => 14,
        MemberState::Unknown => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standby() -> Metrics {
        Metrics {
            scope: "main".to_owned(),
            name: "b\"\\".to_owned(),
            state: MemberState::Streaming,
            role: Role::Replica,
            postmaster_start_time: Some(Duration::from_micros(1_795_233_600_000_250)),
            location: None,
            received: Some(Lsn(67_197_376)),
            replayed: Some(Lsn(67_197_300)),
            replayed_timestamp: Some(Duration::from_micros(1_795_233_601_500_000)),
            replay_paused: false,
            streaming: true,
            in_archive_recovery: false,
            sync_standby: true,
            quorum_standby: false,
            server_version: Some(150_018),
            cluster_unlocked: false,
            failsafe: false,
            timeline: Some(2),
            dcs_last_seen: 1_795_233_602,
            pending_restart: true,
            paused: false,
            own: OwnMetrics {
                epoch: 7,
                since_decision: Duration::from_millis(250),
                store_answers: true,
                storage_free: Some(1 << 30),
                plugins: vec![PluginMetrics { name: "move".to_owned(), delivered: 3, failed: 1, pending: 0 }],
                ..OwnMetrics::default()
            },
        }
    }

    #[test]
    fn a_standby_in_full() {
        assert_eq!(standby().encode(), include_str!("../../tests/goldens/rest-metrics-standby.txt"));
    }

    #[test]
    fn a_standby_that_takes_from_the_archive() {
        let text = Metrics { streaming: false, in_archive_recovery: true, ..standby() }.encode();
        for (series, value) in [("streaming", 0), ("in_archive_recovery", 1)] {
            let line = format!("patroni_postgres_{series}{{scope=\"main\",name=\"b\\\"\\\\\"}} {value}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
    }

    #[test]
    fn slots_by_name() {
        let slots = vec![SlotMetrics { name: "n2".to_owned(), active: false, retained: 16_777_216 }];
        let text = Metrics { own: OwnMetrics { slots, ..standby().own }, ..standby() }.encode();
        assert!(text.contains("tanist_slot_active{scope=\"main\",name=\"b\\\"\\\\\",slot=\"n2\"} 0\n"), "{text}");
        assert!(text.contains(",slot=\"n2\"} 16777216\n"), "{text}");
    }

    #[test]
    fn a_node_that_knows_nothing() {
        let nothing = Metrics {
            state: MemberState::Unknown,
            role: Role::Uninitialized,
            postmaster_start_time: None,
            received: None,
            replayed: None,
            replayed_timestamp: None,
            server_version: None,
            timeline: None,
            dcs_last_seen: 0,
            own: OwnMetrics::default(),
            ..standby()
        };
        let text = nothing.encode();
        assert!(text.contains("patroni_postgres_state{scope=\"main\",name=\"b\\\"\\\\\"} -1\n"), "{text}");
        assert!(!text.contains("patroni_postgres_streaming"), "Patroni leaves it out while there is no server: {text}");
        assert!(!text.contains("tanist_plugin") && !text.contains("tanist_slot"), "{text}");
    }
}
