//! Who may change something: basic authentication, as Patroni's `restapi.authentication`.

use crate::config::Credentials;
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Lets a request through, or answers it.
pub fn check(wanted: Option<&Credentials>, headers: &HeaderMap) -> Result<(), Response> {
    let Some(wanted) = wanted else { return Ok(()) };
    let refused = |text: &'static str| {
        tracing::warn!(text, "a request that would change something was refused");
        Err((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"tanist\"")], text).into_response())
    };
    let Some(given) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return refused("no auth header received");
    };
    let password = wanted.password.as_ref().map_or("", |secret| secret.expose());
    let expected = STANDARD.encode(format!("{}:{password}", wanted.username));
    match given.strip_prefix("Basic ") {
        Some(given) if equal(given.trim().as_bytes(), expected.as_bytes()) => Ok(()),
        _ => refused("not authenticated"),
    }
}

/// Compares in a time that depends on the lengths alone.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn only_the_right_user_with_the_right_password_passes() {
        let wanted = Credentials { username: "admin".into(), password: Some(Secret::new("s:ecret".into())) };
        let ask = |value: Option<String>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            check(Some(&wanted), &headers).map_err(|response| response.status())
        };
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(ask(basic("admin:s:ecret")), Ok(()));
        for wrong in [None, basic("admin:secret"), basic("Admin:s:ecret"), basic(""), Some("Bearer x".into())] {
            assert_eq!(ask(wrong), Err(StatusCode::UNAUTHORIZED));
        }
        assert!(check(None, &HeaderMap::new()).is_ok());
    }
}
