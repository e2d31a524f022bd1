//! The order in which one plugin is called. Pure: time is an argument, nothing is read or written.
//!
//! - A newer role change takes the place of a waiting older one; latest role wins.
//! - A running call is never stopped by a newer event, only by its own deadline.
//! - Events are called in the order in which they happened, except that a reload waits for everything but a failed release: a lesser
//!   event never displaces or delays a role change. Of each callback at most one waits, the newest, so the queue is bounded by
//!   construction.
//! - A failed event is called again with back-off until it succeeds or something newer makes it pointless. What was never tried is
//!   dropped for a newer event of the same callback only: an `on_stop` is called before the `on_role_change` that follows it.
//! - `reconcile` is due at attach, after every change of the face, after failures, and at an interval; events go first.
//! - Too many failures in a row open the breaker: attempts at long intervals, except that a new event is tried at once. An attempt
//!   under an open breaker is a probe: its success closes it.
//! - A release on behalf of a dead owner is called before the claim that follows it, once; one that failed waits behind all claims, and
//!   nothing waits for it.
//!
//! Not here: what an event says, who may act on it, and the journal (a snapshot of [`Queue::waiting`]). The broker calls this, and the
//! simulator, over events of its own.

#![forbid(unsafe_code)]

mod backoff;
mod place;

pub use backoff::Backoff;

use place::{next_in_turn, pointless, rank};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tanist_engine::{Callback, Moment};

/// What the queue has to know of an event.
pub trait Queued {
    /// What happened.
    fn callback(&self) -> Callback;

    /// Counts the node's events; higher is later.
    fn sequence(&self) -> u64;

    /// The node on whose behalf something is released; nothing: an event of the node that calls.
    fn on_behalf_of(&self) -> Option<&str>;
}

/// What happens after a failed call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Again, with back-off, until it succeeds or a newer event takes its place.
    #[default]
    Retry,
    /// Not again; the next reconcile repairs it.
    Reconcile,
}

/// What to call a plugin for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<E> {
    /// A callback.
    Event(Box<E>),
    /// `reconcile`, and why.
    Reconcile(Cause),
}

/// Why `reconcile` is due. Of several the first in this order is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The plugin was loaded, or this node became the leader.
    Attach,
    /// The cluster looks different.
    Face,
    /// A call has failed.
    Failure,
    /// Time has passed.
    Interval,
}

impl Cause {
    /// The word in the view.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Face => "face",
            Self::Failure => "failure",
            Self::Interval => "interval",
        }
    }
}

/// How one plugin is called.
#[derive(Clone, Copy, Debug)]
pub struct QueuePolicy {
    /// Back-off and breaker.
    pub backoff: Backoff,
    /// Longest time between two reconciles.
    pub interval: Duration,
    /// After a failed event.
    pub on_failure: OnFailure,
}

/// Whether a plugin that keeps failing is left alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// It is called whenever there is something to call it for.
    #[default]
    Closed,
    /// It is called at long intervals only, and for new events.
    Open,
    /// Such a call is under way; its success closes the breaker.
    HalfOpen,
}

impl Breaker {
    /// The word people see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What became of a call, for the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, or there is nothing to do.
    Done,
    /// Worth another attempt after back-off.
    Failed,
    /// Not worth another attempt before a long time has passed.
    Hopeless,
    /// A newer epoch is known: the event is over, and so is the claim it wanted.
    Overtaken,
    /// The host died, or was not there: the call may have done anything.
    Lost,
}

#[derive(Clone, Debug)]
struct Waiting<E> {
    event: Box<E>,
    attempts: u32,
    not_before: Moment,
    /// When it was queued.
    since: Moment,
}

#[derive(Clone, Debug)]
enum Running<E> {
    Event(Waiting<E>),
    Reconcile(Cause),
}

/// One plugin's queue.
#[derive(Clone, Debug)]
pub struct Queue<E> {
    policy: QueuePolicy,
    /// It can be called: loaded, and for a leader's plugin, this node is the leader and published.
    open: bool,
    reconciles: bool,
    /// In the order in which they happened, a reload last.
    waiting: Vec<Waiting<E>>,
    running: Option<Running<E>>,
    reconcile: Option<(Cause, Moment)>,
    /// Failures in a row, of whatever call.
    failures: u32,
}

impl<E: Queued + Clone> Queue<E> {
    /// An empty queue of a plugin that cannot be called yet.
    pub fn new(policy: QueuePolicy) -> Self {
        Self { policy, open: false, reconciles: false, waiting: Vec::new(), running: None, reconcile: None, failures: 0 }
    }

    /// The plugin can be called from now on. `reconciles`: it exports `reconcile`. What waits in
    /// back-off is tried at once, unless the breaker is open.
    pub fn open(&mut self, reconciles: bool, now: Moment) {
        if self.open && self.reconciles == reconciles {
            return;
        }
        self.open = true;
        self.reconciles = reconciles;
        self.reconcile = None;
        if self.breaker_open() {
            // Perhaps this very plugin brought the host down.
            return self.want_reconcile(Cause::Attach, now + self.policy.backoff.breaker_delay);
        }
        self.waiting.iter_mut().for_each(|waiting| waiting.not_before = now);
        self.want_reconcile(Cause::Attach, now);
    }

    /// The plugin cannot be called for now; what waits goes on waiting.
    pub fn close(&mut self) {
        self.open = false;
        self.reconcile = None;
    }

    /// Something happened. Later events must have higher sequence numbers.
    pub fn push(&mut self, event: E, now: Moment) {
        self.waiting.retain(|older| !pointless(older, &event));
        self.insert(Waiting { event: Box::new(event), attempts: 0, not_before: now, since: now });
    }

    /// The cluster looks different.
    pub fn face_changed(&mut self, now: Moment) {
        self.want_reconcile(Cause::Face, now);
    }

    /// Events that wait and that `keep` does not want any more are dropped (another node leads now). The running call goes on.
    pub fn retain(&mut self, keep: impl Fn(&E) -> bool) {
        self.waiting.retain(|waiting| keep(&waiting.event));
    }

    /// Changes events that must be called for yet, also the one of the running call for its next attempt; that call itself goes on as it
    /// was begun. What this queue orders them by must stay.
    pub fn amend(&mut self, change: impl Fn(&mut E)) {
        let running = match &mut self.running {
            Some(Running::Event(waiting)) => Some(waiting),
            Some(Running::Reconcile(_)) | None => None,
        };
        running.into_iter().chain(&mut self.waiting).for_each(|waiting| change(&mut waiting.event));
    }

    /// What to call for now, if anything. The caller must call [`Queue::finished`] for it.
    pub fn next(&mut self, now: Moment) -> Option<Delivery<E>> {
        if !self.open || self.running.is_some() {
            return None;
        }
        if let Some(place) = self.due(now) {
            let due = self.waiting.remove(place);
            let delivery = Delivery::Event(due.event.clone());
            self.running = Some(Running::Event(due));
            return Some(delivery);
        }
        let (cause, _) = self.reconcile.filter(|(_, due)| *due <= now)?;
        self.reconcile = None;
        self.running = Some(Running::Reconcile(cause));
        Some(Delivery::Reconcile(cause))
    }

    /// The running call has ended. Returns the event that needs no further call, if it was one.
    pub fn finished(&mut self, verdict: Verdict, now: Moment) -> Option<Box<E>> {
        let running = self.running.take()?;
        let had_failed = self.failures > 0;
        match verdict {
            Verdict::Done | Verdict::Overtaken => self.failures = 0,
            Verdict::Failed | Verdict::Hopeless | Verdict::Lost => self.failures = self.failures.saturating_add(1),
        }
        match running {
            Running::Event(event) => self.event_finished(event, verdict, had_failed, now),
            Running::Reconcile(cause) => {
                match verdict {
                    Verdict::Done | Verdict::Overtaken => self.want_reconcile(Cause::Interval, now + self.policy.interval),
                    Verdict::Failed | Verdict::Hopeless => {
                        self.want_reconcile(Cause::Failure, now + self.delay(verdict, self.failures))
                    }
                    // Not its fault: for the same reason again, as soon as it can be called.
                    Verdict::Lost => self.want_reconcile(cause, now + self.delay(verdict, self.failures)),
                }
                None
            }
        }
    }

    fn event_finished(&mut self, mut event: Waiting<E>, verdict: Verdict, had_failed: bool, now: Moment) -> Option<Box<E>> {
        event.attempts = event.attempts.saturating_add(1);
        match verdict {
            Verdict::Done | Verdict::Overtaken => {
                let due = if had_failed { (Cause::Failure, now) } else { (Cause::Interval, now + self.policy.interval) };
                self.want_reconcile(due.0, due.1);
                return Some(event.event);
            }
            Verdict::Failed | Verdict::Hopeless if self.policy.on_failure == OnFailure::Reconcile => {
                self.want_reconcile(Cause::Failure, now + self.delay(verdict, self.failures));
                return Some(event.event);
            }
            Verdict::Failed | Verdict::Hopeless | Verdict::Lost => {}
        }
        event.not_before = now + self.delay(verdict, event.attempts.max(self.failures));
        self.want_reconcile(Cause::Failure, event.not_before);
        // While it ran, something newer may have come that makes another attempt pointless.
        if self.waiting.iter().any(|newer| pointless(&event, &newer.event)) {
            return Some(event.event);
        }
        match rank(&event) {
            0 => self.waiting.insert(0, event),
            _ => self.insert(event),
        }
        None
    }

    /// Behind everything that goes before it or happened earlier.
    fn insert(&mut self, waiting: Waiting<E>) {
        let rank_of_it = rank(&waiting);
        let place = self.waiting.iter().position(|other| rank(other) > rank_of_it);
        self.waiting.insert(place.unwrap_or(self.waiting.len()), waiting);
    }

    /// When to ask [`Queue::next`] again, if nothing else happens.
    pub fn wake_at(&self) -> Option<Moment> {
        if !self.open || self.running.is_some() {
            return None;
        }
        let event = next_in_turn(&self.waiting).iter().map(|waiting| waiting.not_before).min();
        let reconcile = self.reconcile.map(|(_, due)| due);
        event.into_iter().chain(reconcile).min()
    }

    /// What must be called for yet, the running event first: what a journal has to keep.
    pub fn waiting(&self) -> impl Iterator<Item = &E> {
        let running = match &self.running {
            Some(Running::Event(waiting)) => Some(&*waiting.event),
            Some(Running::Reconcile(_)) | None => None,
        };
        running.into_iter().chain(self.waiting.iter().map(|waiting| &*waiting.event))
    }

    /// A call is under way.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Nothing is under way and no event waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// Failed calls since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Too many of them in a row.
    pub fn breaker_open(&self) -> bool {
        self.policy.backoff.is_open(self.failures)
    }

    /// What the breaker does.
    pub fn breaker(&self) -> Breaker {
        match (self.breaker_open(), self.is_running()) {
            (false, _) => Breaker::Closed,
            (true, false) => Breaker::Open,
            (true, true) => Breaker::HalfOpen,
        }
    }

    /// The sequence number of the event to call for now, if it is an event.
    pub fn due_event(&self, now: Moment) -> Option<u64> {
        let place = self.due(now).filter(|_| self.open && self.running.is_none())?;
        self.waiting.get(place).map(|due| due.event.sequence())
    }

    /// The place of the event that is called next, if its time has come.
    fn due(&self, now: Moment) -> Option<usize> {
        next_in_turn(&self.waiting).iter().position(|waiting| waiting.not_before <= now)
    }

    /// Since when an event up to this sequence number waits or runs.
    pub fn waits_since(&self, sequence: u64) -> Option<Moment> {
        let running = match &self.running {
            Some(Running::Event(waiting)) => Some(waiting),
            Some(Running::Reconcile(_)) | None => None,
        };
        let upto = running.into_iter().chain(&self.waiting).filter(|waiting| waiting.event.sequence() <= sequence);
        upto.map(|waiting| waiting.since).min()
    }

    fn delay(&self, verdict: Verdict, failures: u32) -> Duration {
        match verdict {
            Verdict::Hopeless => self.policy.backoff.breaker_delay,
            Verdict::Lost if !self.policy.backoff.is_open(failures) => Duration::ZERO,
            _ => self.policy.backoff.after(failures),
        }
    }

    /// `reconcile` at `due` at the latest, unless it does not have one.
    fn want_reconcile(&mut self, cause: Cause, due: Moment) {
        if !self.reconciles || !self.open {
            return;
        }
        self.reconcile = Some(match self.reconcile {
            // An open breaker slows down everything that is not a new event.
            Some((other, at)) if self.breaker_open() => (cause.min(other), at.max(due)),
            Some((other, at)) if at <= due => (other, at),
            _ => (cause, due),
        });
    }
}

#[cfg(test)]
mod tests;
