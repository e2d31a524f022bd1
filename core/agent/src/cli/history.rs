//! `tanist history`: the timelines that have ended, and who opened the next.

use super::{
    Failure,
    remote::{Arguments, Remote},
    table,
};
use serde_json::{Value, json};
use tanist_patroni::dcs::{HistoryKey, HistoryLine};

const HEAD: [&str; 5] = ["TL", "LSN", "Reason", "Timestamp", "New Leader"];

/// Prints the history.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(arguments)?;
    let history = match remote.snapshot.get(&remote.keys.history()) {
        None => HistoryKey::default(),
        Some(key) => HistoryKey::decode(&key.kv.value).map_err(|error| Failure::failed(format!("/history: {error}")))?,
    };
    let rows: Vec<Vec<Value>> = history.lines.iter().map(cells).collect();
    println!("{}", table::print("", &HEAD, &rows, arguments.format));
    Ok(())
}

fn cells(line: &HistoryLine) -> Vec<Value> {
    let HistoryLine { timeline, lsn, reason, at, leader } = line;
    vec![json!(timeline.0), json!(lsn.0), json!(reason), json!(at), json!(leader)]
}
