//! Patroni's dynamic options that have no effect here yet, and what happens instead. Whoever makes one work removes its line.

use super::DynamicNote;
use crate::fields::Fields;

type Options = [(&'static str, &'static str)];

const NO_EFFECT: &str = "it has no effect";

/// At the top.
pub(super) const TOP: [(&str, &str); 8] = [
    ("standby_cluster", "this cluster has a primary of its own"),
    ("check_timeline", "a standby of another history is never promoted, whatever this says"),
    ("max_timelines_history", "the whole history is kept"),
    ("maximum_lag_on_syncnode", "a synchronous standby is never given up for its lag"),
    ("primary_race_backoff", NO_EFFECT),
    ("nostream", NO_EFFECT),
    ("mpp", NO_EFFECT),
    ("site", NO_EFFECT),
];

/// In `postgresql`.
pub(super) const POSTGRESQL: [(&str, &str); 10] = [
    ("recovery_conf", NO_EFFECT),
    ("custom_conf", NO_EFFECT),
    ("callbacks", "scripts are configured in each node's own file"),
    ("create_replica_methods", "replicas are made by pg_basebackup"),
    ("create_replica_method", "replicas are made by pg_basebackup"),
    ("basebackup", "pg_basebackup runs with its defaults"),
    ("pg_ctl_timeout", NO_EFFECT),
    ("use_unix_socket", "it is configured in each node's own file"),
    ("use_unix_socket_repl", NO_EFFECT),
    ("before_stop", NO_EFFECT),
];

/// Reports every option that nobody has taken.
pub(super) fn report_rest(fields: Fields, prefix: &str, known: &Options, notes: &mut Vec<DynamicNote>) {
    for name in fields.rest() {
        let option = format!("{prefix}{name}");
        notes.push(match known.iter().find(|(known, _)| *known == name) {
            Some((_, instead)) => DynamicNote::Unsupported { option, instead },
            None => DynamicNote::Unknown { option },
        });
    }
}
