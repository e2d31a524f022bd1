//! Whether the server serves somebody who comes now. A kept session goes on answering when the postmaster hangs; a new one does not.

use crate::{SessionError, Settings, session::Session};
use std::time::Duration;
use tokio::time::timeout;

/// What became of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSession {
    /// It was served.
    Served,
    /// The server lives and has no connection left. Its clients have filled it; that is no reason to end it.
    Full,
    /// The server lives and is starting or shutting down.
    NotReady,
    /// The server lives and refused us, for instance for a wrong password; the text is for people.
    Refused(String),
    /// Nobody of ours listens.
    NoListener,
    /// No answer in time.
    NoAnswer,
}

/// Opens a session, runs a statement, closes it.
pub async fn probe(settings: &Settings, limit: Duration) -> NewSession {
    match timeout(limit, serve(settings, limit)).await.unwrap_or(Err(SessionError::Timeout(limit))) {
        Ok(()) => NewSession::Served,
        Err(SessionError::Full(_)) => NewSession::Full,
        Err(SessionError::NotReady(_)) => NewSession::NotReady,
        Err(SessionError::NoListener(_)) => NewSession::NoListener,
        Err(error @ (SessionError::Refused { .. } | SessionError::Server { .. })) => NewSession::Refused(error.to_string()),
        Err(SessionError::Timeout(_) | SessionError::Lost(_)) => NewSession::NoAnswer,
    }
}

async fn serve(settings: &Settings, limit: Duration) -> Result<(), SessionError> {
    let session = Session::open(settings, limit).await?;
    session.client.simple_query("SELECT 1").await?;
    session.close().await;
    Ok(())
}
