//! A host that dies, stops, hangs or lies: it is replaced, its calls are made again, and nobody waits for it.

use crate::bench::{Bench, block_on, face, plugin, wait};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tanist_broker::{Runs, protocol::Action};
use tanist_engine::Callback;

const WALL: Duration = Duration::from_secs(5);

fn node(wall: Duration) -> Vec<tanist_broker::PluginConfig> {
    vec![plugin("vip", Runs::Node, wall)]
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn gone(pid: i32) -> Option<()> {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_err().then_some(())
}

/// The first call was lost with its host, and made again with the same key by another one.
fn assert_redelivered(bench: &mut Bench, first: i32) {
    let lost = bench.callback();
    let again = bench.callback();
    assert_eq!((lost.0, lost.1, lost.2), (again.0, again.1, false));
    assert!(again.2);
    assert_ne!(bench.host(), first);
    wait("the old host to be gone", || gone(first));
    let host = bench.handle.watch().borrow().host.clone();
    assert_eq!(host.restarts, 1, "{host:?}");
}

#[test]
fn a_host_killed_in_a_call_is_replaced_and_the_call_made_again() {
    let mut bench = Bench::new(node(WALL), &["hang", "ok"]);
    let host = bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    wait("the call", || (bench.called().len() == 1).then_some(()));
    signal(host, Signal::KILL);
    assert_redelivered(&mut bench, host);
}

#[test]
fn a_stopped_host_is_killed_and_the_call_made_again() {
    let mut bench = Bench::new(node(WALL), &["hang", "ok"]);
    let host = bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    wait("the call", || (bench.called().len() == 1).then_some(()));
    signal(host, Signal::STOP);
    assert_redelivered(&mut bench, host);
    assert!(bench.handle.watch().borrow().host.last_loss.as_deref().is_some_and(|why| why.contains("silent")));
}

#[test]
fn a_host_that_was_stopped_while_idle_does_not_hold_up_the_next_event() {
    let mut bench = Bench::new(node(WALL), &["ok"]);
    let host = bench.host();
    signal(host, Signal::STOP);
    bench.emit(Callback::OnRoleChange, 9);
    assert_redelivered(&mut bench, host);
    assert_eq!(bench.called().len(), 1, "the stopped host never saw it");
}

#[test]
fn a_host_that_ends_by_itself_or_talks_nonsense_is_replaced() {
    for word in ["die", "garbage", "deaf"] {
        let mut bench = Bench::new(node(WALL), &[word, "ok"]);
        let host = bench.host();
        bench.emit(Callback::OnRoleChange, 9);
        assert_redelivered(&mut bench, host);
    }
}

#[test]
fn a_call_past_its_time_is_cancelled_and_what_it_asks_for_then_is_expired() {
    let mut plugins = vec![plugin("dns-update", Runs::Leader, Duration::from_millis(200))];
    plugins[0].manifest.on_failure = tanist_broker::OnFailure::Reconcile;
    let mut bench = Bench::new(plugins, &["claim-when-cancelled"]);
    bench.lease(9, Duration::from_secs(60));
    bench.handle.face(face(9, true));
    let host = bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    assert!(!bench.callback().2);
    assert_eq!(bench.notes("answers"), ["the call has expired"]);
    assert!(bench.dns.claims.lock().unwrap().is_empty());
    assert_eq!(bench.host(), host, "a host that drops the call is a good host");
}

#[test]
fn a_host_that_does_not_drop_a_cancelled_call_is_killed() {
    let mut bench = Bench::new(node(Duration::from_millis(100)), &["hang", "ok"]);
    let host = bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    assert_redelivered(&mut bench, host);
    assert!(bench.handle.watch().borrow().host.last_loss.as_deref().is_some_and(|why| why.contains("cancelled")));
}

#[test]
fn the_agent_never_waits_whatever_the_host_does() {
    let bench = Bench::new(node(WALL), &["hang"]);
    let host = bench.host();
    signal(host, Signal::STOP);
    let start = Instant::now();
    for epoch in 0..5_000 {
        bench.emit(Callback::OnRoleChange, epoch);
        bench.handle.face(face(epoch, true));
        bench.no_lease(epoch);
        assert_eq!(bench.handle.status().len(), 1);
    }
    let spent = start.elapsed();
    println!("20,000 words to a broker with a stopped host took {spent:?}");
    // The broker itself needs 500 ms to find out: had one word waited for the host, it would show.
    assert!(spent < Duration::from_millis(400), "{spent:?}");
}

#[test]
fn a_host_that_cannot_be_started_is_shown_and_holds_up_nothing() {
    let bench = Bench::with(node(WALL), &[], |config| config.host.program = PathBuf::from("/nowhere/tanist-plugin-host"));
    bench.emit(Callback::OnRoleChange, 9);
    wait("the report", || bench.handle.watch().borrow().host.last_loss.clone().filter(|why| why.contains("/nowhere/")));
    wait("the event to wait", || (bench.handle.status()[0].pending == [Action::OnRoleChange]).then_some(()));
    block_on(bench.handle.shutdown(Duration::ZERO));
}

#[test]
fn a_host_of_another_version_is_not_used() {
    let bench = Bench::with(node(WALL), &[], |config| config.host.env.push(("FAKE_HOST_VERSION".to_owned(), "99".to_owned())));
    bench.emit(Callback::OnRoleChange, 9);
    wait("the report", || bench.handle.watch().borrow().host.last_loss.clone().filter(|why| why.contains("version 99")));
    assert!(bench.called().is_empty());
}

#[test]
fn the_host_ends_with_the_broker() {
    let bench = Bench::new(node(WALL), &[]);
    let host = bench.host();
    block_on(bench.handle.shutdown(Duration::ZERO));
    wait("the host to be gone", || gone(host));
}
