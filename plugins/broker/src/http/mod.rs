//! The `http` capability: which requests a plugin may have sent ([`HttpGrant`]), and how they are carried out ([`HttpSender`]).
//!
//! A plugin says where and what; credentials and signatures are added by the sender, from the operator's configuration, and never come
//! near a plugin. Not here: sockets, TLS, names.

mod grant;
mod sending;
mod url;

pub use grant::HttpGrant;
pub(crate) use grant::permit;
pub(crate) use sending::{Checked, Sending, send_all};
pub use url::{Url, UrlError};

use crate::protocol::HttpResponse;
use async_trait::async_trait;
use std::{net::IpAddr, time::Duration};

/// One request that passed the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpExchange {
    /// The name of the access in the agent's configuration: credentials, signature, certificates.
    pub access: String,
    /// The method, in capital letters.
    pub method: String,
    /// Where to.
    pub url: Url,
    /// The only addresses that may be connected to; empty: any that is not reserved for this machine or its link.
    pub addresses: Vec<IpAddr>,
    /// The plugin's headers.
    pub headers: Vec<(String, String)>,
    /// The plugin's body.
    pub body: Vec<u8>,
    /// A longer body of the answer is a failure.
    pub most: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpFailure {
    /// It may not be sent: the name leads to a forbidden address, the access is not configured.
    #[error("{0}")]
    Refused(String),
    /// Certainly not sent.
    #[error("{0}")]
    Unreachable(String),
    /// Sent, and no whole answer came.
    #[error("{0}")]
    Unknown(String),
}

/// Sends requests. Ends within `within`; the broker holds it to that. Follows no redirects.
#[async_trait]
pub trait HttpSender: Send + Sync {
    /// Sends one request and reads the whole answer.
    async fn send(&self, exchange: HttpExchange, within: Duration) -> Result<HttpResponse, HttpFailure>;
}
