//! `tanist explain`: why this cluster did what it did, from the flight recorders of its members.

use super::{
    Failure, http,
    remote::{self, Format, Remote},
};
use crate::run::{Line, wall};
use clap::Args;
use hyper::Method;

/// Arguments of `tanist explain`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    remote: remote::Arguments,
    /// Only this member; without it all, merged by time
    #[arg(long, value_name = "MEMBER")]
    node: Option<String>,
    /// Only the last lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
}

/// Prints the story.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(&arguments.remote)?;
    let members = remote.view.members.iter().filter(|member| arguments.node.as_ref().is_none_or(|node| *node == member.name.0));
    let mut lines: Vec<Line> = Vec::new();
    let mut asked = 0;
    for member in members {
        asked += 1;
        let Some(url) = &member.api_url else { continue };
        let url = format!("{}/explain", url.trim_end_matches("/patroni"));
        match http::request(Method::GET, &url, None, String::new()) {
            Ok((200, body)) => match serde_json::from_str::<Vec<Line>>(&body) {
                Ok(told) => lines.extend(told),
                Err(error) => eprintln!("tanist: {}: {error}", member.name),
            },
            Ok((code, _)) => eprintln!("tanist: {}: {url} answered {code}", member.name),
            Err(failure) => eprintln!("tanist: {}: {failure}", member.name),
        }
    }
    if asked == 0 {
        return Err(Failure::failed("there is no such member"));
    }
    lines.sort_by_key(|line| line.wall_ms);
    let from = lines.len().saturating_sub(arguments.last);
    let shown = lines.get(from..).unwrap_or_default();
    match arguments.remote.format {
        Format::Json => println!("{}", serde_json::to_string(shown).map_err(Failure::failed)?),
        Format::Yaml => print!("{}", serde_norway::to_string(shown).map_err(Failure::failed)?),
        Format::Pretty | Format::Tsv => shown.iter().for_each(|line| println!("{}", text(line))),
    }
    Ok(())
}

fn text(line: &Line) -> String {
    let time = wall::iso(line.wall_ms);
    let time = time.get(11..23).unwrap_or_default();
    let actions: Vec<&str> = line.actions.iter().map(|action| action.split([' ', '(', '{']).next().unwrap_or_default()).collect();
    let effects = if actions.is_empty() { String::new() } else { format!("  [{}]", actions.join(", ")) };
    let rejected = line.violation.as_ref().map_or_else(String::new, |violation| format!("  REJECTED: {violation}"));
    format!("{time}  {}  {}{effects}{rejected}", line.node, line.reason)
}
