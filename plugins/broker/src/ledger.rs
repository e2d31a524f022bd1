//! What plugins have done to the world, as far as this agent knows: shown in status, and consulted before the next claim.

use crate::protocol::PluginId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most entries of one plugin through one capability: a grant of `*.zone` leaves the names to the plugin.
const MAX_ENTRIES: usize = 256;
/// Longest key and value of an entry together; those of DNS are bounded below this.
const MAX_TEXT: usize = 4 << 10;

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
    /// Writes down an effect. One of an older epoch never replaces one of a newer. Returns whether there was room.
    pub fn record(&mut self, entry: LedgerEntry) -> bool {
        let key = (entry.capability.clone(), entry.key.clone());
        if self.entries.get(&key).is_some_and(|present| present.epoch > entry.epoch) {
            return true;
        }
        let room = entry.key.len() + entry.value.len() <= MAX_TEXT && self.make_room(&key, &entry.plugin);
        if room {
            self.entries.insert(key, entry);
        }
        room
    }

    /// Where a plugin has as many effects through a capability as it may, the oldest of them that is known gives way; what is unknown has
    /// to be read back and stays.
    fn make_room(&mut self, key: &(String, String), plugin: &PluginId) -> bool {
        let of_its_kind = |(other, entry): &(&(String, String), &LedgerEntry)| other.0 == key.0 && entry.plugin == *plugin;
        let same: Vec<_> = self.entries.iter().filter(of_its_kind).collect();
        if self.entries.contains_key(key) || same.len() < MAX_ENTRIES {
            return true;
        }
        let known = same.into_iter().filter(|(_, entry)| entry.certainty == Certainty::Applied);
        let oldest = known.min_by_key(|(_, entry)| entry.epoch).map(|(key, _)| key.clone());
        oldest.is_some_and(|oldest| self.entries.remove(&oldest).is_some())
    }

    /// A ledger of these entries.
    pub fn of(entries: Vec<LedgerEntry>) -> Self {
        let mut ledger = Self::default();
        for entry in entries {
            ledger.record(entry);
        }
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
    fn what_one_plugin_does_hides_nothing_of_another_or_of_another_capability() {
        let mut ledger = Ledger::default();
        ledger.record(entry("a", 1, Certainty::Applied));
        let posted =
            |number: usize| LedgerEntry { capability: "http".to_owned(), ..entry(&number.to_string(), 2, Certainty::Applied) };
        assert!((0..5_000).all(|number| ledger.record(posted(number))));
        let other =
            |number: usize| LedgerEntry { plugin: PluginId::from("x"), ..entry(&number.to_string(), 2, Certainty::Applied) };
        assert!((0..5_000).all(|number| ledger.record(other(number))));
        assert!(ledger.get("dns", "a").is_some());
        assert!(ledger.entries().len() < 1_000, "{}", ledger.entries().len());
    }

    #[test]
    fn what_is_unknown_is_never_given_up_for_what_is_known() {
        let mut ledger = Ledger::default();
        ledger.record(entry("-", 1, Certainty::Unknown));
        assert!((0..5_000).all(|number| ledger.record(entry(&number.to_string(), 2, Certainty::Applied))));
        assert_eq!(ledger.get("dns", "-").map(|entry| entry.certainty), Some(Certainty::Unknown));
        assert!(ledger.get("dns", "4999").is_some(), "the newest is there");
    }

    #[test]
    fn where_nothing_is_known_or_the_text_has_no_end_there_is_no_room() {
        let mut ledger = Ledger::default();
        assert!((0..MAX_ENTRIES).all(|number| ledger.record(entry(&number.to_string(), 1, Certainty::Unknown))));
        assert!(!ledger.record(entry("one more", 2, Certainty::Unknown)));
        assert!(ledger.record(entry("0", 2, Certainty::Applied)), "what is there can be settled");
        assert!(ledger.record(entry("one more", 2, Certainty::Unknown)), "and makes room");
        assert!(!Ledger::default().record(entry(&"x".repeat(MAX_TEXT), 1, Certainty::Applied)));
    }
}
