//! What the zone answers in every state of a cluster: the pure path from faces to bytes.

mod common;

use common::{ask, at, bytes, config, face, host, proved, question, reply, with_edns, zone};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{DNSClass, RecordType, rdata::opt::EdnsOption},
};
use tanist_dns::{ClusterFace, PrimaryFace, Problem, Snapshot, Transport, Unproved, Zone, render, respond};
use tanist_engine::{Epoch, Moment, Revision};

const SOA: &str = "db.example.org. 1 SOA ns1.db.example.org. hostmaster.db.example.org. 40 60 10 86400 1";

fn served() -> Snapshot {
    render(&Snapshot::starting(zone()), &[face(40, proved(9, "a", &["192.0.2.1", "2001:db8::1"], at(10.0)))])
}

fn nodata() -> String {
    format!("NOERROR aa:  / {SOA}")
}

#[test]
fn names_of_a_proved_cluster() {
    let snapshot = served();
    let nxdomain = format!("NXDOMAIN aa:  / {SOA}");
    let golden = [
        ("primary.c1.db.example.org.", RecordType::A, "NOERROR aa: primary.c1.db.example.org. 5 A 192.0.2.1".to_owned()),
        ("primary.c1.db.example.org.", RecordType::AAAA, "NOERROR aa: primary.c1.db.example.org. 5 AAAA 2001:db8::1".to_owned()),
        ("primary.c1.db.example.org.", RecordType::TXT, "NOERROR aa: primary.c1.db.example.org. 5 TXT epoch=9 node=a".to_owned()),
        ("primary.c1.db.example.org.", RecordType::MX, nodata()),
        ("replica.c1.db.example.org.", RecordType::A, "NOERROR aa: replica.c1.db.example.org. 5 A 192.0.2.2".to_owned()),
        ("a.c1.db.example.org.", RecordType::AAAA, "NOERROR aa: a.c1.db.example.org. 60 AAAA 2001:db8::1".to_owned()),
        ("b.c1.db.example.org.", RecordType::A, "NOERROR aa: b.c1.db.example.org. 60 A 192.0.2.2".to_owned()),
        ("b.c1.db.example.org.", RecordType::AAAA, nodata()),
        ("c.c1.db.example.org.", RecordType::A, nxdomain.clone()),
        ("x.primary.c1.db.example.org.", RecordType::A, nxdomain.clone()),
        ("c1.db.example.org.", RecordType::A, nodata()),
        ("c2.db.example.org.", RecordType::A, nxdomain.clone()),
        ("primary.c2.db.example.org.", RecordType::A, nxdomain),
        ("ns1.db.example.org.", RecordType::A, "NOERROR aa: ns1.db.example.org. 3600 A 192.0.2.53".to_owned()),
        ("example.org.", RecordType::A, "REFUSED".to_owned()),
        ("primary.c1.xdb.example.org.", RecordType::A, "REFUSED".to_owned()),
        (".", RecordType::NS, "REFUSED".to_owned()),
        (
            "db.example.org.",
            RecordType::SOA,
            "NOERROR aa: db.example.org. 3600 SOA ns1.db.example.org. hostmaster.db.example.org. 40 60 10 86400 1".to_owned(),
        ),
        (
            "db.example.org.",
            RecordType::NS,
            "NOERROR aa: db.example.org. 3600 NS ns1.db.example.org., db.example.org. 3600 NS ns.example.net. /  / \
             ns1.db.example.org. 3600 A 192.0.2.53, ns1.db.example.org. 3600 AAAA 2001:db8::53"
                .to_owned(),
        ),
        ("db.example.org.", RecordType::A, nodata()),
    ];
    for (name, kind, expected) in golden {
        assert_eq!(ask(&snapshot, at(1.0), name, kind), expected, "{name} {kind}");
    }
}

#[test]
fn the_ttl_of_the_primary_ends_with_its_lease() {
    let snapshot = served();
    let ttl = |seconds| reply(&snapshot, at(seconds), &question("primary.c1.db.example.org.", RecordType::A)).answers[0].ttl;
    assert_eq!([ttl(0.0), ttl(5.0), ttl(6.5), ttl(9.0), ttl(9.999)], [5, 5, 3, 1, 0]);
    let over = format!("NOERROR aa ede=14:  / {SOA}");
    for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::ANY] {
        assert_eq!(ask(&snapshot, at(10.0), "primary.c1.db.example.org.", kind), over, "{kind}");
    }
    assert_eq!(
        ask(&snapshot, at(10.0), "a.c1.db.example.org.", RecordType::A),
        "NOERROR aa: a.c1.db.example.org. 60 A 192.0.2.1"
    );
}

#[test]
fn a_lapsed_lease_may_answer_the_last_known_and_a_released_one_never() {
    let name = "primary.c1.db.example.org.";
    let zone = Zone::new(tanist_dns::ZoneConfig { unproved: Unproved::LastKnown, ..config() }).unwrap();
    let served = render(&Snapshot::starting(zone), &[face(40, proved(9, "a", &["192.0.2.1"], at(10.0)))]);
    let stale = "NOERROR aa ede=3: primary.c1.db.example.org. 0 A 192.0.2.1";
    assert_eq!(ask(&served, at(10.0), name, RecordType::A), stale);
    let lapsed = PrimaryFace::Lapsed { host: host("a", &["192.0.2.1"]), epoch: Epoch(9) };
    assert_eq!(ask(&served.with(&face(40, lapsed)), at(1.0), name, RecordType::A), stale);
    for gone in [PrimaryFace::Released { epoch: Epoch(9) }, PrimaryFace::Nobody { epoch: Some(Epoch(11)) }] {
        let released = served.with(&face(40, gone));
        let answer = ask(&released, at(1.0), name, RecordType::A);
        assert!(answer.starts_with("NOERROR aa ede=14:  / db.example.org. 1 SOA"), "{answer}");
        let again = released.with(&face(40, proved(9, "a", &["192.0.2.1"], at(20.0))));
        assert!(ask(&again, at(1.0), name, RecordType::A).starts_with("NOERROR aa ede=14"), "the old epoch must not come back");
        assert_eq!(again.problems().count(), 1);
    }
}

#[test]
fn what_is_not_known_is_a_failure_and_not_a_missing_name() {
    let starting = Snapshot::starting(zone());
    for name in ["primary.c1.db.example.org.", "c1.db.example.org.", "x.y.z.db.example.org."] {
        assert_eq!(ask(&starting, at(1.0), name, RecordType::A), "SERVFAIL ede=14", "{name}");
    }
    assert!(ask(&starting, at(1.0), "db.example.org.", RecordType::SOA).starts_with("NOERROR aa: db.example.org. 3600 SOA"));
    let unread = render(&starting, &[face(40, PrimaryFace::Unknown)]);
    assert_eq!(ask(&unread, at(1.0), "primary.c1.db.example.org.", RecordType::A), "SERVFAIL ede=14");
    assert_eq!(ask(&unread, at(1.0), "c2.db.example.org.", RecordType::A), format!("NXDOMAIN aa:  / {SOA}"));
}

#[test]
fn readers_fall_back_to_the_primary_and_stop_with_it() {
    let alone = ClusterFace { replicas: vec![], ..face(40, proved(9, "a", &["192.0.2.1"], at(10.0))) };
    let name = "replica.c1.db.example.org.";
    let snapshot = render(&Snapshot::starting(zone()), std::slice::from_ref(&alone));
    assert_eq!(ask(&snapshot, at(7.5), name, RecordType::A), "NOERROR aa: replica.c1.db.example.org. 2 A 192.0.2.1");
    assert_eq!(ask(&snapshot, at(10.0), name, RecordType::A), format!("NOERROR aa ede=14:  / {SOA}"));
    let strict = Zone::new(tanist_dns::ZoneConfig { replica_falls_back: false, ..config() }).unwrap();
    assert_eq!(ask(&render(&Snapshot::starting(strict), &[alone]), at(1.0), name, RecordType::A), nodata());
}

#[test]
fn names_that_cannot_be_served_are_reported() {
    let mut given = face(40, proved(9, "a", &["192.0.2.1"], at(10.0)));
    given.members.extend([
        host("Primary", &["192.0.2.9"]),
        host("B", &["192.0.2.9"]),
        host("x.y", &["192.0.2.9"]),
        host("", &[]),
    ]);
    let dotted = ClusterFace { scope: "c.2".into(), ..given.clone() };
    let snapshot = render(&Snapshot::starting(zone()), &[given, dotted]);
    let problems: Vec<&Problem> = snapshot.problems().collect();
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(matches!(problems[0], Problem::Scope { scope } if scope == "c.2"));
    assert_eq!(
        ask(&snapshot, at(6.0), "primary.c1.db.example.org.", RecordType::A),
        "NOERROR aa: primary.c1.db.example.org. 4 A 192.0.2.1"
    );
    assert_eq!(ask(&snapshot, at(1.0), "b.c1.db.example.org.", RecordType::A), "NOERROR aa: b.c1.db.example.org. 60 A 192.0.2.2");
}

#[test]
fn the_serial_follows_the_revision_and_renewals_do_not_move_it() {
    let snapshot = served();
    assert_eq!(snapshot.serial(), 40);
    let renewed = snapshot.with(&face(40, proved(9, "a", &["192.0.2.1", "2001:db8::1"], at(99.0))));
    assert_eq!(renewed.serial(), 40);
    assert_eq!(reply(&renewed, at(98.0), &question("primary.c1.db.example.org.", RecordType::A)).answers[0].ttl, 1);
    assert_eq!(renewed.with(&face(44, proved(9, "b", &["192.0.2.2"], at(99.0)))).serial(), 44);
    let lower = renewed.with(&face(3, proved(11, "b", &["192.0.2.2"], at(99.0))));
    assert_eq!(lower.serial(), 41, "another store that counts from low again does not turn the serial back");
    assert_eq!(render(&lower, &[]).serial(), 42, "a cluster that is gone is a change");
    let second = ClusterFace { scope: "c2".into(), revision: Revision(50), ..face(0, PrimaryFace::Nobody { epoch: None }) };
    assert_eq!(renewed.with(&second).serial(), 50);
}

#[test]
fn the_question_comes_back_as_it_was_asked() {
    let query = question("pRiMaRy.C1.Db.eXaMpLe.OrG.", RecordType::A);
    let sent = query.to_vec().unwrap();
    let answer = bytes(&served(), at(1.0), &query, Transport::Udp);
    assert_eq!(answer[12..sent.len()], sent[12..], "question, byte by byte");
    // QR, AA, RD as asked; no RA, no TC, no error.
    assert_eq!(answer[..4], [0x12, 0x67, 0x85, 0x00]);
    assert_eq!(answer[sent.len()..sent.len() + 2], [0xC0, 12], "the owner is a pointer to the question");
}

#[test]
fn edns_is_answered_in_kind() {
    let snapshot = served();
    let name = "primary.c1.db.example.org.";
    assert!(reply(&snapshot, at(1.0), &question(name, RecordType::A)).edns.is_none());
    let edns = reply(&snapshot, at(1.0), &with_edns(question(name, RecordType::A), 4096)).edns.unwrap();
    assert_eq!((edns.version(), edns.max_payload(), edns.flags().dnssec_ok), (0, 1232, false));
    let mut newer = with_edns(question(name, RecordType::A), 1232);
    newer.edns.as_mut().unwrap().set_version(1);
    let answer = reply(&snapshot, at(1.0), &newer);
    assert_eq!((u16::from(answer.metadata.response_code), answer.edns.unwrap().version()), (16, 0), "BADVERS");
    assert!(answer.answers.is_empty());
}

#[test]
fn the_client_subnet_is_checked_and_answered_with_scope_zero() {
    let snapshot = served();
    let with = |data: &[u8]| {
        let mut query = with_edns(question("primary.c1.db.example.org.", RecordType::A), 1232);
        query.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Unknown(8, data.to_vec()));
        bytes(&snapshot, at(1.0), &query, Transport::Udp)
    };
    for data in [&[0, 1, 24, 0, 192, 0, 2][..], &[0, 0, 0, 0]] {
        let answer = with(data);
        assert_eq!(answer[3] & 0x0F, 0, "NOERROR");
        assert!(answer.ends_with(data), "the same option, scope 0");
    }
    for data in [&[0, 1, 24, 24, 192, 0, 2][..], &[0, 1, 24, 0, 192, 0, 2, 9], &[0, 1, 20, 0, 192, 0, 1]] {
        assert_eq!(with(data)[3] & 0x0F, 1, "FORMERR");
    }
}

#[test]
fn other_operations_classes_and_types() {
    let snapshot = served();
    let code = |change: &dyn Fn(&mut Message)| {
        let mut query = question("primary.c1.db.example.org.", RecordType::A);
        change(&mut query);
        reply(&snapshot, at(1.0), &query).metadata.response_code
    };
    assert_eq!(code(&|q| q.metadata.op_code = OpCode::Update), ResponseCode::Refused);
    assert_eq!(code(&|q| q.metadata.op_code = OpCode::Notify), ResponseCode::NotImp);
    assert_eq!(code(&|q| q.metadata.op_code = OpCode::Unknown(15)), ResponseCode::NotImp);
    assert_eq!(code(&|q| _ = q.queries[0].set_query_class(DNSClass::CH)), ResponseCode::Refused);
    assert_eq!(code(&|q| _ = q.queries[0].set_query_class(DNSClass::Unknown(1_000))), ResponseCode::Refused);
    for kind in [RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(code(&|q| _ = q.queries[0].set_query_type(kind)), ResponseCode::Refused);
    }
    assert_eq!(code(&|q| _ = q.queries[0].set_query_type(RecordType::Unknown(253))), ResponseCode::NotImp);
    assert_eq!(code(&|q| _ = q.queries[0].set_query_type(RecordType::Unknown(65_280))), ResponseCode::NoError);
    assert_eq!(code(&|q| q.queries.clear()), ResponseCode::FormErr);
    assert_eq!(code(&|q| q.queries.push(q.queries[0].clone())), ResponseCode::FormErr);
    assert_eq!(
        ask(&snapshot, at(1.0), "a.c1.db.example.org.", RecordType::ANY),
        "NOERROR aa: a.c1.db.example.org. 60 A 192.0.2.1"
    );
}

#[test]
fn what_does_not_fit_is_cut_and_says_so() {
    let many: Vec<String> = (0..120).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let snapshot =
        render(&Snapshot::starting(zone()), &[ClusterFace { replicas: vec![host("b", &many)], ..face(1, PrimaryFace::Unknown) }]);
    let plain = question("replica.c1.db.example.org.", RecordType::A);
    for (query, transport, limit, whole) in [
        (plain.clone(), Transport::Udp, 512, false),
        (with_edns(plain.clone(), 4096), Transport::Udp, 1232, false),
        (with_edns(plain.clone(), 100), Transport::Udp, 512, false),
        (plain.clone(), Transport::Tcp, 65_535, true),
    ] {
        let answer = bytes(&snapshot, at(1.0), &query, transport);
        assert!(answer.len() <= limit);
        let message = Message::from_vec(&answer).unwrap();
        assert_eq!((message.metadata.truncation, message.answers.len()), (!whole, if whole { 120 } else { 0 }));
        assert_eq!(message.edns.is_some(), query.edns.is_some(), "OPT is never what is cut");
    }
}

#[test]
fn hostile_bytes_get_a_short_answer_or_none() {
    let snapshot = served();
    let query = with_edns(question("primary.c1.db.example.org.", RecordType::A), 1232).to_vec().unwrap();
    let mut answered = 0;
    for length in 0..=query.len() {
        let answer = respond(&snapshot, at(1.0), &query[..length], Transport::Udp);
        assert_eq!(answer.is_some(), length >= 12);
    }
    for position in 0..query.len() {
        for value in 0..=255 {
            let mut changed = query.clone();
            changed[position] = value;
            let answer = respond(&snapshot, at(1.0), &changed, Transport::Udp);
            assert_eq!(answer.is_none(), changed[2] & 0x80 != 0, "only replies stay unanswered");
            let answer = answer.unwrap_or_default();
            assert!(answer.len() <= 1232);
            answered += usize::from(!answer.is_empty());
        }
    }
    assert!(answered > 10_000);
    assert_eq!(respond(&snapshot, Moment::MAX, &[0; 11], Transport::Tcp), None);
}
