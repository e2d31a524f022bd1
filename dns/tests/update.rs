//! The update client against a real BIND.

#[path = "common/bind.rs"]
mod bind;
#[path = "common/relay.rs"]
mod relay;

use bind::{Bind, IP, SECRET, ZONE, free, key};
use relay::{Fault, relay};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tanist_dns::update::{Algorithm, Generation, Outcome, ReadBack, Request, Seen, TsigKey, generation, lookup, point};
use tanist_engine::Epoch;
use tokio::sync::{oneshot, watch};

const NAME: &str = "primary.c1.db.test";
const OWNER: &str = "_tanist.primary.c1.db.test";
const TIMEOUT: Duration = Duration::from_secs(20);

fn claim(server: SocketAddr, epoch: u64, addresses: &[&str]) -> Request {
    Request {
        servers: vec![server],
        read_back: vec![],
        zone: ZONE.into(),
        name: NAME.into(),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ttl: 5,
        epoch: Epoch(epoch),
        node: format!("n{epoch}"),
        generation: None,
        key: Some(key()),
    }
}

async fn moved(request: &Request) {
    let outcome = point(request, TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Applied { read_back } if read_back[0].seen == Seen::New), "{outcome:?}");
}

async fn visible(server: SocketAddr) -> Vec<IpAddr> {
    lookup(server, NAME, TIMEOUT).await.unwrap().addresses
}

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_move_is_applied_visible_and_repeatable() {
    let bind = Bind::start().await;
    assert_eq!(lookup(bind.address, NAME, TIMEOUT).await.unwrap(), Default::default());
    assert_eq!(generation(bind.address, OWNER, TIMEOUT).await, Ok(None));
    let first = claim(bind.address, 7, &["192.0.2.1"]);
    assert_eq!(
        point(&first, TIMEOUT).await,
        Outcome::Applied { read_back: vec![ReadBack { server: bind.address, seen: Seen::New }] },
        "{}",
        bind.log()
    );
    let found = lookup(bind.address, NAME, TIMEOUT).await.unwrap();
    assert_eq!((found.addresses, found.ttl), (ips(&["192.0.2.1"]), Some(5)));
    assert_eq!(generation(bind.address, OWNER, TIMEOUT).await, Ok(Some(Generation::new(Epoch(7), "n7"))));
    assert_eq!(point(&first, TIMEOUT).await, Outcome::AlreadyThere);
    let corrected = claim(bind.address, 7, &["192.0.2.7"]);
    moved(&corrected).await;
    assert_eq!(visible(bind.address).await, ips(&["192.0.2.7"]), "the same epoch corrects its address");
}

#[tokio::test]
async fn a_changed_ttl_is_applied_within_the_epoch() {
    let bind = Bind::start().await;
    let first = claim(bind.address, 7, &["192.0.2.1", "2001:db8::1"]);
    moved(&first).await;
    let longer = Request { ttl: 60, ..first };
    moved(&longer).await;
    assert_eq!(lookup(bind.address, NAME, TIMEOUT).await.unwrap().ttl, Some(60));
    assert_eq!(point(&longer, TIMEOUT).await, Outcome::AlreadyThere);
}

/// A wildcard answers for a generation record that is not there; an update sees what is there.
#[tokio::test]
async fn a_wildcard_is_no_generation_record() {
    for texts in ["* TXT \"v=spf1 -all\"\n", "* TXT \"v=spf1 -all\"\n* TXT \"another\"\n* A 192.0.2.99\n"] {
        let bind = Bind::with(texts).await;
        assert!(generation(bind.address, OWNER, TIMEOUT).await.is_err(), "the wildcard is what is read");
        moved(&claim(bind.address, 7, &["192.0.2.1"])).await;
        assert_eq!(generation(bind.address, OWNER, TIMEOUT).await, Ok(Some(Generation::new(Epoch(7), "n7"))));
        moved(&claim(bind.address, 9, &["192.0.2.9"])).await;
        assert!(matches!(point(&claim(bind.address, 7, &["192.0.2.1"]), TIMEOUT).await, Outcome::Fenced { .. }));
    }
}

#[tokio::test]
async fn behind_a_wildcard_a_held_up_claim_is_fenced_as_ever() {
    let bind = Bind::with("* TXT \"v=spf1 -all\"\n").await;
    let (arrived, wait) = oneshot::channel();
    let (release, go) = watch::channel(false);
    let slow = claim(relay(bind.address, Fault::Hold { arrived, go }).await, 7, &["192.0.2.7"]);
    let slow = tokio::spawn(async move { point(&slow, TIMEOUT).await });
    wait.await.expect("the old claim has read and sent");
    moved(&claim(bind.address, 9, &["192.0.2.9"])).await;
    release.send(true).unwrap();
    assert_eq!(slow.await.unwrap(), Outcome::Fenced { newer: Generation::new(Epoch(9), "n9") });
}

#[tokio::test]
async fn a_foreign_record_in_the_place_of_the_generation_record_stays() {
    let bind = Bind::with("* TXT \"wild\"\n_tanist.primary.c1 TXT \"v=spf1 -all\"\n").await;
    let outcome = point(&claim(bind.address, 7, &["192.0.2.1"]), TIMEOUT).await;
    let Outcome::Refused { code: Some(code), text } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(code, "YXRRSET");
    assert!(text.contains("v=spf1") && text.contains("delete the TXT records of _tanist.primary.c1.db.test"), "{text}");
    assert_eq!(visible(bind.address).await, ips(&[]));
}

#[tokio::test]
async fn both_families_are_replaced_together() {
    let bind = Bind::start().await;
    for (epoch, addresses) in
        [(1, &["192.0.2.1"][..]), (2, &["2001:db8::2"]), (3, &["192.0.2.3", "2001:db8::3"]), (4, &["192.0.2.4", "192.0.2.5"])]
    {
        moved(&claim(bind.address, epoch, addresses)).await;
        let mut seen = visible(bind.address).await;
        seen.sort();
        assert_eq!(seen, ips(addresses));
    }
}

#[tokio::test]
async fn an_older_epoch_is_fenced_and_changes_nothing() {
    let bind = Bind::start().await;
    moved(&claim(bind.address, 9, &["192.0.2.9"])).await;
    let newer = Generation::new(Epoch(9), "n9");
    assert_eq!(point(&claim(bind.address, 7, &["192.0.2.7"]), TIMEOUT).await, Outcome::Fenced { newer });
    assert_eq!(visible(bind.address).await, ips(&["192.0.2.9"]));
}

#[tokio::test]
async fn an_update_that_was_held_up_on_its_way_does_not_undo_a_newer_one() {
    let bind = Bind::start().await;
    for before in [false, true] {
        let base = if before { 100 } else { 0 };
        let (arrived, wait) = oneshot::channel();
        let (release, go) = watch::channel(false);
        let slow = claim(relay(bind.address, Fault::Hold { arrived, go }).await, base + 7, &["192.0.2.7"]);
        let slow = tokio::spawn(async move { point(&slow, TIMEOUT).await });
        wait.await.expect("the old claim has read and sent");
        moved(&claim(bind.address, base + 9, &["192.0.2.9"])).await;
        release.send(true).unwrap();
        let newer = Generation::new(Epoch(base + 9), &format!("n{}", base + 9));
        assert_eq!(slow.await.unwrap(), Outcome::Fenced { newer }, "with a record there before: {before}");
        assert_eq!(visible(bind.address).await, ips(&["192.0.2.9"]));
    }
}

#[tokio::test]
async fn of_concurrent_claims_the_highest_epoch_stays() {
    let bind = Bind::start().await;
    for round in 0..10_u64 {
        let epochs = [3, 5, 1, 4, 2].map(|rank| round * 10 + (rank + round) % 5 + 1);
        let claims = epochs.map(|epoch| {
            let request = claim(bind.address, epoch, &[&format!("192.0.2.{epoch}")]);
            tokio::spawn(async move { (epoch, point(&request, TIMEOUT).await) })
        });
        let highest = epochs.into_iter().max().unwrap();
        for claim in claims {
            let (epoch, outcome) = claim.await.unwrap();
            let fine = match &outcome {
                Outcome::Applied { .. } => true,
                Outcome::Fenced { newer } => newer.epoch > Epoch(epoch) && epoch < highest,
                _ => false,
            };
            assert!(fine, "{epoch}: {outcome:?}");
        }
        assert_eq!(visible(bind.address).await, ips(&[&format!("192.0.2.{highest}")]));
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_next_call_knows() {
    let bind = Bind::start().await;
    let mut request = claim(relay(bind.address, Fault::LoseAnswer).await, 7, &["192.0.2.1"]);
    let outcome = point(&request, TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Unknown(text) if text.contains("without an answer")), "{outcome:?}");
    request.servers = vec![bind.address];
    assert_eq!(point(&request, TIMEOUT).await, Outcome::AlreadyThere);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let bind = Bind::start().await;
    let other = "b3RoZXIgc2VjcmV0IG9mIHRoZSBzYW1lIGxlbmd0aCBhcyBpdA==";
    let with = |name: &str, algorithm, secret: &str| Some(TsigKey::new(name, algorithm, secret).unwrap());
    let sha256 = Algorithm::HmacSha256;
    let wrong: [(&str, Option<TsigKey>, &str); 5] = [
        ("NOTAUTH", with("move.tanist.test", sha256, other), "BADSIG"),
        ("NOTAUTH", with("unknown.tanist.test", sha256, SECRET), "BADKEY"),
        ("NOTAUTH", with("move.tanist.test", Algorithm::HmacSha512, SECRET), "BADKEY"),
        ("REFUSED", with("other.tanist.test", Algorithm::HmacSha512, SECRET), "policy"),
        ("REFUSED", None, "policy"),
    ];
    for (code, key, words) in wrong {
        let outcome = point(&Request { key, ..claim(bind.address, 7, &["192.0.2.1"]) }, TIMEOUT).await;
        assert!(
            matches!(&outcome, Outcome::Refused { code: Some(c), text } if c == code && text.contains(words)),
            "{words}: {outcome:?}"
        );
        assert!(!format!("{outcome:?}").contains(SECRET));
    }
    assert_eq!(visible(bind.address).await, ips(&[]));
}

#[tokio::test]
async fn names_outside_and_foreign_records_are_left_alone() {
    let bind = Bind::start().await;
    let outside = Request { name: "primary.example.org".into(), ..claim(bind.address, 7, &["192.0.2.1"]) };
    let outcome = point(&outside, TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Refused { code: None, text } if text.contains("not in the zone")), "{outcome:?}");
    let unserved = Request { zone: "example.org".into(), ..outside };
    let outcome = point(&unserved, TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Refused { code: Some(code), .. } if code == "REFUSED"), "{outcome:?}");
    let nothing = point(&claim(bind.address, 7, &[]), TIMEOUT).await;
    assert!(matches!(&nothing, Outcome::Refused { code: None, .. }), "{nothing:?}");
    // A CNAME at the name: the server says done and ignores the addresses.
    let alias = Request { name: format!("alias.{ZONE}"), ..claim(bind.address, 7, &["192.0.2.1"]) };
    let outcome = point(&alias, TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Refused { text, .. } if text.contains("CNAME")), "{outcome:?}");
}

#[tokio::test]
async fn servers_that_are_down_are_passed_over() {
    let bind = Bind::start().await;
    let down = free(IP);
    let outcome = point(&claim(down, 7, &["192.0.2.1"]), TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Unreachable(text) if text.contains(&down.to_string())), "{outcome:?}");
    // A server that accepts and never says anything costs its share of the time, not all of it.
    let silent = tokio::net::TcpListener::bind((IP, 0)).await.unwrap();
    let mut request = claim(down, 7, &["192.0.2.1"]);
    request.servers.extend([silent.local_addr().unwrap()]);
    let outcome = point(&request, Duration::from_millis(500)).await;
    assert!(matches!(&outcome, Outcome::Unreachable(text) if text.contains("no answer in time")), "{outcome:?}");
    request.servers.push(bind.address);
    request.read_back = vec![down];
    let outcome = point(&request, Duration::from_secs(3)).await;
    let Outcome::Applied { read_back } = outcome else { panic!("{outcome:?}") };
    assert_eq!((read_back[0].server, &read_back[0].seen), (bind.address, &Seen::New));
    assert!(matches!(read_back[1], ReadBack { server, seen: Seen::NoAnswer(_) } if server == down));
}

#[tokio::test]
async fn how_long_a_move_takes() {
    let bind = Bind::start().await;
    let mut took = Vec::new();
    for epoch in 1..=50_u64 {
        let request = claim(bind.address, epoch, &[&format!("192.0.2.{epoch}")]);
        let begin = Instant::now();
        moved(&request).await;
        took.push(begin.elapsed());
    }
    took.sort();
    println!("connect + read + update + read back: n {} min {:?} median {:?} max {:?}", took.len(), took[0], took[25], took[49]);
}
