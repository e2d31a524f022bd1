//! The store's own expiry under leader key and member key: for Patroni's tools and peers. The lease does not rest on it.

use super::Keeper;
use crate::{Compare, ExpiryId, Op, StoreError, Txn};
use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tanist_engine::Revision;

/// The expiry and what hangs on it.
#[derive(Default)]
pub(super) struct Expiry {
    inner: Mutex<Inner>,
    /// One grant at a time.
    granting: tokio::sync::Mutex<()>,
    is_own: Mutex<Option<IsOwn>>,
}

#[derive(Default)]
struct Inner {
    /// The one to hang keys on.
    id: Option<ExpiryId>,
    /// How long the store keeps each without a word, the newest last: `id`, and one of another ttl that the leader key still hangs on.
    /// Only the next acquisition moves that key, because its number is the epoch.
    lengths: Vec<(ExpiryId, Duration)>,
    member: Option<Vec<u8>>,
    /// Revision of the member key as this node last wrote or accepted it; zero: absent.
    written: Revision,
}

/// Whether a value of the member key of this name is this node's own.
type IsOwn = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Why the member key was not put.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another node has the name; its value.
    #[error("the name is another node's")]
    Taken(Vec<u8>),
}

impl Expiry {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn owns(&self, value: &[u8]) -> bool {
        self.is_own.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(|is_own| is_own(value))
    }

    /// How long it lasts without a word, where that is known.
    pub(super) fn length(&self, id: ExpiryId) -> Option<Duration> {
        self.with(|inner| inner.length(id))
    }

    /// The store said that this one is over.
    pub(super) fn gone(&self, id: ExpiryId) {
        self.with(|inner| {
            if inner.id == Some(id) {
                inner.id = None;
            }
            inner.lengths.retain(|(known, _)| *known != id);
        });
    }
}

impl Inner {
    /// The store made this one, which is what keys hang on from now.
    fn granted(&mut self, id: ExpiryId, length: Duration) {
        self.id = Some(id);
        self.lengths.push((id, length));
    }

    fn length(&self, id: ExpiryId) -> Option<Duration> {
        self.lengths.iter().find(|(known, _)| *known == id).map(|(_, length)| *length)
    }

    /// What to keep alive for new keys; `None`: one has to be made. `leaders` is what the leader key hangs on, if it is ours, and how
    /// long that lasts as far as is known.
    fn turn(&mut self, leaders: Option<(ExpiryId, Duration)>, ttl: Duration) -> Option<ExpiryId> {
        // After a restart of the agent the leader key hangs on the expiry of the process before.
        if let Some((id, length)) = leaders.filter(|(id, _)| self.length(*id).is_none()) {
            self.lengths.insert(0, (id, length));
            self.id = self.id.or(Some(id));
        }
        self.id = self.id.filter(|id| self.length(*id) == Some(ttl));
        let newest = self.lengths.last().map(|(id, _)| *id);
        let needed = [self.id, newest, leaders.map(|(id, _)| id)];
        self.lengths.retain(|(id, _)| needed.contains(&Some(*id)));
        self.id
    }

    fn shortest(&self) -> Option<Duration> {
        self.lengths.iter().map(|(_, length)| *length).min()
    }
}

impl Keeper {
    /// Tells this node's values of the member key from those of another node of the same name. Without it every value is its own.
    pub fn tell_own(&self, is_own: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        *self.expiry.is_own.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(is_own));
    }

    /// Puts this node's member key, on the node's expiry. The newest value is put again whenever the expiry had to be made anew.
    ///
    /// Never over the value of another node: of two that were given one name and start at the same moment only one gets it.
    pub async fn put_member(&self, value: Vec<u8>) -> Result<Revision, MemberError> {
        self.expiry.with(|inner| inner.member = Some(value.clone()));
        let done = self.hang_member(value).await;
        self.note(match &done {
            Err(MemberError::Store(error)) => Some(error),
            Ok(_) | Err(MemberError::Taken(_)) => None,
        });
        if let Err(MemberError::Taken(_)) = &done {
            self.expiry.with(|inner| inner.member = None);
        }
        done
    }

    async fn hang_member(&self, value: Vec<u8>) -> Result<Revision, MemberError> {
        let id = self.expiry_id().await?;
        match self.write_member(value.clone(), id).await {
            Err(MemberError::Store(StoreError::ExpiryGone)) => {
                self.expiry.gone(id);
                let id = self.expiry_id().await?;
                self.write_member(value, id).await
            }
            done => done,
        }
    }

    /// Deletes this node's member key and ends its expiry: the last call of a node that leaves in order.
    pub async fn leave(&self) -> Result<(), StoreError> {
        let id = self.expiry.with(|inner| {
            inner.member = None;
            inner.id.take()
        });
        match id {
            Some(id) => match self.store.revoke(id, self.attempt_timeout()).await {
                Err(StoreError::ExpiryGone) => Ok(()),
                done => done,
            },
            None => Ok(()),
        }
    }

    /// Keeps the expiry alive for ever, three times per ttl, and puts the member key again when it was lost. The agent spawns this.
    pub async fn keep_expiry_alive(&self) -> Infallible {
        loop {
            if let Err(error) = self.keep_expiry().await {
                tracing::debug!(%error, "the expiry was not kept alive");
            }
            let ttl = self.state().ttl;
            let shortest = self.expiry.with(|inner| inner.shortest());
            tokio::time::sleep(shortest.map_or(ttl, |shortest| shortest.min(ttl)) / 3).await;
        }
    }

    /// One turn of [`Keeper::keep_expiry_alive`].
    pub async fn keep_expiry(&self) -> Result<(), StoreError> {
        let (leaders, ttl) = {
            let state = self.state();
            let on = state.leader.as_ref().and_then(|leader| leader.expiry);
            (state.mine.as_ref().and_then(|mine| Some((on?, mine.record.ttl))), state.ttl)
        };
        let (own, shortest) = self.expiry.with(|inner| (inner.turn(leaders, ttl), inner.shortest()));
        let leaders = leaders.map(|(id, _)| id);
        // When the ttl was raised a member that hangs must not take as long as the old, short expiry lasts.
        let timeout = self.attempt_timeout().min(shortest.map_or(Duration::MAX, |shortest| shortest / 5));
        if let Some(id) = leaders.filter(|id| Some(*id) != own) {
            // If that one is over the renewal puts the leader key back on ours.
            match self.store.keep_alive(id, timeout).await {
                Ok(()) | Err(StoreError::ExpiryGone) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(id) = own {
            match self.store.keep_alive(id, timeout).await {
                Err(StoreError::ExpiryGone) => self.expiry.gone(id),
                done => return done,
            }
        }
        let id = self.expiry_id().await?;
        match self.expiry.with(|inner| inner.member.clone()) {
            Some(member) => match self.write_member(member, id).await {
                Ok(_) => Ok(()),
                Err(MemberError::Store(error)) => Err(error),
                // Whoever puts the next value hears of it.
                Err(MemberError::Taken(_)) => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The expiry to hang a key on; made when there is none.
    pub(super) async fn expiry_id(&self) -> Result<ExpiryId, StoreError> {
        let _granting = self.expiry.granting.lock().await;
        if let Some(id) = self.expiry.with(|inner| inner.id) {
            return Ok(id);
        }
        let ttl = self.state().ttl;
        let id = self.store.grant(ttl, self.attempt_timeout()).await?;
        self.expiry.with(|inner| inner.granted(id, ttl));
        Ok(id)
    }

    async fn write_member(&self, value: Vec<u8>, id: ExpiryId) -> Result<Revision, MemberError> {
        let key = self.keys.member(&self.state().me);
        let mut known = self.expiry.with(|inner| inner.written);
        loop {
            let put = Txn {
                compares: vec![Compare::ModRevision(key.clone(), known)],
                then: vec![Op::Put { key: key.clone(), value: value.clone(), expiry: Some(id) }],
                otherwise: vec![Op::Get(key.clone())],
            };
            let answer = self.store.txn(put, self.attempt_timeout()).await?;
            if answer.succeeded {
                self.expiry.with(|inner| inner.written = answer.revision);
                return Ok(answer.revision);
            }
            // It expired meanwhile, or is from this node's last run, or from a write whose answer was lost.
            known = match answer.reads.into_iter().next().flatten() {
                None => Revision(0),
                Some(seen) if self.expiry.owns(&seen.value) => seen.mod_revision,
                Some(seen) => return Err(MemberError::Taken(seen.value)),
            };
            self.expiry.with(|inner| inner.written = known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpiryId, Inner};
    use std::time::Duration;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// The ttl is changed twice before the first change has moved anything: what the leader key hangs on still lasts only 5 s.
    #[test]
    fn what_the_leader_key_hangs_on_is_not_forgotten() {
        let mut inner = Inner::default();
        assert_eq!(inner.turn(None, seconds(5)), None);
        inner.granted(ExpiryId(1), seconds(5));
        let leaders = Some((ExpiryId(1), seconds(5)));
        assert_eq!((inner.turn(leaders, seconds(5)), inner.shortest()), (Some(ExpiryId(1)), Some(seconds(5))));
        for (id, ttl) in [(2, seconds(60)), (3, seconds(20)), (4, seconds(40))] {
            assert_eq!((inner.turn(leaders, ttl), inner.shortest()), (None, Some(seconds(5))), "one of {ttl:?} has to be made");
            inner.granted(ExpiryId(id), ttl);
            assert_eq!((inner.turn(leaders, ttl), inner.shortest()), (Some(ExpiryId(id)), Some(seconds(5))));
            assert_eq!(inner.lengths.len(), 2);
        }
        let moved = Some((ExpiryId(4), seconds(40)));
        assert_eq!((inner.turn(moved, seconds(40)), inner.shortest()), (Some(ExpiryId(4)), Some(seconds(40))));
    }

    /// After a restart of the agent: the leader key's expiry serves on when it has the right length, and is known when it has not.
    #[test]
    fn the_expiry_of_the_process_before() {
        let leaders = Some((ExpiryId(1), seconds(5)));
        let mut same = Inner::default();
        assert_eq!(same.turn(leaders, seconds(5)), Some(ExpiryId(1)));
        let mut raised = Inner::default();
        assert_eq!((raised.turn(leaders, seconds(60)), raised.shortest()), (None, Some(seconds(5))));
        raised.granted(ExpiryId(2), seconds(60));
        assert_eq!((raised.turn(leaders, seconds(60)), raised.shortest()), (Some(ExpiryId(2)), Some(seconds(5))));
    }
}
