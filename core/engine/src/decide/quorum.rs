//! Who can acknowledge, who can be elected, and whether the two always meet (SAFETY §4.4, §4.6).
//!
//! Under `FIRST k` or `ANY k` of a list any `k` of it may be those that acknowledge, for others may be away. Under `/sync` with the
//! number `quorum` any `quorum` + 1 of its standbys may elect one of them. A write is safe when no such two sets miss each other.

use crate::{MemberName, SyncNames, SyncState};
use std::collections::BTreeSet;

/// Whether every set that acknowledges under `names` meets every set that elects under `sync`. The leader named in `sync` is in both.
pub(super) fn meet(names: &SyncNames, sync: &SyncState) -> bool {
    let acknowledging = match names {
        SyncNames::Reserved => return true,
        SyncNames::Nobody => 0,
        SyncNames::FirstOf { count, standbys } | SyncNames::AnyOf { count, standbys } => {
            // At worst all who cannot elect are among those that acknowledge.
            (*count as usize).saturating_sub(standbys.difference(&sync.standbys).count())
        }
    };
    acknowledging + electing(sync) > sync.standbys.len()
}

/// How many standbys elect one of them, the elected one included.
pub(super) fn electing(sync: &SyncState) -> usize {
    (sync.quorum as usize).saturating_add(1)
}

/// How many of `demanded` have to acknowledge so that names over both lists are safe with `/sync` as it is and as it shall be.
pub(super) fn bridge(present: &SyncState, wanted: &SyncState) -> (usize, BTreeSet<MemberName>) {
    let all: BTreeSet<MemberName> = present.standbys.union(&wanted.standbys).cloned().collect();
    let need = |sync: &SyncState| match sync.standbys.len() {
        0 => 0,
        voters => (voters + 1).saturating_sub(electing(sync)) + all.len() - voters,
    };
    (need(present).max(need(wanted)), all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

    fn subsets(of: &[&str]) -> Vec<BTreeSet<MemberName>> {
        let pick = |bits: u32| (0..of.len()).filter(move |at| bits >> at & 1 == 1).filter_map(|at| of.get(at));
        (0..1u32 << of.len()).map(|bits| pick(bits).map(|name| MemberName::from(*name)).collect()).collect()
    }

    fn states(all: &[BTreeSet<MemberName>]) -> Vec<SyncState> {
        let state = |standbys: &BTreeSet<MemberName>, quorum| SyncState {
            revision: Revision(1),
            leader: Some("a".into()),
            standbys: standbys.clone(),
            quorum,
        };
        all.iter().flat_map(|standbys| (0..standbys.len().max(1) as u32).map(move |quorum| state(standbys, quorum))).collect()
    }

    /// By counting out every pair of sets.
    fn meet_by_hand(names: &SyncNames, sync: &SyncState, all: &[BTreeSet<MemberName>]) -> bool {
        let electing = || all.iter().filter(|set| set.is_subset(&sync.standbys) && set.len() == sync.quorum as usize + 1);
        let acknowledging: Vec<_> = match names {
            SyncNames::Reserved => Vec::new(),
            SyncNames::Nobody => vec![BTreeSet::new()],
            SyncNames::FirstOf { count, standbys } | SyncNames::AnyOf { count, standbys } => {
                all.iter().filter(|set| set.is_subset(standbys) && set.len() == *count as usize).cloned().collect()
            }
        };
        acknowledging.iter().all(|acked| electing().all(|elect| !acked.is_disjoint(elect)))
    }

    #[test]
    fn no_pair_of_sets_is_overlooked() {
        let all = subsets(&["b", "c", "d", "e"]);
        for sync in states(&all) {
            for standbys in &all {
                for count in 1..=standbys.len() as u32 {
                    let names = SyncNames::AnyOf { count, standbys: standbys.clone() };
                    assert_eq!(meet(&names, &sync), meet_by_hand(&names, &sync, &all), "{names:?} {sync:?}");
                }
            }
            for names in [SyncNames::Nobody, SyncNames::Reserved] {
                assert_eq!(meet(&names, &sync), meet_by_hand(&names, &sync, &all), "{names:?} {sync:?}");
            }
        }
    }

    #[test]
    fn a_bridge_is_safe_on_both_sides() {
        let all = subsets(&["b", "c", "d"]);
        for present in states(&all) {
            for wanted in states(&all).into_iter().filter(|wanted| !wanted.standbys.is_empty()) {
                let (count, standbys) = bridge(&present, &wanted);
                assert!(count <= standbys.len(), "{present:?} {wanted:?}");
                let names = SyncNames::AnyOf { count: count as u32, standbys };
                assert!(meet(&names, &present) && meet(&names, &wanted), "{names:?} {present:?} {wanted:?}");
            }
        }
    }
}
