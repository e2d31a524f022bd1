//! Failsafe mode: names in the record, agreements, rounds.

use crate::cluster::{Cluster, Node, TTL, seconds};
use std::collections::BTreeSet;
use tanist_dcs::faulty::Fault;
use tanist_dcs::lease::{AcquireOutcome, Adopted, Record};
use tanist_dcs::{Op, lease::RenewOutcome};
use tanist_engine::failsafe::{Known, Refused, Round};
use tanist_engine::{Held, Lease, MemberName, Named};

pub fn named(list: &[&str]) -> Named {
    list.iter().map(|name| (MemberName::from(*name), format!("http://{name}"))).collect()
}

fn voters(round: &Round) -> String {
    round.voters.iter().map(|(name, _)| name.0.as_str()).collect::<Vec<_>>().join(",")
}

/// A leader whose record names these.
async fn leads(cluster: &Cluster, node: &Node, names: &[&str]) -> Held {
    let held = node.lead(cluster).await;
    assert_eq!(node.keeper.begin_round(held.epoch), None, "the record names nobody yet");
    node.keeper.name(Some(named(names)));
    assert_eq!(node.keeper.begin_round(held.epoch), None, "not before it has landed");
    node.renewed().await
}

pub async fn whoever_agreed_takes_nothing_before_its_word_ends(cluster: Cluster) {
    let (a, b, c) = (cluster.node("a", 1), cluster.node("b", 2), cluster.node("c", 3));
    let held = leads(&cluster, &a, &["a", "b", "c"]).await;
    for node in [&b, &c] {
        node.look(&cluster).await;
    }
    a.faulty.set(Fault::CutOff);
    cluster.pass(seconds(30));
    let round = a.keeper.begin_round(held.epoch).unwrap();
    assert_eq!(voters(&round), "b,c");
    assert_eq!(a.keeper.begin_round(held.epoch), None, "one at a time");
    for node in [&b, &c] {
        node.keeper.agree(&round.ask, Known::default()).unwrap();
    }
    cluster.pass(seconds(1));
    let until = a.keeper.end_round(&round, Ok(())).unwrap();
    assert_eq!(until, round.sent.plus(seconds(60) - seconds(60) / 100), "from before the questions");
    assert_eq!(a.held().until, until.boot);
    cluster.pass(seconds(40));
    for node in [&b, &c] {
        let Lease::Theirs(theirs) = node.look(&cluster).await else { panic!("{:?}", node.lease()) };
        assert_eq!((theirs.holder.0.as_str(), theirs.epoch), ("a", held.epoch));
        assert!(theirs.vacant_at > until.boot && !node.keeper.wants_confirmation(node.clock.now()));
        assert!(!node.keeper.confirm_vacant().await.unwrap());
    }
    cluster.pass(seconds(20));
    assert!(b.keeper.confirm_vacant().await.unwrap(), "its word is over");
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Won(_)));
    a.faulty.set(Fault::None);
    assert_eq!(a.keeper.renew().await, RenewOutcome::Lost);
    assert_eq!(a.keeper.begin_round(held.epoch), None);
}

pub async fn a_round_that_is_refused_or_late_extends_nothing(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = leads(&cluster, &a, &["a", "b"]).await;
    cluster.pass(seconds(30));
    let round = a.keeper.begin_round(held.epoch).unwrap();
    assert_eq!(a.keeper.end_round(&round, Err(("b".into(), "no answer".into()))), None);
    assert_eq!(a.held().until, held.until);
    let seen = a.keeper.failsafe(cluster.now());
    assert_eq!((seen.refused.map(|(who, _)| who), seen.agreed), (Some("b".into()), None));
    let round = a.keeper.begin_round(held.epoch).unwrap();
    cluster.pass(seconds(30));
    assert_eq!(a.keeper.end_round(&round, Ok(())), None, "a lease that is over is not revived");
    assert_eq!(a.held().until, held.until);
}

/// The lease is over for both: one may take it, and the one that was left out may not.
pub async fn stays_out(cluster: &Cluster, left_out: &Node, named: &Node) {
    cluster.pass(seconds(61));
    for node in [named, left_out] {
        assert!(node.keeper.confirm_vacant().await.unwrap());
    }
    assert!(left_out.keeper.failsafe(cluster.now()).barred && !named.keeper.failsafe(cluster.now()).barred);
    assert_eq!(left_out.acquire(cluster).await, AcquireOutcome::Lost);
}

pub async fn only_whom_the_record_names_takes_over(cluster: Cluster) {
    let (a, b, d) = (cluster.node("a", 1), cluster.node("b", 2), cluster.node("d", 4));
    leads(&cluster, &a, &["a", "b"]).await;
    for node in [&b, &d] {
        node.look(&cluster).await;
    }
    stays_out(&cluster, &d, &b).await;
    b.keeper.answer_at("http://elsewhere".into());
    assert!(b.keeper.failsafe(cluster.now()).barred, "another machine under its name");
    // An operator takes the names out.
    let record = Record { failsafe: None, ..cluster.record().await };
    cluster.write(vec![Op::put(cluster.keys.lease(), record.encode())]).await;
    d.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(d.keeper.confirm_vacant().await.unwrap());
    assert!(matches!(d.acquire(&cluster).await, AcquireOutcome::Won(_)));
    assert_eq!(cluster.record().await.failsafe, None, "a leadership begins without names");
}

pub async fn whoever_may_have_taken_the_lease_refuses(cluster: Cluster) {
    let (a, b, c) = (cluster.node("a", 1), cluster.node("b", 2), cluster.node("c", 3));
    let held = leads(&cluster, &a, &["a", "b", "c"]).await;
    b.look(&cluster).await;
    let round = a.keeper.begin_round(held.epoch).unwrap();
    cluster.pass(seconds(61));
    assert!(b.keeper.confirm_vacant().await.unwrap());
    b.keeper.put_member(b"{}".to_vec()).await.unwrap();
    b.faulty.set(Fault::LoseRequest);
    assert!(matches!(b.acquire(&cluster).await, AcquireOutcome::Failed(_)));
    assert_eq!(b.keeper.agree(&round.ask, Known::default()), Err(Refused::Taking), "it may still land");
    b.faulty.set(Fault::None);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Renewed(_)), "nobody else was there");
    b.look(&cluster).await;
    assert!(b.keeper.agree(&round.ask, Known::default()).is_ok(), "it compares a record that is gone");
    cluster.pass(seconds(61));
    c.look(&cluster).await;
    cluster.pass(seconds(61));
    assert!(c.keeper.confirm_vacant().await.unwrap());
    let AcquireOutcome::Won(newer) = c.acquire(&cluster).await else { panic!("{:?}", c.lease()) };
    assert_eq!(c.keeper.agree(&round.ask, Known::default()), Err(Refused::Primary));
    b.look(&cluster).await;
    let higher = Refused::HigherEpoch { known: newer.epoch, asked: held.epoch };
    assert_eq!(b.keeper.agree(&round.ask, Known::default()), Err(higher));
}

pub async fn what_was_released_binds_nobody(cluster: Cluster) {
    let (a, b) = (cluster.node("a", 1), cluster.node("b", 2));
    let held = leads(&cluster, &a, &["a", "b"]).await;
    b.look(&cluster).await;
    let round = a.keeper.begin_round(held.epoch).unwrap();
    b.keeper.agree(&round.ask, Known::default()).unwrap();
    a.keeper.release(None, false).await;
    assert!(matches!(b.look(&cluster).await, Lease::Vacant { released: true, .. }), "{:?}", b.lease());
    assert!(!b.keeper.failsafe(cluster.now()).barred, "a released record names nobody");
}

pub async fn a_restarted_holder_goes_on_with_what_was_kept(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = leads(&cluster, &a, &["a", "b", "c"]).await;
    let until = a.keeper.until().unwrap();
    let every: BTreeSet<_> = a.keeper.named().unwrap();
    let again = a.restarted(&cluster);
    again.keeper.adopt(Adopted { epoch: held.epoch, until });
    assert_eq!(again.keeper.begin_round(held.epoch), None, "nothing was kept");
    again.keeper.adopt_named(every, TTL);
    cluster.pass(seconds(30));
    let round = again.keeper.begin_round(held.epoch).unwrap();
    assert_eq!(voters(&round), "b,c");
    let extended = again.keeper.end_round(&round, Ok(())).unwrap();
    assert!(extended.boot > until.boot);
    assert!(matches!(again.lease(), Lease::Unknown), "the store has not been read");
    cluster.pass(seconds(50));
    // The store answers: the record is that of the page, whose end has moved.
    let Lease::Mine(mine) = again.look(&cluster).await else { panic!("{:?}", again.lease()) };
    assert_eq!((mine.epoch, mine.until), (held.epoch, extended.boot));
    again.renewed().await;
    assert_eq!(cluster.record().await.failsafe, Some(named(&["a", "b", "c"])), "named as before");
}

pub async fn every_record_that_may_be_there_counts(cluster: Cluster) {
    let a = cluster.node("a", 1);
    let held = leads(&cluster, &a, &["a", "b"]).await;
    a.keeper.name(Some(named(&["a", "c"])));
    a.faulty.set(Fault::LoseAnswer);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)));
    let round = a.keeper.begin_round(held.epoch).unwrap();
    assert_eq!(voters(&round), "b,c");
    a.keeper.end_round(&round, Err(("c".into(), String::new())));
    a.keeper.name(None);
    assert!(matches!(a.keeper.renew().await, RenewOutcome::Failed(_)));
    assert_eq!(a.keeper.begin_round(held.epoch), None, "anybody may take over");
    a.faulty.set(Fault::None);
    a.keeper.name(Some(named(&["a", "c"])));
    a.renewed().await;
    assert_eq!(voters(&a.keeper.begin_round(held.epoch).unwrap()), "c");
}
