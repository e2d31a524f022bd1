//! The form of a line of `pg_hba.conf`, as far as it can be told without a server: with a line that it cannot read PostgreSQL does not
//! start. Whether the rule is a wise one is the operator's matter.

use std::net::IpAddr;

const METHODS: [&str; 14] = [
    "trust",
    "reject",
    "scram-sha-256",
    "md5",
    "password",
    "gss",
    "sspi",
    "ident",
    "peer",
    "pam",
    "ldap",
    "radius",
    "cert",
    "bsd",
];
/// Since PostgreSQL 18.
const NEW_METHODS: [&str; 1] = ["oauth"];

/// What is wrong with a line; `None`: nothing that could be told.
pub(crate) fn fault(line: &str) -> Option<String> {
    let words = match words(line) {
        Ok(words) => words,
        Err(fault) => return Some(fault.to_owned()),
    };
    let mut rest = words.iter().map(String::as_str);
    let kind = rest.next()?;
    match kind {
        "local" | "host" | "hostssl" | "hostnossl" | "hostgssenc" | "hostnogssenc" => {}
        "include" | "include_if_exists" | "include_dir" => return None,
        other => return Some(format!("invalid connection type \"{other}\"")),
    }
    let Some(_database) = rest.next() else { return Some("end-of-line before database specification".to_owned()) };
    let Some(_role) = rest.next() else { return Some("end-of-line before role specification".to_owned()) };
    if kind != "local" {
        let Some(address) = rest.next() else { return Some("end-of-line before IP address specification".to_owned()) };
        match address_kind(address) {
            Err(fault) => return Some(fault),
            Ok(true) => match rest.next() {
                None => return Some("end-of-line before netmask specification".to_owned()),
                Some(mask) if mask.parse::<IpAddr>().is_err() => return Some(format!("invalid IP mask \"{mask}\"")),
                Some(_) => {}
            },
            Ok(false) => {}
        }
    }
    let Some(method) = rest.next() else { return Some("end-of-line before authentication method".to_owned()) };
    if !METHODS.contains(&method) && !NEW_METHODS.contains(&method) {
        return Some(format!("invalid authentication method \"{method}\""));
    }
    let option = rest.find(|option| !option.contains('='))?;
    Some(format!("authentication option not in name=value format: {option}"))
}

/// Whether a mask must follow.
fn address_kind(address: &str) -> Result<bool, String> {
    if let Some((network, bits)) = address.split_once('/') {
        let longest = match network.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return Err(format!("specifying both host name and CIDR mask is invalid: \"{address}\"")),
        };
        return match bits.parse::<u8>() {
            Ok(bits) if bits <= longest => Ok(false),
            _ => Err(format!("invalid CIDR mask in address \"{address}\"")),
        };
    }
    Ok(address.parse::<IpAddr>().is_ok())
}

/// The words of a line, as PostgreSQL splits it: blanks separate, a word may be quoted, commas join, `#` begins a comment.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quoted, mut joined): (Option<String>, bool, bool) = (None, false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if quoted => word.get_or_insert_default().push(c),
            '#' => break,
            c if c.is_whitespace() && joined => {}
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
        joined = c == ',' && !quoted || joined && c.is_whitespace();
    }
    if quoted {
        return Err("a quoted word does not end");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_postgresql_reads() {
        for line in [
            "",
            "  # only a comment",
            "local all all trust",
            "host all all 127.0.0.1/32 scram-sha-256",
            "host replication replicator 10.0.0.0 255.0.0.0 md5",
            "hostssl \"all\" +admins ::/0 cert clientcert=verify-full map=x",
            "host a, b all samenet trust # as ever",
            "hostnossl all all .example.com ldap ldapserver=\"a b\"",
            "include more.conf",
        ] {
            assert_eq!(fault(line), None, "{line}");
        }
    }

    #[test]
    fn rules_that_it_does_not_read() {
        for (line, words) in [
            ("hosts all all all trust", "connection type"),
            ("garbage", "connection type"),
            ("host all", "role"),
            ("host all all trust", "before authentication method"),
            ("host all all nonsense", "before authentication method"),
            ("host all all 10.0.0.0/33 trust", "CIDR mask"),
            ("host all all example.com/8 trust", "host name and CIDR"),
            ("host all all 10.0.0.0 trust", "IP mask"),
            ("host all all ::/0 sha-1", "authentication method \"sha-1\""),
            ("local all all trust really", "name=value"),
            ("local \"all all trust", "does not end"),
        ] {
            let found = fault(line).unwrap_or_default();
            assert!(found.contains(words), "{line}: {found}");
        }
    }
}
