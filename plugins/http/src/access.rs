//! What is added to the requests to one place: credentials, signature, and the certificates that are believed.

use crate::{sign::Signer, tls};
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rustls::ClientConfig;
use std::{fmt, sync::Arc};

/// What the operator configured for one place. Secrets are plain here; nothing of it is ever shown.
#[derive(Default)]
pub struct Credentials {
    /// Headers by name, such as a token.
    pub headers: Vec<(String, String)>,
    /// The key of the signature.
    pub signing_key: Option<Vec<u8>>,
    /// The certificates (PEM) of the authorities that are believed; `None`: the system's.
    pub ca: Option<Vec<u8>>,
}

/// The same, checked.
pub struct Access {
    headers: Vec<(HeaderName, HeaderValue)>,
    signer: Option<Signer>,
    tls: Option<Arc<ClientConfig>>,
}

/// Why credentials cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Not the name of a header.
    #[error("{0:?} is not the name of a header")]
    Name(String),
    /// A value that cannot stand in a header; it is not shown.
    #[error("the value of the header {0} cannot stand in a header")]
    Value(String),
    /// Certificates that cannot be read.
    #[error("the certificates of the authority cannot be used: {0}")]
    Ca(String),
    /// None at all.
    #[error("there is no certificate of any authority; install ca-certificates, or name a file")]
    NoRoots,
    /// An empty key signs nothing.
    #[error("the key of the signature is empty")]
    EmptyKey,
}

impl Access {
    /// Checks credentials. `secure`: for a place with `https`.
    pub fn new(credentials: Credentials, secure: bool) -> Result<Self, AccessError> {
        let Credentials { headers, signing_key, ca } = credentials;
        let parse = |(name, value): (String, String)| {
            let parsed = HeaderName::try_from(name.as_str()).map_err(|_| AccessError::Name(name.clone()))?;
            let mut value = HeaderValue::try_from(value).map_err(|_| AccessError::Value(name))?;
            value.set_sensitive(true);
            Ok((parsed, value))
        };
        let headers = headers.into_iter().map(parse).collect::<Result<_, _>>()?;
        if signing_key.as_ref().is_some_and(Vec::is_empty) {
            return Err(AccessError::EmptyKey);
        }
        let tls = secure.then(|| tls::client(ca.as_deref())).transpose()?;
        Ok(Self { headers, signer: signing_key.as_deref().map(Signer::new), tls })
    }

    /// A header with user and password, Base64 already applied, or with a token.
    pub fn authorization(scheme: &str, value: &str) -> (String, String) {
        (AUTHORIZATION.to_string(), format!("{scheme} {value}"))
    }

    pub(crate) fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// What is added to a request with this body.
    pub(crate) fn headers(&self, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
        let signature = self.signer.as_ref().map(|signer| signer.headers(body)).into_iter().flatten();
        let signature = signature.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        self.headers.iter().cloned().chain(signature).collect()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Access").field("headers", &names).field("signs", &self.signer.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(header: (&str, &str), key: Option<&[u8]>) -> Result<Access, AccessError> {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        Access::new(Credentials { headers, signing_key: key.map(<[u8]>::to_vec), ca: None }, false)
    }

    #[test]
    fn a_secret_is_never_shown() {
        let shown = format!("{:?}", access(("X-Token", "hidden"), Some(b"hidden")).unwrap());
        assert!(shown.contains("x-token") && !shown.contains("hidden"), "{shown}");
        let error = access(("X-Token", "hidden\n"), None).unwrap_err().to_string();
        assert!(error.contains("X-Token") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_told_at_the_start() {
        assert_eq!(access(("a b", "c"), None).unwrap_err(), AccessError::Name("a b".to_owned()));
        assert_eq!(access(("a", "b"), Some(b"")).unwrap_err(), AccessError::EmptyKey);
        let with = |ca: &[u8]| Access::new(Credentials { ca: Some(ca.to_vec()), ..Credentials::default() }, true);
        assert_eq!(with(b"nonsense").unwrap_err(), AccessError::NoRoots);
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(with(broken).unwrap_err(), AccessError::Ca(_)));
    }
}
