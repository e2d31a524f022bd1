//! What the demo does to its cluster, and what must follow: another primary, both names on it, callbacks delivered, nothing lost.

use super::{
    report::Report,
    stage::Stage,
    watch::{NODES, Whole},
    writer,
};
use crate::cli::Failure;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Another node is primary and both names have followed by then.
const FOLLOW: Duration = Duration::from_secs(45);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The primary's postmaster is killed. In synchronous mode the standby takes over.
    Postmaster,
    /// Every process of the primary's node is killed in one instant; the node is started again afterwards.
    Node,
    /// The primary is asked to hand over.
    Switchover,
}

impl Fault {
    /// What is done, for people.
    pub fn title(self, whole: Whole) -> String {
        let Whole { primary, standby, .. } = whole;
        match self {
            Self::Postmaster => format!("kill -9 of the postmaster of the primary, n{primary}"),
            Self::Node => format!("kill -9 of the whole node n{primary}: guard, agent and PostgreSQL at once"),
            Self::Switchover => format!("switchover from n{primary} to n{standby}: POST /switchover"),
        }
    }
}

/// Waits for a whole cluster, commits the fault, waits for what must follow, and counts.
pub async fn commit(stage: &Stage, fault: Fault) -> Result<Report, Failure> {
    let before = stage.whole().await?;
    let delivered = deliveries(stage).await;
    stage.screen.say(&fault.title(before));
    let begun = Instant::now();
    strike(stage, fault, before).await?;

    let after = stage
        .until("another node is primary", FOLLOW, || match stage.seen.borrow().primary()? {
            (primary, epoch) if primary != before.primary && epoch > before.epoch => Ok((primary, epoch)),
            (primary, epoch) => Err(format!("n{primary} is primary at epoch {epoch}")),
        })
        .await?;
    let address = IpAddr::V4(stage.place.address(after.0));
    let (own, bind) = stage
        .until("both names follow", FOLLOW, || match (stage.own.followed(begun, address), stage.bind.followed(begun, address)) {
            (Some(own), Some(bind)) => Ok((own, bind)),
            _ => Err(format!("the primary is {address}, our own name {:?}, in BIND {:?}", stage.own.now(), stage.bind.now())),
        })
        .await?;
    stage.screen.say(&format!("n{} is primary at epoch {}, and both names are there", after.0, after.1));
    if fault == Fault::Node {
        stage.start_node(before.primary)?;
        stage.screen.say(&format!("n{} is started again", before.primary));
    }
    let healed = stage.whole().await?;
    if healed.primary != after.0 {
        return Err(Failure::failed(format!("n{} was primary, and now it is n{}", after.0, healed.primary)));
    }
    stage.screen.say("the cluster is whole again");

    let callbacks = told(stage, &delivered, after).await?;
    let acknowledged = stage.writer.acknowledged();
    let found =
        writer::found(&stage.access).await.map_err(|error| Failure::failed(format!("the rows cannot be counted: {error}")))?;
    Ok(Report {
        title: fault.title(before),
        gap: stage.writer.gap_after(begun).unwrap_or(Duration::MAX),
        own,
        bind,
        callbacks,
        acknowledged: acknowledged.len(),
        found: found.len(),
        missing: acknowledged.difference(&found).copied().collect(),
    })
}

async fn strike(stage: &Stage, fault: Fault, before: Whole) -> Result<(), Failure> {
    match fault {
        Fault::Postmaster => stage.reaper.kill(&[stage.postmaster(before.primary)?]),
        Fault::Node => {
            let victims = stage.everything(before.primary)?;
            stage.reaper.kill(&victims);
            stage
                .until("the killed processes are gone", Duration::from_secs(10), || {
                    let left = victims.iter().filter(|process| process.is_alive()).count();
                    if left == 0 { Ok(()) } else { Err(format!("{left} are there")) }
                })
                .await?;
        }
        Fault::Switchover => {
            let body = json!({"leader": format!("n{}", before.primary), "candidate": format!("n{}", before.standby)});
            let answer = stage.http.post(stage.place.rest(before.primary), "/switchover", body.to_string(), FOLLOW).await;
            match answer {
                Ok((200 | 202, text)) => stage.screen.say(&format!("n{} answers: {text}", before.primary)),
                Ok((code, text)) => return Err(Failure::failed(format!("the switchover was refused: {code} {text}"))),
                Err(error) => return Err(Failure::failed(format!("the switchover was not answered: {error}"))),
            }
        }
    }
    Ok(())
}

/// A callback that a plugin has taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    epoch: u64,
    sequence: u64,
    plugin: String,
    what: String,
}

/// The newest callback that each plugin of each node has taken. Calls that are no callbacks (`reconcile`) do not count.
async fn deliveries(stage: &Stage) -> BTreeSet<(u8, Taken)> {
    let mut taken = BTreeSet::new();
    for number in NODES {
        let answer = stage.http.get(stage.place.rest(number), "/plugins").await.unwrap_or_default();
        taken.extend(newest(&answer).into_iter().map(|callback| (number, callback)));
    }
    taken
}

fn newest(answer: &Value) -> Vec<Taken> {
    let plugins = answer["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    // What waits or runs is not delivered yet.
    let idle = |plugin: &&Value| plugin["running"] == false && plugin["pending"].as_array().is_some_and(Vec::is_empty);
    let callback = |plugin: &Value| {
        let event = &plugin["last_event"];
        let plugin = plugin["name"].as_str()?.to_owned();
        let what = format!("{} {}", event["action"].as_str()?, event["role"].as_str()?);
        Some(Taken { epoch: event["epoch"].as_u64()?, sequence: event["sequence"].as_u64()?, plugin, what })
    };
    plugins.iter().filter(idle).filter_map(callback).collect()
}

/// Waits until the new primary's plugin has taken the callback of its epoch; every callback that was taken since `before`, in words.
async fn told(stage: &Stage, before: &BTreeSet<(u8, Taken)>, (primary, epoch): (u8, u64)) -> Result<Vec<String>, Failure> {
    let begun = Instant::now();
    loop {
        stage.reaper.check()?;
        let now = deliveries(stage).await;
        let new: Vec<&(u8, Taken)> = now.difference(before).collect();
        if new.iter().any(|(number, taken)| *number == primary && taken.epoch >= epoch) {
            let words = |(number, Taken { epoch, plugin, what, .. }): &&(u8, Taken)| {
                format!("{plugin} at n{number}: {what}, epoch {epoch}")
            };
            return Ok(new.iter().map(words).collect());
        }
        if begun.elapsed() > FOLLOW {
            return Err(Failure::failed(format!("no callback of epoch {epoch} was delivered at n{primary}: {now:?}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_callbacks_that_are_over_count() {
        let plugin = |running: bool, event: Value| json!({"name": "a", "running": running, "pending": [], "last_event": event});
        let event = json!({"action": "on_role_change", "role": "primary", "epoch": 3, "sequence": 9});
        let answer = json!({"plugins": [plugin(true, event.clone()), plugin(false, event), plugin(false, Value::Null)]});
        let taken = Taken { epoch: 3, sequence: 9, plugin: "a".into(), what: "on_role_change primary".into() };
        assert_eq!(newest(&answer), [taken]);
        assert_eq!(newest(&Value::Null), []);
    }
}
