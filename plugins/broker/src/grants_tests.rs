//! What is granted passes, everything else is refused with its remedy.

use super::*;
use crate::protocol::RecordKind;
use tanist_engine::Epoch;

const SECOND: u64 = 1_000_000_000;

fn grants() -> Grants {
    let names = vec!["Primary.db.example.org.".to_owned(), "*.apps.example.org".to_owned()];
    let grant = DnsGrant {
        server: "127.0.0.1:53".to_owned(),
        zone: "example.org".to_owned(),
        names,
        key: Some("failover".to_owned()),
        addresses: vec![],
    };
    Grants { dns: vec![grant], ..Grants::default() }
}

/// Holder of epoch 9 with 10 s of lease, proved, in a call of epoch 9 that has 5 s.
fn standing() -> Standing {
    Standing {
        call_epoch: 9,
        call_deadline: Moment::from_nanos(105 * SECOND),
        leadership: leadership(Some(110 * SECOND)),
        proved: 9,
        now: Moment::from_nanos(100 * SECOND),
    }
}

/// Epoch 9, and the lease of it until then.
fn leadership(until: Option<u64>) -> Leadership {
    Leadership { epoch: Epoch(9), lease_until: until.map(Moment::from_nanos), ttl: Duration::from_secs(10) }
}

fn point(name: &str, epoch: u64) -> Op {
    Op::DnsPoint { name: name.to_owned(), addresses: vec!["10.0.0.1".parse().unwrap()], ttl: 5, epoch }
}

fn check(op: &Op, standing: &Standing) -> Result<Permit, Denial> {
    grants().check(&PluginId::from("dns-update"), op, standing)
}

#[test]
fn a_granted_claim_of_the_current_epoch_passes_in_canonical_form() {
    let addresses = vec!["10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let op = Op::DnsPoint { name: "PRIMARY.db.Example.org.".to_owned(), addresses, ttl: 5, epoch: 9 };
    let Ok(Permit::DnsPoint { target, name, addresses }) = check(&op, &standing()) else { panic!("refused") };
    assert_eq!(target.key.as_deref(), Some("failover"));
    assert_eq!(name, "primary.db.example.org");
    assert_eq!(addresses, ["10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.2".parse().unwrap()]);
}

#[test]
fn names_outside_of_the_grant_are_denied_with_the_line_that_grants_them() {
    for name in [
        "other.example.org",
        "apps.example.org",
        "xapps.example.org",
        "primary.db.example.org.evil.net",
        "x.primary.db.example.org",
    ] {
        let denial = check(&point(name, 9), &standing()).unwrap_err();
        let Denial::NotGranted { remedy, .. } = &denial else { panic!("{name}: {denial}") };
        assert_eq!(*remedy, format!("plugins.dns-update.grants.dns: [{{…, names: [{name}]}}]"));
    }
    assert!(check(&point("a.apps.example.org", 9), &standing()).is_ok());
    let lookup = Op::DnsLookup { name: "other.example.org".to_owned(), kind: RecordKind::A };
    assert!(matches!(check(&lookup, &standing()), Err(Denial::NotGranted { .. })));
}

#[test]
fn what_is_not_a_name_or_not_an_address_is_refused() {
    for name in ["", ".", "a..example.org", "a b.example.org", &"a".repeat(300), "primary.db.example.org\0"] {
        assert!(matches!(check(&point(name, 9), &standing()), Err(Denial::Invalid(_))), "{name:?}");
    }
    let with = |addresses| Op::DnsPoint { name: "primary.db.example.org".to_owned(), addresses, ttl: 5, epoch: 9 };
    assert!(matches!(check(&with(vec![]), &standing()), Err(Denial::Invalid(_))));
    assert!(matches!(check(&with(vec!["0.0.0.0".parse().unwrap()]), &standing()), Err(Denial::Invalid(_))));
    let many = (0..17).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    assert!(matches!(check(&with(many), &standing()), Err(Denial::TooMany { .. })));
}

#[test]
fn only_listed_addresses_may_be_named_where_a_list_is_given() {
    let mut grants = grants();
    grants.dns[0].addresses = vec!["10.0.0.9".parse().unwrap()];
    let denial = grants.check(&PluginId::from("p"), &point("primary.db.example.org", 9), &standing()).unwrap_err();
    assert!(denial.to_string().contains("addresses: [10.0.0.1]"), "{denial}");
}

#[test]
fn a_claim_of_another_epoch_is_stale_whichever_side_is_wrong() {
    let stale = |asked, current| Err(Denial::StaleEpoch { asked, current });
    assert_eq!(check(&point("primary.db.example.org", 8), &standing()), stale(8, 9));
    assert_eq!(check(&point("primary.db.example.org", 10), &standing()), stale(10, 9));
    let old_call = Standing { call_epoch: 8, ..standing() };
    assert_eq!(check(&point("primary.db.example.org", 9), &old_call), stale(8, 9));
}

#[test]
fn a_claim_needs_the_lease_a_proof_and_time() {
    let claim = |standing| check(&point("primary.db.example.org", 9), &standing);
    let without = leadership(None);
    assert_eq!(claim(Standing { leadership: without, ..standing() }), Err(Denial::NotLeader));
    assert_eq!(claim(Standing { proved: 8, ..standing() }), Err(Denial::NotProved { epoch: 9 }));
    let short = leadership(Some(105 * SECOND - 1));
    let too_short = Err(Denial::LeaseTooShort { left_ms: 4_999, needed_ms: 5_000 });
    assert_eq!(claim(Standing { leadership: short, ..standing() }), too_short);
    let enough = leadership(Some(105 * SECOND));
    assert!(claim(Standing { leadership: enough, ..standing() }).is_ok());
    assert_eq!(claim(Standing { now: Moment::from_nanos(105 * SECOND), ..standing() }), Err(Denial::Expired));
}

#[test]
fn an_empty_grant_grants_nothing_that_touches_the_world() {
    let grants = Grants::default();
    assert_eq!(grants.imports(), BTreeSet::from([Import::Log, Import::Config]));
    let plugin = PluginId::from("p");
    for op in [Op::Leadership, point("primary.db.example.org", 9)] {
        assert!(matches!(grants.check(&plugin, &op, &standing()), Err(Denial::NotGranted { .. })));
    }
}
