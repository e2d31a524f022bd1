//! Users and passwords: enabled while everything runs, tokens that end, and what is said when it does not fit.

use crate::{
    holder::Holder,
    support::{Etcd, PATIENCE, Setup, until},
};
use futures_util::StreamExt;
use std::{process::Command, time::Duration};
use tanist_dcs::{
    Op, Store, Txn, WatchEvent,
    etcd::{Access, EtcdStore, Password, User},
};
use tanist_engine::Revision;

fn store(etcd: &Etcd, user: Option<(&str, &str)>) -> EtcdStore {
    let user = user.map(|(name, password)| User { name: name.to_owned(), password: Password::new(password) });
    EtcdStore::new(Access { endpoints: etcd.endpoints(), user, ..Access::default() }).expect("endpoints")
}

fn put(key: &str) -> Txn {
    Txn { then: vec![Op::put(key, "1")], ..Txn::default() }
}

/// The users, roles and permissions of docs/operations.md.
fn enable(etcd: &mut Etcd) {
    etcd.ctl(&["user", "add", "root:master"]);
    etcd.ctl(&["user", "grant-role", "root", "root"]);
    etcd.ctl(&["role", "add", "tanist"]);
    etcd.ctl(&["role", "grant-permission", "tanist", "readwrite", "--prefix=true", "/service/main/"]);
    etcd.ctl(&["user", "add", "tanist:hush"]);
    etcd.ctl(&["user", "grant-role", "tanist", "tanist"]);
    etcd.ctl(&["user", "add", "stranger:hush"]);
    etcd.ctl(&["auth", "enable"]);
    etcd.setup.ctl = vec!["--user".to_owned(), "root:master".to_owned()];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authentication_enabled_live_and_tokens_that_end_cost_no_lease() {
    let mut etcd = Etcd::with(1, Setup { arguments: vec!["--auth-token-ttl".into(), "1".into()], ..Setup::default() });
    let ours = || std::sync::Arc::new(store(&etcd, Some(("tanist", "hush"))));
    let (store, holder) = (ours(), ours());
    until("a call without authentication", async || store.txn(put("/service/main/k"), PATIENCE).await.ok()).await;
    let holder = Holder::start(holder, Duration::from_secs(5)).await;
    enable(&mut etcd);
    store.txn(put("/service/main/k"), PATIENCE).await.unwrap();
    let watched = store.txn(put("/service/main/k"), PATIENCE).await.unwrap().revision;
    let mut watch = store.watch("/service/main/", watched, PATIENCE).await.unwrap();
    loop {
        match watch.next().await {
            Some(WatchEvent::Changes { revision, .. }) => break assert!(revision >= watched),
            Some(WatchEvent::Progress(_)) => {}
            end => panic!("{end:?}"),
        }
    }
    // A token that nobody used for its time is over: the length of the fault, not of a wait for its effect.
    tokio::time::sleep(Duration::from_secs(4)).await;
    store.txn(put("/service/main/k"), PATIENCE).await.unwrap();
    drop(store.watch("/service/main/", Revision(watched.0), PATIENCE).await.unwrap());
    // A member that starts again knows no token.
    etcd.kill(0);
    etcd.go(0);
    until("a call after the restart", async || store.txn(put("/service/main/k"), Duration::from_secs(1)).await.ok()).await;
    // Off and on again.
    etcd.ctl(&["auth", "disable"]);
    store.txn(put("/service/main/k"), PATIENCE).await.unwrap();
    etcd.setup.ctl.clear();
    etcd.ctl(&["auth", "enable"]);
    store.txn(put("/service/main/k"), PATIENCE).await.unwrap();
    println!("least left of the lease: {:?} of 5 s", holder.end());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_tokens_that_end_every_two_seconds_cost_no_lease() {
    let files = tempfile::tempdir().unwrap();
    let [key, public] = ["jwt.key", "jwt.pub"].map(|name| files.path().join(name).display().to_string());
    for arguments in [&["genrsa", "-out", &key, "2048"][..], &["rsa", "-in", &key, "-pubout", "-out", &public]] {
        assert!(Command::new("openssl").args(arguments).output().unwrap().status.success());
    }
    let token = format!("jwt,pub-key={public},priv-key={key},sign-method=RS256,ttl=2s");
    let mut etcd = Etcd::with(1, Setup { arguments: vec!["--auth-token".into(), token], ..Setup::default() });
    let probe = store(&etcd, Some(("tanist", "hush")));
    until("etcd answers", async || probe.list("/service/main/", PATIENCE).await.ok()).await;
    enable(&mut etcd);
    let holder = Holder::start(std::sync::Arc::new(store(&etcd, Some(("tanist", "hush")))), Duration::from_secs(5)).await;
    // A change of rights makes every earlier token too old.
    for round in 0..8 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        etcd.ctl(&["role", "add", &format!("r{round}")]);
    }
    let least = holder.end();
    println!("least left of the lease: {least:?} of 5 s");
    // A busy machine delays renewals; a login that is not made ends them.
    assert!(least > Duration::from_secs(1), "a renewal was late: {least:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_does_not_fit_is_named_without_its_password() {
    let mut etcd = Etcd::start(1).await;
    enable(&mut etcd);
    let host = etcd.members[0].client_url.trim_start_matches("http://").to_owned();
    for (user, key, said) in [
        (Some(("tanist", "hunter2")), "/service/main/k", "etcd3.username, etcd3.password: etcd does not know the user tanist"),
        (Some(("nobody", "hunter2")), "/service/main/k", "etcd3.username, etcd3.password: etcd does not know the user nobody"),
        (None, "/service/main/k", "etcd3.username: etcd wants a login; set etcd3.username and etcd3.password"),
        (Some(("stranger", "hush")), "/service/main/k", "etcd3.username: the user stranger may not do this"),
        (Some(("tanist", "hush")), "/elsewhere/k", "etcd3.username: the user tanist may not do this"),
    ] {
        let store = store(&etcd, user);
        let prefix = &key[..key.len() - 1];
        let mut said_to = vec![store.txn(put(key), PATIENCE).await.unwrap_err(), store.list(prefix, PATIENCE).await.unwrap_err()];
        if user.is_some() {
            said_to.push(store.watch(prefix, Revision(1), PATIENCE).await.map(drop).unwrap_err());
        }
        for error in said_to {
            let error = error.to_string();
            assert!(error.contains(&format!("{host}: {said}")), "{user:?}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("hush") && !error.contains('\n'), "{error}");
        }
    }
    // Corrected on the server: the same store goes on.
    let store = store(&etcd, Some(("tanist", "other")));
    assert!(store.txn(put("/service/main/k"), PATIENCE).await.is_err());
    let changed = Command::new("sh")
        .env("ETCDCTL_API", "3")
        .args(["-c", "echo other | etcdctl --endpoints \"$0\" --user root:master user passwd tanist --interactive=false"])
        .arg(&etcd.members[0].client_url)
        .output()
        .unwrap();
    assert!(changed.status.success(), "{changed:?}");
    store.txn(put("/service/main/k"), PATIENCE).await.unwrap();
}
