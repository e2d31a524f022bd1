//! `/plugins`: every plugin, what it was last told, how that ended, and what it has done to the world.

use super::Api;
use serde_json::{Value, json};
use tanist_broker::{LoadState, PluginStatus};
use tanist_patroni::rest_text;

/// The body.
pub(super) fn body(api: &Api) -> String {
    let Some(status) = api.tools.plugins.status() else {
        return rest_text(&json!({"plugins": [], "host": null, "ledger": []}));
    };
    let plugins: Vec<Value> = status.plugins.iter().map(plugin).collect();
    let host = json!({"pid": status.host.pid, "restarts": status.host.restarts, "last_loss": status.host.last_loss});
    let ledger: Vec<String> = status.ledger.iter().map(|entry| format!("{entry:?}")).collect();
    rest_text(&json!({"plugins": plugins, "host": host, "ledger": ledger}))
}

fn plugin(status: &PluginStatus) -> Value {
    let (load, problem) = match &status.load {
        LoadState::Waiting => ("waiting", None),
        LoadState::Loaded { .. } => ("loaded", None),
        LoadState::Failed(why) => ("failed", Some(why.clone())),
    };
    let event = status.last_event.as_ref();
    json!({
        "name": status.plugin.0,
        "load": load,
        "problem": problem,
        "active": status.active,
        "last_event": event.map(|event| json!({
            "action": event.action.to_string(),
            "role": event.role.to_string(),
            "epoch": event.epoch,
            "sequence": event.sequence,
        })),
        "last_outcome": status.last_outcome.as_ref().map(|outcome| format!("{outcome:?}")),
        "last_duration_ms": status.last_duration.map(|span| span.as_secs_f64() * 1_000.0),
        "retries": status.retries,
        "delivered": status.delivered,
        "failed": status.failed,
        "breaker_open": status.breaker_open,
        "pending": status.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "running": status.running,
        "journal": status.journal,
    })
}
