//! Answers what plugins ask for: has it checked, carries it out beside the broker's task, hands the answer back.

use super::{Broker, calls::RunningCall};
use crate::{
    DnsClaim, DnsUpdater, HttpExchange, Permit, Standing,
    claim::{Claiming, key, lookup},
    http::{Checked, Sending, send_all},
    protocol::{CallId, Denial, DnsPointed, HttpRequest, LeadershipState, Op, Reply, RequestId, ToHost},
};
use std::{future::Future, sync::Arc, time::Duration};
use tanist_engine::Moment;

/// A request was carried out, or not.
#[derive(Debug)]
pub(super) struct EffectDone {
    call: CallId,
    request: RequestId,
    result: Result<Reply, Denial>,
}

/// A request that passed the check.
struct Passed {
    plugin: usize,
    deadline: Moment,
    permit: Permit,
}

impl Broker {
    /// A running call asks for something.
    pub(super) fn request(&mut self, call: CallId, request: RequestId, op: Op, now: Moment) {
        let asked = (call, request);
        let answered = match self.permit(call, &op, now) {
            Err(denial) => Some(Err(denial)),
            Ok(passed) => self.carry_out(asked, op, passed, now),
        };
        if let Some(result) = answered {
            self.answer(asked, result, now);
        }
    }

    fn permit(&mut self, call: CallId, op: &Op, now: Moment) -> Result<Passed, Denial> {
        let (leadership, proved) = (*self.leadership.borrow(), self.composer.proved());
        let running = self.calls.asking(call).ok_or(Denial::Expired)?;
        let standing = Standing { call_epoch: running.epoch, call_deadline: running.deadline, leadership, proved, now };
        let config = &self.plugins[running.plugin].config;
        let permit = config.grants.check(&config.id, op, &standing)?;
        Ok(Passed { plugin: running.plugin, deadline: running.deadline, permit })
    }

    /// Returns the answer, if it is there at once.
    fn carry_out(&mut self, asked: (CallId, RequestId), op: Op, passed: Passed, now: Moment) -> Option<Result<Reply, Denial>> {
        let Passed { plugin, deadline, permit } = passed;
        match (permit, op) {
            (Permit::Leadership, _) => Some(Ok(Reply::Leadership(self.leadership_state(now)))),
            (Permit::DnsLookup { target, name }, Op::DnsLookup { kind, .. }) => match self.updater() {
                Ok(updater) => self.beside(asked, lookup(updater, target, name, kind, deadline.since(now))),
                Err(denial) => Some(Err(denial)),
            },
            (Permit::DnsPoint { target, name, addresses }, Op::DnsPoint { ttl, epoch, .. }) => {
                self.point(asked, DnsClaim { target, name, addresses, ttl, epoch }, plugin, deadline)
            }
            (Permit::Http(permitted), Op::Http { requests }) => self.send(asked, permitted, &requests, plugin, deadline),
            (Permit::DnsLookup { .. } | Permit::DnsPoint { .. } | Permit::Http(_), _) => {
                Some(Err(Denial::Invalid("not what was asked for".to_owned())))
            }
        }
    }

    fn point(
        &mut self,
        asked: (CallId, RequestId),
        claim: DnsClaim,
        plugin: usize,
        deadline: Moment,
    ) -> Option<Result<Reply, Denial>> {
        let config = &self.plugins[plugin].config;
        if config.dry_run {
            let DnsClaim { name, addresses, epoch, .. } = &claim;
            tracing::info!(plugin = %config.id, name, ?addresses, epoch, "dry run: not carried out");
            return Some(Ok(Reply::DnsPoint(DnsPointed::Applied)));
        }
        let updater = match self.updater() {
            Ok(updater) => updater,
            Err(denial) => return Some(Err(denial)),
        };
        // Locks that nobody holds and nobody waits for are not needed.
        self.name_locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        let claiming = Claiming {
            plugin: config.id.clone(),
            updater,
            leadership: self.leadership.clone(),
            ledger: self.ledger.clone(),
            name_lock: Arc::clone(self.name_locks.entry(key(&claim)).or_default()),
            claim,
            deadline,
        };
        self.beside(asked, claiming.run())
    }

    fn send(
        &mut self,
        asked: (CallId, RequestId),
        permitted: Vec<Result<HttpExchange, Denial>>,
        requests: &[HttpRequest],
        plugin: usize,
        deadline: Moment,
    ) -> Option<Result<Reply, Denial>> {
        let Some(sender) = self.config.http.clone() else { return Some(Err(Denial::Unavailable("http".to_owned()))) };
        let epoch = self.calls.asking(asked.0).map_or(0, |running| running.epoch);
        let config = &self.plugins[plugin].config;
        let (plugin, ledger, leadership) = (config.id.clone(), self.ledger.clone(), self.leadership.clone());
        let sending = Sending { plugin, sender, ledger, leadership, epoch, dry_run: config.dry_run, deadline };
        let checked = |(permitted, request): (_, &HttpRequest)| {
            let limit = request.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
            Checked { permitted, limit, claim: request.claim }
        };
        self.beside(asked, send_all(sending, permitted.into_iter().zip(requests).map(checked).collect()))
    }

    /// Carries something out beside the task, unless the call has too much under way.
    fn beside(
        &mut self,
        (call, request): (CallId, RequestId),
        effect: impl Future<Output = Result<Reply, Denial>> + Send + 'static,
    ) -> Option<Result<Reply, Denial>> {
        if !self.calls.asking(call).is_some_and(RunningCall::try_begin_request) {
            return Some(Err(Denial::TooMany { what: "requests at a time".to_owned(), limit: RunningCall::MAX_IN_FLIGHT }));
        }
        self.effects.spawn(async move { EffectDone { call, request, result: effect.await } });
        None
    }

    fn updater(&self) -> Result<Arc<dyn DnsUpdater>, Denial> {
        self.config.dns.clone().ok_or_else(|| Denial::Unavailable("dns".to_owned()))
    }

    fn leadership_state(&self, now: Moment) -> LeadershipState {
        let leadership = *self.leadership.borrow();
        let left = leadership.lease_until.map(|until| until.since(now).as_millis());
        LeadershipState { epoch: leadership.epoch.0, lease_left_ms: left.map(|left| u64::try_from(left).unwrap_or(u64::MAX)) }
    }

    /// An effect is over, perhaps after its call: then nobody is told, and the ledger knows.
    pub(super) fn effect_done(&mut self, done: EffectDone, now: Moment) {
        let EffectDone { call, request, result } = done;
        if let Some(running) = self.calls.asking(call) {
            running.end_request();
            self.answer((call, request), result, now);
        }
    }

    fn answer(&mut self, (call, request): (CallId, RequestId), result: Result<Reply, Denial>, now: Moment) {
        if let Err(denial) = &result {
            tracing::warn!(call = call.0, %denial, "a plugin's request was not carried out");
        }
        self.say(&ToHost::Answer { call, request, result }, now);
    }
}
