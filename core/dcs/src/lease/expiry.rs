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
    id: Option<ExpiryId>,
    /// How long the store keeps it without a word; zero: an agent before this one knew.
    granted: Duration,
    /// One of another length that the leader key still hangs on: moved only by the next acquisition, whose number is the epoch.
    old: Option<(ExpiryId, Duration)>,
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

    /// The store said that this one is over.
    pub(super) fn gone(&self, id: ExpiryId) {
        self.with(|inner| {
            if inner.id == Some(id) {
                inner.id = None;
            }
        });
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
            let shortest = self.expiry.with(|inner| {
                let own = inner.id.map(|_| inner.granted).filter(|granted| !granted.is_zero());
                own.into_iter().chain(inner.old.map(|(_, granted)| granted)).min()
            });
            let ttl = self.state().ttl;
            tokio::time::sleep(shortest.map_or(ttl, |shortest| shortest.min(ttl)) / 3).await;
        }
    }

    /// One turn of [`Keeper::keep_expiry_alive`].
    pub async fn keep_expiry(&self) -> Result<(), StoreError> {
        let timeout = self.attempt_timeout();
        // After a restart of the agent the leader key hangs on the expiry of the process before.
        let leaders = {
            let state = self.state();
            state.mine.as_ref().and(state.leader.as_ref()).and_then(|leader| leader.expiry)
        };
        let ttl = self.state().ttl;
        let own = self.expiry.with(|inner| {
            match inner.id {
                Some(id) if inner.granted != ttl && !inner.granted.is_zero() => {
                    inner.old = Some((id, inner.granted));
                    inner.id = None;
                }
                Some(_) => {}
                None => (inner.id, inner.granted) = (leaders.filter(|_| inner.old.is_none()), Duration::ZERO),
            }
            inner.old = inner.old.filter(|(id, _)| leaders == Some(*id));
            inner.id
        });
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
        self.expiry.with(|inner| (inner.id, inner.granted) = (Some(id), ttl));
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
