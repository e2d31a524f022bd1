//! The rules one by one, then random walks that end with a phase in which everything succeeds.

use super::*;
use std::collections::BTreeMap;

const CALLBACKS: [Callback; 5] =
    [Callback::OnStart, Callback::OnStop, Callback::OnRestart, Callback::OnReload, Callback::OnRoleChange];

fn at(millis: u64) -> Moment {
    Moment::from_nanos(millis * 1_000_000)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    callback: Callback,
    sequence: u64,
    released: Option<&'static str>,
}

impl Queued for Event {
    fn callback(&self) -> Callback {
        self.callback
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }

    fn on_behalf_of(&self) -> Option<&str> {
        self.released
    }
}

fn event(callback: Callback, sequence: u64) -> Event {
    Event { callback, sequence, released: None }
}

fn queue() -> Queue<Event> {
    let backoff = Backoff {
        first: Duration::from_millis(200),
        cap: Duration::from_secs(5),
        breaker_after: 4,
        breaker_delay: Duration::from_secs(30),
        jitter: 0,
        salt: 0,
    };
    let mut queue = Queue::new(QueuePolicy { backoff, interval: Duration::from_secs(10), on_failure: OnFailure::Retry });
    queue.open(false, at(0));
    queue
}

fn reconciling() -> Queue<Event> {
    let mut queue = queue();
    queue.close();
    queue.open(true, at(0));
    queue
}

fn called(delivery: Option<Delivery<Event>>) -> Option<(Callback, u64)> {
    match delivery? {
        Delivery::Event(event) => Some((event.callback, event.sequence)),
        Delivery::Reconcile(cause) => panic!("reconcile ({})", cause.name()),
    }
}

#[test]
fn the_latest_role_wins_and_a_running_call_goes_on() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    assert_eq!(called(queue.next(at(0))), Some((Callback::OnRoleChange, 1)));
    queue.push(event(Callback::OnRoleChange, 2), at(1));
    queue.push(event(Callback::OnRoleChange, 3), at(2));
    assert!(queue.is_running());
    assert_eq!(queue.next(at(3)), None, "one call at a time");
    assert_eq!(queue.finished(Verdict::Done, at(4)).map(|event| event.sequence), Some(1));
    assert_eq!(called(queue.next(at(4))), Some((Callback::OnRoleChange, 3)));
}

#[test]
fn a_reload_never_delays_a_role_change() {
    let mut queue = queue();
    queue.push(event(Callback::OnReload, 1), at(0));
    queue.push(event(Callback::OnRoleChange, 2), at(0));
    assert_eq!(called(queue.next(at(0))), Some((Callback::OnRoleChange, 2)));
    queue.finished(Verdict::Failed, at(0));
    queue.push(event(Callback::OnReload, 3), at(1));
    assert_eq!(called(queue.next(at(199))), None);
    assert_eq!(called(queue.next(at(200))), Some((Callback::OnRoleChange, 2)));
    queue.finished(Verdict::Done, at(201));
    assert_eq!(called(queue.next(at(201))), Some((Callback::OnReload, 3)));
}

#[test]
fn a_stop_is_called_before_the_role_change_that_follows_but_a_failed_one_does_not_hold_it_up() {
    let mut queue = queue();
    queue.push(event(Callback::OnStop, 1), at(0));
    queue.push(event(Callback::OnRoleChange, 2), at(0));
    assert_eq!(called(queue.next(at(0))), Some((Callback::OnStop, 1)));
    assert_eq!(queue.finished(Verdict::Failed, at(1)).map(|event| event.sequence), Some(1), "overtaken");
    assert_eq!(called(queue.next(at(1))), Some((Callback::OnRoleChange, 2)));
}

#[test]
fn a_claim_that_cannot_succeed_does_not_delay_a_stop() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    queue.next(at(0));
    queue.finished(Verdict::Failed, at(0));
    queue.push(event(Callback::OnStop, 2), at(1));
    assert_eq!(called(queue.next(at(1))), Some((Callback::OnStop, 2)));
    queue.finished(Verdict::Done, at(2));
    assert!(queue.is_idle());
}

#[test]
fn a_failed_role_change_is_not_lost_to_a_restart() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    queue.next(at(0));
    queue.finished(Verdict::Failed, at(0));
    queue.push(event(Callback::OnRestart, 2), at(1));
    assert_eq!(called(queue.next(at(200))), Some((Callback::OnRoleChange, 1)));
    queue.finished(Verdict::Done, at(201));
    assert_eq!(called(queue.next(at(201))), Some((Callback::OnRestart, 2)));
}

#[test]
fn failures_back_off_and_open_the_breaker_which_a_new_event_passes_once() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    let mut now = at(0);
    let mut delays = vec![];
    for _ in 0..5 {
        queue.next(now).expect("due");
        queue.finished(Verdict::Failed, now);
        let wake = queue.wake_at().unwrap();
        assert_eq!(queue.next(Moment::from_nanos(wake.as_nanos() - 1)), None);
        delays.push(wake.since(now).as_millis());
        now = wake;
    }
    assert_eq!(delays, [200, 400, 800, 30_000, 30_000]);
    assert!(queue.breaker_open());
    queue.push(event(Callback::OnRoleChange, 2), now);
    assert_eq!(called(queue.next(now)), Some((Callback::OnRoleChange, 2)));
    queue.finished(Verdict::Failed, now);
    assert_eq!(queue.wake_at(), Some(now + Duration::from_secs(30)));
}

#[test]
fn a_probe_that_succeeds_closes_the_breaker_and_one_that_fails_does_not() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    let mut now = at(0);
    for _ in 0..4 {
        assert_eq!(queue.breaker(), Breaker::Closed);
        queue.next(now).expect("due");
        queue.finished(Verdict::Failed, now);
        now = queue.wake_at().unwrap();
    }
    for (verdict, after) in [(Verdict::Failed, Breaker::Open), (Verdict::Done, Breaker::Closed)] {
        assert_eq!(queue.breaker(), Breaker::Open);
        queue.next(now).expect("the probe is due");
        assert_eq!(queue.breaker(), Breaker::HalfOpen);
        queue.finished(verdict, now);
        assert_eq!(queue.breaker(), after);
        now = queue.wake_at().unwrap_or(now);
    }
    assert!(queue.is_idle());
}

fn release(node: &'static str, sequence: u64) -> Event {
    Event { released: Some(node), ..event(Callback::OnRoleChange, sequence) }
}

#[test]
fn a_release_goes_before_the_claim_and_holds_it_up_only_once() {
    let mut queue = queue();
    queue.push(release("b", 1), at(0));
    queue.push(event(Callback::OnRoleChange, 2), at(0));
    assert_eq!(called(queue.next(at(0))), Some((Callback::OnRoleChange, 1)));
    assert!(queue.finished(Verdict::Failed, at(0)).is_none(), "a claim does not replace a release");
    assert_eq!(called(queue.next(at(0))), Some((Callback::OnRoleChange, 2)), "and does not wait for it");
    queue.finished(Verdict::Done, at(1));
    queue.push(event(Callback::OnRoleChange, 3), at(2));
    assert_eq!(called(queue.next(at(2))), Some((Callback::OnRoleChange, 3)));
    queue.finished(Verdict::Done, at(3));
    queue.push(release("c", 4), at(100));
    assert_eq!(queue.waiting().map(|event| event.sequence).collect::<Vec<_>>(), [4, 1], "another node's release");
    queue.push(release("b", 5), at(100));
    assert_eq!(queue.waiting().map(|event| event.sequence).collect::<Vec<_>>(), [4, 5], "the same node's release");
}

#[test]
fn a_release_that_keeps_failing_holds_up_neither_a_reload_nor_another_release() {
    let mut queue = queue();
    for (place, node) in ["b", "c"].into_iter().enumerate() {
        queue.push(release(node, place as u64 + 1), at(0));
        queue.next(at(0)).expect("the release");
        queue.finished(if node == "b" { Verdict::Hopeless } else { Verdict::Failed }, at(0));
    }
    queue.push(event(Callback::OnReload, 3), at(10));
    assert_eq!((queue.wake_at(), queue.due_event(at(10))), (Some(at(10)), Some(3)));
    assert_eq!(called(queue.next(at(10))), Some((Callback::OnReload, 3)));
    queue.finished(Verdict::Done, at(11));
    assert_eq!(queue.wake_at(), Some(at(400)));
    assert_eq!(called(queue.next(at(400))), Some((Callback::OnRoleChange, 2)), "the release for another node");
    queue.finished(Verdict::Done, at(401));
    assert_eq!(called(queue.next(at(29_999))), None);
    assert_eq!(called(queue.next(at(30_000))), Some((Callback::OnRoleChange, 1)));
}

#[test]
fn what_waits_is_amended_for_its_next_attempt() {
    let mut queue = queue();
    queue.push(release("b", 1), at(0));
    queue.push(event(Callback::OnRoleChange, 2), at(0));
    queue.next(at(0)).expect("the release");
    queue.amend(|event| event.released = event.released.map(|_| "c"));
    assert_eq!(queue.waiting().map(|event| event.released).collect::<Vec<_>>(), [Some("c"), None]);
}

#[test]
fn a_lost_call_is_made_again_at_once_and_a_hopeless_one_late() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    queue.next(at(0));
    queue.close();
    queue.finished(Verdict::Lost, at(10));
    assert_eq!(queue.next(at(10)), None, "closed");
    queue.open(false, at(20));
    assert_eq!(called(queue.next(at(20))), Some((Callback::OnRoleChange, 1)));
    queue.finished(Verdict::Hopeless, at(20));
    assert_eq!(queue.wake_at(), Some(at(30_020)));
}

#[test]
fn an_overtaken_event_is_over() {
    let mut queue = queue();
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    queue.next(at(0));
    assert!(queue.finished(Verdict::Overtaken, at(0)).is_some());
    assert!(queue.is_idle());
}

#[test]
fn reconcile_comes_at_attach_after_changes_after_failures_and_at_the_interval() {
    let mut queue = reconciling();
    let reconcile = |queue: &mut Queue<Event>, now| match queue.next(now) {
        Some(Delivery::Reconcile(cause)) => Some(cause),
        Some(Delivery::Event(event)) => panic!("{event:?}"),
        None => None,
    };
    assert_eq!(reconcile(&mut queue, at(0)), Some(Cause::Attach));
    queue.face_changed(at(1));
    queue.finished(Verdict::Done, at(2));
    assert_eq!(reconcile(&mut queue, at(2)), Some(Cause::Face), "a change during a reconcile is not forgotten");
    queue.finished(Verdict::Done, at(3));
    assert_eq!(reconcile(&mut queue, at(10_002)), None);
    assert_eq!(reconcile(&mut queue, at(10_003)), Some(Cause::Interval));
    queue.finished(Verdict::Failed, at(10_003));
    assert_eq!(reconcile(&mut queue, at(10_203)), Some(Cause::Failure));
    queue.finished(Verdict::Done, at(10_203));
    queue.push(event(Callback::OnRoleChange, 1), at(10_300));
    assert_eq!(called(queue.next(at(10_300))), Some((Callback::OnRoleChange, 1)));
    queue.finished(Verdict::Failed, at(10_300));
    assert_eq!(called(queue.next(at(10_500))), Some((Callback::OnRoleChange, 1)), "events go first");
    queue.finished(Verdict::Done, at(10_500));
    assert_eq!(reconcile(&mut queue, at(10_500)), Some(Cause::Failure));
}

#[test]
fn an_open_breaker_slows_reconcile_down_whatever_the_face_does() {
    let mut queue = reconciling();
    let mut now = at(0);
    for _ in 0..4 {
        queue.next(now).expect("due");
        queue.finished(Verdict::Failed, now);
        now = queue.wake_at().unwrap();
    }
    assert!(queue.breaker_open());
    let before = Moment::from_nanos(now.as_nanos() - 1);
    queue.face_changed(before);
    assert_eq!(queue.next(before), None);
    queue.close();
    queue.open(true, before);
    assert_eq!(queue.next(before), None, "nor does a new host");
}

#[test]
fn a_policy_without_retries_leaves_the_rest_to_reconcile() {
    let mut queue = reconciling();
    queue.policy.on_failure = OnFailure::Reconcile;
    queue.push(event(Callback::OnRoleChange, 1), at(0));
    queue.next(at(0));
    assert!(queue.finished(Verdict::Failed, at(0)).is_some());
    assert_eq!(queue.next(at(200)), Some(Delivery::Reconcile(Cause::Attach)));
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What a walk knows of an event it pushed.
#[derive(Default)]
struct Known {
    calls: u32,
    done: bool,
}

struct Walk {
    seed: u64,
    queue: Queue<Event>,
    now: Moment,
    known: BTreeMap<u64, (Callback, Known)>,
    running: Option<u64>,
    newest_called: u64,
    newest_reload_called: u64,
}

impl Walk {
    fn push(&mut self, callback: Callback) {
        let sequence = self.known.len() as u64 + 1;
        let was = self.queue.is_running();
        self.queue.push(event(callback, sequence), self.now);
        assert_eq!(self.queue.is_running(), was, "seed {}: a push touched the running call", self.seed);
        self.known.insert(sequence, (callback, Known::default()));
    }

    fn next(&mut self) -> bool {
        let promised = self.queue.wake_at().filter(|wake| *wake <= self.now).is_some();
        let delivery = self.queue.next(self.now);
        assert_eq!(delivery.is_some(), promised, "seed {}: wake_at and next disagree", self.seed);
        let Some(delivery) = delivery else { return false };
        let Delivery::Event(event) = delivery else { return true };
        let newest = if event.callback == Callback::OnReload { &mut self.newest_reload_called } else { &mut self.newest_called };
        assert!(event.sequence >= *newest, "seed {}: {} after {newest}", self.seed, event.sequence);
        *newest = event.sequence;
        self.known.get_mut(&event.sequence).unwrap().1.calls += 1;
        self.running = Some(event.sequence);
        true
    }

    fn finish(&mut self, verdict: Verdict) {
        if !self.queue.is_running() {
            return;
        }
        let acknowledged = self.queue.finished(verdict, self.now).map(|event| event.sequence);
        let Some(sequence) = self.running.take() else { return assert_eq!(acknowledged, None) };
        let done = matches!(verdict, Verdict::Done | Verdict::Overtaken);
        assert!(!done || acknowledged == Some(sequence), "seed {}", self.seed);
        self.known.get_mut(&sequence).unwrap().1.done = done;
    }

    /// Every event was delivered, or something newer stood in for it.
    fn judge(&self) {
        for (sequence, (callback, known)) in &self.known {
            let newer = || self.known.range(sequence + 1..).map(|(_, (callback, _))| *callback);
            let ending = |newer: Callback| {
                matches!(newer, Callback::OnRoleChange | Callback::OnStop) || *callback != Callback::OnRoleChange
            };
            let tried = known.calls > 0 && *callback != Callback::OnReload;
            let replaced = newer().any(|newer| newer == *callback || (tried && newer != Callback::OnReload && ending(newer)));
            assert!(known.done || replaced, "seed {}: {callback} {sequence} was lost", self.seed);
        }
        let last_role = self.known.iter().rev().find(|(_, (callback, _))| *callback == Callback::OnRoleChange);
        let Some((sequence, (_, known))) = last_role else { return };
        let stopped = self.known.range(sequence + 1..).any(|(_, (callback, _))| *callback == Callback::OnStop);
        assert!(known.done || (known.calls > 0 && stopped), "seed {}: the last role change was lost", self.seed);
    }
}

#[test]
fn random_walks_keep_order_and_lose_nothing() {
    let verdicts = [Verdict::Done, Verdict::Failed, Verdict::Hopeless, Verdict::Overtaken, Verdict::Lost];
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let mut walk = Walk {
            seed,
            queue: queue(),
            now: at(0),
            known: BTreeMap::new(),
            running: None,
            newest_called: 0,
            newest_reload_called: 0,
        };
        for _ in 0..80 {
            match random.below(10) {
                0..=2 => walk.push(CALLBACKS[random.below(5) as usize]),
                3 => walk.queue.face_changed(walk.now),
                4 => walk.queue.close(),
                5 => walk.queue.open(random.below(2) == 0, walk.now),
                6 => walk.now = walk.now + Duration::from_millis(random.below(4_000)),
                7 => walk.finish(verdicts[random.below(5) as usize]),
                _ => drop(walk.next()),
            }
            assert!(walk.queue.waiting().count() <= CALLBACKS.len() + 1, "seed {seed}: unbounded");
        }
        walk.queue.open(false, walk.now);
        for _ in 0..50 {
            walk.finish(Verdict::Done);
            if !walk.next() {
                match walk.queue.wake_at() {
                    Some(wake) if !walk.queue.is_idle() => walk.now = wake,
                    _ => break,
                }
            }
        }
        assert!(walk.queue.is_idle(), "seed {seed}: did not come to rest");
        walk.judge();
    }
}
