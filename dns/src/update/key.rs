//! TSIG keys (RFC 8945), and the signature on a message.
//!
//! The signature record is appended by hand, with the key's name written out: some servers check the signature over the compressed
//! name they received and refuse it.

use base64::{Engine, engine::general_purpose::STANDARD};
use hickory_proto::{
    ProtoError,
    rr::{
        Name, TSigner,
        rdata::tsig::{TSIG, TsigAlgorithm, make_tsig_record},
    },
    serialize::binary::{BinEncodable, BinEncoder},
};
use std::{fmt, str::FromStr};

/// Seconds that the two clocks may differ by; the value RFC 8945 recommends.
const FUDGE: u16 = 300;

/// The algorithms that are still recommended. No MD5, no SHA-1, no truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// hmac-sha256
    HmacSha256,
    /// hmac-sha384
    HmacSha384,
    /// hmac-sha512
    HmacSha512,
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "hmac-sha256" => Ok(Self::HmacSha256),
            "hmac-sha384" => Ok(Self::HmacSha384),
            "hmac-sha512" => Ok(Self::HmacSha512),
            _ => Err(KeyError::Algorithm(text.to_owned())),
        }
    }
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not one of the three.
    #[error("tsig algorithm {0:?} is not supported; use hmac-sha256, hmac-sha384 or hmac-sha512")]
    Algorithm(String),
    /// Not a domain name.
    #[error("tsig key name {0:?} is not a domain name")]
    Name(String),
    /// Not base64, or empty.
    #[error("the secret of tsig key {0:?} is not base64")]
    Secret(String),
}

/// A shared secret. It shows its name only.
#[derive(Clone)]
pub struct TsigKey(TSigner);

impl TsigKey {
    /// A key as written in the server's configuration: name, algorithm, secret in base64.
    pub fn new(name: &str, algorithm: Algorithm, secret: &str) -> Result<Self, KeyError> {
        let key = STANDARD.decode(secret.trim()).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| KeyError::Secret(name.to_owned()))?;
        let owner = Name::from_ascii(name).ok().filter(|name| name.num_labels() > 0);
        let owner = owner.ok_or_else(|| KeyError::Name(name.to_owned()))?;
        let algorithm = match algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        TSigner::new(key, algorithm, owner.to_lowercase(), FUDGE).map(Self).map_err(|_| KeyError::Name(name.to_owned()))
    }

    /// Signs a request at a wall-clock time; also returns the signature, which the answer's signature covers.
    pub(super) fn sign(&self, mut message: Vec<u8>, id: u16, seconds: u64) -> Result<(Vec<u8>, Vec<u8>), ProtoError> {
        let fields = |mac| TSIG::new(self.0.algorithm().clone(), seconds, FUDGE, mac, id, None, vec![]);
        let mut signed = message.clone();
        let mut variables = Vec::new();
        fields(vec![]).emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), self.0.signer_name())?;
        signed.extend(variables);
        let mac = self.0.sign(&signed).map_err(|error| ProtoError::from(error.to_string()))?;
        // A buffer of its own: nothing to compress the name against.
        let mut record = Vec::new();
        make_tsig_record(self.0.signer_name().clone(), fields(mac.clone())).emit(&mut BinEncoder::new(&mut record))?;
        message.extend(record);
        if let Some([high, low]) = message.get_mut(10..12) {
            let additionals = u16::from_be_bytes([*high, *low]).saturating_add(1);
            [*high, *low] = additionals.to_be_bytes();
        }
        Ok((message, mac))
    }

    /// Checks the signature of an answer, including its time.
    pub(super) fn verify(&self, answer: &[u8], request_mac: &[u8], seconds: u64) -> Result<(), String> {
        let (_, _, range) = self.0.verify_message_byte(answer, Some(request_mac), true).map_err(|error| error.to_string())?;
        if range.contains(&seconds) { Ok(()) } else { Err("signed at another time than now".into()) }
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TsigKey").field(&self.0.signer_name().to_ascii()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType, OpCode, Query};

    #[test]
    fn refuses_weak_algorithms_and_broken_secrets_and_shows_no_secret() {
        for name in ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256-128", ""] {
            assert!(matches!(name.parse::<Algorithm>(), Err(KeyError::Algorithm(_))), "{name}");
        }
        assert_eq!("HMAC-SHA512.".parse(), Ok(Algorithm::HmacSha512));
        assert!(matches!(TsigKey::new("k", Algorithm::HmacSha256, "not base64!"), Err(KeyError::Secret(_))));
        assert!(matches!(TsigKey::new("k", Algorithm::HmacSha256, ""), Err(KeyError::Secret(_))));
        assert!(matches!(TsigKey::new("", Algorithm::HmacSha256, "c2VjcmV0"), Err(KeyError::Name(_))));
        let key = TsigKey::new("Key.Example", Algorithm::HmacSha256, "c2VjcmV0").unwrap();
        assert_eq!(format!("{key:?}"), "TsigKey(\"key.example.\")");
    }

    #[test]
    fn the_key_name_is_not_compressed_against_the_message() {
        let key = TsigKey::new("key.example.org", Algorithm::HmacSha384, "c2VjcmV0").unwrap();
        let mut message = Message::new(7, MessageType::Query, OpCode::Update);
        message.add_query(Query::query(Name::from_ascii("example.org.").unwrap(), hickory_proto::rr::RecordType::SOA));
        let (bytes, mac) = key.sign(message.to_vec().unwrap(), 7, 1_000).unwrap();
        assert_eq!(mac.len(), 48);
        let name = b"\x03key\x07example\x03org\x00";
        assert_eq!(bytes.windows(name.len()).filter(|part| part == name).count(), 1);
        assert_eq!(bytes[10..12], [0, 1]);
        let (tag, time, _) = key.0.verify_message_byte(&bytes, None, true).unwrap();
        assert_eq!((tag, time), (mac, 1_000));
    }
}
