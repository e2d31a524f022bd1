//! `tanist plugin list`: the plugins of every member, as their agents show them.

use super::{
    Failure, http,
    remote::{self, Format, Remote},
    table,
};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use std::{thread, time::Duration};

/// An agent answers at once, or is not there.
const LIMIT: Duration = Duration::from_secs(3);
/// Characters of a digest that tell components apart.
const DIGEST: usize = 12;

/// Arguments of `tanist plugin list`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    remote: remote::Arguments,
    /// Only this member
    #[arg(long, value_name = "MEMBER")]
    node: Option<String>,
}

/// Prints the plugins.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(&arguments.remote)?;
    let members = remote.view.members.iter().filter(|member| arguments.node.as_ref().is_none_or(|node| *node == member.name.0));
    let asked: Vec<(String, thread::JoinHandle<Result<Value, Failure>>)> = members
        .map(|member| {
            let url = member.api_url.as_ref().map(|url| format!("{}/plugins", url.trim_end_matches("/patroni")));
            (member.name.to_string(), thread::spawn(move || ask(url)))
        })
        .collect();
    if asked.is_empty() {
        return Err(Failure::failed("there is no such member"));
    }
    let (mut rows, mut silent) = (Vec::new(), 0);
    for (member, answer) in asked {
        match answer.join().unwrap_or_else(|_| Err(Failure::failed("the request was given up"))) {
            Ok(body) => rows.extend(body["plugins"].as_array().into_iter().flatten().map(|plugin| Row::of(&member, plugin))),
            Err(failure) => {
                silent += 1;
                eprintln!("tanist: {member}: {failure}");
            }
        }
    }
    println!("{}", print(&remote.settings.scope, &rows, arguments.remote.format));
    if silent > 0 { Err(Failure::failed(format!("{silent} of the members did not answer"))) } else { Ok(()) }
}

fn ask(url: Option<String>) -> Result<Value, Failure> {
    let Some(url) = url else { return Err(Failure::failed("it has not told its REST address")) };
    match http::request_within(LIMIT, Method::GET, &url, None, String::new())? {
        (200, body) => serde_json::from_str(&body).map_err(|error| Failure::failed(format!("{url}: {error}"))),
        (code, _) => Err(Failure::failed(format!("{url} answered {code}"))),
    }
}

/// One plugin of one member.
struct Row {
    cells: [String; COLUMNS],
    /// What it said when it failed, or why it cannot be called.
    trouble: Option<String>,
}

const COLUMNS: usize = 11;
const HEAD: [&str; COLUMNS] =
    ["Member", "Plugin", "Version", "State", "Digest", "Granted", "Queue", "Last event", "Outcome", "Breaker", "Journal"];

impl Row {
    fn of(member: &str, plugin: &Value) -> Self {
        let text = |name: &str| plugin[name].as_str().unwrap_or_default().to_owned();
        let words = |name: &str| -> Vec<String> {
            plugin[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let state = match (text("load").as_str(), plugin["active"].as_bool()) {
            ("loaded", Some(false)) => "standby".to_owned(),
            ("loaded", _) if plugin["running"] == true => "running".to_owned(),
            (load, _) => load.to_owned(),
        };
        let event = &plugin["last_event"];
        let last = match event["action"].as_str() {
            Some(action) => format!("{action} {} {}", event["role"].as_str().unwrap_or_default(), event["epoch"]),
            None => String::new(),
        };
        let fine = plugin["last_outcome"] == "ok" || plugin["last_outcome"].is_null();
        let said = Some(text("last_words")).filter(|words| !fine && !words.is_empty());
        let broken = [text("problem"), text("journal_problem")].into_iter().find(|problem| !problem.is_empty());
        Self {
            cells: [
                member.to_owned(),
                text("name"),
                text("version"),
                state,
                text("digest").chars().take(DIGEST).collect(),
                words("granted").join(","),
                words("pending").join(","),
                last,
                text("last_outcome"),
                text("breaker"),
                text("journal"),
            ],
            trouble: broken.or(said),
        }
    }
}

fn print(scope: &str, rows: &[Row], format: Format) -> String {
    let title = format!("Plugins of cluster: {scope}");
    if format == Format::Pretty {
        let cells: Vec<Vec<Value>> = rows.iter().map(|row| row.cells.iter().map(|cell| json!(cell)).collect()).collect();
        let trouble = rows.iter().filter_map(|row| {
            // Said by a plugin: it shall not draw on the terminal.
            let text = row.trouble.as_ref()?.escape_debug().to_string();
            Some(format!("\n {} on {}: {text}", row.cells[1], row.cells[0]))
        });
        return table::print(&title, &HEAD, &cells, format) + &trouble.collect::<String>();
    }
    let head: Vec<&str> = HEAD.into_iter().chain(["Trouble"]).collect();
    let trouble = |row: &Row| row.trouble.as_ref().map_or(Value::Null, |text| json!(text.escape_debug().to_string()));
    let cells: Vec<Vec<Value>> =
        rows.iter().map(|row| row.cells.iter().map(|cell| json!(cell)).chain([trouble(row)]).collect()).collect();
    table::print(&title, &head, &cells, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> Value {
        json!({
            "name": "notify", "version": "0.1.0", "load": "loaded", "digest": "ab".repeat(32), "problem": null,
            "granted": ["log", "config", "http"], "active": true, "running": false, "pending": ["on_role_change"],
            "last_event": {"action": "on_role_change", "role": "primary", "epoch": 7, "sequence": 3},
            "last_outcome": "transient", "last_words": "https://hooks answers 503:\nlater",
            "breaker": "open", "journal": "current", "journal_problem": null,
        })
    }

    #[test]
    fn a_row_has_what_there_is_to_know_and_trouble_stands_below() {
        let row = Row::of("n1", &plugin());
        let expected = [
            "n1",
            "notify",
            "0.1.0",
            "loaded",
            "abababababab",
            "log,config,http",
            "on_role_change",
            "on_role_change primary 7",
            "transient",
            "open",
            "current",
        ];
        assert_eq!(row.cells, expected);
        let text = print("main", &[row], Format::Pretty);
        assert!(text.ends_with("\n notify on n1: https://hooks answers 503:\\nlater"), "{text}");
        assert_eq!(text.lines().count(), 6);
    }

    #[test]
    fn a_plugin_that_waits_for_leadership_stands_by_and_success_is_no_trouble() {
        let mut value = plugin();
        value["active"] = json!(false);
        value["last_outcome"] = json!("ok");
        let row = Row::of("n1", &value);
        assert_eq!((row.cells[3].as_str(), row.trouble.as_deref()), ("standby", None));
        value["problem"] = json!("cannot be read");
        assert_eq!(Row::of("n1", &value).trouble.as_deref(), Some("cannot be read"));
        let shown = print("main", &[row], Format::Json);
        assert!(shown.contains("\"Plugin\":\"notify\"") && shown.contains("\"Trouble\":null"), "{shown}");
    }
}
