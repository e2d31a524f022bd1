//! `tanist repair sync`: takes the electors out of `/sync` when none of them will come back, so that another node may lead.
//!
//! Only while nobody holds the lease. That is found out as every candidate does: nobody has rewritten the lease record for its ttl. One
//! transaction then compares what was seen of lease record and `/sync`, so that whoever came back meanwhile is not passed over.

use super::{commit, remote};
use crate::cli::Failure;
use tanist_dcs::{Compare, Op, lease::Record};
use tanist_engine::{MemberName, Revision, SyncState};
use tanist_patroni::{dcs::SyncKey, dynamic::DynamicConfig};

/// Shows the electors, and takes them out where the loss is accepted.
pub(super) fn sync(arguments: &remote::Arguments, accept_loss: bool) -> Result<(), Failure> {
    let read = remote::Remote::read(arguments)?;
    let Some(sync) = read.view.sync.as_ref().filter(|sync| sync.leader.is_some()) else {
        println!("/sync names nobody: it keeps nobody from taking over");
        return Ok(());
    };
    show(&read, sync);
    if let Some(holder) = holder(&read) {
        return Err(Failure::failed(format!("{holder} holds the leader key, or it has not expired yet; nothing was written")));
    }
    if !accept_loss {
        return Err(Failure::config(
            "nothing was written; bring one of these nodes back, or repeat this with --accept-loss if none ever comes back",
        ));
    }
    let lease = silent_since(&read, arguments)?;
    let keys = &read.keys;
    let compares = vec![
        Compare::ModRevision(keys.lease(), lease),
        Compare::Absent(keys.leader()),
        Compare::ModRevision(keys.sync(), sync.revision),
    ];
    if !commit(&read, compares, Op::put(keys.sync(), SyncKey::default().encode()))? {
        return Err(Failure::failed("the lease record or /sync has changed meanwhile: somebody is alive; nothing was written"));
    }
    println!("/sync names nobody now: the nodes that are left race by their positions; maximum_lag_on_failover still counts");
    if failsafe_names(&read) {
        println!("the lease record lets only the members in it take over: `tanist repair failsafe` opens it to the others");
    }
    Ok(())
}

/// What `/sync` says, and what it means to go on without those whom it names.
fn show(read: &remote::Remote, sync: &SyncState) {
    let here = |name: &MemberName| match read.view.members.iter().any(|member| member.name == *name) {
        true => format!("{name} (its agent is there)"),
        false => format!("{name} (its agent is gone)"),
    };
    let standbys: Vec<String> = sync.standbys.iter().map(here).collect();
    println!("/sync, revision {}:", sync.revision.0);
    println!("  leader: {}", sync.leader.as_ref().map(here).unwrap_or_default());
    println!("  synchronous standbys: {}", if standbys.is_empty() { "none".to_owned() } else { standbys.join(", ") });
    println!("commits that were acknowledged are on these nodes, and perhaps nowhere else: without them they may be lost");
}

fn holder(read: &remote::Remote) -> Option<String> {
    let leader = read.snapshot.get(&read.keys.leader())?;
    Some(String::from_utf8_lossy(&leader.kv.value).into_owned())
}

fn record(read: &remote::Remote) -> (Revision, Option<Record>) {
    let Some(present) = read.snapshot.get(&read.keys.lease()) else { return (Revision(0), None) };
    (present.kv.mod_revision, Record::decode(&present.kv.value).ok())
}

fn failsafe_names(read: &remote::Remote) -> bool {
    record(read).1.is_some_and(|record| record.failsafe.is_some())
}

/// The revision of a lease record that nobody renews.
fn silent_since(read: &remote::Remote, arguments: &remote::Arguments) -> Result<Revision, Failure> {
    let (revision, record) = record(read);
    if revision == Revision(0) || record.as_ref().is_some_and(|record| record.released) {
        return Ok(revision);
    }
    // Of a record that cannot be read nobody knows the ttl: the default.
    let ttl = record.map_or(DynamicConfig::default().timing.ttl, |record| record.ttl);
    let wait = ttl + ttl / 100;
    println!("waiting {} s to be sure that nobody renews the lease", wait.as_secs_f32().ceil());
    std::thread::sleep(wait);
    let again = remote::Remote::read(arguments)?;
    if self::record(&again).0 != revision || holder(&again).is_some() {
        return Err(Failure::failed("somebody holds the lease; nothing was written"));
    }
    Ok(revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{remote::Format, repair::LIMIT},
        cluster,
    };
    use std::{fs, future, path::PathBuf, time::Duration};
    use tanist_dcs::{Txn, local};
    use tanist_engine::Epoch;

    /// A store of this machine with a cluster whose electors are gone.
    struct Bench {
        directory: tempfile::TempDir,
        arguments: remote::Arguments,
    }

    impl Bench {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let socket = directory.path().join("store");
            let path = socket.clone();
            std::thread::spawn(move || {
                runtime().block_on(local::serve(&path, None, future::pending())).unwrap();
            });
            let config = directory.path().join("node.yml");
            fs::write(&config, format!("scope: demo\nlocal: {{socket: {}}}\n", socket.display())).unwrap();
            while std::os::unix::net::UnixStream::connect(&socket).is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let bench = Self { directory, arguments: remote::Arguments { config, format: Format::Pretty } };
            bench.put("initialize", "7575000000000000001");
            bench.put("sync", r#"{"leader":"n1","quorum":0,"sync_standby":"n2"}"#);
            bench.renew();
            bench
        }

        fn put(&self, key: &str, value: impl Into<Vec<u8>>) {
            put(self.directory.path().join("store"), key, value.into());
        }

        /// As the holder does.
        fn renew(&self) {
            self.put("tanist/lease", lease(false));
        }

        fn sync(&self) -> SyncKey {
            let read = remote::Remote::read(&self.arguments).unwrap();
            SyncKey::decode(&read.snapshot.get(&read.keys.sync()).unwrap().kv.value).unwrap()
        }

        fn repair(&self, accept_loss: bool) -> Result<(), (u8, String)> {
            sync(&self.arguments, accept_loss).map_err(|failure| (failure.code, failure.message))
        }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn put(socket: PathBuf, key: &str, value: Vec<u8>) {
        runtime().block_on(async {
            let store = cluster::open(&crate::config::StoreSettings::Local { socket }).unwrap();
            let then = vec![Op::put(format!("/service/demo/{key}"), value)];
            store.txn(Txn { then, ..Txn::default() }, LIMIT).await.unwrap();
        });
    }

    fn lease(released: bool) -> Vec<u8> {
        let (ttl, epoch) = (Duration::from_secs(1), Some(Epoch(9)));
        let holder = "n1".into();
        let (base, sync, failsafe) = (Epoch(0), None, None);
        Record { holder, nonce: 1, epoch, base, seq: 1, ttl, released, attempt: 1, sync, failsafe }.encode()
    }

    fn named() -> SyncKey {
        SyncKey { leader: Some("n1".into()), quorum: 0, standbys: ["n2".into()].into() }
    }

    #[test]
    fn without_the_word_nothing_changes_and_the_exit_code_says_so() {
        let bench = Bench::start();
        let (code, message) = bench.repair(false).unwrap_err();
        assert!(code == 2 && message.contains("--accept-loss"), "{code}: {message}");
        assert_eq!(bench.sync(), named());
    }

    #[test]
    fn with_the_word_nobody_is_named_any_more() {
        let bench = Bench::start();
        bench.repair(true).unwrap();
        assert_eq!(bench.sync(), SyncKey::default());
        bench.repair(true).expect("there is nothing left to do");
    }

    #[test]
    fn a_released_lease_is_not_waited_for() {
        let bench = Bench::start();
        bench.put("tanist/lease", lease(true));
        bench.repair(true).unwrap();
        assert_eq!(bench.sync(), SyncKey::default());
    }

    #[test]
    fn a_lease_that_is_held_is_left_alone() {
        let bench = Bench::start();
        let socket = bench.directory.path().join("store");
        let renewing = std::thread::spawn(move || {
            for _ in 0..6 {
                std::thread::sleep(Duration::from_millis(200));
                put(socket.clone(), "tanist/lease", lease(false));
            }
        });
        let (code, message) = bench.repair(true).unwrap_err();
        assert!(code == 1 && message.contains("holds the lease"), "{code}: {message}");
        renewing.join().unwrap();
        bench.put("leader", "n3");
        let (code, message) = bench.repair(true).unwrap_err();
        assert!(code == 1 && message.contains("n3 holds the leader key"), "{code}: {message}");
        assert_eq!(bench.sync(), named());
    }
}
