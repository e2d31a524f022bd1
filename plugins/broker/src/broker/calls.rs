//! The calls that are under way, and their deadlines. Pure: time is an argument.

use crate::{LastEvent, protocol::CallId};
use std::{collections::HashMap, time::Duration};
use tanist_engine::Moment;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct RunningCall {
    /// Index of the plugin.
    pub(crate) plugin: usize,
    /// The epoch it is made for.
    pub(crate) epoch: u64,
    /// The event, unless it is a reconcile.
    pub(crate) event: Option<LastEvent>,
    pub(crate) started: Moment,
    /// What it asks for must be over then.
    pub(crate) deadline: Moment,
    /// The next deadline of the host: to end it by itself, then, once cancelled, to end it at all.
    expires: Moment,
    /// The host was told to drop it.
    pub(crate) cancelled: bool,
    in_flight: u32,
}

/// What has to be done about a call whose host is late.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Tell the host to drop it.
    Cancel(CallId),
    /// The host is past both timeouts.
    Hopeless(CallId),
}

/// All calls under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    running: HashMap<CallId, RunningCall>,
    last: u64,
}

impl Calls {
    /// A new call of a plugin, with an id that was never used.
    pub(crate) fn begin(
        &mut self,
        plugin: usize,
        epoch: u64,
        event: Option<LastEvent>,
        wall: Duration,
        slack: Duration,
        now: Moment,
    ) -> CallId {
        self.last += 1;
        let call = CallId(self.last);
        let deadline = now + wall;
        let running = RunningCall {
            plugin,
            epoch,
            event,
            started: now,
            deadline,
            expires: deadline + slack,
            cancelled: false,
            in_flight: 0,
        };
        self.running.insert(call, running);
        call
    }

    /// A call that may still ask for something.
    pub(crate) fn asking(&mut self, call: CallId) -> Option<&mut RunningCall> {
        self.running.get_mut(&call).filter(|running| !running.cancelled)
    }

    /// A call has ended.
    pub(crate) fn end(&mut self, call: CallId) -> Option<RunningCall> {
        self.running.remove(&call)
    }

    /// All calls have ended, because their host is gone.
    pub(crate) fn end_all(&mut self) -> Vec<RunningCall> {
        self.running.drain().map(|(_, running)| running).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The first late call, if any; `patience`: what a host gets to drop a cancelled call.
    pub(crate) fn late(&mut self, patience: Duration, now: Moment) -> Option<Late> {
        let (call, running) = self.running.iter_mut().find(|(_, running)| running.expires <= now)?;
        if running.cancelled {
            return Some(Late::Hopeless(*call));
        }
        running.cancelled = true;
        running.expires = now + patience;
        Some(Late::Cancel(*call))
    }

    /// This process did not run for so long: the host is not to blame. The deadline of claims stays.
    pub(crate) fn forgive(&mut self, span: Duration) {
        self.running.values_mut().for_each(|running| running.expires = running.expires + span);
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        self.running.values().map(|running| running.expires).min()
    }
}

impl RunningCall {
    /// Requests of one call that may be carried out at the same time.
    pub(crate) const MAX_IN_FLIGHT: u32 = 8;

    /// Counts a request that is carried out beside others.
    pub(crate) fn try_begin_request(&mut self) -> bool {
        let free = self.in_flight < Self::MAX_IN_FLIGHT;
        self.in_flight += u32::from(free);
        free
    }

    pub(crate) fn end_request(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_call_is_cancelled_first_and_then_the_hosts_end() {
        let millis = Duration::from_millis;
        let at = |millis: u64| Moment::from_nanos(millis * 1_000_000);
        let mut calls = Calls::default();
        let call = calls.begin(0, 9, None, millis(100), millis(20), at(0));
        assert_eq!(calls.late(millis(500), at(119)), None);
        assert_eq!(calls.late(millis(500), at(120)), Some(Late::Cancel(call)));
        assert!(calls.asking(call).is_none(), "what it asks for now is answered with `expired`");
        assert_eq!(calls.late(millis(500), at(619)), None);
        calls.forgive(millis(50));
        assert_eq!(calls.late(millis(500), at(669)), None);
        assert_eq!(calls.late(millis(500), at(670)), Some(Late::Hopeless(call)));
        assert!(calls.end(call).is_some());
        assert_ne!(calls.begin(0, 9, None, millis(100), millis(20), at(0)), call, "ids are never reused");
    }
}
