//! The form of `tanist/lease`, the record that everyone times for himself, and of `tanist/epoch`, the base of the epochs.
//!
//! Strict and bounded: a record that does not decode is not a record. Unknown fields are ignored.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tanist_engine::{Epoch, MemberName, Named, Revision, SyncState};
use thiserror::Error;

/// Largest record that is read.
const MAX_BYTES: usize = 16 << 10;
/// Longest name that is read.
const MAX_NAME: usize = 255;
/// Most names of synchronous standbys, or of members, that are read.
const MAX_NAMES: usize = 64;
/// Longest address that is read.
const MAX_URL: usize = 512;
/// Bounds of ttl: what etcd grants at least, and a day.
const TTL_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

/// A value that is not of the form it should have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {why}")]
pub struct RecordError {
    /// Which key.
    pub key: &'static str,
    /// What is wrong.
    pub why: String,
}

/// The lease record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds the lease.
    pub holder: MemberName,
    /// The start nonce of the holder's guard: tells an agent's restart from a second node of the same name.
    pub nonce: u64,
    /// The epoch; empty in an acquisition, whose revision is not known before it is written. The first renewal writes it in.
    pub epoch: Option<Epoch>,
    /// The base of the epochs that the acquisition compared.
    pub base: Epoch,
    /// Counts the writes of this acquisition.
    pub seq: u64,
    /// The ttl the holder counts with.
    pub ttl: Duration,
    /// Given up, after a completed fence or a clean shutdown.
    pub released: bool,
    /// Number of the attempt that wrote it.
    pub attempt: u64,
    /// `/sync` as the acquisition read it, so that a restarted agent knows who may promote under this lease.
    pub sync: Option<SyncState>,
    /// Failsafe mode: only these may take over from this holder, each at this address. `None`: anybody.
    pub failsafe: Option<Named>,
}

/// The record on the wire.
#[derive(Serialize, Deserialize)]
struct Wire {
    holder: String,
    nonce: u64,
    epoch: Option<u64>,
    base: u64,
    seq: u64,
    ttl_ms: u64,
    released: bool,
    attempt: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sync: Option<WireSync>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failsafe: Option<BTreeMap<String, String>>,
}

/// `/sync` inside the record.
#[derive(Serialize, Deserialize)]
struct WireSync {
    leader: Option<String>,
    standbys: BTreeSet<String>,
    #[serde(default)]
    quorum: u32,
}

/// `tanist/epoch` on the wire.
#[derive(Serialize, Deserialize)]
struct WireBase {
    base: u64,
}

impl Record {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let Self { holder, nonce, epoch, base, seq, ttl, released, attempt, sync, failsafe } = self;
        let wire = Wire {
            holder: holder.to_string(),
            nonce: *nonce,
            epoch: epoch.map(|epoch| epoch.0),
            base: base.0,
            seq: *seq,
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            released: *released,
            attempt: *attempt,
            sync: sync.as_ref().map(|SyncState { revision: _, leader, standbys, quorum }| WireSync {
                leader: leader.as_ref().map(ToString::to_string),
                standbys: standbys.iter().map(ToString::to_string).collect(),
                quorum: *quorum,
            }),
            failsafe: failsafe.as_ref().map(|named| named.iter().map(|(name, url)| (name.to_string(), url.clone())).collect()),
        };
        // Strings and integers always have a JSON form.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Reads stored bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let bad = |why: String| RecordError { key: "tanist/lease", why };
        if bytes.len() > MAX_BYTES {
            return Err(bad(format!("{} bytes, at most {MAX_BYTES} are read", bytes.len())));
        }
        let Wire { holder, nonce, epoch, base, seq, ttl_ms, released, attempt, sync, failsafe } =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        let name = |name: String| match name.len() {
            1..=MAX_NAME => Ok(MemberName(name.into())),
            length => Err(bad(format!("a name of {length} bytes"))),
        };
        if !TTL_MS.contains(&ttl_ms) {
            return Err(bad(format!("ttl_ms {ttl_ms} is out of range")));
        }
        if base >= Epoch::LIMIT || epoch.is_some_and(|epoch| epoch >= Epoch::LIMIT || epoch < base) {
            return Err(bad(format!("epoch {epoch:?} with base {base} is out of range")));
        }
        let sync = match sync {
            None => None,
            Some(WireSync { standbys, .. }) if standbys.len() > MAX_NAMES => {
                return Err(bad(format!("{} synchronous standbys", standbys.len())));
            }
            Some(WireSync { leader, standbys, quorum }) => Some(SyncState {
                revision: Revision(0),
                leader: leader.map(name).transpose()?,
                standbys: standbys.into_iter().map(name).collect::<Result<_, _>>()?,
                quorum,
            }),
        };
        let failsafe = match failsafe {
            Some(named) if named.len() > MAX_NAMES || named.values().any(|url| url.len() > MAX_URL) => {
                return Err(bad("too many members, or an address that is too long".to_owned()));
            }
            Some(named) => {
                Some(named.into_iter().map(|(member, url)| Ok((name(member)?, url))).collect::<Result<_, RecordError>>()?)
            }
            None => None,
        };
        Ok(Self {
            holder: name(holder)?,
            nonce,
            epoch: epoch.map(Epoch),
            base: Epoch(base),
            seq,
            ttl: Duration::from_millis(ttl_ms),
            released,
            attempt,
            sync,
            failsafe,
        })
    }

    /// The epoch of the record that was written at `revision`. While the field is empty, the record was written together with the
    /// leader key, so its own revision is the acquisition number.
    pub fn epoch_at(&self, revision: Revision) -> Option<Epoch> {
        self.epoch.or_else(|| Epoch::of(self.base, revision))
    }

    /// The acquisition number of the record that was written at `revision`.
    pub fn acquisition_at(&self, revision: Revision) -> Revision {
        match self.epoch {
            Some(epoch) => Revision(epoch.0.saturating_sub(self.base.0)),
            None => revision,
        }
    }
}

/// Reads `tanist/epoch`; an absent key is base 0.
pub fn decode_base(bytes: Option<&[u8]>) -> Result<Epoch, RecordError> {
    let bad = |why: String| RecordError { key: "tanist/epoch", why };
    let Some(bytes) = bytes else { return Ok(Epoch::NONE) };
    if bytes.len() > MAX_BYTES {
        return Err(bad(format!("{} bytes, at most {MAX_BYTES} are read", bytes.len())));
    }
    let WireBase { base } = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    if base >= Epoch::LIMIT { Err(bad(format!("base {base} is out of range"))) } else { Ok(Epoch(base)) }
}

/// The bytes of `tanist/epoch`.
pub fn encode_base(base: Epoch) -> Vec<u8> {
    serde_json::to_vec(&WireBase { base: base.0 }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            holder: "a".into(),
            nonce: u64::MAX,
            epoch: Some(Epoch(12)),
            base: Epoch(5),
            seq: 3,
            ttl: Duration::from_secs(5),
            released: false,
            attempt: 99,
            sync: Some(SyncState { revision: Revision(0), leader: Some("a".into()), standbys: ["b".into()].into(), quorum: 0 }),
            failsafe: Some([("a".into(), "http://a".to_owned()), ("b".into(), "http://b".to_owned())].into()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Record::decode(&record().encode()), Ok(record()));
        let empty = Record { epoch: None, sync: None, failsafe: None, ..record() };
        assert_eq!(Record::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn an_empty_epoch_is_base_plus_own_revision() {
        let acquisition = Record { epoch: None, ..record() };
        assert_eq!(acquisition.epoch_at(Revision(7)), Some(Epoch(12)));
        assert_eq!(acquisition.acquisition_at(Revision(7)), Revision(7));
        assert_eq!(record().epoch_at(Revision(400)), Some(Epoch(12)));
        assert_eq!(record().acquisition_at(Revision(400)), Revision(7));
        assert_eq!(acquisition.epoch_at(Revision(Epoch::LIMIT)), None);
    }

    #[test]
    fn unknown_fields_are_ignored_and_bad_values_are_not() {
        let good =
            r#"{"holder":"a","nonce":1,"epoch":null,"base":0,"seq":0,"ttl_ms":5000,"released":false,"attempt":1,"later":[1]}"#;
        assert!(Record::decode(good.as_bytes()).is_ok());
        for (from, to) in [
            ("\"a\"", "\"\""),
            ("\"a\"", "7"),
            ("5000", "0"),
            ("5000", "86400001"),
            ("\"base\":0", "\"base\":9007199254740992"),
            ("\"epoch\":null", "\"epoch\":9007199254740992"),
            ("false", "null"),
            ("\"attempt\":1,", ""),
            ("[1]", "1,\"failsafe\":{\"b\":7}"),
            ("[1]", "1,\"failsafe\":{\"\":\"http://b\"}"),
            ("}", ""),
        ] {
            let bad = good.replace(from, to);
            assert!(Record::decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Record::decode(&vec![b' '; MAX_BYTES + 1]).is_err());
        assert!(Record::decode(b"\xff\xfe").is_err());
    }

    #[test]
    fn the_base_is_bounded() {
        assert_eq!(decode_base(None), Ok(Epoch::NONE));
        assert_eq!(decode_base(Some(&encode_base(Epoch(9)))), Ok(Epoch(9)));
        assert!(decode_base(Some(b"{\"base\":9007199254740992}")).is_err());
        assert!(decode_base(Some(b"garbage")).is_err());
    }
}
