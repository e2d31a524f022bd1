//! Connection strings of libpq: the one that lets a walreceiver follow, and reading any.
//!
//! A connection string of ours also says, in force and atomically with the address, *whom* it follows and for which epoch: in
//! `fallback_application_name`, which libpq ignores because `application_name` is given. So a probe needs no second source for it.

use crate::{Settings, quote};
use std::collections::BTreeMap;
use tanist_engine::{Endpoint, Epoch, MemberName, Upstream};

/// Marks our own strings.
const MARK: &str = "tanist ";

/// Of programs that read from the leader: they wait for an answer with nothing under way, and the system's own keepalives begin after two
/// hours.
const KEEPALIVES: [(&str, &str); 4] =
    [("keepalives", "1"), ("keepalives_idle", "5"), ("keepalives_interval", "2"), ("keepalives_count", "3")];

/// `primary_conninfo` for this upstream.
///
/// A standby must notice quickly that its upstream is silently gone and be free for the next one: keepalives end an idle
/// connection after about six seconds, `tcp_user_timeout` one with data under way after five.
pub fn primary_conninfo(settings: &Settings, upstream: &Upstream) -> String {
    let port = upstream.endpoint.port.to_string();
    let mark = format!("{MARK}{} {}", upstream.epoch, upstream.name);
    let passfile = settings.pgpass.to_string_lossy();
    let mut pairs = vec![("host", upstream.endpoint.host.as_str()), ("port", &port), ("user", &settings.replication.username)];
    if settings.replication.password.is_some() {
        pairs.push(("passfile", &passfile));
    }
    pairs.extend([
        ("application_name", settings.name.0.as_str()),
        ("fallback_application_name", &mark),
        ("sslmode", "prefer"),
        ("connect_timeout", "3"),
        ("keepalives", "1"),
        ("keepalives_idle", "3"),
        ("keepalives_interval", "1"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "5000"),
    ]);
    join(&pairs)
}

/// The connection string of pg_rewind, which reads files over an ordinary session. It says nothing while it compares; keepalives tell
/// that from a leader that is gone.
pub(crate) fn rewind_conninfo(settings: &Settings, upstream: &Upstream) -> String {
    let port = upstream.endpoint.port.to_string();
    let user = settings.rewind.as_ref().unwrap_or(&settings.superuser);
    join(&[
        ("host", upstream.endpoint.host.as_str()),
        ("port", &port),
        ("user", &user.username),
        ("dbname", "postgres"),
        ("application_name", &settings.name.0),
        ("sslmode", "prefer"),
        ("connect_timeout", "5"),
        KEEPALIVES[0],
        KEEPALIVES[1],
        KEEPALIVES[2],
        KEEPALIVES[3],
        ("tcp_user_timeout", "30000"),
    ])
}

/// The connection string of a copy from this upstream.
pub(crate) fn copy_conninfo(settings: &Settings, upstream: &Upstream) -> String {
    let port = upstream.endpoint.port.to_string();
    join(&[
        ("host", upstream.endpoint.host.as_str()),
        ("port", &port),
        ("user", &settings.replication.username),
        ("application_name", &settings.name.0),
        ("sslmode", "prefer"),
        ("connect_timeout", "5"),
        KEEPALIVES[0],
        KEEPALIVES[1],
        KEEPALIVES[2],
        KEEPALIVES[3],
        ("tcp_user_timeout", "30000"),
    ])
}

fn join(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", quote::conninfo(value))).collect();
    pairs.join(" ")
}

/// Whom a `primary_conninfo` follows. For a string that is not ours (a Patroni's) the name is empty and the epoch `Epoch::NONE`.
/// `None`: it follows nobody.
pub fn upstream(conninfo: &str) -> Option<Upstream> {
    let pairs = parse(conninfo)?;
    let host = pairs.get("host")?.clone();
    let port = pairs.get("port").map_or(Some(5432), |port| port.parse().ok())?;
    let marked = pairs.get("fallback_application_name").and_then(|mark| {
        let (epoch, name) = mark.strip_prefix(MARK)?.split_once(' ')?;
        Some((MemberName(name.into()), Epoch(epoch.parse().ok()?)))
    });
    let (name, epoch) = marked.unwrap_or((MemberName("".into()), Epoch::NONE));
    Some(Upstream { name, endpoint: Endpoint { host, port }, epoch })
}

/// Keywords and values as `libpq` splits them; `None` when it would refuse the string.
fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let mut pairs = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => take_value(quoted, |c| c == '\'', true)?,
            None => take_value(after, char::is_whitespace, false)?,
        };
        pairs.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    Some(pairs)
}

/// Characters up to the end, with `\x` standing for `x`; and what comes after the end.
fn take_value(text: &str, is_end: impl Fn(char) -> bool, end_needed: bool) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if is_end(c) {
            return Some((value, &text[at + c.len_utf8()..]));
        }
        value.push(if c == '\\' { chars.next()?.1 } else { c });
    }
    (!end_needed).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whom_it_follows() {
        let settings = crate::settings::tests::sample();
        let wanted = Upstream {
            name: "node 'b' \\".into(),
            endpoint: Endpoint { host: "10.0.0.2' port=1".into(), port: 5433 },
            epoch: Epoch(77),
        };
        assert_eq!(upstream(&primary_conninfo(&settings, &wanted)), Some(wanted));
    }

    #[test]
    fn a_program_notices_that_its_leader_is_silently_gone() {
        let settings = crate::settings::tests::sample();
        let from = Upstream { name: "b".into(), endpoint: Endpoint { host: "b".into(), port: 1 }, epoch: Epoch(1) };
        for text in [rewind_conninfo(&settings, &from), copy_conninfo(&settings, &from), primary_conninfo(&settings, &from)] {
            let pairs = parse(&text).unwrap();
            let number = |key: &str| pairs[key].parse::<u32>().unwrap();
            let silent = number("keepalives_idle") + number("keepalives_interval") * number("keepalives_count");
            assert!(pairs["keepalives"] == "1" && silent <= 15, "{text}");
        }
    }

    #[test]
    fn reads_foreign_strings() {
        let patroni = "user=replicator passfile=/tmp/pgpass host=10.0.0.3 port=5432 sslmode=prefer application_name=p3";
        let seen = upstream(patroni).unwrap();
        assert_eq!((seen.endpoint.host.as_str(), seen.endpoint.port, seen.epoch), ("10.0.0.3", 5432, Epoch::NONE));
        assert_eq!(seen.name, MemberName("".into()));
        assert_eq!(upstream("host = a  user = 'x y'").unwrap().endpoint, Endpoint { host: "a".into(), port: 5432 });
        for nobody in ["", "user=x", "host", "host='a", "host=a port=no"] {
            assert_eq!(upstream(nobody), None, "{nobody:?}");
        }
    }
}
