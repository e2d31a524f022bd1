//! Grants of HTTP requests: where to, and what is added on the way that no plugin sees.

use super::{
    super::{
        HttpGrantSetting, Secret,
        report::Report,
        spec::{BasicSpec, HttpGrantSpec, List, Text},
    },
    absolute, dns,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use std::io::Read;
use tanist_broker::Url;

/// Longest file of a secret or of certificates.
const MAX_FILE: u64 = 256 << 10;

/// One grant; `None` after it was reported why not.
pub(super) fn grant(spec: HttpGrantSpec, key: &str, report: &mut Report) -> Option<HttpGrantSetting> {
    let HttpGrantSpec { url, methods, addresses, ca_file, headers, bearer_file, basic, hmac_secret, hmac_secret_file } = spec;
    let url = place(url, &format!("{key}.url"), report);
    let methods = methods_of(methods, &format!("{key}.methods"), report);
    let addresses = dns::ip_addresses(&addresses.map(|List(list)| list).unwrap_or_default(), &format!("{key}.addresses"), report);
    let ca = match ca_file {
        None => Some(None),
        Some(Text(path)) => file(&path, &format!("{key}.ca_file"), report).map(Some),
    };
    let mut added = fixed(headers.unwrap_or_default(), &format!("{key}.headers"), report)?;
    match (bearer_file, basic) {
        (None, None) => {}
        (Some(Text(path)), None) => added.push(bearer(&path, &format!("{key}.bearer_file"), report)?),
        (None, Some(spec)) => added.push(user(spec, &format!("{key}.basic"), report)?),
        (Some(_), Some(_)) => {
            report.error(&format!("{key}.basic"), "stands beside bearer_file; remove one of them");
            return None;
        }
    }
    let signing_key = match (hmac_secret, hmac_secret_file) {
        (None, None) => None,
        (Some(Text(secret)), None) => Some(Secret::new(secret)),
        (None, Some(Text(path))) => Some(secret(&path, &format!("{key}.hmac_secret_file"), report)?),
        (Some(_), Some(_)) => {
            report.error(&format!("{key}.hmac_secret"), "stands beside hmac_secret_file; remove one of them");
            return None;
        }
    };
    if signing_key.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
        report.error(&format!("{key}.hmac_secret"), "is empty");
        return None;
    }
    let url = url?;
    if !url.secure && !added.is_empty() {
        report.warning(&format!("{key}.url"), "is not https; credentials are sent in the clear");
    }
    Some(HttpGrantSetting { url, methods: methods?, addresses: addresses?, headers: added, signing_key, ca: ca? })
}

fn place(url: Option<Text>, key: &str, report: &mut Report) -> Option<Url> {
    let Some(Text(text)) = url else {
        report.error(key, "is missing; name the place that requests may go to: https://HOST/PATH");
        return None;
    };
    match Url::parse(text.trim()) {
        Ok(url) if url.query.is_none() => Some(url),
        Ok(_) => {
            report.error(key, "must have no `?`; a plugin may add what it wants behind one");
            None
        }
        Err(error) => {
            report.error(key, format!("cannot be granted: {error}"));
            None
        }
    }
}

fn methods_of(methods: Option<List>, key: &str, report: &mut Report) -> Option<Vec<String>> {
    let Some(List(methods)) = methods else { return Some(vec!["POST".to_owned()]) };
    let word = |method: &String| (1..=16).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    if methods.is_empty() || !methods.iter().all(word) {
        report.error(key, "must be a list of methods, for example [GET, POST]");
        return None;
    }
    Some(methods.iter().map(|method| method.to_ascii_uppercase()).collect())
}

fn fixed(headers: Map<String, Value>, key: &str, report: &mut Report) -> Option<Vec<(String, Secret)>> {
    let mut added = Vec::new();
    for (name, value) in headers {
        let Value::String(value) = value else {
            report.error(&format!("{key}.{name}"), "must be text");
            return None;
        };
        added.push((name, Secret::new(value)));
    }
    Some(added)
}

fn bearer(path: &str, key: &str, report: &mut Report) -> Option<(String, Secret)> {
    let token = secret(path, key, report)?;
    Some(("Authorization".to_owned(), Secret::new(format!("Bearer {}", token.expose()))))
}

fn user(spec: BasicSpec, key: &str, report: &mut Report) -> Option<(String, Secret)> {
    let BasicSpec { username, password, password_file } = spec;
    let Some(Text(username)) = username.filter(|Text(name)| !name.is_empty() && !name.contains(':')) else {
        report.error(&format!("{key}.username"), "must be a name without a colon");
        return None;
    };
    let password = match (password, password_file) {
        (Some(Text(password)), None) => Secret::new(password),
        (None, Some(Text(path))) => secret(&path, &format!("{key}.password_file"), report)?,
        _ => {
            report.error(&format!("{key}.password"), "set it, or password_file, and not both");
            return None;
        }
    };
    let token = STANDARD.encode(format!("{username}:{}", password.expose()));
    Some(("Authorization".to_owned(), Secret::new(format!("Basic {token}"))))
}

/// The text of a file, without the blanks around it.
fn secret(path: &str, key: &str, report: &mut Report) -> Option<Secret> {
    let Ok(text) = String::from_utf8(file(path, key, report)?) else {
        report.error(key, format!("{path} is not text"));
        return None;
    };
    if text.trim().is_empty() {
        report.error(key, format!("{path} is empty"));
        return None;
    }
    Some(Secret::new(text.trim().to_owned()))
}

fn file(path: &str, key: &str, report: &mut Report) -> Option<Vec<u8>> {
    let path = absolute(path, key, report)?;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 <= MAX_FILE => Some(bytes),
        Ok(_) => {
            report.error(key, format!("{} is too long", path.display()));
            None
        }
        Err(error) => {
            report.error(key, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}
