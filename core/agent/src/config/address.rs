//! Addresses as Patroni writes them: `host`, `host:port`, `[v6]:port`, `a,b:port`, `*`.

use tanist_engine::Endpoint;

/// Host and port; the port has a default where it may be left out.
pub(super) fn endpoint(text: &str, default_port: Option<u16>) -> Result<Endpoint, &'static str> {
    const FORM: &str = "must be HOST:PORT";
    let text = text.trim();
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("must be [ADDRESS]:PORT")?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or("must be [ADDRESS]:PORT")?) })
        }
        // More than one colon and no brackets: a bare IPv6 address.
        None if text.matches(':').count() > 1 => match text.parse::<std::net::Ipv6Addr>() {
            Ok(_) => (text, None),
            // Patroni splits at the last colon, so that `::1:5432` means port 5432 of ::1.
            Err(_) => split(text),
        },
        None => split(text),
    };
    let port = match port {
        Some(digits) => digits.parse::<u16>().ok().filter(|port| *port != 0).ok_or("must have a port from 1 to 65535")?,
        None => default_port.ok_or(FORM)?,
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '\'' | '"');
    if host.is_empty() || host.contains(bad) { Err(FORM) } else { Ok(Endpoint { host: host.to_owned(), port }) }
}

/// A listen list: addresses separated by commas, one port at the end.
pub(super) fn listen(text: &str, default_port: u16) -> Result<(Vec<String>, u16), &'static str> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let Some((last, others)) = parts.split_last() else { return Err("must be ADDRESS[,ADDRESS…]:PORT") };
    let Endpoint { host, port } = endpoint(last, Some(default_port))?;
    let mut hosts = Vec::with_capacity(parts.len());
    for other in others {
        let bare = other.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty()
            || bare.contains(char::is_whitespace)
            || (bare.contains(':') && bare.parse::<std::net::Ipv6Addr>().is_err())
        {
            return Err("must have its port once, after the last address");
        }
        hosts.push(bare.to_owned());
    }
    hosts.push(host);
    if hosts.len() > 1 && hosts.iter().any(|host| host == "*") {
        return Err("`*` must stand alone, it already means every address");
    }
    Ok((hosts, port))
}

/// Whether nobody can connect to it as it is written.
pub(super) fn is_wildcard(host: &str) -> bool {
    matches!(host, "*" | "0.0.0.0" | "::" | "")
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address() {
        let ok = |text, host: &str, port| {
            assert_eq!(endpoint(text, Some(5432)), Ok(Endpoint { host: host.to_owned(), port }), "{text}")
        };
        ok("db1:5433", "db1", 5433);
        ok("10.0.0.1", "10.0.0.1", 5432);
        ok("[fd00::1]:5433", "fd00::1", 5433);
        ok("[fd00::1]", "fd00::1", 5432);
        ok("fd00::1", "fd00::1", 5432);
        for bad in ["", ":5432", "a:0", "a:70000", "a:b", "a b:1", "[::1", "postgres://a:1"] {
            assert!(endpoint(bad, Some(5432)).is_err(), "{bad}");
        }
        assert_eq!(endpoint("db1", None), Err("must be HOST:PORT"));
    }

    #[test]
    fn a_list_with_one_port() {
        let ok = |text, hosts: &[&str], port| {
            assert_eq!(listen(text, 5432), Ok((hosts.iter().map(|&host| host.to_owned()).collect(), port)), "{text}");
        };
        ok("10.0.0.1,127.0.0.1:5433", &["10.0.0.1", "127.0.0.1"], 5433);
        ok("::1, 127.0.0.1:5432", &["::1", "127.0.0.1"], 5432);
        ok("*:5432", &["*"], 5432);
        ok("0.0.0.0", &["0.0.0.0"], 5432);
        for bad in ["a:1,b:2", "*,127.0.0.1:5432", ",a:1", "a,:1"] {
            assert!(listen(bad, 5432).is_err(), "{bad}");
        }
    }
}
