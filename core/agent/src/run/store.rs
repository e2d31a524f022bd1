//! From the mirror of the store to facts: the lease first, then the dynamic configuration, then the view.

use super::{
    Fact, Facts, Story,
    alike::{Alike, AlikeCheck},
    clock,
    dynamic::Dynamic,
    name::{NameCheck, Verdict},
    trouble::Telling,
};
use crate::{cluster::ViewReader, execute::Tools};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tanist_dcs::Snapshot;
use tanist_engine::{Lease, StoreView};

/// The store has this long for a value that is put back.
const MENDING: Duration = Duration::from_secs(3);

/// Follows the mirror until the agent ends.
pub async fn follow(tools: Arc<Tools>, mut dynamic: Dynamic, facts: Facts, story: Story) {
    let mut snapshots = tools.mirror.subscribe();
    let mut troubles = tools.keeper.troubles();
    let mut reader = ViewReader::new(tools.keeper.keys().clone());
    let mut telling = Telling::new(tools.settings.name.to_string(), story);
    let mut name = Naming::new(&tools);
    let mut judged = false;
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        tools.keeper.observe(&snapshot, clock::reading());
        telling.tell(tools.store_trouble().as_ref(), clock::now());
        if snapshot.as_of.is_some() && name.is_free(&snapshot, &tools, &facts) && name.is_distinct(&snapshot, &tools, &facts) {
            let config = snapshot.get(&tools.keeper.keys().config()).map(|mirrored| mirrored.kv.value.as_slice());
            if let Some(policy) = dynamic.learn(config, &tools) {
                facts.tell(Fact::Policy(Box::new(policy)));
            }
            if !judged {
                // No server is started with values that nobody has looked at: the engine hears of the store afterwards.
                tools.live.settled().await;
                judged = true;
            }
            let view = reader.read(&snapshot);
            tools.keeper.beside_patroni(view.has_patroni());
            let unreadable = reader.complaints();
            tools.live.stored(unreadable);
            if matches!(tools.keeper.lease(clock::reading()), Lease::Mine(_)) {
                mend(&tools, &snapshot, &view, unreadable);
            }
            facts.tell(Fact::Store(Box::new(view)));
        }
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = troubles.changed() => if changed.is_err() { return },
            () = tools.reload.notified() => if let Some(policy) = dynamic.reload(&tools) {
                facts.tell(Fact::Policy(Box::new(policy)));
            },
        }
    }
}

/// The leader puts back what other hands have spoilt or deleted.
fn mend(tools: &Arc<Tools>, snapshot: &Arc<Snapshot>, view: &StoreView, unreadable: &BTreeMap<String, String>) {
    // A cluster that is new has no configuration until its identity is written, in the same transaction.
    if view.initialize.is_some() && snapshot.get(&tools.keeper.keys().config()).is_none() {
        let tools = tools.clone();
        tokio::spawn(async move { tools.restore_config(MENDING).await });
    }
    if !unreadable.is_empty() {
        let (tools, snapshot, view, unreadable) = (tools.clone(), snapshot.clone(), view.clone(), unreadable.clone());
        tokio::spawn(async move { tools.mend(&snapshot, &view, &unreadable, MENDING).await });
    }
}

/// The check of the own name, and what was said about it.
struct Naming {
    check: NameCheck,
    said: Verdict,
    alike: AlikeCheck,
    said_alike: Alike,
}

impl Naming {
    fn new(tools: &Tools) -> Self {
        let alike = AlikeCheck::new(tools.settings.name.clone());
        Self { check: NameCheck::new(&tools.settings), said: Verdict::Free, alike, said_alike: Alike::Nobody }
    }

    /// Whether every other member's name is told from this one; ends the agent when one is not.
    fn is_distinct(&mut self, snapshot: &Snapshot, tools: &Tools, facts: &Facts) -> bool {
        let verdict = self.alike.look(snapshot, tools.keeper.keys(), tools.keeper.ttl());
        if verdict != self.said_alike {
            match &verdict {
                Alike::Nobody => tracing::info!("the name {} is told from every other", tools.settings.name),
                Alike::Waiting(what) => tracing::warn!("name: {what}; waiting until that member is gone"),
                Alike::Somebody(what) => facts.tell(Fact::Fatal(format!("name: {what}; give this node another name"))),
            }
        }
        self.said_alike = verdict;
        self.said_alike == Alike::Nobody
    }

    /// Whether this node may go on under its name; ends the agent when another node has it.
    fn is_free(&mut self, snapshot: &Snapshot, tools: &Tools, facts: &Facts) -> bool {
        let me = &tools.settings.name;
        let key = snapshot.get(&tools.keeper.keys().member(me));
        let verdict = self.check.look(key, tools.keeper.ttl());
        if verdict != self.said {
            match &verdict {
                Verdict::Free => tracing::info!("the name {me} is free"),
                Verdict::Waiting(place) => {
                    tracing::warn!("name: {me} was a moment ago the name of another node ({place}); waiting until that is gone");
                }
                Verdict::Taken(place) => facts.tell(Fact::Fatal(format!(
                    "name: {me} is the name of another node, which runs at {place}; give this node a name of its own"
                ))),
            }
        }
        self.said = verdict;
        let free = self.said == Verdict::Free;
        if free && self.check.is_overwritten(key) {
            tracing::warn!("members/{me} was written by other hands than this node's; it is put again");
            facts.tell(Fact::Detail);
        }
        free
    }
}
