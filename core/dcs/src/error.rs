//! What can go wrong with a store. The kind decides what the caller may conclude; the text is for people.

use thiserror::Error;

/// A call to the store that was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The request may have been carried out, now or later: time-out, server error, connection lost after the send. Never
    /// "failed": read back.
    #[error("the store's answer is unknown: {0}")]
    Unknown(String),
    /// The request was surely not carried out: no member could be reached.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store looked at the request and said no: rights, size, malformed.
    #[error("the store refused: {0}")]
    Refused(String),
    /// The expiry that the request names is over; nothing was carried out.
    #[error("the expiry is over")]
    ExpiryGone,
}

impl StoreError {
    /// Whether the request may have been carried out.
    pub fn may_have_landed(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}
