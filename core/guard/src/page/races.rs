//! Exactly one of extension and taking wins, wherever they meet.

use super::*;
use crate::page::Page;
use std::{
    sync::atomic::{AtomicBool, AtomicU64},
    thread,
};

const TTL: u64 = 10;

fn armed(epoch: u64, boot: u64, raw: u64) -> Page {
    let page = Page::create(1).unwrap().0;
    page.arm(epoch, boot, raw, TTL);
    page
}

fn view(page: &Page) -> (u64, u64, u64) {
    let armed = page.arm_view().expect("armed");
    (armed.epoch, armed.boot, armed.raw)
}

/// Run `guard` before the `at`-th step of an extension; the outcome, or `None` when the extension has fewer steps.
fn extend_with(page: &Page, epoch: u64, boot: u64, raw: u64, at: usize, guard: &mut dyn FnMut()) -> Option<Extend> {
    let mut steps = 0;
    let outcome = page.extend_stepwise(epoch, boot, raw, &mut || {
        if steps == at {
            guard();
        }
        steps += 1;
    });
    (steps > at).then_some(outcome)
}

#[test]
fn an_extension_changes_all_or_nothing() {
    let page = armed(7, 1000, 2000);
    assert_eq!(page.extend(7, 1501, 2500), Extend::Extended);
    assert_eq!(view(&page), (7, 1500, 2500));
    assert_eq!(page.extend(7, 1600, 2499), Extend::Shorter);
    assert_eq!(page.extend(7, 1500, 2600), Extend::Shorter);
    assert_eq!(page.extend(8, 1600, 2600), Extend::NotArmed);
    assert_eq!(view(&page), (7, 1500, 2500));
    page.disarm();
    assert_eq!(page.extend(7, 1700, 2700), Extend::NotArmed);
    page.take_any();
    assert_eq!(page.deadline(), Deadline::Unarmed, "taking needs something to take");
}

#[test]
fn the_first_of_the_two_clocks_counts() {
    let armed = armed(7, 1000, 2000).arm_view().unwrap();
    assert_eq!(armed.left(Now { boot: 900, raw: 900 }, 0), 100);
    assert_eq!(armed.left(Now { boot: 900, raw: 1990 }, 0), 10);
    assert_eq!(armed.left(Now { boot: 900, raw: 1900 }, 60), 40);
    assert_eq!(armed.left(Now { boot: 1000, raw: 0 }, 0), 0);
    assert_eq!(armed.left(Now { boot: 0, raw: 2000 }, 0), 0);
}

#[test]
fn taking_at_every_step_of_an_extension() {
    for at in 0.. {
        let page = armed(7, 1000, 2000);
        let judged = page.arm_view().unwrap();
        let mut taken = None;
        let Some(outcome) = extend_with(&page, 7, 1500, 2500, at, &mut || taken = Some(page.take(&judged))) else {
            assert_eq!(at, 4, "every step was tried");
            break;
        };
        assert_eq!((taken, outcome, page.deadline()), (Some(true), Extend::Fenced, Deadline::Fenced), "before step {at}");
        assert_eq!(page.extend(7, 1600, 2600), Extend::Fenced);
    }
}

#[test]
fn an_extension_between_judging_and_taking_wins() {
    let page = armed(7, 1000, 2000);
    let judged = page.arm_view().unwrap();
    assert_eq!(page.extend(7, 1500, 2500), Extend::Extended);
    assert!(!page.take(&judged));
    assert_eq!(view(&page), (7, 1500, 2500));
}

#[test]
fn arming_anew_at_every_step_of_an_extension() {
    // Another epoch, also with the very same deadline, and with and without a fence or a disarming in between.
    for (epoch, boot, raw) in [(8, 1000, 2000), (8, 1000, 3000), (8, 1002, 2000), (8, 900, 1800), (8, 3000, 4000)] {
        for between in 0..3 {
            for at in 0.. {
                let page = armed(7, 1000, 2000);
                let mut rearm = || {
                    match between {
                        0 => {}
                        1 => page.disarm(),
                        _ => page.take_any(),
                    }
                    page.arm(epoch, boot, raw, TTL);
                };
                let Some(outcome) = extend_with(&page, 7, 1500, 2500, at, &mut rearm) else { break };
                assert_eq!(outcome, Extend::NotArmed);
                let (now_epoch, now_boot, now_raw) = view(&page);
                assert_eq!((now_epoch, now_raw), (epoch, raw), "step {at}: the old lease's time leaked into the new one");
                assert!(now_boot == boot || now_boot + 2 == boot);
            }
        }
    }
}

#[test]
fn the_old_epochs_last_extension_is_either_before_or_void() {
    for at in 0.. {
        let page = armed(7, 1000, 2000);
        // The same epoch armed anew and shorter (a lease whose ttl was lowered): the extension is judged against that.
        let Some(outcome) = extend_with(&page, 7, 1500, 2500, at, &mut || page.arm(7, 1200, 2200, TTL)) else { break };
        assert_eq!((outcome, view(&page)), (Extend::Extended, (7, 1500, 2500)));
    }
}

/// Threads: an extender, a taker that judges and takes, and a reader that must never see a torn pair.
#[test]
fn under_load_no_pair_is_torn_and_every_taking_is_seen() {
    const ROUNDS: u64 = 200_000;
    let page = armed(1, 1000, 1000 * 3);
    let done = AtomicBool::new(false);
    let (extended, lost) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let (begun, mut boot) = (std::time::Instant::now(), 1000);
            let mut rounds = 0;
            // A busy machine may run one thread after the other: then they have not met yet.
            while rounds < ROUNDS || extended.load(SeqCst) == 0 && begun.elapsed() < std::time::Duration::from_secs(120) {
                rounds += 1;
                boot += 2;
                let epoch = page.epoch();
                match page.extend(epoch, boot, boot * 3) {
                    Extend::Extended => extended.fetch_add(1, SeqCst),
                    Extend::Fenced => lost.fetch_add(1, SeqCst),
                    Extend::NotArmed | Extend::Shorter => 0,
                };
            }
            done.store(true, SeqCst);
        });
        scope.spawn(|| {
            while !done.load(SeqCst) {
                if let Some(armed) = page.arm_view() {
                    assert_eq!(armed.raw, armed.boot * 3, "torn");
                }
            }
        });
        let mut epoch = 1;
        while !done.load(SeqCst) {
            let Some(judged) = page.arm_view() else { continue };
            if page.take(&judged) {
                assert_eq!(page.deadline(), Deadline::Fenced, "fenced, but extended");
                epoch += 1;
                page.arm(epoch, judged.boot + 2, (judged.boot + 2) * 3, TTL);
            }
        }
    });
    assert!(extended.load(SeqCst) > 0, "the threads met: {extended:?} extended, {lost:?} lost");
}
