//! What is accepted, refused, bent and remarked.

use super::*;
use serde_json::json;
use tanist_engine::Diverged;

fn read(value: Value) -> (DynamicConfig, Vec<String>) {
    let (config, notes) = DynamicConfig::read(value).unwrap();
    (config, notes.iter().map(ToString::to_string).collect())
}

fn refused(value: Value) -> String {
    DynamicConfig::read(value).unwrap_err().to_string()
}

#[test]
fn nothing_configured() {
    let (config, notes) = read(json!({}));
    assert_eq!((config.clone(), notes), (DynamicConfig::default(), Vec::new()));
    let [ttl, loop_wait, retry] =
        [config.timing.ttl, config.timing.loop_wait, config.timing.retry_timeout].map(|time| time.as_secs());
    assert_eq!((ttl, loop_wait, retry), (10, 1, 4));
}

#[test]
fn a_patroni_configuration_of_every_day() {
    let (config, notes) = read(json!({
        "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "maximum_lag_on_failover": 1048576, "synchronous_mode": true,
        "postgresql": {
            "use_pg_rewind": true, "use_slots": true,
            "parameters": {"hot_standby": "on", "max_wal_senders": 10, "wal_log_hints": true, "wal_keep_segments": 8, "Archive_Mode": null},
            "pg_hba": ["local all all trust"]
        }
    }));
    assert_eq!(
        notes,
        ["postgresql.parameters.wal_keep_segments: was removed in PostgreSQL 13; wal_keep_size: 128MB is used instead"]
    );
    let parameters: Vec<_> = config.postgresql.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(parameters, ["hot_standby=on", "max_wal_senders=10", "wal_keep_size=128MB", "wal_log_hints=on"]);
    let policy = config.policy(Tags { nosync: true, ..Tags::default() });
    assert_eq!(policy.ttl, Duration::from_secs(30));
    assert_eq!(policy.synchronous, SyncMode::On { strict: false, node_count: 1 });
    assert_eq!(policy.diverged, Diverged { rewind: true, copy: true, copy_after_failure: true });
    assert!(policy.tags.nosync && policy.primary_start_timeout.is_none());
}

#[test]
fn what_is_to_be_kept_is_kept_only_where_it_is_said() {
    let (config, notes) = read(json!({"postgresql": {
        "remove_data_directory_on_rewind_failure": false, "remove_data_directory_on_diverged_timelines": "off"
    }}));
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(config.policy(Tags::default()).diverged, Diverged { rewind: false, copy: false, copy_after_failure: false });
    assert_eq!(read(json!({})).0.policy(Tags::default()).diverged, Diverged::default());
}

#[test]
fn times_are_bent_as_patroni_does() {
    let (config, notes) = read(json!({"ttl": 20, "loop_wait": 2, "retry_timeout": 10}));
    assert_eq!((config.timing.loop_wait.as_secs(), config.timing.retry_timeout.as_secs()), (1, 9));
    assert_eq!(
        notes,
        [
            "loop_wait: is 1 s instead of 2 s, because loop_wait + 2*retry_timeout must not exceed ttl (20 s)",
            "retry_timeout: is 9 s instead of 10 s, because loop_wait + 2*retry_timeout must not exceed ttl (20 s)",
        ]
    );
    let (_, notes) = read(json!({"ttl": 4}));
    assert!(notes[0].starts_with("ttl: 4 s is accepted, but an election in the store"), "{notes:?}");
}

#[test]
fn synchronous_modes() {
    let mode = |value: Value| read(json!({"synchronous_mode": value, "synchronous_mode_strict": "on"})).0;
    assert_eq!(mode(json!("on")).policy(Tags::default()).synchronous, SyncMode::On { strict: true, node_count: 1 });
    assert_eq!(mode(json!("off")).policy(Tags::default()).synchronous, SyncMode::Off);
    let quorum = mode(json!("quorum")).policy(Tags::default()).synchronous;
    assert_eq!(quorum, SyncMode::Quorum { strict: true, node_count: 1 });
    let (two, notes) = read(json!({"synchronous_mode": "quorum", "synchronous_node_count": 2}));
    assert_eq!(two.policy(Tags::default()).synchronous, SyncMode::Quorum { strict: false, node_count: 2 });
    assert!(notes.is_empty(), "{notes:?}");
    for wrong in [json!(0), json!(101), json!(-1)] {
        let error = DynamicConfig::read(json!({"synchronous_node_count": wrong})).unwrap_err().to_string();
        assert!(error.starts_with("config: synchronous_node_count must be"), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_said() {
    let (_, notes) =
        read(json!({"failsafe_mode": true, "synchronous_mod": true, "pause": true, "postgresql": {"pg_ident": [], "foo": 1}}));
    assert_eq!(
        notes,
        [
            "pause: is not supported by this version of tanist: the cluster is not paused",
            "postgresql.foo: unknown key; nothing reads it",
            "postgresql.pg_ident: is not supported by this version of tanist: it has no effect",
            "failsafe_mode: is not supported by this version of tanist: \
             a primary that cannot reach the store is fenced when its lease ends",
            "synchronous_mod: unknown key; nothing reads it",
        ]
    );
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for (value, message) in [
        (json!([]), "config: must be a JSON object"),
        (json!({"ttl": 1}), "config: ttl must be 2 to 86400 seconds"),
        (json!({"ttl": "soon"}), "config: ttl must be a whole number, not negative"),
        (json!({"loop_wait": 0}), "config: loop_wait must be 1 to 86400 seconds"),
        (json!({"maximum_lag_on_failover": -1}), "config: maximum_lag_on_failover must be a number of bytes, not negative"),
        (json!({"synchronous_mode": "sometimes"}), "config: synchronous_mode must be on, off or quorum"),
        (json!({"postgresql": []}), "config: postgresql must be a JSON object"),
        (json!({"postgresql": {"use_slots": 7}}), "config: postgresql.use_slots must be true or false"),
        (json!({"postgresql": {"pg_hba": "all"}}), "config: postgresql.pg_hba must be a list of lines of pg_hba.conf"),
        (
            json!({"postgresql": {"parameters": {"a\nb": 1}}}),
            "config: postgresql.parameters.a\nb must be a parameter name (letters, digits, _ and .)",
        ),
        (
            json!({"postgresql": {"parameters": {"a": "x\ny"}}}),
            "config: postgresql.parameters.a must be a text of one line, a number, on or off",
        ),
        (
            json!({"postgresql": {"parameters": {"wal_keep_segments": "many"}}}),
            "config: postgresql.parameters.wal_keep_segments must be a number of WAL segments",
        ),
    ] {
        assert_eq!(refused(value), message);
    }
    assert!(DynamicConfig::decode(b"{").is_err());
}
