//! Sessions as superuser, with limits and with answers sorted into what they say of the server. [`crate::way`] says over what.

use crate::{
    Settings,
    way::{self, Purpose},
    wire::Wire,
};
use std::{io, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::SslMode, error::SqlState};

/// Why there is no session or no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Nobody of ours listens, neither on the socket nor over TCP.
    #[error("nobody listens on the socket: {0}")]
    NoListener(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The server lives and is starting or shutting down.
    #[error("{0}")]
    NotReady(String),
    /// The server lives and has no connection left, not even of those reserved for superusers.
    #[error("{0}")]
    Full(String),
    /// The server lives and refused the login.
    #[error("{message} ({code}); {}", remedy(code))]
    Refused {
        /// SQLSTATE.
        code: String,
        /// The message.
        message: String,
    },
    /// The server answered with an error.
    #[error("{message} ({code})")]
    Server {
        /// SQLSTATE.
        code: String,
        /// The message.
        message: String,
    },
    /// The session was lost, or the answer was not understood.
    #[error("{0}")]
    Lost(String),
}

/// Invalid authorization.
const INVALID: &str = "28";
/// The database is not there.
const NO_DATABASE: &str = "3D000";
/// It lets nobody in.
const CLOSED_DATABASE: &str = "55000";

/// What the operator does about a refused login.
fn remedy(code: &str) -> &'static str {
    if code.starts_with(INVALID) {
        "correct postgresql.authentication.superuser, or the rule in pg_hba"
    } else {
        "make the database postgres, or let sessions into it"
    }
}

/// There is nothing wrong with the login, but with the database.
pub(crate) fn lacks_database(code: &str) -> bool {
    code == NO_DATABASE || code == CLOSED_DATABASE
}

/// An error before there was a session.
fn login_error(error: &tokio_postgres::Error) -> Option<SessionError> {
    if let Some(db) = error.as_db_error() {
        let code = db.code().code();
        let refused = code.starts_with(INVALID) || lacks_database(code);
        return refused.then(|| SessionError::Refused { code: code.to_owned(), message: db.message().to_owned() });
    }
    // A rule with a method that the client library does not know has no SQLSTATE: the server asks, and waits for an answer.
    let message = text(error);
    message.starts_with("authentication error").then(|| SessionError::Refused { code: format!("{INVALID}000"), message })
}

impl From<tokio_postgres::Error> for SessionError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            let message = db.message().to_owned();
            return match db.code() {
                code if *code == SqlState::CANNOT_CONNECT_NOW => Self::NotReady(message),
                code if *code == SqlState::TOO_MANY_CONNECTIONS => Self::Full(message),
                code => Self::Server { code: code.code().to_owned(), message },
            };
        }
        let cause = std::error::Error::source(&error);
        match cause.and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind) {
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Self::NoListener(text(&error)),
            // The listen queue of a socket whose postmaster accepts nothing is full.
            Some(io::ErrorKind::WouldBlock) => Self::Timeout(Duration::ZERO),
            _ => Self::Lost(text(&error)),
        }
    }
}

fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// An open session.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// `server_version_num`.
    pub(crate) version: u32,
    /// It is in the database that takes the place of `postgres`.
    pub(crate) is_spare: bool,
    task: Task,
}

/// The task that moves the session's bytes; ends with it, also when the server is stopped and reads nothing.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Opens one.
    pub(crate) async fn open(settings: &Settings, limit: Duration) -> Result<Self, SessionError> {
        way::open(settings, limit, Purpose::Sql).await
    }

    /// Opens one that takes commands of the replication protocol, too.
    pub(crate) async fn open_replication(settings: &Settings, limit: Duration) -> Result<Self, SessionError> {
        way::open(settings, limit, Purpose::Replication).await
    }

    /// Logs in where the wire leads. `limit` is that of each statement; how long the login takes is the caller's matter.
    pub(crate) async fn log_in(settings: &Settings, wire: Wire, database: &str, limit: Duration) -> Result<Self, SessionError> {
        let opened = config(settings, database, limit).connect_raw(wire, NoTls).await;
        let (client, connection) = opened.map_err(|error| login_error(&error).unwrap_or_else(|| error.into()))?;
        let version = connection.parameter("server_version").and_then(version_number);
        let version = version.ok_or_else(|| SessionError::Lost("the server did not tell its version".to_owned()))?;
        let task = Task(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %text(&error), "session ended");
            }
        }));
        Ok(Self { client, version, is_spare: false, task })
    }

    /// Says goodbye, so that the server logs nothing.
    pub(crate) async fn close(self) {
        let Self { client, mut task, .. } = self;
        drop(client);
        // Whether the server heard it does not matter.
        let _ = timeout(Duration::from_millis(200), &mut task.0).await;
    }
}

/// Runs one statement or script in a session of its own.
pub(crate) async fn run(settings: &Settings, sql: &str, limit: Duration) -> Result<(), SessionError> {
    let session = Session::open(settings, limit).await?;
    timeout(limit, session.client.batch_execute(sql)).await.map_err(|_| SessionError::Timeout(limit))??;
    session.close().await;
    Ok(())
}

/// What every session of ours has in common. `synchronous_commit = local`: nothing the agent does may wait for a standby.
fn config(settings: &Settings, database: &str, limit: Duration) -> Config {
    let mut config = Config::new();
    config.user(&settings.superuser.username).dbname(database).application_name("tanist").ssl_mode(SslMode::Disable);
    // Where a rule asks for a password and there is none, the server is to say so.
    config.password(settings.superuser.password.as_deref().unwrap_or_default());
    config.options(format!(
        "-c search_path=pg_catalog -c synchronous_commit=local -c statement_timeout={} -c client_min_messages=error \
         -c log_statement=none -c log_min_duration_statement=-1 -c default_transaction_read_only=off -c jit=off",
        limit.as_millis().clamp(1, 1 << 30)
    ));
    config
}

/// `15.18 (Debian …)` is 150018, `18beta1` is 180000.
pub(crate) fn version_number(text: &str) -> Option<u32> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().ok();
    let (major, minor) = text.split_once('.').unwrap_or((text, ""));
    digits(major)?.checked_mul(10_000)?.checked_add(digits(minor).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version_number("15.18 (Debian 15.18-1)"), Some(150_018));
        assert_eq!(version_number("18beta1"), Some(180_000));
        assert_eq!(version_number("x"), None);
    }
}
