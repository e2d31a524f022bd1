//! Users and passwords.

use super::super::{
    Credentials, Secret,
    report::Report,
    spec::{Text, UserSpec},
};

/// A user that has to be there. Without a password it works where pg_hba.conf asks for none, which is remarked.
pub(super) fn required(user: Option<UserSpec>, key: &str, report: &mut Report) -> Option<Credentials> {
    let UserSpec { username, password } = user.unwrap_or_default();
    let Some(Text(username)) = username.filter(|Text(name)| !name.is_empty()) else {
        report.error(&format!("{key}.username"), "is missing; every node must name the same user");
        return None;
    };
    if password.is_none() {
        report.warning(&format!("{key}.password"), "is missing; connections work only where pg_hba.conf asks for none");
    }
    credentials(username, password, key, report)
}

/// A user that may be left out, with its password. `None` after a report; `Some(None)`: left out.
pub(super) fn optional(
    username: Option<Text>,
    password: Option<Text>,
    key: &str,
    report: &mut Report,
) -> Option<Option<Credentials>> {
    match (username, password) {
        (None, None) => Some(None),
        (Some(Text(username)), Some(password)) => credentials(username, Some(password), key, report).map(Some),
        (Some(_), None) => {
            report.error(&format!("{key}.password"), "is missing beside username");
            None
        }
        (None, Some(_)) => {
            report.error(&format!("{key}.username"), "is missing beside password");
            None
        }
    }
}

/// Neither may break the line of a file it is written into.
pub(super) fn credentials(username: String, password: Option<Text>, key: &str, report: &mut Report) -> Option<Credentials> {
    let fits = |text: &str| !text.contains(['\0', '\n', '\r']) && text.len() <= 1024;
    if !fits(&username) || !password.as_ref().is_none_or(|Text(password)| fits(password)) {
        report.error(key, "username and password must be texts of one line");
        return None;
    }
    Some(Credentials { username, password: password.map(|Text(password)| Secret::new(password)) })
}
