//! Whether another member's name is too much like this node's: asked at the start, before anything is written or started.
//!
//! PostgreSQL compares `application_name` with `synchronous_standby_names` without regard to case, so that `db1` acknowledges where `DB1`
//! is named. And a slot has fewer characters than a name, so that `n-1` and `n.1` would share one. The node that comes later gives way: one
//! that finds the other's key kept alive, or, where both came at once, whose own key is the younger one.

use super::clock;
use std::time::Duration;
use tanist_dcs::{KeyValue, Keys, Snapshot};
use tanist_engine::{MemberName, Moment, Revision};
use tanist_postgres::slots::name_of_member;

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alike {
    /// Every name is told from this one.
    Nobody,
    /// A member's key says otherwise, and may be left of one that is gone. What they share.
    Waiting(String),
    /// Such a member is there. What they share.
    Somebody(String),
}

/// The question.
pub struct AlikeCheck {
    me: MemberName,
    first: Option<(Moment, Revision)>,
    /// Nobody was there at the start.
    free: bool,
    /// The own key was seen, and no older one like it.
    settled: bool,
}

impl AlikeCheck {
    /// For the node of this name.
    pub fn new(me: MemberName) -> Self {
        Self { me, first: None, free: false, settled: false }
    }

    /// Looks at the keys of the members.
    pub fn look(&mut self, snapshot: &Snapshot, keys: &Keys, ttl: Duration) -> Alike {
        if self.settled {
            return Alike::Nobody;
        }
        let prefix = keys.members();
        let members = snapshot.keys.range(prefix.clone()..).map(|(key, member)| (key, &member.kv));
        let members = members.map_while(|(key, kv)| Some((key.strip_prefix(&prefix)?, kv)));
        self.judge(&members.collect::<Vec<_>>(), ttl, clock::now())
    }

    fn judge(&mut self, members: &[(&str, &KeyValue)], ttl: Duration, now: Moment) -> Alike {
        // What hangs on no expiry no node has put there.
        let nodes = members.iter().filter(|(_, kv)| kv.expiry.is_some());
        let found =
            nodes.filter_map(|(name, kv)| Some((shared(&self.me.0, name)?, *kv))).min_by_key(|(_, kv)| kv.create_revision);
        let own = members.iter().find(|(name, _)| *name == &*self.me.0).map(|(_, kv)| kv.create_revision);
        let Some((what, kv)) = found else {
            self.settled = self.free && own.is_some();
            self.free = true;
            return Alike::Nobody;
        };
        if self.free {
            let Some(own) = own else { return Alike::Nobody };
            self.settled = own < kv.create_revision;
            return if self.settled { Alike::Nobody } else { Alike::Somebody(what) };
        }
        let (since, known) = *self.first.get_or_insert((now, kv.mod_revision));
        // As for the own name: longer than this no key outlives its node.
        if kv.mod_revision != known || now > since + ttl * 2 { Alike::Somebody(what) } else { Alike::Waiting(what) }
    }
}

/// What this name and that one have in common, in words.
fn shared(me: &str, other: &str) -> Option<String> {
    if me == other {
        return None;
    }
    if me.eq_ignore_ascii_case(other) {
        let why = "it compares the names of standbys without regard to case";
        return Some(format!("{other} is a member, and PostgreSQL does not tell {me} from it: {why}"));
    }
    let slot = name_of_member(me);
    let same = slot == name_of_member(other);
    same.then(|| format!("{other} is a member, and its replication slot has the same name as that of {me}: {slot}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_dcs::ExpiryId;

    const TTL: Duration = Duration::from_secs(5);

    fn kv(created: u64, changed: u64, expiry: Option<i64>) -> KeyValue {
        KeyValue {
            key: String::new(),
            value: Vec::new(),
            create_revision: Revision(created),
            mod_revision: Revision(changed),
            expiry: expiry.map(ExpiryId),
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn names_that_postgresql_or_a_slot_does_not_tell_apart() {
        assert!(shared("db1", "DB1").unwrap().contains("without regard to case"));
        for other in ["n.1", "n_1"] {
            assert!(shared("n-1", other).unwrap().ends_with("that of n-1: n_1"), "{other}");
        }
        for other in ["n-1", "n-2", "n1"] {
            assert_eq!(shared("n-1", other), None);
        }
    }

    #[test]
    fn a_key_of_one_that_is_gone_is_waited_for() {
        let mut check = AlikeCheck::new("db1".into());
        let (left, moved) = (kv(1, 1, Some(1)), kv(1, 2, Some(1)));
        for second in [1, 11] {
            assert!(matches!(check.judge(&[("DB1", &left)], TTL, at(second)), Alike::Waiting(_)));
        }
        assert_eq!(check.judge(&[("other", &left)], TTL, at(11)), Alike::Nobody);
        let mut check = AlikeCheck::new("db1".into());
        check.judge(&[("DB1", &left)], TTL, at(1));
        assert!(matches!(check.judge(&[("DB1", &moved)], TTL, at(2)), Alike::Somebody(_)), "it is kept alive");
        let mut check = AlikeCheck::new("db1".into());
        check.judge(&[("DB1", &left)], TTL, at(1));
        assert!(matches!(check.judge(&[("DB1", &left)], TTL, at(12)), Alike::Somebody(_)), "it stays");
        assert_eq!(AlikeCheck::new("db1".into()).judge(&[("DB1", &kv(1, 1, None))], TTL, at(1)), Alike::Nobody, "by hand");
    }

    #[test]
    fn of_two_that_come_at_once_the_later_one_gives_way() {
        let (early, late) = (kv(5, 9, Some(1)), kv(6, 6, Some(2)));
        for (me, ends) in [("db1", false), ("DB1", true)] {
            let mut check = AlikeCheck::new(me.into());
            assert_eq!(check.judge(&[], TTL, at(1)), Alike::Nobody);
            let other = if ends { ("db1", &early) } else { ("DB1", &late) };
            assert_eq!(check.judge(&[other], TTL, at(2)), Alike::Nobody, "the own key is under way");
            let verdict = check.judge(&[("DB1", &late), ("db1", &early)], TTL, at(3));
            assert_eq!(matches!(verdict, Alike::Somebody(_)), ends, "{me}");
            assert_eq!(check.settled, !ends);
        }
    }
}
