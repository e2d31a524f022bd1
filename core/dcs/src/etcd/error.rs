//! What an error of the etcd library lets one conclude. In doubt: unknown.

use super::words::Place;
use crate::StoreError;
use etcd_client::Error;

/// gRPC status codes (the numbers of the specification).
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

/// What etcd says when it looked at a request and did not carry it out: out of space, too large.
const REFUSALS: [&str; 2] = ["etcdserver:", "grpc: received message larger"];
/// What etcd says to a request that needs a login, or another one: without a token, with one from before a change of rights.
const LOGIN: [&str; 3] =
    ["etcdserver: user name is empty", "etcdserver: invalid auth token", "etcdserver: revision of auth store is old"];

/// How far a request got.
pub(super) enum Failure {
    /// No connection could be tried: files, addresses.
    Setup(String),
    /// The login failed, so the request was not sent.
    Login(Error),
    /// The request was sent, as far as is known.
    Answer(Error),
}

impl Failure {
    /// In words, for people.
    pub(super) fn words(&self, place: &Place<'_>) -> String {
        match self {
            Self::Setup(why) => why.clone(),
            Self::Login(error) | Self::Answer(error) => place.explain(error),
        }
    }

    /// What it lets one conclude about the request, and what else is to be said of the connection.
    pub(super) fn conclude(self, place: &Place<'_>, more: Option<String>) -> StoreError {
        let words = self.words(place);
        let more = more.filter(|more| *more != words).map(|more| format!("; certificates are not used as they are now: {more}"));
        let text = format!("{}: {words}{}", place.host(), more.unwrap_or_default());
        match self {
            Self::Setup(_) => StoreError::Unavailable(text),
            Self::Login(error) => match classify(&error, text) {
                StoreError::Unknown(text) => StoreError::Unavailable(text),
                other => other,
            },
            Self::Answer(error) => classify(&error, text),
        }
    }

    /// The connection could not be made, or broke.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Setup(_) => true,
            Self::Login(error) | Self::Answer(error) => is_of_connection(error),
        }
    }
}

/// The connection could not be made, or broke: what is said comes from this side.
pub(super) fn is_of_connection(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if std::error::Error::source(status).is_some())
}

fn classify(error: &Error, text: String) -> StoreError {
    match error {
        Error::GRpcStatus(status) => {
            if not_sent(error) {
                return StoreError::Unavailable(text);
            }
            match status.code() as i32 {
                NOT_FOUND if status.message().contains("lease not found") => StoreError::ExpiryGone,
                INVALID_ARGUMENT | PERMISSION_DENIED | FAILED_PRECONDITION | UNIMPLEMENTED | UNAUTHENTICATED => {
                    StoreError::Refused(text)
                }
                // The library uses this code too, for an answer that is too large.
                RESOURCE_EXHAUSTED if REFUSALS.iter().any(|refusal| status.message().starts_with(refusal)) => {
                    StoreError::Refused(text)
                }
                _ => StoreError::Unknown(text),
            }
        }
        Error::LeaseKeepAliveError(why) if why == "lease not found" => StoreError::ExpiryGone,
        Error::WatchError(why) if is_denied(why) => StoreError::Refused(text),
        Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::Utf8Error(_) | Error::InvalidMetadataValue(_) => {
            StoreError::Refused(text)
        }
        _ => StoreError::Unknown(text),
    }
}

/// The member wants a (new) login. A watch is only ever told that it may not, also when its token is over.
pub(super) fn wants_login(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => LOGIN.iter().any(|text| status.message().starts_with(text)),
        Error::WatchError(why) => is_denied(why) || LOGIN.iter().any(|text| why.contains(text)),
        _ => false,
    }
}

/// The answer to a login where nobody needs one.
pub(super) fn login_is_off(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.message() == "etcdserver: authentication is not enabled")
}

fn is_denied(why: &str) -> bool {
    why.contains("permission denied")
}

/// The connection was refused, timed out or failed in its handshake, so nothing was sent.
pub(super) fn not_sent(error: &Error) -> bool {
    let Error::GRpcStatus(status) = error else { return false };
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
