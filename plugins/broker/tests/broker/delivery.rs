//! Delivery over a real host process: order, retry, journal, the leader's plugins, claims.

use crate::bench::{Bench, block_on, face, plugin, wait};
use std::{fs, time::Duration};
use tanist_broker::{Breaker, Certainty, JournalState, Runs, protocol::Action};
use tanist_engine::Callback;

const WALL: Duration = Duration::from_secs(5);

fn node() -> Vec<tanist_broker::PluginConfig> {
    vec![plugin("vip", Runs::Node, WALL)]
}

fn leader() -> Vec<tanist_broker::PluginConfig> {
    vec![plugin("dns-update", Runs::Leader, WALL)]
}

#[test]
fn a_failed_callback_is_called_again_with_the_same_key_until_it_succeeds() {
    let mut bench = Bench::new(node(), &["fail", "fail", "ok"]);
    bench.emit(Callback::OnRoleChange, 9);
    let ends = [bench.callback(), bench.callback(), bench.callback()];
    assert_eq!(ends.map(|(_, _, ok)| ok), [false, false, true]);
    assert!(ends.iter().all(|(action, sequence, _)| *action == Action::OnRoleChange && *sequence == ends[0].1));
    let keys: Vec<String> = bench.called().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key.starts_with("main/9/a/on_role_change/")), "{keys:?}");
    let status = &bench.handle.status()[0];
    assert_eq!((status.retries, status.failed, status.breaker), (0, 2, Breaker::Closed));
}

#[test]
fn while_a_call_runs_only_the_latest_role_waits() {
    let mut bench = Bench::new(node(), &["wait", "ok"]);
    bench.emit(Callback::OnRoleChange, 1);
    wait("the first call", || (bench.called().len() == 1).then_some(()));
    bench.emit(Callback::OnRoleChange, 2);
    bench.emit(Callback::OnReload, 2);
    bench.emit(Callback::OnRoleChange, 3);
    wait("the waiting events", || (bench.handle.status()[0].pending == [Action::OnRoleChange, Action::OnReload]).then_some(()));
    bench.go();
    let ends = [bench.callback(), bench.callback(), bench.callback()];
    assert_eq!(
        ends.map(|(action, _, ok)| (action, ok)),
        [(Action::OnRoleChange, true), (Action::OnRoleChange, true), (Action::OnReload, true),]
    );
    let epochs: Vec<String> = bench.called().iter().map(|line| line.split('/').nth(1).unwrap().to_owned()).collect();
    assert_eq!(epochs, ["1", "3", "2"]);
}

#[test]
fn what_was_not_acknowledged_is_called_again_after_a_crash_of_the_agent() {
    let mut bench = Bench::new(node(), &["hang", "ok"]);
    bench.emit(Callback::OnRoleChange, 9);
    wait("the call", || (bench.called().len() == 1).then_some(()));
    bench.restart();
    let (action, first, ok) = bench.callback();
    assert_eq!((action, ok), (Action::OnRoleChange, true));
    let keys: Vec<String> = bench.called().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(keys[0], keys[1]);
    wait("the journal", || {
        let text = fs::read_to_string(bench.directory.path().join("journal/vip.journal")).ok()?;
        text.contains("\"pending\":[]").then_some(())
    });
    bench.restart();
    bench.host();
    bench.emit(Callback::OnRoleChange, 10);
    assert!(bench.callback().1 > first, "numbers go on");
    assert_eq!(bench.called().len(), 3, "what was acknowledged is not called again");
}

#[test]
fn a_damaged_journal_is_reported_and_in_nobodys_way() {
    let mut bench = Bench::new(node(), &[]);
    bench.emit(Callback::OnRoleChange, 9);
    bench.callback();
    let path = bench.directory.path().join("journal/vip.journal");
    wait("the journal", || path.exists().then_some(()));
    block_on(bench.handle.shutdown(Duration::from_secs(5)));
    fs::write(&path, "tanist-journal 2 nonsense").unwrap();
    bench.restart();
    wait("the report", || match &bench.handle.status().first()?.journal {
        JournalState::Problem(text) if text.contains("damaged") => Some(()),
        _ => None,
    });
    bench.emit(Callback::OnRoleChange, 10);
    assert!(bench.callback().2);
}

#[test]
fn a_service_that_ends_delivers_its_stop_first() {
    let mut bench = Bench::new(node(), &["wait"]);
    bench.host();
    bench.emit(Callback::OnStop, 9);
    wait("the call", || (bench.called().len() == 1).then_some(()));
    bench.go();
    block_on(bench.handle.shutdown(Duration::from_secs(20)));
    let (action, _, ok) = bench.callback();
    assert_eq!((action, ok), (Action::OnStop, true));
}

#[test]
fn a_leaders_plugin_waits_for_lease_and_publication() {
    let mut plugins = leader();
    plugins.extend(node());
    let mut bench = Bench::new(plugins, &["ok", "ok", "claim"]);
    bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    assert!(bench.callback().2, "the node's own plugin is called at once");
    bench.lease(9, Duration::from_secs(60));
    // Whoever is called for this was asked after the lease was known, and the leader's plugin would have been called before.
    bench.emit(Callback::OnReload, 9);
    assert!(bench.callback().2);
    assert_eq!(bench.handle.status()[0].pending, [Action::OnRoleChange, Action::OnReload]);
    assert!(bench.called().iter().all(|line| line.starts_with("vip ")), "{:?}", bench.called());
    bench.handle.face(face(9, true));
    assert!(bench.callback().2);
    let claims = bench.dns.claims.lock().unwrap().clone();
    assert_eq!(claims.iter().map(|claim| (claim.name.as_str(), claim.epoch)).collect::<Vec<_>>(), [("primary.example.org", 9)]);
    let ledger = bench.handle.watch().borrow().ledger.clone();
    assert_eq!(
        ledger.iter().map(|entry| (entry.value.as_str(), entry.certainty)).collect::<Vec<_>>(),
        [("10.0.0.1", Certainty::Applied)]
    );
    wait("reconcile", || bench.notes("calls").iter().any(|line| line.starts_with("dns-update reconcile")).then_some(()));
}

#[test]
fn a_claim_of_an_epoch_that_is_over_is_refused_and_its_event_dropped() {
    let mut bench = Bench::new(leader(), &["claim-after-go"]);
    bench.lease(9, Duration::from_secs(60));
    bench.handle.face(face(9, true));
    bench.emit(Callback::OnRoleChange, 9);
    wait("the call", || (bench.called().len() == 1).then_some(()));
    bench.no_lease(10);
    wait("the loss of leadership", || (!bench.handle.status()[0].active).then_some(()));
    bench.go();
    assert!(!bench.callback().2);
    assert_eq!(bench.notes("answers"), ["epoch 9 is not the current one (10)"]);
    assert!(bench.dns.claims.lock().unwrap().is_empty());
    wait("the event to be dropped", || bench.handle.status()[0].pending.is_empty().then_some(()));
}

#[test]
fn a_claim_with_less_lease_than_time_is_refused_until_the_lease_is_renewed() {
    let mut bench = Bench::new(leader(), &["claim", "claim"]);
    bench.lease(9, WALL - Duration::from_millis(1));
    bench.handle.face(face(9, true));
    bench.emit(Callback::OnRoleChange, 9);
    assert!(!bench.callback().2);
    assert!(bench.notes("answers")[0].contains("of lease are left"), "{:?}", bench.notes("answers"));
    assert!(bench.dns.claims.lock().unwrap().is_empty());
    bench.lease(9, WALL * 10);
    assert!(bench.callback().2);
    assert_eq!(bench.dns.claims.lock().unwrap().len(), 1);
}

#[test]
fn a_claim_fits_into_the_lease_that_is_in_force_now() {
    let mut bench = Bench::new(leader(), &["claim"]);
    // Shorter than the call that the manifest asks for.
    bench.lease_of(Duration::from_secs(4), 9, Duration::from_millis(3_900));
    bench.handle.face(face(9, true));
    bench.emit(Callback::OnRoleChange, 9);
    assert!(bench.callback().2, "{:?}", bench.notes("answers"));
    assert_eq!(bench.dns.claims.lock().unwrap().len(), 1);
}

/// What was called for and claimed, by epoch, once this node leads under 12 what it led under 9.
fn led_again(script: &[&str], meanwhile: impl FnOnce(&mut Bench)) -> (Vec<String>, Vec<u64>) {
    let mut bench = Bench::with(leader(), script, |config| config.tuning.retry_first = Duration::from_secs(10));
    bench.lease(9, Duration::from_secs(60));
    bench.handle.face(face(9, true));
    bench.emit(Callback::OnRoleChange, 9);
    meanwhile(&mut bench);
    bench.lease(12, Duration::from_secs(60));
    bench.handle.face(face(12, true));
    // The engine's epoch of a role is that of its announcement.
    bench.emit(Callback::OnReload, 9);
    bench.go();
    while bench.callback().0 != Action::OnReload {}
    let keys = bench.called().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    let claims = bench.dns.claims.lock().unwrap().iter().map(|claim| claim.epoch).collect();
    (keys, claims)
}

#[test]
fn what_waits_when_this_node_leads_again_is_told_under_the_new_epoch_with_its_old_key() {
    let (keys, claims) = led_again(&["fail", "claim", "claim"], |bench| assert!(!bench.callback().2));
    assert_eq!((keys.len(), &keys[0]), (3, &keys[1]));
    assert!(keys[1].contains("/on_role_change/") && keys[2].contains("/on_reload/"), "{keys:?}");
    assert_eq!(claims, [12, 12]);
}

#[test]
fn a_call_under_way_when_this_node_leads_again_is_fenced_and_made_again() {
    let called = |bench: &mut Bench| wait("the call", || (bench.called().len() == 1).then_some(()));
    let (keys, claims) = led_again(&["claim-after-go", "claim", "claim"], called);
    assert_eq!((keys.len(), &keys[0]), (3, &keys[1]));
    assert_eq!(claims, [12, 12]);
}

#[test]
fn a_plugin_is_called_after_those_it_comes_after_whatever_their_place_in_the_list() {
    let mut plugins = vec![plugin("pooler", Runs::Node, WALL), plugin("vip", Runs::Node, WALL)];
    plugins[0].manifest.after = ["vip".to_owned()].into();
    let mut bench = Bench::new(plugins, &["wait", "ok"]);
    bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    wait("the call of the first", || (bench.called().len() == 1).then_some(()));
    wait("the other to wait", || (bench.handle.status()[0].pending == [Action::OnRoleChange]).then_some(()));
    // Longer than a broker that forgot about the order would need.
    std::thread::sleep(Duration::from_millis(100));
    assert!(bench.called().len() == 1 && bench.called()[0].starts_with("vip "), "{:?}", bench.called());
    bench.go();
    assert!(bench.callback().2 && bench.callback().2);
    assert!(bench.called()[1].starts_with("pooler "), "{:?}", bench.called());
}

#[test]
fn a_plugin_that_fails_is_not_waited_for_longer_than_its_patience() {
    let mut plugins = vec![plugin("vip", Runs::Node, WALL), plugin("pooler", Runs::Node, WALL)];
    plugins[1].manifest.after = ["vip".to_owned()].into();
    let script = ["fail", "fail", "fail", "fail", "fail", "fail"];
    let mut bench = Bench::with(plugins, &script, |config| config.tuning.order_patience = Duration::from_millis(500));
    bench.host();
    bench.emit(Callback::OnRoleChange, 9);
    let start = std::time::Instant::now();
    let called = |name: &str| bench.called().iter().any(|line| line.starts_with(name));
    wait("the other to be called", || called("pooler ").then_some(()));
    assert!(start.elapsed() >= Duration::from_millis(500) && called("vip "), "{:?}", start.elapsed());
    bench.callback();
}

#[test]
fn the_new_leader_releases_on_behalf_of_the_one_that_is_gone_before_it_claims() {
    let mut plugins = leader();
    plugins[0].manifest.release = true;
    // Wants no event; its reconcile shows which face the broker has seen.
    plugins.extend(node());
    plugins[1].manifest.events.clear();
    let mut bench = Bench::new(plugins, &["ok", "claim", "ok"]);
    bench.host();
    let other = tanist_broker::ClusterFace { leader: Some("b".into()), ..face(8, false) };
    bench.handle.face(other);
    wait("the old leader to be seen", || {
        bench.notes("calls").iter().any(|line| line.starts_with("vip reconcile face")).then_some(())
    });
    bench.lease(9, Duration::from_secs(60));
    bench.emit(Callback::OnRoleChange, 9);
    bench.handle.face(face(9, true));
    assert!(bench.callback().2 && bench.callback().2);
    let keys: Vec<String> = bench.called().iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert!(keys[0].starts_with("main/9/a/release/") && keys[1].starts_with("main/9/a/on_role_change/"), "{keys:?}");
    assert_eq!(bench.dns.claims.lock().unwrap().len(), 1);
}

#[test]
fn the_release_is_not_forgotten_when_the_agent_dies_between_the_promotion_and_the_role_change() {
    let mut plugins = leader();
    plugins[0].manifest.release = true;
    let mut bench = Bench::new(plugins, &["ok", "claim"]);
    let path = bench.directory.path().join("journal/dns-update.journal");
    let on_disk = |what: &str| wait(what, || fs::read_to_string(&path).ok()?.contains(what).then_some(()));
    bench.host();
    bench.handle.face(tanist_broker::ClusterFace { leader: Some("b".into()), ..face(8, false) });
    on_disk(r#""b""#);
    bench.restart();
    bench.host();
    bench.lease(9, Duration::from_secs(60));
    bench.emit(Callback::OnStart, 9);
    bench.handle.face(face(9, true));
    assert!(bench.callback().2 && bench.callback().2);
    let called = bench.called();
    let keys: Vec<String> = called.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert!(keys[0].starts_with("main/9/a/release/") && keys[1].ends_with("/missed"), "{keys:?}");
    assert_eq!(bench.dns.claims.lock().unwrap().len(), 1);
    // And once is enough: another start of the same leader changes nothing.
    on_disk(r#""pending":[]"#);
    bench.restart();
    bench.lease(9, Duration::from_secs(60));
    bench.emit(Callback::OnStart, 9);
    bench.handle.face(face(9, true));
    wait("the plugin to be called", || (bench.handle.status().first()?.delivered > 0).then_some(()));
    assert_eq!(bench.called(), called);
}
