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
    collections::BTreeMap,
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
    let mut delivered = deliveries(stage).await;
    stage.screen.say(&fault.title(before));
    let begun = Instant::now();
    strike(stage, fault, before).await?;
    if fault == Fault::Node {
        // Its counters begin anew.
        delivered.remove(&before.primary);
    }

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
    let found = writer::found(&stage.access).await.map_err(|error| Failure::failed(format!("the rows cannot be counted: {error}")))?;
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

/// How many events each node's plugins have taken, and the newest epoch among them.
async fn deliveries(stage: &Stage) -> BTreeMap<u8, (u64, u64)> {
    let mut counts = BTreeMap::new();
    for number in NODES {
        if let Some(answer) = stage.http.get(stage.place.rest(number), "/plugins").await {
            counts.insert(number, count(&answer));
        }
    }
    counts
}

fn count(answer: &Value) -> (u64, u64) {
    let plugins = answer["plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let delivered = plugins.iter().filter_map(|plugin| plugin["delivered"].as_u64()).sum();
    let newest = plugins.iter().filter_map(|plugin| plugin["last_event"]["epoch"].as_u64()).max();
    (delivered, newest.unwrap_or(0))
}

/// Waits until the new primary's plugin has taken the event of its epoch; how many events were taken since `before`.
async fn told(stage: &Stage, before: &BTreeMap<u8, (u64, u64)>, (primary, epoch): (u8, u64)) -> Result<u64, Failure> {
    let begun = Instant::now();
    loop {
        stage.reaper.check()?;
        let now = deliveries(stage).await;
        let newest = now.get(&primary).copied().unwrap_or_default();
        let since = |number: &u8| before.get(number).map_or(0, |(count, _)| *count);
        if newest.1 >= epoch && newest.0 > since(&primary) {
            return Ok(now.iter().map(|(number, (count, _))| count.saturating_sub(since(number))).sum());
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
    fn deliveries_are_summed_over_plugins() {
        let answer = json!({"plugins": [
            {"name": "a", "delivered": 2, "last_event": {"epoch": 3}},
            {"name": "b", "delivered": 1, "last_event": null},
        ]});
        assert_eq!(count(&answer), (3, 3));
        assert_eq!(count(&json!({"plugins": []})), (0, 0));
    }
}
