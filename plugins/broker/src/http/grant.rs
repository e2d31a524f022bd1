//! Which requests the operator allows a plugin.

use super::{HttpExchange, Url};
use crate::{
    Standing,
    grants::claim,
    protocol::{Denial, HttpRequest, PluginId},
};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Requests of one `send-all`.
pub(crate) const MAX_REQUESTS: usize = 8;
/// Longest body of a request.
const MAX_BODY: usize = 256 << 10;
/// Longest bodies of all answers of one call together; they share a frame.
const MAX_ANSWERS: usize = 512 << 10;
/// Longest body of one answer.
const MAX_ANSWER: usize = 256 << 10;
/// Headers of a request, and their length with names.
const MAX_HEADERS: usize = 32;
const MAX_HEADER_BYTES: usize = 8 << 10;

/// Headers that say how a message is cut or where it goes: the sender's business.
const RESERVED: [&str; 13] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "x-tanist-timestamp",
    "x-tanist-signature",
];

/// Headers by which servers and what stands before them take a request for another one: another method, another place, another sender.
/// What the operator allowed is what is said in the request line.
const REINTERPRETING: [&str; 6] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "forwarded"];
/// And how more of them begin.
const FORWARDED: &str = "x-forwarded-";

/// One place, and what may be sent there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGrant {
    /// Scheme, host, port and the beginning of the path.
    pub url: String,
    /// The methods, in capital letters.
    pub methods: Vec<String>,
    /// The only addresses its name may lead to; empty: any but those reserved for the machine or its link.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The name of the access in the agent's configuration: credentials, signature, certificates.
    pub access: String,
    /// Headers that the access sets; a plugin may not.
    #[serde(default)]
    pub headers: Vec<String>,
}

impl HttpGrant {
    fn covers(&self, url: &Url) -> bool {
        Url::parse(&self.url).is_ok_and(|place| place.covers(url))
    }
}

/// Checks the requests of one `send` or `send-all`, each by itself.
pub(crate) fn permit(
    grants: &[HttpGrant],
    plugin: &PluginId,
    requests: &[HttpRequest],
    standing: &Standing,
) -> Result<Vec<Result<HttpExchange, Denial>>, Denial> {
    if requests.len() > MAX_REQUESTS {
        return Err(Denial::TooMany { what: "requests at once".to_owned(), limit: 8 });
    }
    let most = (MAX_ANSWERS / requests.len().max(1)).min(MAX_ANSWER);
    Ok(requests.iter().map(|request| one(grants, plugin, request, standing, most)).collect())
}

fn one(
    grants: &[HttpGrant],
    plugin: &PluginId,
    request: &HttpRequest,
    standing: &Standing,
    most: usize,
) -> Result<HttpExchange, Denial> {
    let HttpRequest { method, url, headers, body, timeout_ms: _, claim: claimed } = request;
    // What is not understood is not repeated: it may hold a password.
    let place = Url::parse(url).map_err(|error| Denial::Invalid(format!("the URL cannot be used: {error}")))?;
    let method = method.to_ascii_uppercase();
    if !(1..=16).contains(&method.len()) || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Denial::Invalid(format!("{method:.20} is not a method")));
    }
    let covering: Vec<&HttpGrant> = grants.iter().filter(|grant| grant.covers(&place)).collect();
    let Some(grant) = covering.iter().find(|grant| grant.methods.contains(&method)) else {
        let origin = place.origin();
        let remedy = format!("plugins.{plugin}.grants.http: [{{…, url: {origin}/…, methods: [{method}]}}]");
        return Err(Denial::NotGranted { what: format!("{method} {origin}/…"), remedy });
    };
    check_headers(grant, headers)?;
    if body.len() > MAX_BODY {
        return Err(Denial::Invalid(format!("a body of {} bytes; at most {MAX_BODY} are sent", body.len())));
    }
    if let Some(epoch) = claimed {
        claim(*epoch, standing)?;
    }
    Ok(HttpExchange {
        access: grant.access.clone(),
        method,
        url: place,
        addresses: grant.addresses.clone(),
        headers: headers.clone(),
        body: body.clone(),
        most,
    })
}

fn check_headers(grant: &HttpGrant, headers: &[(String, String)]) -> Result<(), Denial> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(Denial::Invalid(format!(
            "{} headers of {bytes} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES}",
            headers.len()
        )));
    }
    for (name, value) in headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(Denial::Invalid(format!("{name:.60} is not the name of a header")));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(Denial::Invalid(format!("the header {name} has a value that is not printable ASCII")));
        }
        let folded = folded(name);
        if RESERVED.contains(&folded.as_str()) || grant.headers.iter().any(|set| self::folded(set) == folded) {
            return Err(Denial::Invalid(format!("the header {name} is set by the agent")));
        }
        if REINTERPRETING.contains(&folded.as_str()) || folded.starts_with(FORWARDED) {
            return Err(Denial::Invalid(format!("the header {name} can make another request of this one")));
        }
    }
    Ok(())
}

/// The name of a header as servers that hand it on in variables (CGI and its heirs) compare it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Leadership;
    use std::time::Duration;
    use tanist_engine::{Epoch, Moment};

    fn grant() -> HttpGrant {
        HttpGrant {
            url: "https://hooks.example.org/tanist".to_owned(),
            methods: vec!["POST".to_owned()],
            addresses: vec![],
            access: "notify/0".to_owned(),
            headers: vec!["Authorization".to_owned()],
        }
    }

    fn request() -> HttpRequest {
        HttpRequest {
            method: "post".to_owned(),
            url: "https://hooks.example.org/tanist?room=1".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: b"{}".to_vec(),
            timeout_ms: None,
            claim: None,
        }
    }

    fn checked(request: HttpRequest) -> Result<HttpExchange, Denial> {
        let now = Moment::from_nanos(1_000_000_000);
        let leadership =
            Leadership { epoch: Epoch(9), lease_until: Some(now + Duration::from_secs(10)), ttl: Duration::from_secs(10) };
        let deadline = now + Duration::from_secs(5);
        let standing = Standing { call_epoch: 9, call_deadline: deadline, leadership, proved: 9, now };
        permit(&[grant()], &PluginId::from("notify"), &[request], &standing).unwrap().remove(0)
    }

    fn denied(change: impl FnOnce(&mut HttpRequest)) -> String {
        let mut request = request();
        change(&mut request);
        checked(request).unwrap_err().to_string()
    }

    #[test]
    fn what_is_granted_passes_with_its_access() {
        let exchange = checked(request()).unwrap();
        assert_eq!((exchange.method.as_str(), exchange.access.as_str()), ("POST", "notify/0"));
        assert_eq!(exchange.url.target(), "/tanist?room=1");
        assert!(checked(HttpRequest { claim: Some(9), ..request() }).is_ok());
    }

    #[test]
    fn another_place_or_method_is_denied_with_the_line_that_grants_it() {
        let line = denied(|request| request.method = "DELETE".to_owned());
        assert!(
            line.contains("plugins.notify.grants.http: [{…, url: https://hooks.example.org/…, methods: [DELETE]}]"),
            "{line}"
        );
        for url in ["http://hooks.example.org/tanist", "https://hooks.example.org/", "https://hooks.example.org:8443/tanist"] {
            assert!(denied(|request| request.url = url.to_owned()).contains("is not granted"));
        }
        assert!(denied(|request| request.url = "https://hooks.example.org/tanist/../admin".to_owned()).contains("two ways"));
    }

    #[test]
    fn headers_of_the_agent_and_smuggled_lines_are_refused() {
        for name in ["Host", "content-length", "Transfer-Encoding", "authorization", "X-Tanist-Signature"] {
            assert!(
                denied(|request| request.headers.push((name.to_owned(), "x".to_owned()))).contains("set by the agent"),
                "{name}"
            );
        }
        assert!(denied(|request| request.headers.push(("a b".to_owned(), "x".to_owned()))).contains("name of a header"));
        assert!(denied(|request| request.headers.push(("a".to_owned(), "x\r\nb: c".to_owned()))).contains("printable"));
        assert!(denied(|request| request.headers = vec![("a".to_owned(), "b".to_owned()); 33]).contains("at most 32"));
        assert!(denied(|request| request.body = vec![0; MAX_BODY + 1]).contains("at most 262144"));
        assert!(denied(|request| request.method = "PO ST".to_owned()).contains("not a method"));
    }

    #[test]
    fn no_denial_shows_a_password_or_a_path() {
        for url in [
            "https://user:hidden@hooks.example.org/x",
            "https://hooks.example.org/hidden",
            "https://hooks.example.org/tanist/hidden?token=hidden",
            "https://hooks.example.org/tanist/../hidden",
            "hidden",
        ] {
            let text = denied(|request| (request.url, request.method) = (url.to_owned(), "PUT".to_owned()));
            assert!(!text.contains("hidden"), "{url}: {text}");
        }
    }

    #[test]
    fn headers_that_make_another_request_of_it_are_refused_in_every_spelling() {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method",
            "X-Method-Override",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Forwarded",
            "X-Forwarded-For",
            "x-forwarded-prefix",
            "X_HTTP_Method_Override",
            "Content_Length",
            "X_Forwarded-Host",
        ] {
            let text = denied(|request| request.headers.push((name.to_owned(), "DELETE".to_owned())));
            assert!(text.contains(name), "{name}: {text}");
        }
        assert!(checked(HttpRequest { headers: vec![("X-Forward".to_owned(), "x".to_owned())], ..request() }).is_ok());
    }

    #[test]
    fn a_claim_needs_the_current_epoch() {
        assert!(denied(|request| request.claim = Some(8)).contains("epoch 8 is not the current one"));
    }
}
