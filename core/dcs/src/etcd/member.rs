//! One member of etcd: its client, made anew when certificates changed, and the login with its token.
//!
//! The client is made without the library's own login, which would connect at once and cannot wait for authentication to be enabled.
//! After trouble the files of certificates are looked at again, beside the calls: they go on with the client that there is until one
//! with other files has got an answer. A late answer and files that are no good must not end a connection that works.

use super::{
    access::{Access, Pem},
    error::{Failure, login_is_off, wants_login},
    files::{Complaint, Files},
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
/// A client with other files has got an answer by then, or is given up.
const PROOF: Duration = Duration::from_millis(2_000);
/// Pings on connections that carry a watch. etcd closes a connection that pings more often than every 5 s.
const PING_EVERY: Duration = Duration::from_secs(6);
/// A ping that was not answered for this long ends the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// One member.
pub(super) struct Member {
    pub endpoint: String,
    access: Arc<Access>,
    files: Arc<Files>,
    /// The client; also the turn of whoever makes the first.
    link: Mutex<Option<Link>>,
    /// A connection could not be made, or an answer did not come: the files may be others by now.
    suspect: AtomicBool,
    /// Something was answered since the client was made or the files were last looked at.
    answered: AtomicBool,
    /// The turn of whoever looks at the files again.
    renewal: Arc<Mutex<()>>,
    complaint: Complaint,
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
    pub(super) fn new(endpoint: String, access: Arc<Access>, files: Arc<Files>) -> Self {
        Self {
            endpoint,
            access,
            files,
            link: Mutex::new(None),
            suspect: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            renewal: Arc::default(),
            complaint: Complaint::default(),
        }
    }

    /// Sends a request, after a login where one is needed, and once more when the login was over. `sent` tells whether the request
    /// may have left; what fails before that was surely not carried out.
    pub(super) async fn send<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        self: &Arc<Self>,
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

    /// What the failure lets one conclude about the request. A connection that fails may do so because the files are not used.
    pub(super) fn conclude(&self, failure: Failure) -> StoreError {
        let unused = self.complaint.get().filter(|_| failure.is_of_connection());
        failure.conclude(&self.place(!self.answered.load(Ordering::SeqCst)), unused)
    }

    fn place(&self, hinted: bool) -> Place<'_> {
        Place { endpoint: &self.endpoint, access: &self.access, hinted }
    }

    /// A connection could not be made or did not last.
    pub(super) fn doubt(&self) {
        self.suspect.store(true, Ordering::SeqCst);
    }

    async fn link(self: &Arc<Self>) -> Result<Link, Failure> {
        let mut link = self.link.lock().await;
        if let Some(link) = link.as_ref() {
            if self.encrypted() && self.suspect.load(Ordering::SeqCst) {
                self.renew(link.clone());
            }
            return Ok(link.clone());
        }
        let pem = match self.encrypted() {
            true => Some(self.files.read().await.map_err(Failure::Setup)?),
            false => None,
        };
        let first = self.connect(pem).await?;
        *link = Some(first.clone());
        Ok(first)
    }

    fn encrypted(&self) -> bool {
        self.endpoint.starts_with("https:")
    }

    /// Looks at the files again, unless somebody does. Nobody waits for it: reading may take for ever.
    fn renew(self: &Arc<Self>, present: Link) {
        let Ok(turn) = self.renewal.clone().try_lock_owned() else { return };
        self.suspect.store(false, Ordering::SeqCst);
        self.answered.store(false, Ordering::SeqCst);
        let member = self.clone();
        tokio::spawn(async move {
            let _until_it_ends = turn;
            let renewed = member.renewed(&present).await;
            let why = renewed.as_ref().err().map(|failure| failure.words(&member.place(true)));
            member.complaint.put(member.host(), why);
            match renewed {
                Ok(None) => {}
                Ok(Some(link)) => *member.link.lock().await = Some(link),
                Err(_) => member.doubt(),
            }
        });
    }

    /// A client with the files as they are now; nothing when they are as they were.
    async fn renewed(&self, present: &Link) -> Result<Option<Link>, Failure> {
        let pem = self.files.read().await.map_err(Failure::Setup)?;
        if present.pem.as_ref() == Some(&pem) {
            return Ok(None);
        }
        let link = self.connect(Some(pem)).await?;
        prove(link.client.clone()).await?;
        Ok(Some(link))
    }

    /// A client that connects when it is first used.
    async fn connect(&self, pem: Option<Pem>) -> Result<Link, Failure> {
        let mut options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING_EVERY, PING_TIMEOUT);
        if let Some(pem) = &pem {
            options = options.with_tls(pem.options());
        }
        match Client::connect([self.endpoint.as_str()], Some(options)).await {
            Ok(client) => Ok(Link { client, pem, login: Arc::default() }),
            Err(error) => Err(Failure::Setup(super::words::plain(&error))),
        }
    }

    fn host(&self) -> &str {
        super::words::host(&self.endpoint)
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

/// The member answers this client, whatever it says: each side has accepted the other's certificate.
async fn prove(mut client: Client) -> Result<(), Failure> {
    match tokio::time::timeout(PROOF, client.status()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Some(Failure::Answer(error)).filter(Failure::is_of_connection).map_or(Ok(()), Err),
        Err(_) => Err(Failure::Setup("no answer in time".to_owned())),
    }
}
