//! `tanist restart` and `tanist reload`: asks the members' agents, one after the other.

use super::{
    Failure, http,
    remote::{self, Remote},
};
use crate::rest::restart::NOT_SATISFIED;
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tanist_engine::{Member, Role};

/// A restart ends with a checkpoint and begins with a recovery.
const PATIENCE: Duration = Duration::from_secs(330);

/// Arguments of `tanist restart`.
#[derive(Args)]
pub struct Restart {
    #[command(flatten)]
    remote: remote::Arguments,
    /// Which members; without any, all, one after the other
    #[arg(value_name = "MEMBER")]
    members: Vec<String>,
    /// Only those where a setting waits for a restart
    #[arg(long)]
    pending: bool,
    /// Only those of this role
    #[arg(long, value_parser = ["primary", "replica"])]
    role: Option<String>,
}

/// Arguments of `tanist reload`.
#[derive(Args)]
pub struct Reload {
    #[command(flatten)]
    remote: remote::Arguments,
    /// Which members; without any, all
    #[arg(value_name = "MEMBER")]
    members: Vec<String>,
}

/// Restarts PostgreSQL on the members.
pub fn restart(arguments: &Restart) -> Result<(), Failure> {
    let remote = Remote::read(&arguments.remote)?;
    let mut members = chosen(&remote, &arguments.members)?;
    if arguments.pending {
        members.retain(|member| !remote.waits_for_restart(&member.name).is_empty());
    }
    // A standby needs as much as its primary has: what is raised is raised there first, what is lowered is lowered there last.
    let lowered = members.iter().any(|member| remote.waits_for_restart(&member.name).lowers());
    members.sort_by_key(|member| (member.role == Role::Primary) != lowered);
    let mut body = json!({"restart_pending": arguments.pending});
    if let Some(role) = &arguments.role {
        body["role"] = Value::from(role.as_str());
    }
    ask(&remote, &members, "restart", &body.to_string())
}

/// Lets the members' agents read their files again.
pub fn reload(arguments: &Reload) -> Result<(), Failure> {
    let remote = Remote::read(&arguments.remote)?;
    let members = chosen(&remote, &arguments.members)?;
    ask(&remote, &members, "reload", "{}")
}

/// The named members, or all.
fn chosen<'a>(remote: &'a Remote, names: &[String]) -> Result<Vec<&'a Member>, Failure> {
    let members = &remote.view.members;
    if let Some(unknown) = names.iter().find(|name| !members.iter().any(|member| member.name.0 == **name)) {
        return Err(Failure::failed(format!("{unknown} is no member of {}", remote.settings.scope)));
    }
    Ok(members.iter().filter(|member| names.is_empty() || names.iter().any(|name| member.name.0 == **name)).collect())
}

fn ask(remote: &Remote, members: &[&Member], what: &str, body: &str) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for member in members {
        let answer = match &member.api_url {
            None => Err("has not told where its REST API is".to_owned()),
            Some(url) => {
                let url = format!("{}/{what}", url.trim_end_matches("/patroni"));
                let credentials = remote.settings.rest_credentials.as_ref();
                http::request_within(PATIENCE, Method::POST, &url, credentials, body.to_owned())
                    .map_err(|error| error.to_string())
            }
        };
        match answer {
            // What its key says may be a moment old.
            Ok((503, text)) if what == "restart" && text == NOT_SATISFIED => println!("{}: {text}", member.name),
            Ok((200 | 202, text)) => println!("{}: {text}", member.name),
            Ok((code, text)) => failed.push(format!("{}: {text} ({code})", member.name)),
            Err(error) => failed.push(format!("{}: {error}", member.name)),
        }
    }
    if members.is_empty() {
        println!("no member to {what}");
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::failed(failed.join("\ntanist: "))) }
}
