//! What the nodes say of themselves and of the cluster, asked for over and over.

use super::{http::Http, place::Place};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;

/// Between two rounds.
const EVERY: Duration = Duration::from_millis(80);

/// The numbers of the nodes.
pub const NODES: [u8; 3] = [1, 2, 3];

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its REST API answers.
    pub answers: bool,
    /// It is primary and proved writable, at this epoch.
    pub writable: bool,
    /// It receives from the primary.
    pub streaming: bool,
    /// `primary`, `replica`, …
    pub role: String,
    /// `running`, `streaming`, …
    pub state: String,
    /// What it works at: `clone`, …
    pub job: Option<String>,
    /// The epoch it knows.
    pub epoch: Option<u64>,
    /// Its timeline.
    pub timeline: Option<u64>,
}

/// All of them, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The nodes.
    pub nodes: [NodeSeen; 3],
    /// Who the store names as synchronous standby, by number.
    pub standby: Option<u8>,
    /// Who the store names as proved primary.
    pub proved: Option<u8>,
}

/// A cluster that can lose a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The number of the primary.
    pub primary: u8,
    /// The number of the synchronous standby.
    pub standby: u8,
    /// The epoch.
    pub epoch: u64,
}

impl Seen {
    /// Whether one node is writable, both others stream from it, and a synchronous standby is named; else what is missing.
    pub fn whole(&self) -> Result<Whole, String> {
        let (primary, epoch) = self.primary()?;
        for number in NODES.into_iter().filter(|number| *number != primary) {
            if !self.node(number).streaming {
                return Err(format!("n{number} does not stream from n{primary} yet"));
            }
        }
        match self.standby {
            Some(standby) if self.proved == Some(primary) => Ok(Whole { primary, standby, epoch }),
            Some(_) => Err(format!("the store does not name n{primary} as primary yet")),
            None => Err("no synchronous standby is named yet".to_owned()),
        }
    }

    /// The only writable node, and its epoch.
    pub fn primary(&self) -> Result<(u8, u64), String> {
        let writable: Vec<u8> = NODES.into_iter().filter(|number| self.node(*number).writable).collect();
        match writable[..] {
            [only] => Ok((only, self.node(only).epoch.unwrap_or(0))),
            [] => Err("no node is writable".to_owned()),
            _ => Err(format!("nodes {writable:?} all say they are writable")),
        }
    }

    /// A node by its number.
    pub fn node(&self, number: u8) -> &NodeSeen {
        &self.nodes[usize::from(number.clamp(1, 3)) - 1]
    }

    async fn ask(place: &Place, http: &Http) -> Self {
        let questions = NODES.map(|number| {
            let at = place.rest(number);
            async move { futures_util::join!(http.get(at, "/patroni"), http.get(at, "/cluster")) }
        });
        let answers = futures_util::future::join_all(questions).await;
        let mut seen = Self::default();
        // Of several views of the store the one of the newest epoch counts.
        let mut newest = 0;
        for (node, (patroni, cluster)) in seen.nodes.iter_mut().zip(answers) {
            *node = patroni.as_ref().map(NodeSeen::of).unwrap_or_default();
            let Some(cluster) = cluster else { continue };
            let epoch = cluster["tanist"]["epoch"].as_u64().unwrap_or(0);
            if epoch >= newest {
                newest = epoch;
                let members = cluster["members"].as_array().map(Vec::as_slice).unwrap_or_default();
                let named = members.iter().find(|member| member["role"] == "sync_standby");
                seen.standby = named.and_then(|member| number(&member["name"]));
                seen.proved = number(&cluster["tanist"]["primary"]);
            }
        }
        seen
    }
}

impl NodeSeen {
    fn of(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let own = &body["tanist"];
        Self {
            answers: true,
            writable: own["writable"] == true,
            streaming: body["replication_state"] == "streaming",
            role: text(&body["role"]),
            state: text(&body["state"]),
            job: own["job"].as_str().map(str::to_owned),
            epoch: own["epoch"].as_u64(),
            timeline: body["timeline"].as_u64(),
        }
    }
}

/// The number in a node's name.
fn number(name: &Value) -> Option<u8> {
    name.as_str()?.strip_prefix('n')?.parse().ok().filter(|number| NODES.contains(number))
}

/// Asks until the runtime ends.
pub fn start(place: &Place, http: &Http) -> watch::Receiver<Seen> {
    let (tell, seen) = watch::channel(Seen::default());
    let (place, http) = (place.clone(), http.clone());
    tokio::spawn(async move {
        loop {
            tell.send_replace(Seen::ask(&place, &http).await);
            tokio::time::sleep(EVERY).await;
        }
    });
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let primary = NodeSeen { answers: true, writable: true, epoch: Some(4), ..NodeSeen::default() };
        let standby = NodeSeen { answers: true, streaming: true, epoch: Some(4), ..NodeSeen::default() };
        Seen { nodes: [standby.clone(), primary, standby], standby: Some(3), proved: Some(2) }
    }

    #[test]
    fn a_cluster_is_whole_only_with_one_primary_two_standbys_and_a_named_one() {
        assert_eq!(seen().whole(), Ok(Whole { primary: 2, standby: 3, epoch: 4 }));
        let spoilt = |spoil: fn(&mut Seen)| {
            let mut seen = seen();
            spoil(&mut seen);
            seen.whole().unwrap_err()
        };
        assert!(spoilt(|seen| seen.nodes[1].writable = false).contains("no node is writable"));
        assert!(spoilt(|seen| seen.nodes[0].writable = true).contains("[1, 2]"));
        assert!(spoilt(|seen| seen.nodes[0].streaming = false).contains("n1 does not stream"));
        assert!(spoilt(|seen| seen.standby = None).contains("no synchronous standby"));
        assert!(spoilt(|seen| seen.proved = Some(1)).contains("does not name n2"));
    }
}
