//! The signature of a request: HMAC-SHA256 over time stamp, a dot and the raw body.
//!
//! The receiver computes the same, compares in constant time, and refuses time stamps that are too old, so that a recorded request is
//! of no use later.

use ring::hmac;
use std::{fmt::Write, time::SystemTime, time::UNIX_EPOCH};

/// The header with the time of signing, in seconds since 1970.
pub const TIMESTAMP: &str = "X-Tanist-Timestamp";
/// The header with the signature: `v1=` and 64 hexadecimal digits.
pub const SIGNATURE: &str = "X-Tanist-Signature";

/// The key. Shows nothing of itself.
pub(crate) struct Signer(hmac::Key);

impl Signer {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Both headers, for a body that is sent now.
    pub(crate) fn headers(&self, body: &[u8]) -> [(&'static str, String); 2] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        [(TIMESTAMP, now.to_string()), (SIGNATURE, self.signature(now, body))]
    }

    fn signature(&self, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(timestamp.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let mut text = "v1=".to_owned();
        for byte in context.sign().as_ref() {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with OpenSSL: `printf '1700000000.{"event":"role_change","epoch":7}' | openssl dgst -sha256 -hmac topsecret`.
    #[test]
    fn the_signature_is_what_any_other_implementation_computes() {
        let signature = Signer::new(b"topsecret").signature(1_700_000_000, br#"{"event":"role_change","epoch":7}"#);
        assert_eq!(signature, "v1=b3487c12f4f9e49b7952f3581c7f56e60ca9c68954c3135b98b643d9a02b8f19");
    }
}
