//! What plugins have done to the world, as far as this agent knows: shown in status, and consulted before the next claim.

use crate::protocol::PluginId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most entries kept; the grants bound them long before.
const MAX_ENTRIES: usize = 4_096;

/// What is known of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// It was confirmed.
    Applied,
    /// It was sent and the answer was lost. Must be read back before the next claim of the same key.
    Unknown,
}

/// One effect: the newest of its capability and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Who caused it.
    pub plugin: PluginId,
    /// Through which capability ("dns").
    pub capability: String,
    /// What was changed (a DNS name).
    pub key: String,
    /// To what.
    pub value: String,
    /// In the name of which epoch.
    pub epoch: u64,
    /// What is known.
    pub certainty: Certainty,
}

/// The newest effect of every key.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<(String, String), LedgerEntry>,
}

impl Ledger {
    /// Writes down an effect. One of an older epoch never replaces one of a newer.
    pub fn record(&mut self, entry: LedgerEntry) {
        let key = (entry.capability.clone(), entry.key.clone());
        if self.entries.get(&key).is_some_and(|present| present.epoch > entry.epoch) {
            return;
        }
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.entries.pop_first();
        }
        self.entries.insert(key, entry);
    }

    /// A ledger of these entries.
    pub fn of(entries: Vec<LedgerEntry>) -> Self {
        let mut ledger = Self::default();
        entries.into_iter().for_each(|entry| ledger.record(entry));
        ledger
    }

    /// The newest effect on a key.
    pub fn get(&self, capability: &str, key: &str) -> Option<&LedgerEntry> {
        self.entries.get(&(capability.to_owned(), key.to_owned()))
    }

    /// The newest effect on a key turned out not to be there: back to what was known before, if anything.
    pub fn restore(&mut self, capability: &str, key: &str, before: Option<LedgerEntry>) {
        let key = (capability.to_owned(), key.to_owned());
        match before {
            Some(before) => drop(self.entries.insert(key, before)),
            None => drop(self.entries.remove(&key)),
        }
    }

    /// All of them.
    pub fn entries(&self) -> Vec<LedgerEntry> {
        self.entries.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, epoch: u64, certainty: Certainty) -> LedgerEntry {
        let plugin = PluginId::from("dns-update");
        LedgerEntry { plugin, capability: "dns".to_owned(), key: key.to_owned(), value: "10.0.0.1".to_owned(), epoch, certainty }
    }

    #[test]
    fn an_older_epoch_never_hides_a_newer() {
        let mut ledger = Ledger::default();
        ledger.record(entry("a", 7, Certainty::Unknown));
        ledger.record(entry("a", 6, Certainty::Applied));
        assert_eq!(ledger.get("dns", "a").map(|entry| (entry.epoch, entry.certainty)), Some((7, Certainty::Unknown)));
        ledger.record(entry("a", 7, Certainty::Applied));
        assert_eq!(ledger.get("dns", "a").map(|entry| entry.certainty), Some(Certainty::Applied));
        ledger.restore("dns", "a", Some(entry("a", 6, Certainty::Applied)));
        assert_eq!(ledger.get("dns", "a").map(|entry| entry.epoch), Some(6));
        ledger.restore("dns", "a", None);
        assert_eq!(ledger.get("dns", "a"), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut ledger = Ledger::default();
        (0..MAX_ENTRIES + 10).for_each(|number| ledger.record(entry(&number.to_string(), 1, Certainty::Applied)));
        assert_eq!(ledger.entries().len(), MAX_ENTRIES);
    }
}
