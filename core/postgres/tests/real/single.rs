//! One server: made, started, asked, proved, crashed, stopped.

use crate::{
    as_postgres::as_postgres,
    node::{LIMIT, Node, kill_group, spawn},
};
use rustix::process::Signal;
use std::{fs, process::Command};
use tanist_engine::{Epoch, Moment, Postgres, ServerRole, SyncNames, Timeline};
use tanist_postgres::{NewSession, OnDisk, ServerConfig, SessionError, Work, bootstrap, layout, new_session, plan, prove, sql};

#[test]
fn a_life() {
    as_postgres("single::a_life", || async {
        let mut node = Node::new("a", 1, &[("log_connections", "on"), ("work_mem", "3MB")]);
        assert_eq!(node.on_disk().await, OnDisk::NoData);
        assert_eq!(new_session::probe(&node.settings, LIMIT).await, NewSession::NoListener);
        node.initdb();
        assert!(!node.settings.state_dir.join("initdb-password").exists());
        let OnDisk::Cluster { control, major: 15, copied: false, rewound: false } = node.on_disk().await else {
            panic!("no cluster")
        };
        assert!(control.stopped().clean && control.stopped().was_primary);

        node.start(ServerConfig::Primary, &SyncNames::Reserved).await;
        let running = node
            .running("names in force", |running| matches!(&running.role, ServerRole::Primary { names_in_force: Some(_), .. }))
            .await;
        assert_eq!(running.system_id, control.system_id);
        assert!((150_000..160_000).contains(&running.version));
        let ServerRole::Primary { position, timeline_begin, timeline_parent: _, proof, standbys, names_in_force, checkpointed } =
            running.role
        else {
            panic!("no primary")
        };
        assert_eq!((position.timeline, position.opened_by), (Timeline(1), Epoch::NONE));
        assert!(position.lsn >= control.stopped().position.lsn);
        assert_eq!((timeline_begin, proof, checkpointed), (None, None, true));
        assert!(standbys.is_empty());
        assert_eq!(names_in_force, Some(SyncNames::Reserved));

        // Nothing of this may wait for the standby that the reserved name stands for.
        bootstrap::users(&node.settings, LIMIT).await.unwrap();
        bootstrap::users(&node.settings, LIMIT).await.unwrap();
        let at = Moment::from_nanos(7);
        let proof = prove::prove(&node.settings, Epoch(3), at, LIMIT).await.unwrap();
        assert_eq!((proof.epoch, proof.timeline, proof.at), (Epoch(3), Timeline(1), at));
        sql::checkpoint(&node.settings, LIMIT).await.unwrap();
        assert_eq!(new_session::probe(&node.settings, LIMIT).await, NewSession::Served);

        let client = node.client().await;
        let row = client
            .query_one("SELECT rolreplication, current_setting('work_mem') FROM pg_roles WHERE rolname = 'replicator'", &[])
            .await
            .unwrap();
        assert_eq!((row.get(0), row.get(1)), (true, "3MB"));
        let granted = "SELECT has_function_privilege('rewind \"user\"', 'pg_read_binary_file(text)', 'EXECUTE')";
        assert!(client.query_one(granted, &[]).await.unwrap().get::<_, bool>(0));
        assert_eq!(sql::session_count(&node.settings, LIMIT).await.unwrap(), 2, "the client and the kept session");
        assert!(!node.server_log().contains("it's"), "no password in the log");

        // A server that must end at once leaves an unclean directory; a fast shutdown a clean one, whose end is the end of WAL.
        node.stop(Signal::QUIT);
        let OnDisk::Cluster { control, .. } = node.on_disk().await else { panic!("no cluster") };
        assert!(!control.stopped().clean && control.stopped().was_primary);
        node.start(ServerConfig::Primary, &SyncNames::Reserved).await;
        node.running("after the crash", |_| true).await;
        node.stop(Signal::INT);
        let OnDisk::Cluster { control, .. } = node.on_disk().await else { panic!("no cluster") };
        assert!(control.stopped().clean && control.stopped().was_primary);
        assert_eq!(end_of_wal(&node, &control.checkpoint.to_string()), format!("{:08X}", control.checkpoint_end().0));
    });
}

/// Where the record after the one at `lsn` would begin, by `pg_waldump`'s complaint that it is not there.
fn end_of_wal(node: &Node, lsn: &str) -> String {
    let output = Command::new(node.settings.program("pg_waldump"))
        .args(["--start", lsn, "--path"])
        .arg(node.settings.data_dir.join("pg_wal"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    // `error in WAL record at 0/1500028: invalid record length at 0/15000A0: wanted 24, got 0`
    let place = complaint.split(" at ").last().and_then(|rest| rest.split(':').next()).expect("a place in WAL");
    let (high, low) = place.trim().split_once('/').unwrap_or_else(|| panic!("{complaint}"));
    assert_eq!(high, "0");
    format!("{:08X}", u64::from_str_radix(low, 16).unwrap())
}

#[test]
fn a_wrong_password_is_not_death() {
    as_postgres("single::a_wrong_password_is_not_death", || async {
        let node = Node::primary("a", 2, &[]).await;
        let mut settings = (*node.settings).clone();
        settings.superuser.password = Some("wrong".into());
        let NewSession::Refused(text) = new_session::probe(&settings, LIMIT).await else { panic!("not refused") };
        assert!(text.contains("28P01"), "{text}");
    });
}

#[test]
fn starting_is_seen() {
    as_postgres("single::starting_is_seen", || async {
        // A standby without WAL to become consistent keeps refusing sessions.
        let mut node = Node::primary("a", 3, &[]).await;
        node.stop(Signal::INT);
        fs::write(node.settings.data_dir.join("recovery.signal"), "").unwrap();
        let mut settings = (*node.settings).clone();
        settings.parameters.insert("restore_command".into(), "sleep 600".into());
        node.settings = settings.into();
        node.start(ServerConfig::Primary, &SyncNames::Nobody).await;
        crate::node::until("a refusal", || async {
            matches!(new_session::probe(&node.settings, LIMIT).await, NewSession::NotReady).then_some(())
        })
        .await;
        assert!(matches!(node.look().await, Postgres::Starting { as_primary: true, .. }));
        assert!(matches!(node.prober.error(), Some(SessionError::NotReady(_))));
    });
}

#[test]
fn a_killed_copy_is_half_made() {
    as_postgres("single::a_killed_copy_is_half_made", || async {
        let node = Node::new("a", 4, &[]);
        let mark = layout::begin_work(&node.settings, Work::Bootstrap).unwrap();
        let command = plan::initdb(&node.settings).unwrap();
        command.prepare().unwrap();
        let child = spawn(&command);
        crate::node::until("its first file", || async { node.settings.data_dir.join("PG_VERSION").exists().then_some(()) }).await;
        kill_group(child, &node.settings.data_dir);
        command.clean_up().unwrap();
        assert_eq!(node.on_disk().await, OnDisk::HalfMade);
        for empty in plan::empty_data_dir(&node.settings, &mark).unwrap() {
            assert!(spawn(&empty).wait().unwrap().success());
        }
        assert_eq!(node.on_disk().await, OnDisk::NoData);
    });
}
