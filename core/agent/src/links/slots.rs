//! The replication slots of this node: on the leader one for every member, on a standby that may lead as many, moved on as the leader's
//! are, so that after a failover everybody finds his WAL.
//!
//! Nothing of the lease depends on them, so nothing here is decided by the engine but when a standby takes its slot. Dropped is only what
//! this node has made (its names are in the state directory), and never a slot that is in use.

use crate::{execute::Tools, run::clock};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tanist_dcs::{Op, lease::WriteOutcome};
use tanist_engine::{Lease, Lsn, Moment, Observation, Policy, Postgres, ServerRole};
use tanist_patroni::{
    dcs::StatusKey,
    dynamic::{DynamicConfig, SlotRules},
};
use tanist_postgres::slots::{self, Change, Slot};
use tokio::sync::Notify;

/// In the state directory: names of slots that were made here.
const FILE: &str = "slots";
/// How long a statement may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often they are looked at, at most, while nothing changes: each look is a session of its own.
const OFTEN: Duration = Duration::from_secs(5);
/// From here on an unused slot is reported, and each time it keeps twice as much.
const MUCH: u64 = 1 << 30;

/// What this node is, as far as slots depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Neither; slots stay as they are.
    #[default]
    None,
    /// It leads, and its server is a primary.
    Leader,
    /// It follows, and may lead one day.
    Heir,
}

#[derive(Debug, Default)]
struct State {
    rules: SlotRules,
    part: Part,
    /// Slots of the other members.
    members: BTreeSet<String>,
    /// `/status`, as last seen, and the bytes it was read from.
    status: StatusKey,
    read: Vec<u8>,
    /// When each member's slot was last wanted for a member that is there.
    seen: BTreeMap<String, Moment>,
    /// What was found last, and at how much each was last reported.
    found: Vec<Slot>,
    reported: BTreeMap<String, u64>,
    period: Duration,
}

/// The agent's end. One per agent.
#[derive(Debug)]
pub struct SlotsLink {
    own: String,
    file: PathBuf,
    state: Mutex<State>,
    kick: Notify,
}

impl SlotsLink {
    /// For the member of this name.
    pub fn new(member: &str, state_dir: &std::path::Path, dynamic: &DynamicConfig) -> Self {
        let state = State { rules: dynamic.slots.clone(), period: OFTEN, ..State::default() };
        Self { own: slots::name_of_member(member), file: state_dir.join(FILE), state: Mutex::new(state), kick: Notify::new() }
    }

    /// Other rules, from the dynamic configuration.
    pub fn configure(&self, dynamic: &DynamicConfig) {
        self.state().rules = dynamic.slots.clone();
        self.kick.notify_one();
    }

    /// What is so now; looked at when it matters to slots.
    pub fn show(&self, seen: &Observation, policy: &Policy, status: Option<&[u8]>) {
        let part = match (&seen.lease, &seen.postgres) {
            (Lease::Mine(_), Postgres::Running(running)) if matches!(running.role, ServerRole::Primary { .. }) => Part::Leader,
            (_, Postgres::Running(running)) if matches!(running.role, ServerRole::Standby { .. }) && policy.tags.may_lead() => {
                Part::Heir
            }
            _ => Part::None,
        };
        let others = seen.store.members.iter().filter(|member| member.name != seen.me);
        let members = others.map(|member| slots::name_of_member(&member.name.0)).collect();
        let mut state = self.state();
        state.period = policy.loop_wait.max(OFTEN);
        // Called at every turn, and most turns bring no other `/status`.
        if let Some(bytes) = status.filter(|bytes| *bytes != state.read) {
            state.read = bytes.to_vec();
            if let Ok(status) = StatusKey::decode(bytes) {
                state.status = status;
            }
        }
        if state.part != part || state.members != members {
            (state.part, state.members) = (part, members);
            self.kick.notify_one();
        }
    }

    /// The slot through which this node streams, when its leader has said that there is one.
    pub fn own(&self) -> Option<String> {
        let state = self.state();
        let there = state.rules.use_slots && state.status.slots.contains_key(&self.own);
        there.then(|| self.own.clone())
    }

    /// `/status` of a leader at this position.
    pub fn status(&self, optime: Lsn) -> StatusKey {
        let state = self.state();
        let (wanted, retain_slots) = state.leader_wants(clock::now());
        let positions = state.found.iter().filter(|slot| wanted.contains_key(&slot.name) && slot.physical);
        let mut slots: BTreeMap<_, _> = positions.filter_map(|slot| Some((slot.name.clone(), slot.restart?))).collect();
        if state.rules.use_slots {
            // So that the heirs keep for this node what it will need when it comes back to one of them.
            slots.insert(self.own.clone(), optime);
        }
        StatusKey { optime: Some(optime), slots, retain_slots }
    }

    /// What was found last, for metrics.
    pub fn found(&self) -> Vec<Slot> {
        self.state().found.clone()
    }

    /// Keeps the slots as they are to be, for as long as the agent lives.
    pub async fn keep(tools: Arc<Tools>) {
        loop {
            let period = tools.slots.state().period;
            tokio::select! {
                () = tools.slots.kick.notified() => {}
                () = tokio::time::sleep(period) => {}
            }
            if let Err(error) = tools.slots.turn(&tools).await {
                tracing::debug!("replication slots: {error}");
            }
        }
    }

    async fn turn(&self, tools: &Tools) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (part, wanted) = {
            let mut state = self.state();
            let now = clock::now();
            let wanted = match state.part {
                Part::None => return Ok(()),
                Part::Leader => {
                    state.notice(now, &self.own);
                    state.leader_wants(now).0
                }
                Part::Heir => state.heir_wants(&self.own),
            };
            (state.part, wanted)
        };
        let settings = tools.postgres.settings();
        let mut found = slots::look(&settings, LIMIT).await?;
        let own = self.made()?;
        let changes = slots::plan(&found, &wanted, &own);
        if !changes.is_empty() {
            self.will_make(&own, &wanted)?;
            for (change, error) in slots::apply(&settings, &changes, LIMIT).await? {
                tracing::warn!(?change, "a replication slot stays as it is: {error}");
            }
            for change in changes.iter().filter(|change| !matches!(change, Change::Advance(..))) {
                tracing::info!(?change, "replication slots");
            }
            found = slots::look(&settings, LIMIT).await?;
        }
        self.report(&found);
        self.state().found = found;
        if part == Part::Leader {
            self.publish(tools).await;
        }
        Ok(())
    }

    /// Tells which slots there are, at once when that has changed; how far they are goes with the leader's position.
    async fn publish(&self, tools: &Tools) {
        let Some((told, optime)) = ({
            let state = self.state();
            state.status.optime.map(|optime| (state.status.clone(), optime))
        }) else {
            return;
        };
        let status = self.status(optime);
        if told.slots.keys().eq(status.slots.keys()) && told.retain_slots == status.retain_slots {
            return;
        }
        let op = Op::put(tools.keeper.keys().status(), status.encode());
        // What does not land is written again at the next turn.
        let outcome = tools.keeper.leader_write(vec![op], Vec::new(), LIMIT).await;
        tracing::debug!(told = matches!(outcome, WriteOutcome::Done(_)), "/status names the slots");
    }

    /// A slot that nobody uses keeps WAL on this disk.
    fn report(&self, found: &[Slot]) {
        let mut state = self.state();
        state.reported.retain(|name, _| found.iter().any(|slot| slot.name == *name && !slot.active));
        for slot in found.iter().filter(|slot| !slot.active && slot.retained >= MUCH) {
            let next = state.reported.get(&slot.name).map_or(MUCH, |before| before.saturating_mul(2));
            if slot.retained >= next {
                state.reported.insert(slot.name.clone(), slot.retained);
                tracing::warn!(
                    slot = slot.name,
                    bytes = slot.retained,
                    "an unused replication slot keeps WAL; max_slot_wal_keep_size limits that"
                );
            }
        }
    }

    /// Names of slots that were made here.
    fn made(&self) -> io::Result<BTreeSet<String>> {
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Before they are made: one that is there and not in the file would stay for ever.
    fn will_make(&self, own: &BTreeSet<String>, wanted: &BTreeMap<String, Option<Lsn>>) -> io::Result<()> {
        let all: BTreeSet<&String> = own.iter().chain(wanted.keys()).collect();
        if all.len() == own.len() {
            return Ok(());
        }
        let text: String = all.into_iter().map(|name| format!("{name}\n")).collect();
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Which members' slots are wanted, since when. Those that a leader before this one has kept count from now.
    fn notice(&mut self, now: Moment, own: &str) {
        for name in self.status.retain_slots.iter().chain(self.status.slots.keys()) {
            if name != own && !self.rules.permanent.contains(name) {
                self.seen.entry(name.clone()).or_insert(now);
            }
        }
        self.seen.extend(self.members.iter().map(|name| (name.clone(), now)));
        let (members, keeps) = (&self.members, self.rules.member_ttl);
        self.seen.retain(|name, at| members.contains(name) || now < *at + keeps);
    }

    /// The leader's slots; and which of them are kept for members that are away.
    fn leader_wants(&self, now: Moment) -> (BTreeMap<String, Option<Lsn>>, BTreeSet<String>) {
        let mut wanted: BTreeMap<String, Option<Lsn>> = self.rules.permanent.iter().map(|name| (name.clone(), None)).collect();
        let mut away = BTreeSet::new();
        if self.rules.use_slots {
            for (name, at) in &self.seen {
                let there = self.members.contains(name);
                if there || now < *at + self.rules.member_ttl {
                    wanted.insert(name.clone(), None);
                    away.extend((!there).then(|| name.clone()));
                }
            }
        }
        wanted.retain(|name, _| !self.rules.is_ignored(name));
        (wanted, away)
    }

    /// The leader's slots but the one for this node itself, as far as they are there.
    fn heir_wants(&self, own: &str) -> BTreeMap<String, Option<Lsn>> {
        let all = self.status.slots.iter().filter(|(name, _)| *name != own && !self.rules.is_ignored(name));
        let wanted = all.filter(|(name, _)| self.rules.use_slots || self.rules.permanent.contains(*name));
        wanted.map(|(name, lsn)| (name.clone(), Some(*lsn))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn state() -> State {
        let rules = SlotRules { permanent: names(&["kept"]), member_ttl: Duration::from_secs(60), ..SlotRules::default() };
        State { rules, members: names(&["b", "c"]), ..State::default() }
    }

    #[test]
    fn a_member_that_is_away_keeps_its_slot_for_a_while() {
        let mut state = state();
        state.notice(at(100), "a");
        assert_eq!(state.leader_wants(at(100)).0.into_keys().collect::<Vec<_>>(), ["b", "c", "kept"]);
        state.members = names(&["b"]);
        state.notice(at(159), "a");
        let (wanted, away) = state.leader_wants(at(159));
        assert!(wanted.contains_key("c") && away == names(&["c"]));
        state.notice(at(161), "a");
        let (wanted, away) = state.leader_wants(at(161));
        assert!(!wanted.contains_key("c") && away.is_empty() && wanted.contains_key("kept"));
    }

    #[test]
    fn a_new_leader_keeps_what_the_one_before_has_kept() {
        let mut state = state();
        state.status =
            StatusKey { retain_slots: names(&["d"]), slots: [("a".to_owned(), Lsn(5))].into(), ..StatusKey::default() };
        state.notice(at(100), "a");
        assert_eq!(state.leader_wants(at(100)).1, names(&["d"]), "and none for itself");
        state.notice(at(161), "a");
        assert!(state.leader_wants(at(161)).1.is_empty());
    }

    #[test]
    fn an_heir_has_the_leader_s_slots_without_its_own() {
        let mut state = state();
        state.status.slots = [("b", 5), ("c", 7), ("kept", 9)].map(|(name, lsn)| (name.to_owned(), Lsn(lsn))).into();
        assert_eq!(state.heir_wants("b").into_keys().collect::<Vec<_>>(), ["c", "kept"]);
        state.rules.use_slots = false;
        assert_eq!(state.heir_wants("b").into_keys().collect::<Vec<_>>(), ["kept"]);
        assert_eq!(state.leader_wants(at(100)).0.into_keys().collect::<Vec<_>>(), ["kept"]);
    }
}
