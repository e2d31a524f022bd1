//! What is loaded, and why something else is not: every refusal has its own typed reason, and what was loaded before stays.

mod common;

use common::{ALL, FakeAgent, compiler, event, fixture, forged, id, loader, primary, role_change, view};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tanist_broker::protocol::{
    Action, Digest, Export, Import, Limits, Load, LoadFailure, Op, Outcome, PluginError, Primary, Role, Source, ToAgent, ToHost,
    Work,
};
use tanist_plugins::{Loader, Sandbox};

const AMPLE: u32 = 20_000;

fn builtin() -> Source {
    Source::Builtin("dns-update".to_owned())
}

fn point() -> Op {
    Op::DnsPoint { name: "db.example.".to_owned(), addresses: vec!["192.0.2.1".parse().unwrap()], ttl: 5, epoch: 9 }
}

#[tokio::test]
async fn the_bundled_dns_update_points_the_name_at_the_proved_primary() {
    let mut agent = FakeAgent::start().await;
    let loaded = agent.load(builtin(), &[Import::Log, Import::Config, Import::Dns], Limits::default()).await.unwrap();
    assert_eq!(loaded.exports, [Export::Callbacks, Export::Reconcile]);
    for work in [role_change("failover"), view(Some(primary()), "interval")] {
        let story = agent.call(work, AMPLE, AMPLE).await;
        assert_eq!((story.done.outcome, story.requests), (Outcome::Ok, vec![point()]));
        assert_eq!(story.lines, ["db.example. points at 192.0.2.1 now (epoch 9, ttl 5)"]);
    }
}

#[tokio::test]
async fn the_bundled_dns_update_does_nothing_without_a_proof() {
    let mut agent = FakeAgent::start().await;
    agent.load(builtin(), &[Import::Log, Import::Config, Import::Dns], Limits::default()).await.unwrap();
    let demoted = Work::Callback(Box::new(event(Action::OnRoleChange, Role::Demoted, "failover")));
    let started = Work::Callback(Box::new(event(Action::OnStart, Role::Primary, "start")));
    for work in [demoted, started, view(None, "attach"), Work::Smoke] {
        let story = agent.call(work, AMPLE, AMPLE).await;
        assert_eq!((story.done.outcome, story.requests.len()), (Outcome::Ok, 0));
    }
}

#[tokio::test]
async fn the_bundled_dns_update_passes_a_newer_epoch_on() {
    let mut agent = FakeAgent::start().await;
    agent.load(builtin(), &[Import::Log, Import::Config, Import::Dns], Limits::default()).await.unwrap();
    let story = agent.call(view(Some(Primary { epoch: 8, ..primary() }), "interval"), AMPLE, AMPLE).await;
    assert_eq!(story.done.outcome, Outcome::Plugin(PluginError::Fenced(9)));
    assert!(story.lines.is_empty());
}

#[tokio::test]
async fn an_import_that_was_not_granted_is_named() {
    let mut agent = FakeAgent::start().await;
    let failure =
        agent.load(Source::Path(fixture()), &[Import::Log, Import::Config, Import::Dns], Limits::default()).await.unwrap_err();
    assert_eq!(failure, LoadFailure::NotGranted { import: "tanist:plugin/leadership@0.1.0".to_owned() });
}

#[tokio::test]
async fn damaged_components_are_refused() {
    let mut agent = FakeAgent::start().await;
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::read(fixture()).unwrap();
    let path = directory.path().join("damaged.wasm");
    for bytes in [&b"not a component"[..], &whole[..whole.len() / 2], &[], b"\0asm\x01\0\0\0"] {
        fs::write(&path, bytes).unwrap();
        let failure = agent.load(Source::Path(path.clone()), &ALL, Limits::default()).await.unwrap_err();
        let LoadFailure::Invalid(text) = failure else { panic!("{failure:?}") };
        assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
    }
}

#[tokio::test]
async fn other_versions_and_unknown_interfaces_are_refused_with_what_this_host_has() {
    let mut agent = FakeAgent::start().await;
    let directory = tempfile::tempdir().unwrap();
    for (from, to, words) in [
        ("@0.1.0", "@0.2.0", "this host speaks tanist:plugin 0.1"),
        ("tanist:plugin/dns@", "tanist:plugin/arp@", "which this host does not have"),
        ("idempotency-key", "idempotency-kez", "idempotency-ke"),
    ] {
        let failure = agent.load(forged(directory.path(), from, to), &ALL, Limits::default()).await.unwrap_err();
        let LoadFailure::Incompatible(text) = failure else { panic!("{failure:?}") };
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_later_patch_of_the_contract_fits() {
    let mut agent = FakeAgent::start().await;
    let directory = tempfile::tempdir().unwrap();
    agent
        .load(forged(directory.path(), "tanist:plugin/log@0.1.0", "tanist:plugin/log@0.1.7"), &ALL, Limits::default())
        .await
        .unwrap();
    agent.assert_well().await;
}

#[tokio::test]
async fn what_is_not_exported_is_not_called() {
    let mut agent = FakeAgent::start().await;
    let directory = tempfile::tempdir().unwrap();
    let source = forged(directory.path(), "tanist:plugin/reconcile@", "tanist:plugin/reconcilx@");
    assert_eq!(agent.load(source, &ALL, Limits::default()).await.unwrap().exports, [Export::Callbacks]);
    assert_eq!(agent.call(view(None, "good"), AMPLE, AMPLE).await.done.outcome, Outcome::NotExported);
    agent.assert_well().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let mut agent = FakeAgent::start().await;
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for source in [
        Source::Path(directory.path().join("absent.wasm")),
        Source::Path(directory.path().to_owned()),
        Source::Path(pipe),
        Source::Builtin("absent".to_owned()),
    ] {
        let failure = agent.load(source, &ALL, Limits::default()).await.unwrap_err();
        assert!(matches!(failure, LoadFailure::Unreadable(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn limits_hold_for_the_load_too() {
    let mut agent = FakeAgent::start().await;
    for limits in [Limits { memory_bytes: 1 << 16, ..Limits::default() }, Limits { stack_bytes: 64 << 20, ..Limits::default() }] {
        let failure = agent.load(Source::Path(fixture()), &ALL, limits).await.unwrap_err();
        assert!(matches!(failure, LoadFailure::Limits(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn another_digest_than_the_pinned_one_is_refused_and_the_old_plugin_stays() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let load = Load {
        plugin: id(),
        source: builtin(),
        sha256: Some(Digest([7; 32])),
        config: Vec::new(),
        limits: Limits::default(),
        imports: ALL.to_vec(),
    };
    agent.send(&ToHost::Load(load)).await;
    let answer = agent.next().await;
    assert!(matches!(answer, ToAgent::LoadFailed { failure: LoadFailure::WrongDigest { .. }, .. }), "{answer:?}");
    agent.assert_well().await;
}

#[tokio::test]
async fn a_kept_compilation_is_used_and_a_damaged_one_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let load = async |compiler| {
        let loader = Loader::new(Sandbox::start().unwrap(), Some(cache.clone()), compiler).unwrap();
        let mut agent = FakeAgent::start_with(loader).await;
        agent.load(Source::Path(fixture()), &ALL, Limits::default()).await
    };
    load(compiler()).await.unwrap();
    let entries: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    // No compiler is there: the entry alone must do.
    load(tanist_plugins::Compiler::at("/absent")).await.unwrap();
    let mut damaged = fs::read(entry).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(entry, damaged).unwrap();
    let failure = load(tanist_plugins::Compiler::at("/absent")).await.unwrap_err();
    assert!(matches!(failure, LoadFailure::Host(_)), "{failure:?}");
    load(compiler()).await.unwrap();
}

#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let open = |path: &Path| Loader::new(Sandbox::start().unwrap(), Some(path.to_owned()), compiler());
    assert!(open(directory.path()).unwrap_err().to_string().contains("writable by nobody else"));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    open(directory.path()).unwrap();
}

#[tokio::test]
async fn a_hung_compiler_does_not_silence_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let hung = directory.path().join("hung");
    fs::write(&hung, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&hung, fs::Permissions::from_mode(0o700)).unwrap();
    let loader = Loader::new(Sandbox::start().unwrap(), None, tanist_plugins::Compiler::at(&hung)).unwrap();
    let mut agent = FakeAgent::start_with(loader).await;
    let load = Load {
        plugin: id(),
        source: builtin(),
        sha256: None,
        config: Vec::new(),
        limits: Limits::default(),
        imports: ALL.to_vec(),
    };
    agent.send(&ToHost::Load(load)).await;
    agent.send(&ToHost::Ping { nonce: 3 }).await;
    assert_eq!(agent.next().await, ToAgent::Pong { nonce: 3 });
    agent.hang_up().unwrap();
}

#[tokio::test]
async fn check_compares_what_is_asked_with_what_is_granted() {
    let granted = [Import::Log, Import::Config].into();
    let report = tanist_plugins::check(&loader(), id(), Source::Path(fixture()), granted).await.unwrap();
    assert!(!report.complete());
    let text = report.to_string();
    assert!(
        text.contains("missing    leadership, dns, http") && text.contains("plugins.tested.grants.leadership: true"),
        "{text}"
    );
    let report = tanist_plugins::check(&loader(), id(), Source::Path(fixture()), ALL.into()).await.unwrap();
    assert!(report.complete() && report.to_string().ends_with("missing    nothing"), "{report}");
}

#[tokio::test]
async fn a_load_takes_no_longer_than_its_kept_compilation_needs() {
    let mut agent = FakeAgent::start().await;
    agent.load_fixture(Limits::default()).await;
    let since = std::time::Instant::now();
    agent.load_fixture(Limits::default()).await;
    let took: Duration = since.elapsed();
    println!("load of a compiled component: {took:?}");
    agent.assert_well().await;
}
