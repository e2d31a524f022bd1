//! The section `restapi`.

use super::{
    super::{
        Credentials, RestSettings, address,
        report::Report,
        spec::{RestapiSpec, Text, UserSpec},
    },
    users,
};

/// Addresses.
pub(super) fn rest(section: Option<&RestapiSpec>, report: &mut Report) -> Option<RestSettings> {
    let Some(RestapiSpec { listen, connect_address, authentication: _, auth: _ }) = section else {
        report.error("restapi", "is missing; add it with listen and connect_address");
        return None;
    };
    let Some(Text(listen)) = listen else {
        report.error("restapi.listen", "is missing; set it to ADDRESS:PORT, for example 0.0.0.0:8008");
        return None;
    };
    let listen = address::endpoint(listen, Some(8008)).map_err(|problem| report.error("restapi.listen", problem)).ok();
    let connect = match connect_address {
        Some(Text(text)) => {
            address::endpoint(text, Some(8008)).map_err(|problem| report.error("restapi.connect_address", problem)).ok()
        }
        None => match &listen {
            Some(listen) if address::is_wildcard(&listen.host) => {
                report
                    .error("restapi.connect_address", "is missing; restapi.listen names no address that others could connect to");
                None
            }
            listen => listen.clone(),
        },
    };
    if connect.as_ref().is_some_and(|connect| address::is_wildcard(&connect.host)) {
        report.error("restapi.connect_address", "must be an address that others can connect to");
        return None;
    }
    Some(RestSettings { listen: listen?, connect: connect? })
}

/// Who may change something. `None` after a report; `Some(None)`: everybody.
pub(super) fn credentials(section: Option<RestapiSpec>, report: &mut Report) -> Option<Option<Credentials>> {
    let RestapiSpec { listen: _, connect_address: _, authentication, auth } = section.unwrap_or_default();
    match (authentication, auth) {
        (Some(UserSpec { username, password }), _) => users::optional(username, password, "restapi.authentication", report),
        (None, Some(Text(pair))) => match pair.split_once(':') {
            Some((username, password)) => {
                users::credentials(username.to_owned(), Some(Text(password.to_owned())), "restapi.auth", report).map(Some)
            }
            None => {
                report.error(
                    "restapi.auth",
                    "must be USER:PASSWORD; better, use restapi.authentication with username and password",
                );
                None
            }
        },
        (None, None) => Some(None),
    }
}
