//! HTTP requests, sent by the agent to places that the operator granted.

use crate::Error;
pub use crate::bindings::tanist::plugin::http::{HttpError, Request, Response, send, send_all};

impl Request {
    /// A request with a body and headers, given up when the call must end.
    pub fn new(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { method: method.to_owned(), url: url.to_owned(), headers, body: body.to_vec(), timeout_ms: None, claim: None }
    }
}

impl Response {
    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether another attempt may help.
impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::NotGranted(remedy) => Self::Permanent(format!("not granted; add to the configuration: {remedy}")),
            HttpError::Fenced(epoch) => Self::Fenced(epoch),
            HttpError::NotLeader => Self::Transient("this node does not hold the lease for long enough".to_owned()),
            HttpError::Expired => Self::Transient("the call has expired".to_owned()),
            HttpError::Unreachable(text) => Self::Transient(format!("not reached: {text}")),
            HttpError::Unknown(text) => Self::Transient(format!("sent, outcome unknown: {text}")),
            HttpError::Refused(text) | HttpError::Invalid(text) => Self::Permanent(text),
            HttpError::Other(text) => Self::Other(text),
        }
    }
}
