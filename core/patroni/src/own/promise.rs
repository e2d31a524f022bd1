//! `tanist/promise/<name>`: a standby's word that it follows no leader of a lower epoch.

use crate::{DecodeError, dcs_text, fields::Fields};
use serde::Serialize;
use tanist_engine::{Epoch, MemberName, Position, Promise, Revision};

/// The key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromiseKey {
    /// The promised epoch.
    pub epoch: Epoch,
    /// The position, where it was known.
    pub position: Option<Position>,
}

#[derive(Serialize)]
struct Json {
    epoch: u64,
    position_known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

impl PromiseKey {
    const KEY: &'static str = "tanist/promise";

    /// Reads it. A position that is not said to be known does not count, whatever the other fields hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let epoch = fields.epoch("epoch")?;
        let known = fields.flag("position_known")?.unwrap_or(false);
        let (timeline, lsn) = (fields.timeline("timeline")?, fields.lsn("position")?);
        let position = match (known, timeline, lsn) {
            (true, Some(timeline), Some(lsn)) => Some(Position { opened_by: Epoch::NONE, timeline, lsn }),
            (true, None, _) => return Err(fields.missing("timeline")),
            (true, _, None) => return Err(fields.missing("position")),
            (false, _, _) => None,
        };
        Ok(Self { epoch, position })
    }

    /// Writes it.
    pub fn encode(&self) -> String {
        let Self { epoch, position } = self;
        let (timeline, lsn) = position.map(|Position { opened_by: _, timeline, lsn }| (timeline.0, lsn.0)).unzip();
        dcs_text(&Json { epoch: epoch.0, position_known: position.is_some(), timeline, position: lsn })
    }

    /// For the engine, with whose it is and the revision the store gave.
    pub fn into_engine(self, name: MemberName, revision: Revision) -> Promise {
        let Self { epoch, position } = self;
        Promise { name, revision, epoch, position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for text in [r#"{"epoch":9,"position_known":true,"timeline":2,"position":1024}"#, r#"{"epoch":9,"position_known":false}"#]
        {
            assert_eq!(PromiseKey::decode(text.as_bytes()).unwrap().encode(), text);
        }
    }

    #[test]
    fn a_position_counts_only_whole_and_known() {
        let doubtful = PromiseKey::decode(br#"{"epoch":9,"position_known":false,"timeline":2,"position":1024}"#).unwrap();
        assert_eq!(doubtful.position, None);
        for text in [
            r#"{"epoch":9,"position_known":true,"position":5}"#,
            r#"{"position_known":false}"#,
            r#"{"epoch":9,"position_known":true,"timeline":2}"#,
        ] {
            assert!(PromiseKey::decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
