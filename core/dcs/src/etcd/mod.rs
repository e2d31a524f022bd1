//! The production store: etcd 3.4 or later over gRPC, with or without TLS, client certificates and a login.
//!
//! One client per member, because the library's balancer does not let one choose: an attempt that fails moves the next one to the next
//! member. A read goes on to the next member within its time; a write is sent again only when it surely did not land.

mod access;
mod convert;
mod error;
mod files;
mod member;
mod watch;
mod words;

pub use access::{Access, Password, Tls, User};

use crate::{ExpiryId, Listing, Op, Store, StoreError, Txn, TxnAnswer, Watch};
use async_trait::async_trait;
use etcd_client::{Client, GetOptions};
use files::Files;
use member::Member;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tanist_engine::Revision;
use tokio::time::{Instant, timeout_at};

/// Largest answer that is read; the library's default of 4 MiB is too small for a list.
const MAX_ANSWER: usize = 64 << 20;
/// Least time for an attempt at one of several members.
const MIN_SLICE: Duration = Duration::from_millis(200);

/// An etcd cluster.
pub struct EtcdStore {
    members: Vec<Arc<Member>>,
    /// Who is asked first.
    preferred: AtomicUsize,
    /// Who watches; moves on its own, so that a stuck watch does not stay where it is stuck.
    watching: AtomicUsize,
}

/// What may be done with a request whose answer did not come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Sending it twice does no harm.
    Always,
    /// Only when it surely did not land.
    IfNotSent,
}

impl EtcdStore {
    /// A store over this cluster. Connects, reads certificates and logs in when first asked.
    pub fn new(access: Access) -> Result<Self, StoreError> {
        if access.endpoints.is_empty() {
            return Err(StoreError::Refused("no endpoints".to_owned()));
        }
        let (files, access) = (Arc::new(Files::new(access.tls.clone())), Arc::new(access));
        let member = |endpoint: &String| Arc::new(Member::new(endpoint.clone(), access.clone(), files.clone()));
        let members = access.endpoints.iter().map(member).collect();
        Ok(Self { members, preferred: AtomicUsize::new(0), watching: AtomicUsize::new(0) })
    }

    /// Makes one attempt after the other, each at the next member, as long as time is left and `again` allows it.
    async fn attempt<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        turn: &AtomicUsize,
        again: Again,
        timeout: Duration,
        mut request: impl FnMut(Client) -> F,
    ) -> Result<(T, &Arc<Member>), StoreError> {
        let end = Instant::now() + timeout;
        let count = self.members.len();
        let slice = (timeout / u32::try_from(count).unwrap_or(u32::MAX)).max(MIN_SLICE);
        let mut failure = StoreError::Unavailable("no time was left for an attempt".to_owned());
        for tried in 1..=count {
            let at = turn.load(Ordering::Relaxed);
            let member = &self.members[at % count];
            let deadline = match again {
                Again::Always if tried < count => end.min(Instant::now() + slice),
                _ => end,
            };
            let error = match self.at(member, deadline, &mut request).await {
                Ok(answer) => return Ok((answer, member)),
                Err(StoreError::ExpiryGone) => return Err(StoreError::ExpiryGone),
                Err(error) => error,
            };
            tracing::debug!(%error, "the next attempt goes to the next member");
            let _ = turn.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
            let unknown = error.may_have_landed();
            if weight(&error) >= weight(&failure) {
                failure = error;
            }
            if unknown && again == Again::IfNotSent || Instant::now() >= end {
                break;
            }
        }
        Err(failure)
    }

    /// One attempt at one member.
    async fn at<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        member: &Arc<Member>,
        deadline: Instant,
        request: &mut impl FnMut(Client) -> F,
    ) -> Result<T, StoreError> {
        let sent = AtomicBool::new(false);
        match timeout_at(deadline, member.send(&sent, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => {
                if failure.is_of_connection() {
                    member.doubt();
                }
                Err(member.conclude(failure))
            }
            Err(_) => {
                member.doubt();
                let host = words::host(&member.endpoint);
                match sent.into_inner() {
                    true => Err(StoreError::Unknown(format!("{host}: no answer in time"))),
                    false => Err(StoreError::Unavailable(format!("{host}: no connection or login in time"))),
                }
            }
        }
    }
}

/// Of several failed attempts the one that says most: what happened to an earlier sending stays unknown, whatever came after, and a
/// member that refused says more than one that is not there.
fn weight(error: &StoreError) -> u8 {
    match error {
        StoreError::Unknown(_) => 2,
        StoreError::Refused(_) | StoreError::ExpiryGone => 1,
        StoreError::Unavailable(_) => 0,
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn list(&self, prefix: &str, timeout: Duration) -> Result<Listing, StoreError> {
        let answer = self
            .attempt(&self.preferred, Again::Always, timeout, |client| async move {
                let mut kv = client.kv_client().max_decoding_message_size(MAX_ANSWER);
                kv.get(prefix, Some(GetOptions::new().with_prefix())).await
            })
            .await?
            .0;
        convert::listing(&answer)
    }

    async fn txn(&self, txn: Txn, timeout: Duration) -> Result<TxnAnswer, StoreError> {
        let reads = txn.then.iter().chain(&txn.otherwise).all(|op| matches!(op, Op::Get(_)));
        let again = if reads { Again::Always } else { Again::IfNotSent };
        let answer = self
            .attempt(&self.preferred, again, timeout, |client| {
                let txn = convert::txn(&txn);
                async move { client.kv_client().max_decoding_message_size(MAX_ANSWER).txn(txn).await }
            })
            .await?
            .0;
        convert::txn_answer(&answer)
    }

    async fn watch(&self, prefix: &str, from: Revision, timeout: Duration) -> Result<Watch, StoreError> {
        let at = self.watching.load(Ordering::Relaxed);
        let (begun, member) =
            self.attempt(&self.watching, Again::Always, timeout, |client| watch::begin(client, prefix.to_owned(), from)).await?;
        // The next watch begins elsewhere: this one will have ended for a reason.
        let _ = self.watching.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        Ok(watch::follow(begun, from, words::host(&member.endpoint)))
    }

    async fn grant(&self, ttl: Duration, timeout: Duration) -> Result<ExpiryId, StoreError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        // Granted twice: one of them ends by itself.
        let (answer, _) =
            self.attempt(&self.preferred, Again::Always, timeout, |client| async move {
                client.lease_client().grant(seconds, None).await
            })
            .await?;
        Ok(ExpiryId(answer.id()))
    }

    async fn keep_alive(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        // One short attempt each time: a long stream loses the lease when the member behind it is merely paused.
        self.attempt(&self.preferred, Again::Always, timeout, |client| async move {
            client.lease_client().keep_alive(id.0).await.map(drop)
        })
        .await
        .map(drop)
    }

    async fn revoke(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.attempt(&self.preferred, Again::Always, timeout, |client| async move {
            client.lease_client().revoke(id.0).await.map(drop)
        })
        .await
        .map(drop)
    }
}
