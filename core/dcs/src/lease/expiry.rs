//! The store's own expiry under leader key and member key: for Patroni's tools and peers. The lease does not rest on it.

use super::Keeper;
use crate::{ExpiryId, Op, StoreError, Txn};
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
}

#[derive(Default)]
struct Inner {
    id: Option<ExpiryId>,
    /// The ttl it was granted with: a store keeps that one, whatever ttl is in force later.
    granted: Option<Duration>,
    member: Option<Vec<u8>>,
}

impl Expiry {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// Puts this node's member key, on the node's expiry. The newest value is put again whenever the expiry had to be made anew.
    pub async fn put_member(&self, value: Vec<u8>) -> Result<Revision, StoreError> {
        self.expiry.with(|inner| inner.member = Some(value.clone()));
        let done = self.hang_member(value).await;
        self.note(done.as_ref().err());
        done
    }

    async fn hang_member(&self, value: Vec<u8>) -> Result<Revision, StoreError> {
        let id = self.expiry_id().await?;
        match self.write_member(value.clone(), id).await {
            Err(StoreError::ExpiryGone) => {
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
            tokio::time::sleep(self.keep_every()).await;
        }
    }

    /// Three times per ttl: of the ttl in force, and of the one the present expiry was granted with, where that is shorter.
    fn keep_every(&self) -> Duration {
        let (ttl, granted) = (self.state().ttl, self.expiry.with(|inner| inner.granted));
        granted.map_or(ttl, |granted| granted.min(ttl)) / 3
    }

    /// One turn of [`Keeper::keep_expiry_alive`].
    pub async fn keep_expiry(&self) -> Result<(), StoreError> {
        let timeout = self.attempt_timeout();
        // After a restart of the agent the leader key hangs on the expiry of the process before.
        let leaders = {
            let state = self.state();
            state.mine.as_ref().and(state.leader.as_ref()).and_then(|leader| leader.expiry)
        };
        let own = self.expiry.with(|inner| {
            inner.id = inner.id.or(leaders);
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
            Some(member) => self.write_member(member, id).await.map(drop),
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
        self.expiry.with(|inner| (inner.id, inner.granted) = (Some(id), Some(ttl)));
        Ok(id)
    }

    async fn write_member(&self, value: Vec<u8>, id: ExpiryId) -> Result<Revision, StoreError> {
        let key = self.keys.member(&self.state().me);
        let put = Txn { then: vec![Op::Put { key, value, expiry: Some(id) }], ..Txn::default() };
        Ok(self.store.txn(put, self.attempt_timeout()).await?.revision)
    }
}
