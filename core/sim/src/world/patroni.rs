//! The Patroni of a mixed cluster at work.

use super::{World, event::Event};
use crate::model::{
    clock::{MS, SEC},
    patroni::{Patroni, Step},
    store::LEADER,
};

impl World {
    /// Puts a Patroni into the cluster, which starts when there has been time to make one.
    pub fn join_patroni(&mut self) {
        let rng = self.rng.fork(23);
        self.patroni = Some(Patroni::new(self.nodes.len(), self.options.ttl, rng));
        self.plan_patroni(10 * SEC);
    }

    /// It looks again then, or earlier.
    fn plan_patroni(&mut self, after: u64) {
        let at = self.now + after;
        if let Some(patroni) = self.patroni.as_mut().filter(|patroni| at < patroni.wakes_at) {
            patroni.wakes_at = at;
            self.at(at, Event::Patroni(Step::Loop));
        }
    }

    /// Its watch shows that the leader key is gone.
    pub fn patroni_watches(&mut self) {
        if self.now > 10 * SEC && self.store.snap.get(LEADER).is_none() {
            let noticed = self.patroni.as_mut().map_or(0, |patroni| patroni.rng.range(2 * MS, 50 * MS));
            self.plan_patroni(noticed);
        }
    }

    /// One step of it.
    pub fn patroni(&mut self, step: Step) {
        let now = self.now;
        let Some(patroni) = self.patroni.as_mut() else { return };
        match step {
            Step::Loop if patroni.wakes_at == now => {
                patroni.wakes_at = u64::MAX;
                let pause = patroni.pause();
                if let Some(after) = patroni.travels() {
                    self.at(now + after, Event::Patroni(Step::Asks { sent: now }));
                }
                self.plan_patroni(pause);
            }
            // A loop that was planned before an earlier one took its place.
            Step::Loop => {}
            Step::Asks { .. } if now < self.store_up_at => {}
            Step::Asks { sent } => {
                let txn = patroni.request(&self.store.snap);
                let (answer, changed) = self.store.apply(txn, now);
                let mine = patroni.leads_in(&answer.snap);
                let back = patroni.travels();
                if changed {
                    self.committed();
                }
                self.plan_expiry();
                if let Some(after) = back {
                    self.at(now + after, Event::Patroni(Step::Hears { sent, mine }));
                }
            }
            Step::Hears { sent, mine } => {
                if patroni.hears(sent, mine) {
                    let took = patroni.rng.range(20 * MS, 300 * MS);
                    self.say(|| "the Patroni takes the leader key".into());
                    self.at(now + took, Event::Patroni(Step::Promoted { sent }));
                }
            }
            Step::Promoted { sent } => {
                patroni.promoted(sent);
                self.say(|| "the Patroni is writable".into());
            }
        }
    }

    /// I1 with a Patroni: none of the nodes that count as writable beside it.
    pub(crate) fn check_beside_patroni(&mut self, writable: usize) {
        if writable > 0 && self.patroni.as_ref().is_some_and(|patroni| patroni.writes(self.now)) {
            let who = (0..self.nodes.len()).filter(|node| self.can_write(*node)).map(|node| self.names[node].0.as_str());
            let who: Vec<&str> = who.collect();
            self.violate("I1", format!("writable at once: {} and a Patroni", who.join(", ")));
        }
    }
}
