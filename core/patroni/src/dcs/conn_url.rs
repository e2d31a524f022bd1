//! `conn_url` of a member key: where a PostgreSQL listens, as a URL.

use tanist_engine::Endpoint;

/// The URL, as Patroni forms it. A numeric IPv6 address gets its brackets.
pub fn conn_url(endpoint: &Endpoint) -> String {
    let Endpoint { host, port } = endpoint;
    if host.contains(':') { format!("postgres://[{host}]:{port}/postgres") } else { format!("postgres://{host}:{port}/postgres") }
}

/// Host and port of the URL; `None` when it is none of PostgreSQL's. User, password, database and options are of no interest.
pub fn endpoint_of(url: &str) -> Option<Endpoint> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(digits) => digits.parse().ok().filter(|port| *port != 0)?,
        None => 5432,
    };
    let usable = !host.is_empty() && !host.chars().any(|c| c.is_control() || c.is_whitespace());
    usable.then(|| Endpoint { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (host, url) in [("10.0.0.1", "postgres://10.0.0.1:5433/postgres"), ("fd00::1", "postgres://[fd00::1]:5433/postgres")]
        {
            let endpoint = Endpoint { host: host.to_owned(), port: 5433 };
            assert_eq!(conn_url(&endpoint), url);
            assert_eq!(endpoint_of(url), Some(endpoint));
        }
    }

    #[test]
    fn what_others_write() {
        let at = |host: &str, port| Some(Endpoint { host: host.to_owned(), port });
        assert_eq!(endpoint_of("postgresql://user:p@ss@db1.example/app?sslmode=on"), at("db1.example", 5432));
        assert_eq!(endpoint_of("postgres://[::1]/postgres"), at("::1", 5432));
        for bad in
            ["http://a:1/", "postgres://", "postgres://:5432/x", "postgres://a:0/", "postgres://a:x/", "postgres://[::1]5432/"]
        {
            assert_eq!(endpoint_of(bad), None, "{bad}");
        }
    }
}
