//! The production store: etcd 3.4 or later over gRPC.
//!
//! One client per member, because the library's balancer does not let one choose: an attempt that fails moves the next one to the next
//! member. A read goes on to the next member within its time; a write is sent again only when it surely did not land. Deliberately
//! absent so far: TLS and authentication.

mod convert;
mod error;
mod watch;

use crate::{ExpiryId, Listing, Op, Store, StoreError, Txn, TxnAnswer, Watch};
use async_trait::async_trait;
use error::classify;
use etcd_client::{Client, ConnectOptions, GetOptions};
use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tanist_engine::Revision;
use tokio::time::{Instant, timeout_at};

/// A member that cannot be reached is given up after this.
const CONNECT: Duration = Duration::from_millis(1_000);
/// Pings on connections that carry a watch. etcd closes a connection that pings more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(6);
/// A ping that was not answered for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest answer that is read; the library's default of 4 MiB is too small for a list.
const MAX_ANSWER: usize = 64 << 20;
/// Least time for an attempt at one of several members.
const MIN_SLICE: Duration = Duration::from_millis(200);

/// An etcd cluster.
pub struct EtcdStore {
    members: Vec<Member>,
    /// Who is asked first.
    preferred: AtomicUsize,
    /// Who watches; moves on its own, so that a stuck watch does not stay where it is stuck.
    watching: AtomicUsize,
}

struct Member {
    endpoint: String,
    client: Client,
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
    /// A store over these endpoints (`http://host:port` or `host:port`). Connects when first asked.
    pub async fn new(endpoints: &[String]) -> Result<Self, StoreError> {
        let mut members = Vec::new();
        for endpoint in endpoints {
            let options = ConnectOptions::new()
                .with_require_leader(true)
                .with_connect_timeout(CONNECT)
                .with_keep_alive(PING_EVERY, PING_TIMEOUT);
            let client = Client::connect([endpoint.as_str()], Some(options))
                .await
                .map_err(|error| StoreError::Refused(format!("{endpoint}: {error}")))?;
            members.push(Member { endpoint: endpoint.clone(), client });
        }
        if members.is_empty() {
            return Err(StoreError::Refused("no endpoints".to_owned()));
        }
        Ok(Self { members, preferred: AtomicUsize::new(0), watching: AtomicUsize::new(0) })
    }

    /// Makes one attempt after the other, each at the next member, as long as time is left and `again` allows it.
    async fn attempt<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        turn: &AtomicUsize,
        again: Again,
        timeout: Duration,
        mut request: impl FnMut(Client) -> F,
    ) -> Result<T, StoreError> {
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
            let error = match timeout_at(deadline, request(member.client.clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => classify(&member.endpoint, error),
                Err(_) => StoreError::Unknown(format!("{}: no answer in time", member.endpoint)),
            };
            match error {
                StoreError::Refused(_) | StoreError::ExpiryGone => return Err(error),
                StoreError::Unknown(_) | StoreError::Unavailable(_) => {}
            }
            tracing::debug!(%error, "the next attempt goes to the next member");
            let _ = turn.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
            // What happened to an earlier sending stays unknown, whatever the last attempt said.
            let unknown = error.may_have_landed();
            if !failure.may_have_landed() || unknown {
                failure = error;
            }
            if unknown && again == Again::IfNotSent || Instant::now() >= end {
                break;
            }
        }
        Err(failure)
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
            .await?;
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
            .await?;
        convert::txn_answer(&answer)
    }

    async fn watch(&self, prefix: &str, from: Revision, timeout: Duration) -> Result<Watch, StoreError> {
        let at = self.watching.load(Ordering::Relaxed);
        let begun =
            self.attempt(&self.watching, Again::Always, timeout, |client| watch::begin(client, prefix.to_owned(), from)).await;
        if begun.is_ok() {
            // The next watch begins elsewhere: this one will have ended for a reason.
            let _ = self.watching.compare_exchange(at, at.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        Ok(watch::follow(begun?, from))
    }

    async fn grant(&self, ttl: Duration, timeout: Duration) -> Result<ExpiryId, StoreError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
        // Granted twice: one of them ends by itself.
        let answer =
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
    }

    async fn revoke(&self, id: ExpiryId, timeout: Duration) -> Result<(), StoreError> {
        self.attempt(&self.preferred, Again::Always, timeout, |client| async move {
            client.lease_client().revoke(id.0).await.map(drop)
        })
        .await
    }
}
