//! etcd's troubles in words: one line that names the host, the key of the configuration and the remedy. Never a secret.

use super::access::Access;
use etcd_client::Error;
use std::path::PathBuf;

/// What the texts of etcd and of the TLS library mean. The first that is contained wins.
const MEANINGS: [(&str, &str); 18] = [
    (
        "UnknownIssuer",
        "etcd3.cacert: the server's certificate is not signed by an authority of {cacert}; put its authority there",
    ),
    ("certificate expired", "the server's certificate has expired; renew it on that server"),
    ("CertExpired", "the server's certificate has expired; renew it on that server"),
    (
        "not valid for name",
        "the server's certificate is for other names; use one of them in etcd3.hosts, or issue it for this one",
    ),
    ("NotValidForName", "the server's certificate is for other names; use one of them in etcd3.hosts, or issue it for this one"),
    ("InvalidContentType", NO_TLS),
    ("tls handshake eof", NO_TLS),
    ("CertificateRequired", "etcd3.cert: the server asks for a client certificate; set etcd3.cert and etcd3.key"),
    ("CertificateExpired", "etcd3.cert: the server says that {cert} has expired; renew it"),
    (
        "fatal alert",
        "etcd3.cert: the server does not accept {cert} ({error}); give one that its authority has signed for clients",
    ),
    (
        "invalid user ID or password",
        "etcd3.username, etcd3.password: etcd does not know the user {user} with this password; correct them",
    ),
    ("user name is empty", "etcd3.username: etcd wants a login; set etcd3.username and etcd3.password"),
    ("invalid auth token", "etcd3.username: etcd does not accept the login's token, also not a new one"),
    (
        "permission denied",
        "etcd3.username: the user {user} may not do this; grant its role readwrite on the prefix of this cluster's keys",
    ),
    (
        "database space exceeded",
        "etcd is out of space (alarm NOSPACE) and takes no writes; compact, defragment and disarm the alarm, see docs/operations.md",
    ),
    ("no leader", "etcd has no leader: most of its members are down or cannot reach each other"),
    ("request timed out", "etcd did not carry the request out in time; its members may be without a leader, or slow"),
    ("frame with invalid size", NOT_PLAIN),
];
const NO_TLS: &str = "the server does not speak TLS; set etcd3.protocol to http, or set TLS up on that server";
/// What is said to a server that does not answer an unencrypted greeting.
const NOT_PLAIN: &str = "the server closed the connection, as one does that expects TLS; set etcd3.protocol to https ({error})";

/// How a server ends a connection that it does not want, when its last words get lost.
const CLOSED: [&str; 6] = [
    "connection closed",
    "connection reset",
    "Connection reset",
    "broken pipe",
    "Broken pipe",
    "without sending TLS close_notify",
];
/// The certificate of a client is judged after the handshake of TLS 1.3: the connection stands, and ends before anything is answered.
const NOT_ACCEPTED: &str =
    "etcd3.cert: the server closed the connection, as one does that does not accept {cert}; see its log ({error})";
/// A server that speaks TLS 1.3 ends the handshake before it judges the client's certificate; one that does not speak TLS may reset.
const NOT_SHAKEN: &str = "the server closed the connection in the TLS handshake, as one does that does not speak TLS; \
     set etcd3.protocol to http, or see in its log why it does not accept {cert} ({error})";

/// The endpoint that failed, and what it was asked with.
pub(super) struct Place<'a> {
    pub endpoint: &'a str,
    pub access: &'a Access,
    /// It has not answered anything yet: a connection that it closes is one that it does not want.
    pub hinted: bool,
}

impl Place<'_> {
    /// `host:port`.
    pub(super) fn host(&self) -> &str {
        host(self.endpoint)
    }

    /// The error, for people.
    pub(super) fn explain(&self, error: &Error) -> String {
        let told = plain(error);
        let known = MEANINGS.iter().find(|(sign, _)| told.contains(sign)).map(|(_, meaning)| *meaning);
        let meant = known.or_else(|| self.unwanted(error, &told)).map(|meaning| self.fill(meaning, &told));
        meant.unwrap_or(told)
    }

    /// A connection that ended before anything was answered, and what such an end means.
    fn unwanted(&self, error: &Error, told: &str) -> Option<&'static str> {
        let closed = CLOSED.iter().any(|sign| told.contains(sign));
        let (ended, meaning) = match (self.endpoint.starts_with("https:"), super::error::not_sent(error)) {
            (false, _) => (closed, NOT_PLAIN),
            (true, true) => (closed, NOT_SHAKEN),
            // It stood. How its end looks depends on who sees it first: the writer, the reader, the TLS or the HTTP library.
            (true, false) => (super::error::is_of_connection(error) && !told.contains("timed out"), NOT_ACCEPTED),
        };
        (self.hinted && ended).then_some(meaning)
    }

    fn fill(&self, meaning: &str, told: &str) -> String {
        let Access { endpoints: _, tls, user } = self.access;
        let path = |path: Option<&PathBuf>, without: &str| path.map_or(without.to_owned(), |path| path.display().to_string());
        meaning
            .replace("{cacert}", &path(tls.authorities.as_ref(), "this system"))
            .replace("{cert}", &path(tls.identity.as_ref().map(|(cert, _)| cert), "a connection without a client certificate"))
            .replace("{user}", user.as_ref().map_or("(none)", |user| user.name.as_str()))
            .replace("{error}", told)
    }
}

/// `host:port` of an endpoint.
pub(super) fn host(endpoint: &str) -> &str {
    endpoint.split_once("://").map_or(endpoint, |(_, host)| host)
}

/// What the library says, without its wrapping: the status's message, and the innermost cause where it says more. On one line.
pub(super) fn plain(error: &Error) -> String {
    let mut text = match error {
        Error::GRpcStatus(status) if status.message().is_empty() => status.code().to_string(),
        Error::GRpcStatus(status) => status.message().to_owned(),
        Error::WatchError(why) => why.clone(),
        other => other.to_string(),
    };
    let mut cause = match error {
        Error::GRpcStatus(status) => std::error::Error::source(status),
        Error::TransportError(error) => std::error::Error::source(error),
        _ => None,
    };
    while let Some(inner) = cause {
        if inner.source().is_none() && !text.contains(&inner.to_string()) {
            text = format!("{text}: {inner}");
        }
        cause = inner.source();
    }
    text.replace(['\n', '\r'], " ").chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error as Io, ErrorKind};

    /// However the end of a connection looks that a server closes because of the client's certificate, the certificate is named.
    #[test]
    fn a_connection_that_ends_without_an_answer_names_the_certificate() {
        let access = Access::default();
        let said = |endpoint: &str, hinted: bool, io: Io| {
            let error = Error::GRpcStatus(tonic::Status::from_error(Box::new(io)));
            Place { endpoint, access: &access, hinted }.explain(&error)
        };
        let eof = || Io::new(ErrorKind::UnexpectedEof, "peer closed connection without sending TLS close_notify: see the manual");
        for io in [eof(), ErrorKind::ConnectionReset.into(), ErrorKind::BrokenPipe.into(), Io::other("stream closed")] {
            let said = said("https://h:1", true, io);
            assert!(said.starts_with("etcd3.cert: "), "{said}");
        }
        for (endpoint, hinted, io) in [
            ("https://h:1", false, eof()),
            ("https://h:1", true, Io::new(ErrorKind::TimedOut, "keep-alive timed out")),
            ("http://h:1", true, Io::other("stream closed")),
        ] {
            let said = said(endpoint, hinted, io);
            assert!(!said.contains("etcd3."), "{said}");
        }
        assert!(said("http://h:1", true, eof()).contains("etcd3.protocol to https"));
    }
}
