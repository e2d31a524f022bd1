//! Carries decisions out: one file per effect, one folder for the long jobs.
//!
//! Nothing here decides. Every effect runs as a task of its own and tells the loop how it ended; what it changed shows up as a fact (a
//! probe, the store's watch, the guard's page), which is what the engine looks at.

mod acquire;
mod arm;
mod ask_peers;
mod checkpoint;
mod emit;
mod failsafe;
mod fence;
mod initialize;
mod jobs;
mod mend;
mod outcome;
mod promise;
mod prove;
mod publish_member;
mod publish_primary;
mod publish_status;
mod release;
mod renew;
mod switchover;
mod sync;
mod timelines;

use crate::{
    config::Settings,
    links::{
        DirectoryLink, FailsafeLink, GuardLink, LiveLink, NamesLink, PeersLink, PluginsLink, PostgresLink, PromiseLink,
        SlotsLink, StorageLink,
    },
    run::{Effect, Fact, Facts, LastConfig, clock},
};
use std::sync::{Arc, Mutex, PoisonError};
use tanist_dcs::{Mirror, Store, lease::Keeper};
use tanist_engine::{Action, Job, Memory, Observation, Policy, SyncNames, TimelineClaim};
use tanist_patroni::TagMap;
use tokio::sync::Notify;

/// Everything effects need. One per agent.
pub struct Tools {
    /// The configuration of this node.
    pub settings: Arc<Settings>,
    /// The store, for what is not a leader's write.
    pub store: Arc<dyn Store>,
    /// The lease.
    pub keeper: Keeper,
    /// The store's keys.
    pub mirror: Mirror,
    /// The guard.
    pub guard: GuardLink,
    /// The local PostgreSQL.
    pub postgres: PostgresLink,
    /// What the operator wants of PostgreSQL.
    pub live: LiveLink,
    /// Somebody asks for this node's file to be read again.
    pub reload: Notify,
    /// The dynamic configuration as last read from the store.
    pub config: LastConfig,
    /// This node's tags, as last read.
    pub tags: Mutex<Arc<TagMap>>,
    /// What this node has promised.
    pub promise: Arc<PromiseLink>,
    /// Replication slots.
    pub slots: SlotsLink,
    /// Whether the data directory is still this node's.
    pub directory: Arc<DirectoryLink>,
    /// Whether the data directory's storage takes writes.
    pub storage: StorageLink,
    /// Plugins and callback scripts.
    pub plugins: PluginsLink,
    /// The DNS connection point.
    pub names: NamesLink,
    /// Failsafe mode: the other agents' word, and the own file.
    pub failsafe: Arc<FailsafeLink>,
    /// Other nodes' agents.
    pub peers: PeersLink,
    /// The way into the run loop.
    pub facts: Facts,
}

impl Tools {
    /// This node's tags.
    pub fn tags(&self) -> Arc<TagMap> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The highest epoch this agent has seen: in the guard's page, and in its own lease, which a store that is restored forgets.
    pub fn highest_epoch(&self) -> u64 {
        self.guard.page().epoch()
    }

    /// Other tags; the member key is written anew.
    pub fn set_tags(&self, tags: TagMap) {
        *self.tags.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(tags);
        self.facts.tell(Fact::Detail);
    }

    /// Begins a short effect. What it needs of the present is copied out of `seen` now.
    pub fn begin(self: &Arc<Self>, effect: Effect, action: Action, seen: &Observation, policy: &Policy) {
        let tools = self.clone();
        let timeout = policy.retry_timeout.min(policy.ttl / 2);
        let (system_id, directory) = (seen.store.initialize.clone(), seen.directory);
        let peers = if effect == Effect::AskPeers { seen.store.members.clone() } else { Vec::new() };
        tokio::spawn(async move {
            let done = match action {
                Action::Acquire { record } => tools.acquire(record).await,
                Action::Renew => tools.renew().await,
                Action::Release { handoff, clear_switchover } => tools.release(handoff, clear_switchover).await,
                Action::Fence => tools.fence().await,
                Action::SetSyncNames(names) => tools.set_sync_names(names).await,
                Action::WriteSync { state, data } => tools.write_sync(state, data, timeout).await,
                Action::WriteInitialize { system_id } => tools.write_initialize(system_id, timeout).await,
                Action::ClaimTimeline { timeline, epoch, parent } => {
                    tools.claim_timeline(TimelineClaim { timeline, epoch, begin: None, parent }, timeout).await
                }
                Action::RecordTimeline { timeline, epoch, begin, parent } => {
                    let begin = Some(begin);
                    tools.claim_timeline(TimelineClaim { timeline, epoch, begin, parent }, timeout).await
                }
                Action::Prove { epoch } => tools.prove(epoch).await,
                Action::PublishPrimary(face) => tools.publish_primary(face, timeout).await,
                Action::PublishMember(face) => tools.publish_member(face).await,
                Action::PublishStatus { optime } => tools.publish_status(optime, timeout).await,
                Action::ClearSwitchover { revision } => tools.clear_switchover(revision, timeout).await,
                Action::WritePromise { epoch, position, revision } => {
                    tools.write_promise(epoch, position, revision, timeout).await
                }
                Action::EndConnections { name, connections } => tools.end_connections(&name, &connections).await,
                Action::RaiseData { revision } => tools.raise_data(revision, timeout).await,
                Action::AdoptDirectory => tools.adopt_directory(directory).await,
                Action::Checkpoint => tools.checkpoint_after_promotion().await,
                Action::AskPeers => tools.ask_peers(peers).await,
                Action::NameFailsafe { members } => tools.name_failsafe(members, timeout).await,
                Action::AskToWait { epoch } => tools.ask_to_wait(epoch, system_id).await,
                // Done on the spot by the loop, or long jobs.
                Action::Arm { .. } | Action::Disarm | Action::Run(_) | Action::Emit(_) | Action::Exit => true,
            };
            tools.facts.tell(Fact::Effect { effect, done });
        });
    }

    /// Begins the long job of that number, which was decided with this memory.
    pub fn begin_job(self: &Arc<Self>, number: u64, job: Job, seen: &Observation, policy: &Policy, memory: &Memory) {
        let tools = self.clone();
        let names = SyncNames::for_job(&job, policy, &seen.store, memory);
        let (policy, seen) = (policy.clone(), seen.clone());
        tokio::spawn(async move {
            let begun = clock::now();
            let outcome = tools.run_job(&job, &seen, &policy, names).await;
            let took = clock::now().since(begun);
            match &outcome {
                tanist_engine::JobOutcome::Done => tracing::info!(job = job.name(), ?took, "done"),
                tanist_engine::JobOutcome::Failed(why) => tracing::error!(job = job.name(), ?took, "failed: {why}"),
            }
            tools.facts.tell(Fact::Job(number, outcome));
        });
    }
}
