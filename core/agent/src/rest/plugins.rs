//! `/plugins`: every plugin, what it may do, what it was last told, how that ended, and what it has done to the world.

use super::Api;
use serde_json::{Value, json};
use tanist_broker::{Certainty, JournalState, LedgerEntry, LoadState, PluginStatus, protocol::Outcome};
use tanist_patroni::rest_text;

/// The body.
pub(super) fn body(api: &Api) -> String {
    let Some(status) = api.tools.plugins.status() else {
        return rest_text(&json!({"plugins": [], "host": null, "ledger": [], "ledger_problem": null}));
    };
    let plugins: Vec<Value> = status.plugins.iter().map(plugin).collect();
    let host = json!({"pid": status.host.pid, "restarts": status.host.restarts, "last_loss": status.host.last_loss});
    let ledger: Vec<Value> = status.ledger.iter().map(effect).collect();
    rest_text(&json!({"plugins": plugins, "host": host, "ledger": ledger, "ledger_problem": status.ledger_problem}))
}

fn plugin(status: &PluginStatus) -> Value {
    let (load, digest, problem) = match &status.load {
        LoadState::Waiting => ("waiting", None, None),
        LoadState::Loaded { digest, exports: _ } => ("loaded", Some(digest.to_string()), None),
        LoadState::Failed(why) => ("failed", None, Some(why.clone())),
    };
    let (journal, journal_problem) = match &status.journal {
        JournalState::Current => ("current", None),
        JournalState::Behind => ("behind", None),
        JournalState::Problem(why) => ("problem", Some(why.clone())),
    };
    let event = status.last_event.as_ref();
    json!({
        "name": status.plugin.0,
        "version": status.version,
        "load": load,
        "digest": digest,
        "problem": problem,
        "granted": status.granted.iter().map(|import| import.name()).collect::<Vec<_>>(),
        "active": status.active,
        "last_event": event.map(|event| json!({
            "action": event.action.to_string(),
            "role": event.role.to_string(),
            "epoch": event.epoch,
            "sequence": event.sequence,
        })),
        "last_outcome": status.last_outcome.as_ref().map(Outcome::word),
        "last_words": status.last_words,
        "last_duration_ms": status.last_duration.map(|span| span.as_secs_f64() * 1_000.0),
        "retries": status.retries,
        "delivered": status.delivered,
        "failed": status.failed,
        "breaker": status.breaker.name(),
        "pending": status.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "running": status.running,
        "journal": journal,
        "journal_problem": journal_problem,
    })
}

fn effect(entry: &LedgerEntry) -> Value {
    let LedgerEntry { plugin, capability, key, value, epoch, certainty } = entry;
    let certainty = match certainty {
        Certainty::Applied => "applied",
        Certainty::Unknown => "unknown",
    };
    json!({"plugin": plugin.0, "capability": capability, "key": key, "value": value, "epoch": epoch, "certainty": certainty})
}
