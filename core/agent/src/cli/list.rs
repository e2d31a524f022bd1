//! `tanist list`: the members of the cluster, as the store shows them.

use super::{
    Failure,
    remote::{Arguments, Format, Remote},
    table,
};
use serde_json::{Value, json};
use tanist_engine::{Member, MemberName, MemberState, Role};
use tanist_patroni::{dcs::LeaderKey, state_word};

/// Prints the members.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(arguments)?;
    let leader = remote.snapshot.get(&remote.keys.leader()).and_then(|key| LeaderKey::decode(&key.kv.value).ok());
    let rows: Vec<Row> =
        remote.view.members.iter().map(|member| Row::of(member, &remote, leader.as_ref().map(|key| &key.name))).collect();
    println!("{}", print(&remote, &rows, arguments.format));
    Ok(())
}

/// One member.
struct Row {
    member: String,
    host: String,
    role: &'static str,
    state: String,
    timeline: Option<u32>,
    lag: Option<u64>,
}

impl Row {
    fn of(member: &Member, remote: &Remote, leader: Option<&MemberName>) -> Self {
        let view = &remote.view;
        let leads = leader == Some(&member.name);
        let role = match member.role {
            _ if leads => "Leader",
            _ if view.sync.as_ref().is_some_and(|sync| sync.standbys.contains(&member.name)) => "Sync Standby",
            Role::Demoted => "Demoted",
            Role::Primary | Role::Replica | Role::Uninitialized => "Replica",
        };
        let lag = match (view.optime, member.lsn) {
            (Some(end), Some(lsn)) if !leads => Some(end.0.saturating_sub(lsn.0)),
            _ => None,
        };
        let endpoint = member.postgres.as_ref();
        Self {
            member: member.name.0.clone(),
            host: endpoint.map_or_else(String::new, |endpoint| format!("{}:{}", endpoint.host, endpoint.port)),
            role,
            // As patronictl shows it; the member key has `running` for both.
            state: if member.state == MemberState::Streaming && !leads { "streaming" } else { state_word(member.state) }
                .to_owned(),
            timeline: member.timeline.map(|timeline| timeline.0),
            lag,
        }
    }

    fn json(&self) -> Value {
        let Self { member, host, role, state, timeline, lag } = self;
        json!({"Member": member, "Host": host, "Role": role, "State": state, "TL": timeline, "Lag in bytes": lag})
    }

    fn cells(&self) -> Vec<String> {
        let Self { member, host, role, state, timeline, lag } = self;
        let number = |value: Option<String>| value.unwrap_or_default();
        vec![
            member.clone(),
            host.clone(),
            (*role).to_owned(),
            state.clone(),
            number(timeline.map(|timeline| timeline.to_string())),
            number(lag.map(|lag| lag.to_string())),
        ]
    }
}

const HEAD: [&str; 6] = ["Member", "Host", "Role", "State", "TL", "Lag in bytes"];

fn print(remote: &Remote, rows: &[Row], format: Format) -> String {
    let objects: Vec<Value> = rows.iter().map(Row::json).collect();
    let cells = std::iter::once(HEAD.map(str::to_owned).to_vec()).chain(rows.iter().map(Row::cells)).collect::<Vec<_>>();
    match format {
        Format::Json => Value::Array(objects).to_string(),
        Format::Yaml => serde_norway::to_string(&objects).unwrap_or_default().trim_end().to_owned(),
        Format::Tsv => cells.iter().map(|row| row.join("\t")).collect::<Vec<_>>().join("\n"),
        Format::Pretty => {
            let id = remote.view.initialize.clone().unwrap_or_default();
            let table = table::draw(&format!("Cluster: {} ({id})", remote.settings.scope), &cells);
            match &remote.view.switchover {
                Some(_) => format!("{table}\n a switchover is under way"),
                None => table,
            }
        }
    }
}
