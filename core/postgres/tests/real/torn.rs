//! Copies and servers that were interrupted, and what the next attempt finds.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, spawn, until},
};
use rustix::process::Signal;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tanist_engine::SyncNames;
use tanist_postgres::{LayoutError, OnDisk, ServerConfig, Work, configure, layout, plan, remove_stale_locks, tablespaces};

/// Runs the commands that empty the directory, asks the leader, and begins the copy.
async fn begin_copy(node: &Node, from: &Node) -> std::process::Child {
    let upstream = from.upstream(1);
    let mark = layout::begin_work(&node.settings, Work::Clone).unwrap();
    configure::write_pgpass(&node.settings, &upstream.endpoint).unwrap();
    for command in plan::empty_data_dir(&node.settings, &mark).unwrap() {
        assert!(spawn(&command).wait().unwrap().success());
    }
    let spaces = tablespaces::of_leader(&node.settings, &upstream, LIMIT).await.unwrap();
    let mark = layout::emptied(&node.settings, mark, spaces).unwrap();
    spawn(&plan::basebackup(&node.settings, &upstream, &mark).unwrap())
}

/// A node that copies the tablespace at `old` to `new`.
fn mapped(name: &str, host: u8, old: &Path, new: &Path, slow: bool) -> Node {
    let mut node = Node::new(name, host, &[]);
    let mut settings = (*node.settings).clone();
    settings.basebackup_options.push(format!("tablespace-mapping={}={}", old.display(), new.display()));
    if slow {
        settings.basebackup_options.push("max-rate=100".into());
    }
    node.settings = settings.into();
    node
}

/// A primary with 3 MB in a tablespace.
async fn spacious(host: u8, space: &Path) -> Node {
    let a = Node::primary("a", host, &[]).await;
    fs::create_dir(space).unwrap();
    let client = a.client().await;
    let make = format!("CREATE TABLESPACE space LOCATION '{}'", space.display());
    client.batch_execute(&make).await.unwrap();
    let fill =
        "CREATE TABLE t (v text) TABLESPACE space; INSERT INTO t SELECT repeat(n::text, 20) FROM generate_series(1, 30000) n";
    client.batch_execute(fill).await.unwrap();
    a
}

fn count(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, |entries| entries.count())
}

#[test]
fn a_copy_that_was_interrupted_in_a_tablespace_is_made_again() {
    as_postgres("torn::a_copy_that_was_interrupted_in_a_tablespace_is_made_again", || async {
        let root = tempfile::tempdir_in("/tmp").unwrap();
        let [old, new]: [PathBuf; 2] = ["old", "new"].map(|name| root.path().join(name));
        let a = spacious(71, &old).await;
        let mut b = mapped("b", 72, &old, &new, true);
        let mut copy = begin_copy(&b, &a).await;
        until("its first file in the tablespace", || async { (count(&new) > 0).then_some(()) }).await;
        copy.kill().unwrap();
        copy.wait().unwrap();
        assert!(!b.settings.data_dir.join("pg_tblspc").exists(), "nothing leads there yet");

        let mut settings = (*b.settings).clone();
        settings.basebackup_options.pop();
        b.settings = settings.into();
        assert!(begin_copy(&b, &a).await.wait().unwrap().success(), "{}", b.server_log());
        assert_eq!(b.on_disk().await, OnDisk::HalfMade, "marked until it is known to be whole");
        layout::end_work(&b.settings).unwrap();
        let upstream = a.upstream(1);
        b.start(ServerConfig::Standby { upstream: Some(&upstream) }, &SyncNames::Reserved).await;
        b.running("the copy", |_| true).await;
    });
}

#[test]
fn a_tablespace_of_somebody_else_is_never_emptied() {
    as_postgres("torn::a_tablespace_of_somebody_else_is_never_emptied", || async {
        let root = tempfile::tempdir_in("/tmp").unwrap();
        let space = root.path().join("space");
        let a = spacious(73, &space).await;
        // On the same machine, at the same place: the leader's own.
        let b = mapped("b", 74, Path::new("/unused"), Path::new("/unused"), false);
        let before = count(&space);
        for _ in 0..2 {
            assert!(!begin_copy(&b, &a).await.wait().unwrap().success());
            assert_eq!(count(&space), before);
        }
        let rows = a.client().await.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get::<_, i64>(0);
        assert_eq!(rows, 30000);
    });
}

/// What an operator does after a copy has failed: a backup in its place.
#[test]
fn a_cluster_put_in_the_place_of_a_torn_copy_is_kept() {
    as_postgres("torn::a_cluster_put_in_the_place_of_a_torn_copy_is_kept", || async {
        let mut a = Node::primary("a", 75, &[]).await;
        let b = Node::new("b", 76, &[]);
        assert!(begin_copy(&b, &a).await.wait().unwrap().success());
        assert_eq!(b.on_disk().await, OnDisk::HalfMade);
        a.stop(Signal::INT);
        fs::remove_dir_all(&b.settings.data_dir).unwrap();
        let copied = std::process::Command::new("cp").arg("-a").args([&a.settings.data_dir, &b.settings.data_dir]).status();
        assert!(copied.unwrap().success());
        let error = layout::inspect(&b.settings, LIMIT).await.unwrap_err();
        assert!(matches!(error, LayoutError::Marked { .. }), "{error}");
        layout::end_work(&b.settings).unwrap();
        assert!(matches!(b.on_disk().await, OnDisk::Cluster { .. }));
    });
}

/// After a crash of the machine the number of the postmaster is somebody else's.
#[test]
fn stale_locks_hold_no_start_up() {
    as_postgres("torn::stale_locks_hold_no_start_up", || async {
        let mut a = Node::primary("a", 77, &[]).await;
        let locks = [
            a.settings.data_dir.join("postmaster.pid"),
            a.settings.socket_dir.join(format!(".s.PGSQL.{}.lock", a.settings.port)),
        ];
        let texts = locks.each_ref().map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(remove_stale_locks(&a.settings).unwrap(), Vec::<PathBuf>::new(), "a server works there");
        a.stop(Signal::INT);
        let mut other = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
        for (path, text) in locks.iter().zip(texts) {
            let (_, rest) = text.split_once('\n').unwrap();
            fs::write(path, format!("{}\n{rest}", other.id())).unwrap();
        }
        let removed = remove_stale_locks(&a.settings).unwrap();
        assert_eq!(removed, locks);
        a.start(ServerConfig::Primary, &SyncNames::Nobody).await;
        a.running("it runs", |_| true).await;
        other.kill().unwrap();
        other.wait().unwrap();
    });
}
