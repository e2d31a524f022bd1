//! A Patroni among the members: it knows the leader key alone, and takes it as soon as the store's expiry has ended it.
//!
//! So beside one the lease is counted no further than that expiry lasts: it is kept alive before every attempt, and the attempt counts from
//! before that, with the shorter of both lengths. An expiry that cannot be kept alive lets no attempt begin. Nobody has to switch this on:
//! a Patroni writes its member key before it can lead.

use super::Keeper;
use crate::{ExpiryId, StoreError};
use std::time::Duration;
use tanist_engine::Reading;

/// So many ttl after a Patroni was last seen among the members it may still come back at any moment.
const REMEMBERED: u32 = 10;
/// Expiries tried: the one the leader key hangs on, the node's own, one made anew.
const TRIES: usize = 3;

/// How an attempt counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    from: Option<Reading>,
    most: Duration,
    /// What was kept alive for it.
    on: Option<ExpiryId>,
}

impl Count {
    /// From its own beginning, by its own ttl.
    const PLAIN: Self = Self { from: None, most: Duration::MAX, on: None };

    /// Of an attempt that begins now and writes this ttl: from when it counts, and how long.
    pub(super) fn of(&self, now: Reading, ttl: Duration) -> (Reading, Duration) {
        (self.from.unwrap_or(now), ttl.min(self.most))
    }
}

impl Keeper {
    /// Whether a Patroni is among the members that the store shows. The agent tells it with every view.
    pub fn beside_patroni(&self, seen: bool) {
        if seen {
            let now = self.clock.now();
            self.state().patroni_seen = Some(now);
        }
    }

    /// Before an attempt: how it counts. Beside a Patroni the expiry that the leader key hangs on, or will hang on, is kept alive; where it
    /// is over, the next one is.
    pub(super) async fn count(&self, timeout: Duration) -> Result<Count, StoreError> {
        let now = self.clock.now();
        if !self.is_beside_patroni(now) {
            return Ok(Count::PLAIN);
        }
        for _ in 0..TRIES {
            let leaders = self.state().own_leader().and_then(|leader| leader.expiry);
            let id = match leaders {
                Some(id) => id,
                None => self.expiry_id().await?,
            };
            match self.store.keep_alive(id, timeout).await {
                Ok(()) => {
                    let most = self.expiry.length(id).unwrap_or(Duration::MAX);
                    return Ok(Count { from: Some(now), most, on: Some(id) });
                }
                Err(StoreError::ExpiryGone) => self.expiry_gone(id),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::ExpiryGone)
    }

    /// What a leader key that this attempt puts hangs on.
    pub(super) async fn hang_on(&self, count: &Count) -> Result<ExpiryId, StoreError> {
        match count.on {
            Some(kept) => Ok(kept),
            None => self.expiry_id().await,
        }
    }

    fn is_beside_patroni(&self, now: Reading) -> bool {
        let state = self.state();
        let remembered = state.ttl * REMEMBERED;
        state.patroni_seen.is_some_and(|seen| now.least_since(seen) < remembered)
    }

    /// The leader key went with it, if it hung there: the attempt puts it back.
    fn expiry_gone(&self, id: ExpiryId) {
        self.expiry.gone(id);
        let mut state = self.state();
        if state.leader.as_ref().is_some_and(|leader| leader.expiry == Some(id)) {
            state.leader = None;
        }
    }
}
