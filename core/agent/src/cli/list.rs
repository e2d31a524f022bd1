//! `tanist list` and `tanist topology`: the members of the cluster, as the store shows them.

use super::{
    Failure, http,
    remote::{Arguments, Format, Remote},
    table,
};
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tanist_engine::{Member, MemberName, MemberState, Role};
use tanist_patroni::{RestartReason, dcs::LeaderKey, state_word};

/// An agent that takes longer to say how it is says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints the members, by name, and what does not work.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(arguments)?;
    println!("{}", print(&remote, &rows(&remote), arguments.format));
    if arguments.format == Format::Pretty {
        troubles(&remote.view.members).iter().for_each(|line| println!(" {line}"));
    }
    Ok(())
}

/// Prints the leader and, below it, who streams from it. Without a leader there is no topology.
pub fn topology(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(arguments)?;
    let (mut leader, mut others): (Vec<Row>, Vec<Row>) = rows(&remote).into_iter().partition(|row| row.role == LEADER);
    for row in &mut others {
        row.member.insert_str(0, "+ ");
    }
    if leader.is_empty() {
        return Err(Failure::failed("the cluster has no leader now"));
    }
    leader.append(&mut others);
    println!("{}", print(&remote, &leader, arguments.format));
    Ok(())
}

fn rows(remote: &Remote) -> Vec<Row> {
    let leader = remote.snapshot.get(&remote.keys.leader()).and_then(|key| LeaderKey::decode(&key.kv.value).ok());
    remote.view.members.iter().map(|member| Row::of(member, remote, leader.as_ref().map(|key| &key.name))).collect()
}

const LEADER: &str = "Leader";

/// One member.
struct Row {
    member: String,
    host: String,
    role: &'static str,
    state: String,
    timeline: Option<u32>,
    lag: Option<u64>,
    waits: RestartReason,
}

impl Row {
    fn of(member: &Member, remote: &Remote, leader: Option<&MemberName>) -> Self {
        let view = &remote.view;
        let leads = leader == Some(&member.name);
        let role = match member.role {
            _ if leads => LEADER,
            _ if view.sync.as_ref().is_some_and(|sync| sync.standbys.contains(&member.name)) => remote.standby_role(),
            Role::Demoted => "Demoted",
            Role::Primary | Role::Replica | Role::Uninitialized => "Replica",
        };
        let lag = match (view.optime, member.lsn) {
            (Some(end), Some(lsn)) if !leads => Some(end.0.saturating_sub(lsn.0)),
            _ => None,
        };
        let endpoint = member.postgres.as_ref();
        Self {
            member: member.name.to_string(),
            host: endpoint.map_or_else(String::new, |endpoint| format!("{}:{}", endpoint.host, endpoint.port)),
            role,
            // As patronictl shows it; the member key has `running` for both.
            state: if member.state == MemberState::Streaming && !leads { "streaming" } else { state_word(member.state) }
                .to_owned(),
            timeline: member.timeline.map(|timeline| timeline.0),
            lag,
            waits: remote.waits_for_restart(&member.name),
        }
    }

    fn cells(&self, with_waits: bool) -> Vec<Value> {
        let Self { member, host, role, state, timeline, lag, waits } = self;
        let mut cells = vec![json!(member), json!(host), json!(role), json!(state), json!(timeline), json!(lag)];
        if with_waits {
            cells.push(json!(if waits.is_empty() { "" } else { "*" }));
            cells.push(json!(waits.to_string()));
        }
        cells
    }
}

/// The last two as in Patroni: only where a member waits for a restart.
const HEAD: [&str; 8] = ["Member", "Host", "Role", "State", "TL", "Lag in bytes", "Pending restart", "Pending restart reason"];

fn print(remote: &Remote, rows: &[Row], format: Format) -> String {
    let id = remote.view.initialize.clone().unwrap_or_default();
    let title = format!("Cluster: {} ({id})", remote.settings.scope);
    let with_waits = rows.iter().any(|row| !row.waits.is_empty());
    let cells: Vec<Vec<Value>> = rows.iter().map(|row| row.cells(with_waits)).collect();
    let head = if with_waits { &HEAD[..] } else { &HEAD[..6] };
    let table = table::print(&title, head, &cells, format);
    if format != Format::Pretty {
        return table;
    }
    let mut lines = vec![table];
    if remote.view.switchover.is_some() {
        lines.push(" a switchover is under way".to_owned());
    }
    if remote.view.fence_is_partial() {
        lines.push(" fence: partial: a Patroni is in /sync, whose guarantee is Patroni's".to_owned());
    }
    lines.join("\n")
}

/// What the members' agents say does not work (the store, the configuration), and who leads or waits without the store. An agent that
/// does not answer says nothing.
fn troubles(members: &[Member]) -> Vec<String> {
    let ask = |member: &Member| {
        let url = member.api_url.as_ref()?;
        let (_, body) = http::request_within(PATIENCE, Method::GET, url, None, String::new()).ok()?;
        let said: Value = serde_json::from_str(&body).ok()?;
        let text = |key: &str| said["tanist"][key].as_str().map(|text| text.chars().take(600).collect::<String>());
        let since = text("store_error_since").map_or_else(String::new, |since| format!(" (since {since})"));
        let store = text("store_error").map(|error| format!("{error}{since}"));
        let config = said["tanist"]["complaints"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let config = config.take(20).map(|line| line.chars().take(600).collect());
        let failsafe = said["failsafe_mode_is_active"].as_bool().unwrap_or(false);
        let reason = text("reason").filter(|_| failsafe);
        let lines = store.into_iter().chain(config).chain(reason);
        Some(lines.map(|line| format!("{}: {line}", member.name)).collect::<Vec<String>>())
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = members.iter().map(|member| scope.spawn(move || ask(member))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok().flatten()).flatten().collect()
    })
}
