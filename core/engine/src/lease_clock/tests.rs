//! Both clocks of the lease.

use super::*;

const TTL: Duration = Duration::from_secs(10);

fn at(boot_ms: u64, raw_ms: u64) -> Reading {
    Reading { boot: Moment::from_nanos(boot_ms * 1_000_000), raw: Moment::from_nanos(raw_ms * 1_000_000) }
}

#[test]
fn the_holder_counts_from_before_the_send_and_ends_early() {
    let mut clock = HolderClock::default();
    let attempt = clock.begin(at(1_000, 5_000), TTL);
    assert_eq!(clock.left(at(1_000, 5_000)), Duration::ZERO, "nothing is held before an attempt landed");
    assert!(clock.landed(attempt));
    assert_eq!(clock.left(at(1_000, 5_000)), Duration::from_millis(9_900));
    assert_eq!(clock.until_moment(at(1_000, 5_000)), at(10_900, 0).boot);
}

#[test]
fn the_clock_that_ran_further_ends_the_holder() {
    let mut clock = HolderClock::default();
    let attempt = clock.begin(at(0, 0), TTL);
    assert!(clock.landed(attempt));
    assert_eq!(clock.left(at(5_000, 9_900)), Duration::ZERO, "boot time slewed slow must not lengthen the lease");
    assert_eq!(clock.left(at(9_900, 5_000)), Duration::ZERO);
    assert_eq!(clock.until_moment(at(5_000, 9_000)), at(5_900, 0).boot);
    assert!(clock.until_moment(at(5_000, 10_900)) < at(5_000, 0).boot, "past on one clock is past");
}

#[test]
fn a_shorter_ttl_is_not_written_before_the_lease_has_run_down_to_it() {
    let mut clock = HolderClock::default();
    let short = Duration::from_secs(5);
    assert_eq!(clock.ttl_to_write(at(0, 0), short), short);
    let first = clock.begin(at(0, 0), TTL);
    assert!(clock.landed(first));
    for (now, boot, raw) in [(2_000, 2_000, 2_000), (4_800, 4_800, 4_800), (4_800, 4_800, 2_000)] {
        let left = 9_900 - raw.min(boot);
        let written = clock.ttl_to_write(at(boot, raw), short);
        assert!(holder_term(written) >= Duration::from_millis(left), "{now}: {written:?}");
        assert!(written <= TTL && written >= short);
        assert_eq!(written.subsec_nanos() % 1_000_000, 0, "a record says whole milliseconds");
    }
    assert_eq!(clock.ttl_to_write(at(5_000, 5_000), short), short);
    assert_eq!(clock.ttl_to_write(at(2_000, 2_000), TTL * 2), TTL * 2, "a longer one holds at once");
}

#[test]
fn an_older_record_of_a_restored_store_does_not_shorten_what_was_promised() {
    let mut clock = ObserverClock::default();
    clock.saw(Revision(9), at(0, 0), TTL * 2);
    clock.forget(at(500, 500), Duration::ZERO);
    clock.saw(Revision(5), at(1_000, 1_000), TTL / 2);
    assert!(!clock.is_over(at(20_199, 20_199)), "the holder of revision 9 may still count on its ttl");
    assert!(clock.is_over(at(20_200, 20_200)));
    clock.saw(Revision(10), at(30_000, 30_000), TTL / 2);
    assert!(clock.is_over(at(35_050, 35_050)), "nothing is left of what is over");
}

#[test]
fn what_a_forgotten_holder_may_count_with_is_waited_for_from_when_it_was_forgotten() {
    let mut clock = ObserverClock::default();
    clock.saw(Revision(9), at(0, 0), TTL * 2);
    clock.forget(at(10_000, 10_000), TTL * 2);
    assert_eq!(clock.went_back(), Some(at(10_000, 10_000)));
    clock.saw(Revision(5), at(11_000, 11_000), TTL / 2);
    assert!(!clock.is_over(at(31_199, 31_199)) && clock.is_over(at(31_200, 31_200)));
    let trusts = |now| clock.trusts_a_release(at(now, now), TTL / 2);
    assert!(!trusts(30_199) && trusts(30_200));
    clock.saw(Revision(10), at(40_000, 40_000), TTL / 2);
    assert!(!clock.is_over(at(45_049, 45_049)) && clock.is_over(at(45_050, 45_050)));
}

#[test]
fn a_lost_answer_extends_nothing_and_a_read_back_counts_from_its_own_send() {
    let mut clock = HolderClock::default();
    let first = clock.begin(at(0, 0), TTL);
    assert!(clock.landed(first));
    let second = clock.begin(at(2_000, 2_000), TTL);
    let third = clock.begin(at(4_000, 4_000), TTL);
    assert_eq!(clock.until(), Some(at(9_900, 9_900)), "attempts on their way count for nothing");
    assert!(clock.landed(second));
    assert_eq!(clock.until(), Some(at(11_900, 11_900)));
    clock.dropped(third);
    assert!(!clock.landed(third));
    assert!(!clock.landed(Attempt(77)), "the number of somebody else's attempt");
    assert_eq!(clock.until(), Some(at(11_900, 11_900)));
}

#[test]
fn an_answer_that_arrives_late_never_shortens() {
    let mut clock = HolderClock::default();
    let first = clock.begin(at(0, 0), TTL);
    let second = clock.begin(at(2_000, 2_000), TTL);
    assert!(clock.landed(second));
    assert!(!clock.landed(first), "older than what is known to have landed");
    assert_eq!(clock.until(), Some(at(11_900, 11_900)));
}

#[test]
fn numbers_are_new_after_a_restart_of_the_process() {
    let mut before = HolderClock::default();
    let old = before.begin(at(1_000, 0), TTL);
    let newer = before.begin(at(1_000, 0), TTL);
    let mut after = HolderClock::default();
    let new = after.begin(at(1_001, 0), TTL);
    assert!(old < newer && newer < new);
}

#[test]
fn forgotten_attempts_are_bounded() {
    let mut clock = HolderClock::default();
    let first = clock.begin(at(0, 0), TTL);
    for turn in 1..=HolderClock::REMEMBERED as u64 {
        clock.begin(at(turn, turn), TTL);
    }
    assert!(!clock.landed(first));
    assert_eq!(clock.until(), None);
}

#[test]
fn others_wait_longer_than_the_holder_counts_on_whatever_the_clocks_do() {
    let mut observer = ObserverClock::default();
    observer.saw(Revision(7), at(0, 0), TTL);
    assert!(!observer.is_over(at(10_099, 10_099)));
    assert!(!observer.is_over(at(20_000, 10_099)), "a clock slewed fast must not end somebody else's lease");
    assert!(!observer.is_over(at(10_099, 20_000)));
    assert!(observer.is_over(at(10_100, 10_100)));
    assert_eq!(observer.over_at(at(4_000, 4_000)), at(10_100, 0).boot);
    assert_eq!(observer.over_at(at(11_100, 11_100)), at(10_100, 0).boot);
}

#[test]
fn the_same_revision_received_again_does_not_restart_the_clock_and_a_new_one_does() {
    let mut observer = ObserverClock::default();
    observer.saw(Revision(7), at(0, 0), TTL);
    observer.saw(Revision(7), at(9_000, 9_000), TTL);
    assert!(observer.is_over(at(10_100, 10_100)));
    observer.saw(Revision(8), at(10_100, 10_100), TTL);
    assert!(!observer.is_over(at(10_100, 10_100)));
}

#[test]
fn a_confirmation_counts_only_for_a_read_sent_after_the_end_and_for_the_same_revision() {
    let mut observer = ObserverClock::default();
    observer.saw(Revision(7), at(0, 0), TTL);
    assert!(!observer.confirm(Revision(7), at(10_000, 10_000), at(10_200, 10_200)), "sent before the end");
    assert!(!observer.confirm(Revision(8), at(10_100, 10_100), at(10_200, 10_200)), "another revision");
    assert_eq!(observer.vacant_since(), None);
    assert!(observer.confirm(Revision(7), at(10_100, 10_100), at(10_200, 10_200)));
    assert_eq!(observer.vacant_since(), Some(at(10_200, 0).boot));
    observer.saw(Revision(8), at(10_300, 10_300), TTL);
    assert_eq!(observer.vacant_since(), None, "a newer revision takes the vacancy back");
}

#[test]
fn who_has_agreed_to_wait_asks_anew() {
    let mut observer = ObserverClock::default();
    observer.saw(Revision(7), at(0, 0), TTL);
    assert!(observer.confirm(Revision(7), at(10_100, 10_100), at(10_200, 10_200)));
    observer.unconfirm(at(10_300, 10_300));
    assert_eq!(observer.vacant_since(), None);
    assert!(!observer.confirm(Revision(7), at(10_250, 10_250), at(10_400, 10_400)), "asked before it agreed");
    assert!(!observer.confirm(Revision(7), at(10_301, 10_299), at(10_400, 10_400)), "so says one of the clocks");
    assert_eq!(observer.vacant_since(), None);
    assert!(observer.confirm(Revision(7), at(20_000, 20_000), at(20_100, 20_100)));
}

#[test]
fn nothing_received_is_never_over() {
    let observer = ObserverClock::default();
    assert!(!observer.is_over(at(u32::MAX.into(), u32::MAX.into())));
    assert_eq!(observer.over_at(at(0, 0)), Moment::MAX);
}
