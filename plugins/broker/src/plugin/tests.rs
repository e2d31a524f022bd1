//! A node goes through role changes while its power is cut, or its agent killed, at every step: the plugin hears of every role that
//! lasts, in order, and at the end of the newest.

use super::*;
use crate::{durable::power_cut::PowerCut, protocol::Digest};

/// What the node's roles are, one after the other.
const ROLES: [Role; 5] = [Role::Replica, Role::Primary, Role::Demoted, Role::Replica, Role::Primary];

fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

/// An agent as far as one plugin notices it.
struct Agent {
    plugin: Plugin,
    sequence: u64,
    now: Moment,
}

/// What the plugin was called with: number, role, epoch.
type Calls = Vec<(u64, Role, u64)>;

impl Agent {
    fn start(disk: &PowerCut, now: Moment) -> Self {
        let config = crate::testing::plugin("vip");
        let (mut plugin, sequence) = Plugin::new(config, Arc::new(disk.clone()), Path::new("/state"), &Tuning::default(), now);
        let exports = vec![Export::Callbacks];
        let loaded = Loaded { plugin: "vip".into(), exports, imports: vec![], digest: Digest([0; 32]) };
        plugin.loaded(loaded, now);
        Self { plugin, sequence, now }
    }

    /// As the engine: the first thing an agent tells is `on_start`.
    fn tell(&mut self, action: Action, place: usize) {
        self.sequence += 1;
        let event = Event { role: ROLES[place], ..crate::testing::event(action, place as u64 + 1, self.sequence) };
        self.plugin.push(&event, None, self.now);
    }

    /// Writes and calls until nothing is left, or `cut` says that the agent is dead. A journal that fails holds calls up for its
    /// patience, as long as the agent lives.
    fn work(&mut self, calls: &mut Calls, cut: impl Fn() -> bool) {
        loop {
            if let Some(job) = self.plugin.journal_job(self.now) {
                let done = job.run();
                if cut() {
                    return;
                }
                self.plugin.journal_done(done, self.now);
            }
            let Some(delivery) = self.plugin.next(self.now) else { return };
            let Delivery::Event(event) = delivery else { continue };
            calls.push((event.sequence, event.role, event.epoch));
            self.now = self.now + Duration::from_millis(1);
            let ended = Ended { outcome: Outcome::Ok, stderr: String::new(), duration: Duration::ZERO };
            self.plugin.finished(None, ended, Verdict::Done, self.now);
        }
    }
}

fn judge(calls: &Calls, what: &str) {
    assert!(calls.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{what}: out of order: {calls:?}");
    assert!(calls.windows(2).all(|pair| pair[0].2 <= pair[1].2), "{what}: an older role after a newer: {calls:?}");
    let last = calls.last().map(|(_, role, epoch)| (*role, *epoch));
    assert_eq!(last, Some((Role::Primary, ROLES.len() as u64)), "{what}: the newest role was lost: {calls:?}");
}

/// The roles up to `died` are told by an agent that dies at a step of the disk while it tells that one; the next agent sees the role of
/// `back`, at which the node is by then.
fn life(died: usize, step: usize, back: usize) -> bool {
    let disk = PowerCut::new();
    let mut agent = Agent::start(&disk, at(0));
    let mut calls = Calls::new();
    for place in 0..died {
        agent.tell(if place == 0 { Action::OnStart } else { Action::OnRoleChange }, place);
        agent.work(&mut calls, || false);
    }
    disk.cut_at(step);
    agent.tell(if died == 0 { Action::OnStart } else { Action::OnRoleChange }, died);
    agent.work(&mut calls, || disk.is_cut());
    for (number, found) in disk.found().into_iter().chain([disk.survived()]).enumerate() {
        let (mut calls, what) = (calls.clone(), format!("died at {died}, step {step}, back at {back}, disk {number}"));
        let mut agent = Agent::start(&found, at(10_000));
        agent.sequence = agent.sequence.max(1_000);
        agent.tell(Action::OnStart, back);
        agent.work(&mut calls, || false);
        for place in back + 1..ROLES.len() {
            agent.tell(Action::OnRoleChange, place);
            agent.work(&mut calls, || false);
        }
        judge(&calls, &what);
    }
    disk.is_cut()
}

#[test]
fn no_death_at_any_step_loses_a_role_change() {
    let mut lives = 0;
    for died in 0..ROLES.len() {
        for back in died..ROLES.len() {
            for step in 0.. {
                lives += 1;
                if !life(died, step, back) {
                    break;
                }
            }
        }
    }
    assert!(lives > 150, "only {lives} lives");
}

#[test]
fn an_agent_that_comes_back_to_the_same_role_tells_nothing_twice() {
    let disk = PowerCut::new();
    let mut calls = Calls::new();
    for start in 0..3 {
        let mut agent = Agent::start(&disk, at(start * 1_000));
        agent.tell(Action::OnStart, 1);
        agent.work(&mut calls, || false);
    }
    assert_eq!(calls, [(1, Role::Primary, 2)], "told once, as a change, because the plugin wants nothing else");
}

#[test]
fn what_a_damaged_journal_has_forgotten_is_told_again() {
    let disk = PowerCut::new();
    disk.write_synced(Path::new("/state/vip.journal"), b"nonsense").unwrap();
    let mut calls = Calls::new();
    let mut agent = Agent::start(&disk, at(0));
    assert!(matches!(agent.plugin.status().journal, JournalState::Problem(_)));
    agent.tell(Action::OnStart, 0);
    agent.work(&mut calls, || false);
    assert_eq!(calls, [(1, Role::Replica, 1)]);
}

#[test]
fn a_journal_that_cannot_be_written_is_written_later_and_holds_nothing_up() {
    let disk = PowerCut::new();
    let mut agent = Agent::start(&disk, at(0));
    disk.cut_at(0);
    let mut calls = Calls::new();
    agent.tell(Action::OnRoleChange, 1);
    agent.work(&mut calls, || false);
    assert_eq!(calls.len(), 1);
    assert!(matches!(agent.plugin.status().journal, JournalState::Problem(_)));
    let wake = agent.plugin.wake_at().expect("it is tried again");
    disk.cut_at(usize::MAX - 1);
    agent.now = wake;
    agent.work(&mut calls, || false);
    assert_eq!(agent.plugin.status().journal, JournalState::Current);
    assert_eq!(calls.len(), 1, "and nothing was called for it");
}

/// Two plugins, one after the other.
#[test]
fn a_plugin_waits_for_those_before_it_while_they_work() {
    let disk = PowerCut::new();
    let mut first = Agent::start(&disk, at(0));
    first.tell(Action::OnRoleChange, 1);
    assert_eq!(first.plugin.holds_up(0, at(0)), None, "an older event does not wait for a newer");
    let until = first.plugin.holds_up(1, at(0)).expect("it waits");
    assert_eq!(first.plugin.holds_up(1, until), None, "and not for ever");
    first.plugin.host_lost();
    assert_eq!(first.plugin.holds_up(1, at(0)), None, "nobody waits for what cannot be called");
}

#[test]
fn a_component_that_cannot_be_loaded_is_tried_again_ever_later_until_it_can() {
    let mut agent = Agent::start(&PowerCut::new(), at(0));
    let mut pause = |now: Moment| {
        agent.plugin.not_loaded(&LoadFailure::Invalid("damaged".to_owned()), now);
        let wake = agent.plugin.wake_at().expect("it is tried again");
        assert!(agent.plugin.reload_due(wake));
        (wake.since(now).as_secs(), wake)
    };
    let (mut pauses, mut now) = (vec![], at(0));
    for _ in 0..9 {
        let (seconds, wake) = pause(now);
        pauses.push(seconds);
        now = wake;
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1_800, 1_800, 1_800]);
    let loaded = Loaded { plugin: "vip".into(), exports: vec![], imports: vec![], digest: Digest([0; 32]) };
    agent.plugin.loaded(loaded, now);
    agent.plugin.not_loaded(&LoadFailure::Invalid("damaged".to_owned()), now);
    assert_eq!(agent.plugin.wake_at(), Some(now + Duration::from_secs(30)));
}
