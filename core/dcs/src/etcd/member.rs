//! One member of etcd: its client, made anew when certificates changed, and the login with its token.
//!
//! The client is made without the library's own login, which would connect at once and cannot wait for authentication to be enabled.

use super::{
    access::{Access, Pem},
    error::{Failure, login_is_off, wants_login},
    words::Place,
};
use crate::StoreError;
use etcd_client::{Client, ConnectOptions};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

/// A member that cannot be reached is given up after this.
const CONNECT: Duration = Duration::from_millis(1_000);
/// Pings on connections that carry a watch. etcd closes a connection that pings more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(6);
/// A ping that was not answered for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// One member.
pub(super) struct Member {
    pub endpoint: String,
    access: Arc<Access>,
    /// The client; also the turn of whoever makes one.
    link: Mutex<Option<Link>>,
    /// A connection could not be made: look at the files again before the next.
    suspect: AtomicBool,
    /// Something was answered since the client was made.
    answered: AtomicBool,
}

#[derive(Clone)]
struct Link {
    client: Client,
    pem: Option<Pem>,
    login: Arc<Login>,
}

/// The state of the login at one client.
#[derive(Default)]
struct Login {
    /// Counts logins, so that callers that meet the same dead token log in once.
    done: AtomicU64,
    turn: Mutex<()>,
}

impl Member {
    pub(super) fn new(endpoint: String, access: Arc<Access>) -> Self {
        Self { endpoint, access, link: Mutex::new(None), suspect: AtomicBool::new(false), answered: AtomicBool::new(false) }
    }

    /// Sends a request, after a login where one is needed, and once more when the login was over. `sent` tells whether the request
    /// may have left; what fails before that was surely not carried out.
    pub(super) async fn send<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        sent: &AtomicBool,
        request: &mut impl FnMut(Client) -> F,
    ) -> Result<T, Failure> {
        let link = self.link().await?;
        let known = link.login.done.load(Ordering::SeqCst);
        if self.access.user.is_some() && known == 0 {
            self.login(&link, known).await?;
        }
        let known = link.login.done.load(Ordering::SeqCst);
        sent.store(true, Ordering::SeqCst);
        let done = request(link.client.clone()).await;
        if done.is_ok() {
            self.answered.store(true, Ordering::SeqCst);
        }
        match done {
            Err(error) if self.access.user.is_some() && wants_login(&error) => {
                // The member refused it, so it did not land.
                sent.store(false, Ordering::SeqCst);
                self.login(&link, known).await?;
                sent.store(true, Ordering::SeqCst);
                request(link.client).await.map_err(Failure::Answer)
            }
            done => done.map_err(Failure::Answer),
        }
    }

    /// What the failure lets one conclude about the request.
    pub(super) fn conclude(&self, failure: Failure) -> StoreError {
        let hinted = !self.answered.load(Ordering::SeqCst);
        failure.conclude(&Place { endpoint: &self.endpoint, access: &self.access, hinted })
    }

    /// A connection could not be made or did not last.
    pub(super) fn doubt(&self) {
        self.suspect.store(true, Ordering::SeqCst);
    }

    async fn link(&self) -> Result<Link, Failure> {
        let mut turn = self.link.lock().await;
        let doubted = self.suspect.swap(false, Ordering::SeqCst);
        if let Some(link) = turn.as_ref()
            && (!doubted || !self.encrypted())
        {
            return Ok(link.clone());
        }
        let made = self.make(turn.as_ref()).await;
        if made.is_err() {
            self.doubt();
        }
        let link = made?;
        self.answered.store(false, Ordering::SeqCst);
        *turn = Some(link.clone());
        Ok(link)
    }

    fn encrypted(&self) -> bool {
        self.endpoint.starts_with("https:")
    }

    /// A client with the files as they are now; the old one when they are as they were.
    async fn make(&self, old: Option<&Link>) -> Result<Link, Failure> {
        let mut options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING_EVERY, PING_TIMEOUT);
        let mut pem = None;
        if self.encrypted() {
            let tls = self.access.tls.clone();
            let read = tokio::task::spawn_blocking(move || tls.read()).await;
            let read = read.map_err(|_| Failure::Setup("certificates could not be read".to_owned()))?.map_err(Failure::Setup)?;
            if let Some(old) = old.filter(|old| old.pem.as_ref() == Some(&read)) {
                return Ok(old.clone());
            }
            options = options.with_tls(read.options());
            pem = Some(read);
        }
        match Client::connect([self.endpoint.as_str()], Some(options)).await {
            Ok(client) => Ok(Link { client, pem, login: Arc::default() }),
            Err(error) => Err(Failure::Setup(super::words::plain(&error))),
        }
    }

    /// Logs in, unless somebody else has since `known`. Goes on by itself when the caller gives up: a hash of the password takes the
    /// member longer than some calls may take.
    async fn login(&self, link: &Link, known: u64) -> Result<(), Failure> {
        let Some(user) = self.access.user.clone() else { return Ok(()) };
        let mut link = link.clone();
        let task = tokio::spawn(async move {
            let login = link.login.clone();
            let _turn = login.turn.lock().await;
            if login.done.load(Ordering::SeqCst) != known {
                return Ok(());
            }
            match link.client.update_user(Some((user.name, user.password.expose().to_owned()))).await {
                Ok(()) => tracing::debug!("logged in to etcd"),
                // Then no token is needed, and an old one is refused; once one is needed, the member says so.
                Err(error) if login_is_off(&error) => link.client.update_user(None).await?,
                Err(error) => return Err(error),
            }
            login.done.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        match task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Login(error)),
            Err(_) => Err(Failure::Setup("the login was given up".to_owned())),
        }
    }
}
