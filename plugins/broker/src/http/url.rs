//! URLs, strictly: what could be understood in two ways is refused, because the check and the server must mean the same place.

use std::{fmt, net::IpAddr, net::Ipv6Addr};

/// Longest URL.
const MAX_URL: usize = 2_048;

/// An `http` or `https` URL without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https`.
    pub secure: bool,
    /// Name in small letters, or numeric address; an IPv6 address without its brackets.
    pub host: String,
    /// Port, the scheme's own if the URL names none.
    pub port: u16,
    /// Begins with a slash.
    pub path: String,
    /// What is behind the question mark.
    pub query: Option<String>,
}

/// Why something is no URL that is accepted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Too long.
    #[error("longer than {MAX_URL} bytes")]
    TooLong,
    /// Another scheme, or none.
    #[error("does not begin with http:// or https://")]
    Scheme,
    /// No host, one with a user, or one of strange letters.
    #[error("its host is not a name or a numeric address, with nothing before it")]
    Host,
    /// Not a port.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// `..`, `//`, `%2f`, `%25`, a backslash, a blank, a fragment and the like.
    #[error("its path or query could be understood in two ways")]
    Ambiguous,
}

impl Url {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(UrlError::Scheme),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = authority_of(authority, if secure { 443 } else { 80 })?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        if !unambiguous_path(path) || !query.is_none_or(plain) {
            return Err(UrlError::Ambiguous);
        }
        Ok(Self { secure, host, port, path: path.to_owned(), query: query.map(str::to_owned) })
    }

    /// The host as it stands in a URL.
    pub fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// Host and port, the latter where it is not the scheme's own: the header `host`.
    pub fn authority(&self) -> String {
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => self.bracketed_host(),
            (_, port) => format!("{}:{port}", self.bracketed_host()),
        }
    }

    /// Scheme, host and port. All of a URL that may be shown: with many receivers the path is the password.
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Path and query, as they stand in a request.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The host, where it is a numeric address.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether `other` is this place: the same scheme, host and port, and a path at or below this one's. A path that ends with a slash
    /// covers what is below it, any other covers itself and what is below it as a directory.
    pub fn covers(&self, other: &Self) -> bool {
        let same = (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port);
        let below = match other.path.strip_prefix(&self.path) {
            Some(rest) => rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'),
            None => false,
        };
        same && below
    }
}

/// Without the query. For the configuration; what is shown is [`Url::origin`].
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

fn authority_of(text: &str, default: u16) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            (address.to_string(), port.strip_prefix(':').or(if port.is_empty() { None } else { Some("x") }))
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            (name(host)?, port)
        }
    };
    let port = match port {
        None => default,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| UrlError::Port)?,
        Some(_) => return Err(UrlError::Port),
    };
    if port == 0 { Err(UrlError::Port) } else { Ok((host, port)) }
}

/// A name of labels, or an IPv4 address in its only unambiguous form.
fn name(host: &str) -> Result<String, UrlError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
    let good = host.len() <= 253 && host.split('.').all(label) && (!numeric || host.parse::<std::net::Ipv4Addr>().is_ok());
    if good { Ok(host.to_ascii_lowercase()) } else { Err(UrlError::Host) }
}

fn unambiguous_path(path: &str) -> bool {
    let small = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%00", "%25", ";"].iter().any(|trick| small.contains(trick));
    let dots = path.split('/').any(|part| part == "." || part == "..");
    plain(path) && !hidden && !dots && !path.contains("//")
}

/// Printable, with whole percent signs.
fn plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letters = bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>^`{|}".contains(byte));
    let whole = |(place, byte): (usize, &u8)| {
        *byte != b'%' || bytes.get(place + 1..place + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    letters && bytes.iter().enumerate().all(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn parts_are_found_and_shown_without_the_query() {
        let found = url("https://Hooks.Example.org/a/b?x=1&y=%20");
        assert_eq!((found.secure, found.host.as_str(), found.port), (true, "hooks.example.org", 443));
        assert_eq!((found.target().as_str(), found.authority().as_str()), ("/a/b?x=1&y=%20", "hooks.example.org"));
        assert_eq!(found.to_string(), "https://hooks.example.org/a/b");
        assert_eq!(found.origin(), "https://hooks.example.org");
        assert_eq!(url("http://[::1]:8080").to_string(), "http://[::1]:8080/");
        assert_eq!(url("http://10.0.0.1:80/x").authority(), "10.0.0.1");
        assert_eq!(url("http://[0:0::1]/").address(), "::1".parse().ok());
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for bad in [
            "ftp://a/",
            "http:/a/",
            "//a/",
            "http://",
            "http:///x",
            "http://user@a/",
            "http://a:b@c/",
            "http://a:0/",
            "http://a:99999/",
            "http://a:/",
            "http://a:8x/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[::g]/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://a..b/",
            "http://a/../b",
            "http://a/b/..",
            "http://a/./b",
            "http://a//b",
            "http://a/%2e%2e/b",
            "http://a/%2Fb",
            "http://a/b%5cc",
            "http://a/%252e%252e/b",
            "http://a/b%25",
            "http://a/b\\c",
            "http://a/b c",
            "http://a/b#c",
            "http://a/b%",
            "http://a/b%zz",
            "http://a/b;c",
            "http://a/\u{e9}",
            "http://a/b?c d",
            "http://a\n/",
            "http://a/b\r\nHost: c",
            "http://a?\u{0}",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "x".repeat(MAX_URL))), Err(UrlError::TooLong));
    }

    #[test]
    fn a_place_covers_itself_and_what_is_below_it() {
        let covers = |place: &str, other: &str| url(place).covers(&url(other));
        assert!(covers("https://a/hooks", "https://a/hooks"));
        assert!(covers("https://a/hooks", "https://A:443/hooks?x=1"));
        assert!(covers("https://a/hooks", "https://a/hooks/b"));
        assert!(covers("https://a/hooks/", "https://a/hooks/b"));
        assert!(covers("https://a", "https://a/anything"));
        for other in
            ["http://a/hooks", "https://b/hooks", "https://a:444/hooks", "https://a/hooks2", "https://a/", "https://a.b/hooks"]
        {
            assert!(!covers("https://a/hooks", other), "{other}");
        }
        assert!(!covers("https://a/hooks/", "https://a/hooks"));
    }
}
