//! Tests of the pure part of failsafe mode.

use super::*;

const TTL: Duration = Duration::from_secs(10);

fn at(ms: u64) -> Reading {
    let moment = Moment::from_nanos(ms * 1_000_000);
    Reading { boot: moment, raw: moment }
}

fn ask(epoch: u64) -> Ask {
    Ask { holder: "a".into(), epoch: Epoch(epoch), nonce: 7, ttl: TTL, round: 1 }
}

fn named(list: &[&str]) -> Named {
    list.iter().map(|name| (MemberName::from(*name), format!("http://{name}"))).collect()
}

fn names(naming: &Naming) -> Option<String> {
    let voters = naming.voters(&"a".into())?;
    Some(voters.iter().map(|(name, _)| name.0.as_str()).collect::<Vec<_>>().join(","))
}

#[test]
fn whoever_agrees_waits_longer_than_the_holder_counts_on() {
    let round = Round { ask: ask(5), sent: at(1_000), voters: BTreeSet::new() };
    // The question takes no time at all: the shortest wait there is.
    let agreement = agree(&round.ask, &Known::default(), None, at(1_000)).unwrap();
    assert_eq!(round.end(&Naming::default()), at(10_900));
    assert!(agreement.binds(at(11_099)) && !agreement.binds(at(11_100)));
    assert_eq!(agreement.over_at(at(5_000)), at(11_100).boot);
    let slewed = Reading { boot: at(20_000).boot, raw: at(11_099).raw };
    assert!(agreement.binds(slewed), "a clock that runs fast does not end it");
}

#[test]
fn a_shorter_record_begun_during_the_round_shortens_what_the_round_gives() {
    let mut naming = Naming::default();
    naming.begun(Attempt(1), Some(&named(&["a", "b"])), TTL);
    naming.landed(Attempt(1));
    let round = Round { ask: ask(5), sent: at(1_000), voters: BTreeSet::new() };
    naming.begun(Attempt(2), Some(&named(&["a", "b"])), TTL / 2);
    assert_eq!(round.end(&naming), at(5_950), "it may be in the store, and whoever reads it waits no longer");
    naming.landed(Attempt(2));
    assert_eq!(round.end(&naming), at(5_950), "it is in the store");
}

#[test]
fn whoever_may_lead_or_knows_better_refuses() {
    let refused = |known: Known| agree(&ask(5), &known, None, at(0)).unwrap_err();
    assert_eq!(refused(Known { primary: true, ..Known::default() }), Refused::Primary);
    assert_eq!(refused(Known { taking: true, ..Known::default() }), Refused::Taking);
    let higher = Known { highest: Epoch(6), ..Known::default() };
    assert_eq!(refused(higher), Refused::HigherEpoch { known: Epoch(6), asked: Epoch(5) });
    let other = |holder: &str, nonce| Known { record: Some((holder.into(), nonce, Epoch(5))), ..Known::default() };
    assert!(matches!(refused(other("b", 7)), Refused::OtherHolder { .. }));
    assert!(matches!(refused(other("a", 8)), Refused::OtherHolder { .. }), "a twin");
    let promised = |epoch, to: &str| Known {
        promised: Promised { epoch: Epoch(epoch), to: Some(to.into()), cut: true },
        ..Known::default()
    };
    assert_eq!(refused(promised(6, "a")), Refused::HigherEpoch { known: Epoch(6), asked: Epoch(5) });
    assert_eq!(refused(promised(5, "b")), Refused::OtherHolder { holder: "b".into(), epoch: Epoch(5) });
    assert!(agree(&ask(5), &promised(5, "a"), None, at(0)).is_ok());
    assert!(matches!(refused(Known { went_back: true, ..Known::default() }), Refused::StoreWentBack { .. }));
    let same = Known { went_back: true, ..other("a", 7) };
    assert!(agree(&ask(5), &same, None, at(0)).is_ok());
    let stale = Known { stale: true, ..same };
    assert!(matches!(refused(stale), Refused::StoreWentBack { .. }), "whom the holder's last record named is not known");
    let older = Known { record: Some(("b".into(), 1, Epoch(4))), highest: Epoch(4), ..Known::default() };
    assert!(agree(&ask(5), &older, None, at(0)).is_ok(), "the watch was cut off before this leadership began");
}

#[test]
fn an_agreement_binds_against_lower_epochs_while_it_lasts() {
    let bound = agree(&ask(5), &Known::default(), None, at(0)).unwrap();
    assert!(agree(&ask(4), &Known::default(), Some(&bound), at(10_099)).is_err());
    assert!(agree(&ask(4), &Known::default(), Some(&bound), at(10_100)).is_ok());
    let again = agree(&ask(5), &Known::default(), Some(&bound), at(8_000)).unwrap();
    assert!(again.binds(at(18_099)));
    let twin = Ask { nonce: 8, ..ask(5) };
    assert!(agree(&twin, &Known::default(), Some(&bound), at(1)).is_err());
}

#[test]
fn the_voters_are_all_whom_any_record_that_may_be_there_names() {
    let mut naming = Naming::default();
    assert_eq!(names(&naming), None, "nothing has landed: anybody may take over");
    let (abc, abd) = (named(&["a", "b", "c"]), named(&["a", "b", "d"]));
    naming.begun(Attempt(1), Some(&abc), TTL);
    assert_eq!(names(&naming), None, "the record before it may still be there");
    naming.landed(Attempt(1));
    assert_eq!(names(&naming).as_deref(), Some("b,c"));
    naming.begun(Attempt(2), Some(&abd), TTL);
    naming.begun(Attempt(3), Some(&abd), TTL);
    assert_eq!(names(&naming).as_deref(), Some("b,c,d"));
    naming.landed(Attempt(2));
    assert_eq!(names(&naming).as_deref(), Some("b,c,d"), "a later one may have landed as well");
    naming.landed(Attempt(3));
    assert_eq!(names(&naming).as_deref(), Some("b,d"));
    naming.begun(Attempt(4), None, TTL);
    assert_eq!(names(&naming), None, "it may have been switched off");
    naming.begun(Attempt(5), Some(&abc), TTL);
    assert_eq!(names(&naming), None);
    naming.landed(Attempt(5));
    assert_eq!(names(&naming).as_deref(), Some("b,c"));
    naming.unknown();
    assert_eq!(names(&naming), None);
}

#[test]
fn both_addresses_of_a_member_that_moved_are_asked() {
    let mut naming = Naming::default();
    let moved: Named = [("b".into(), "http://elsewhere".to_owned())].into();
    naming.begun(Attempt(1), Some(&named(&["b"])), TTL);
    naming.landed(Attempt(1));
    naming.begun(Attempt(2), Some(&moved), TTL);
    assert_eq!(names(&naming).as_deref(), Some("b,b"));
}

#[test]
fn a_restarted_agent_asks_all_that_were_kept() {
    let kept: BTreeSet<_> = named(&["a", "b", "c"]).into_iter().collect();
    let mut naming = Naming::kept(kept, TTL);
    assert_eq!(names(&naming).as_deref(), Some("b,c"));
    naming.begun(Attempt(9), Some(&named(&["a", "b"])), TTL);
    assert_eq!(names(&naming).as_deref(), Some("b,c"), "an attempt of the process before may still land");
    naming.landed(Attempt(9));
    assert_eq!(names(&naming).as_deref(), Some("b"));
}

#[test]
fn a_ttl_that_was_shortened_takes_back_nothing() {
    let long = agree(&ask(5), &Known::default(), None, at(0)).unwrap();
    let short = Ask { ttl: TTL / 5, ..ask(5) };
    let again = agree(&short, &Known::default(), Some(&long), at(1_000)).unwrap();
    assert!(again.binds(at(10_099)) && !again.binds(at(10_100)));
    let mut naming = Naming::default();
    let named = named(&["a", "b"]);
    naming.begun(Attempt(1), Some(&named), TTL);
    naming.landed(Attempt(1));
    assert_eq!((naming.ttl(TTL * 2), naming.ttl(TTL / 2)), (TTL, TTL / 2), "whoever restarts waits by the record");
    naming.begun(Attempt(2), Some(&named), TTL / 5);
    assert_eq!(naming.ttl(TTL), TTL / 5, "it may have landed");
    naming.begun(Attempt(3), Some(&named), TTL);
    naming.landed(Attempt(3));
    assert_eq!(naming.ttl(TTL), TTL);
}
