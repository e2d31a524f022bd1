//! What `primary` may answer: the rule that an entry point never goes back.
//!
//! The rule needs a memory, because a reader of the store may be shown old things late. Of each cluster the snapshot remembers the
//! highest epoch it has answered or heard of, which published hosts that epoch has given up, and whether the epoch was released:
//!
//! - a face of a lower epoch is not answered;
//! - inside one epoch a host that was replaced by another one is not answered again;
//! - nothing of a released epoch is answered again.
//!
//! What is given up is the host as it was *published*. The addresses that its name resolves to are not the store's: a resolver may leave
//! one out for a while, or answer with another and then the first again, and none of that is old news of the cluster.
//!
//! A lease that lapses and is then seen renewed at the same epoch *is* answered again: it is the same holder, which was never replaced.

use crate::face::{Host, PrimaryFace};
use std::collections::BTreeSet;
use tanist_engine::{Epoch, Moment};

/// A member and the host that it published.
type Identity = (String, String);

/// What was answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    epoch: Epoch,
    released: bool,
    current: Option<Identity>,
    retired: BTreeSet<Identity>,
}

/// What to answer from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Primary {
    /// Nothing is known.
    Unknown,
    /// Nobody is proved writable.
    Nobody,
    /// This one, until then; afterwards as `Lapsed`.
    Proved { host: Host, epoch: Epoch, until: Moment },
    /// This one was, and its lease has run out unseen.
    Lapsed { host: Host, epoch: Epoch },
}

/// Why a face is not answered as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A higher epoch was answered or heard of before.
    OldEpoch { shown: Epoch, given: Epoch },
    /// The epoch was released.
    ReleasedEpoch(Epoch),
    /// The epoch has already moved away from this published host.
    RetiredHost(String, Epoch),
}

impl History {
    /// Takes in a face: what to answer, and what of it is held back.
    pub(crate) fn advance(&mut self, face: &PrimaryFace) -> (Primary, Option<Held>) {
        match face {
            PrimaryFace::Unknown => (Primary::Unknown, None),
            PrimaryFace::Nobody { epoch } => {
                if let Some(epoch) = epoch.filter(|epoch| *epoch > self.epoch) {
                    *self = Self { epoch, ..Self::default() };
                }
                (Primary::Nobody, None)
            }
            PrimaryFace::Released { epoch } => {
                if *epoch >= self.epoch {
                    *self = Self { epoch: *epoch, released: true, ..Self::default() };
                }
                (Primary::Nobody, None)
            }
            PrimaryFace::Proved { host, epoch, until } => match self.admit(host, *epoch) {
                (Some(host), held) => (Primary::Proved { host, epoch: *epoch, until: *until }, held),
                (None, held) => (Primary::Nobody, held),
            },
            PrimaryFace::Lapsed { host, epoch } => match self.admit(host, *epoch) {
                (Some(host), held) => (Primary::Lapsed { host, epoch: *epoch }, held),
                (None, held) => (Primary::Nobody, held),
            },
        }
    }

    fn admit(&mut self, host: &Host, epoch: Epoch) -> (Option<Host>, Option<Held>) {
        if epoch < self.epoch {
            return (None, Some(Held::OldEpoch { shown: self.epoch, given: epoch }));
        }
        if epoch > self.epoch {
            *self = Self { epoch, ..Self::default() };
        }
        if self.released {
            return (None, Some(Held::ReleasedEpoch(epoch)));
        }
        let identity = (host.name.clone(), host.published.clone());
        if self.retired.contains(&identity) {
            return (None, Some(Held::RetiredHost(identity.1, epoch)));
        }
        if let Some(before) = self.current.replace(identity.clone()).filter(|before| *before != identity) {
            self.retired.insert(before);
        }
        // A name without an address yet: the move has taken place, and there is nothing to answer.
        ((!host.addresses.is_empty()).then(|| host.clone()), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str]) -> Host {
        published(addresses[0], addresses)
    }

    fn published(published: &str, addresses: &[&str]) -> Host {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Host { name: "a".into(), published: published.into(), addresses }
    }

    fn proved(epoch: u64, addresses: &[&str]) -> PrimaryFace {
        PrimaryFace::Proved { host: host(addresses), epoch: Epoch(epoch), until: Moment::MAX }
    }

    fn shown(primary: &Primary) -> Vec<String> {
        match primary {
            Primary::Proved { host, .. } | Primary::Lapsed { host, .. } => {
                host.addresses.iter().map(ToString::to_string).collect()
            }
            Primary::Unknown | Primary::Nobody => Vec::new(),
        }
    }

    #[test]
    fn a_lower_epoch_is_never_answered_after_a_higher_one() {
        let mut history = History::default();
        assert_eq!(shown(&history.advance(&proved(9, &["192.0.2.2"])).0), ["192.0.2.2"]);
        let (primary, held) = history.advance(&proved(7, &["192.0.2.1"]));
        assert_eq!(primary, Primary::Nobody);
        assert_eq!(held, Some(Held::OldEpoch { shown: Epoch(9), given: Epoch(7) }));
        assert_eq!(
            shown(&history.advance(&proved(11, &["192.0.2.1"])).0),
            ["192.0.2.1"],
            "a new epoch may bring the address back"
        );
    }

    #[test]
    fn a_lease_record_of_a_newer_epoch_closes_the_old_one() {
        let mut history = History::default();
        history.advance(&proved(7, &["192.0.2.1"]));
        assert_eq!(history.advance(&PrimaryFace::Nobody { epoch: Some(Epoch(9)) }), (Primary::Nobody, None));
        assert_eq!(history.advance(&proved(7, &["192.0.2.1"])).0, Primary::Nobody);
        assert_eq!(shown(&history.advance(&proved(9, &["192.0.2.2"])).0), ["192.0.2.2"]);
    }

    #[test]
    fn inside_one_epoch_a_replaced_host_does_not_come_back() {
        let mut history = History::default();
        history.advance(&proved(7, &["192.0.2.1"]));
        assert_eq!(shown(&history.advance(&proved(7, &["192.0.2.2"])).0), ["192.0.2.2"]);
        let (primary, held) = history.advance(&proved(7, &["192.0.2.1"]));
        assert_eq!(primary, Primary::Nobody);
        assert_eq!(held, Some(Held::RetiredHost("192.0.2.1".into(), Epoch(7))));
        assert_eq!(shown(&history.advance(&proved(7, &["192.0.2.2"])).0), ["192.0.2.2"], "nor is the present one given up by it");
    }

    #[test]
    fn what_a_published_name_resolves_to_may_change_and_come_back() {
        let mut history = History::default();
        let mut resolved = |addresses: &[&str]| {
            let host = published("db1.example.org", addresses);
            shown(&history.advance(&PrimaryFace::Proved { host, epoch: Epoch(7), until: Moment::MAX }).0)
        };
        let both = ["192.0.2.1", "2001:db8::1"];
        for answer in [&both[..], &["192.0.2.1"], &both, &["192.0.2.2"], &["192.0.2.1"], &[], &both] {
            assert_eq!(resolved(answer), answer);
        }
    }

    #[test]
    fn a_host_that_is_replaced_by_one_without_an_address_is_given_up_too() {
        let mut history = History::default();
        history.advance(&proved(7, &["192.0.2.1"]));
        let unresolved = PrimaryFace::Proved { host: published("db2", &[]), epoch: Epoch(7), until: Moment::MAX };
        assert_eq!(history.advance(&unresolved), (Primary::Nobody, None));
        assert_eq!(history.advance(&proved(7, &["192.0.2.1"])).0, Primary::Nobody);
    }

    #[test]
    fn a_released_epoch_is_over_and_a_lapsed_one_may_be_renewed() {
        let mut history = History::default();
        history.advance(&proved(7, &["192.0.2.1"]));
        let lapsed = PrimaryFace::Lapsed { host: host(&["192.0.2.1"]), epoch: Epoch(7) };
        assert_eq!(shown(&history.advance(&lapsed).0), ["192.0.2.1"]);
        assert_eq!(shown(&history.advance(&proved(7, &["192.0.2.1"])).0), ["192.0.2.1"], "renewed at the same epoch");
        history.advance(&PrimaryFace::Released { epoch: Epoch(7) });
        assert_eq!(history.advance(&proved(7, &["192.0.2.1"])), (Primary::Nobody, Some(Held::ReleasedEpoch(Epoch(7)))));
        history.advance(&proved(9, &["192.0.2.1"]));
        assert_eq!(history.advance(&PrimaryFace::Released { epoch: Epoch(7) }).0, Primary::Nobody);
        assert_eq!(shown(&history.advance(&proved(9, &["192.0.2.1"])).0), ["192.0.2.1"], "an old release closes nothing newer");
    }

    #[test]
    fn not_knowing_forgets_nothing() {
        let mut history = History::default();
        history.advance(&proved(9, &["192.0.2.2"]));
        assert_eq!(history.advance(&PrimaryFace::Unknown), (Primary::Unknown, None));
        assert_eq!(history.advance(&proved(7, &["192.0.2.1"])).0, Primary::Nobody);
    }
}
