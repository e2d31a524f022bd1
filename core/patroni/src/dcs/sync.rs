//! `sync`: the leader and the synchronous standbys it waits for, that is: who may have acknowledged.

use crate::{
    DecodeError, dcs_text,
    fields::{Fields, member_name},
};
use serde::Serialize;
use std::collections::BTreeSet;
use tanist_engine::{MemberName, Revision, SyncState};

/// The key's value. An empty value and `{}` mean "nobody", as does an absent key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncKey {
    /// The leader that wrote it.
    pub leader: Option<MemberName>,
    /// How many votes besides its own a standby needs in quorum mode; zero in the other modes.
    pub quorum: u64,
    /// The standbys.
    pub standbys: BTreeSet<MemberName>,
}

#[derive(Serialize)]
struct Json<'a> {
    leader: Option<&'a str>,
    quorum: u64,
    sync_standby: Option<String>,
}

impl SyncKey {
    const KEY: &'static str = "sync";

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut fields = Fields::parse(Self::KEY, bytes)?;
        let leader = fields.name("leader")?;
        let quorum = fields.number("quorum")?.unwrap_or(0);
        let list = fields.text("sync_standby")?.unwrap_or_default();
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let standbys = names.map(|name| member_name(Self::KEY, "sync_standby", name)).collect::<Result<_, _>>()?;
        Ok(Self { leader, quorum, standbys })
    }

    /// Writes it. Patroni sorts the standbys and writes null, not an empty text, for none.
    pub fn encode(&self) -> String {
        let Self { leader, quorum, standbys } = self;
        let names: Vec<&str> = standbys.iter().map(|name| name.0.as_str()).collect();
        let sync_standby = (!names.is_empty()).then(|| names.join(","));
        dcs_text(&Json { leader: leader.as_ref().map(|name| name.0.as_str()), quorum: *quorum, sync_standby })
    }

    /// For the engine, with the revision the store gave.
    pub fn into_engine(self, revision: Revision) -> SyncState {
        let Self { leader, quorum, standbys } = self;
        // More votes than there are members can never be had; so large a number says the same.
        let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
        SyncState { revision, leader, standbys, quorum }
    }

    /// From the engine.
    pub fn from_engine(state: &SyncState) -> Self {
        let SyncState { revision: _, leader, standbys, quorum } = state;
        Self { leader: leader.clone(), quorum: u64::from(*quorum), standbys: standbys.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_in_all_its_forms() {
        for empty in ["", "{}", r#"{"leader":null,"quorum":null,"sync_standby":null}"#, r#"{"leader":"","sync_standby":""}"#] {
            assert_eq!(SyncKey::decode(empty.as_bytes()), Ok(SyncKey::default()), "{empty}");
        }
    }

    #[test]
    fn wrong_types_are_named() {
        let error = SyncKey::decode(br#"{"leader":1}"#).unwrap_err();
        assert_eq!(error.to_string(), "sync: leader must be a text of at most 4096 bytes");
        let error = SyncKey::decode(br#"{"sync_standby":"a,b/c"}"#).unwrap_err();
        assert_eq!(error.to_string(), "sync: sync_standby must be a member name");
        assert!(SyncKey::decode(b"[]").is_err());
        assert!(SyncKey::decode(b"{").is_err());
    }
}
