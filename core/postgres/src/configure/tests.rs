//! What is generated, and what becomes of what others wrote.

use super::*;
use crate::settings::tests::sample;
use tanist_engine::Epoch;

fn text(settings: &Settings, names: &SyncNames) -> String {
    render(settings, &kept(settings, ServerConfig::Standby { upstream: None }, names), &around(15))
}

fn around(major: u32) -> Rendered {
    Rendered { major, includes: Vec::new(), takes_nothing: true }
}

/// The value PostgreSQL would take: that of the last line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

#[test]
fn ours_come_last_and_cannot_be_overridden() {
    let mut settings = sample();
    for (key, value) in [
        ("Synchronous_Standby_Names", "*"),
        ("RECOVERY_TARGET_TIME", "2020-01-01"),
        ("promote_trigger_file", "/tmp/x"),
        ("include", "/tmp/evil"),
        ("hot_standby", "off"),
        ("wal_level", "minimal"),
        ("work_mem", "4MB'\nport = 1"),
    ] {
        settings.parameters.insert(key.into(), value.into());
    }
    let text = text(&settings, &SyncNames::Reserved);
    assert_eq!(value(&text, NAMES), Some("'FIRST 1 (\"__tanist_nobody__\")'"));
    assert_eq!(value(&text, "recovery_target_time"), Some("''"));
    assert_eq!(value(&text, "promote_trigger_file"), Some("''"));
    assert_eq!(value(&text, "hot_standby"), Some("'on'"));
    assert_eq!(value(&text, "wal_level"), Some("'replica'"));
    assert_eq!(value(&text, "work_mem"), Some("'4MB''\\nport = 1'"));
    assert_eq!(value(&text, "port"), Some("'5433'"));
    assert_eq!(value(&text, "cluster_name"), Some("'it''s'"));
    assert_eq!(value(&text, "restart_after_crash"), Some("'off'"));
    assert!(!text.contains("evil") && !text.contains("2020") && !text.contains("Names"));
    let ignored = ignored_parameters(&settings);
    assert_eq!(ignored, ["RECOVERY_TARGET_TIME", "Synchronous_Standby_Names", "hot_standby", "include", "promote_trigger_file"]);
}

#[test]
fn asynchronous_mode_leaves_the_names_to_the_operator() {
    let mut settings = Settings { synchronous: false, ..sample() };
    assert_eq!(value(&text(&settings, &SyncNames::Nobody), NAMES), None);
    settings.parameters.insert(NAMES.into(), "x".into());
    assert_eq!(value(&text(&settings, &SyncNames::Nobody), NAMES), Some("'x'"));
}

#[test]
fn sixteen_has_no_trigger_file() {
    let kept = kept(&sample(), ServerConfig::Primary, &SyncNames::Reserved);
    let render = |major| render(&sample(), &kept, &around(major));
    assert!(render(15).contains("promote_trigger_file"));
    assert!(!render(16).contains("promote_trigger_file") && !render(16).contains("include"));
}

#[test]
fn files_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().to_owned();
    let settings = Settings {
        data_dir: dir.clone(),
        config_dir: dir.clone(),
        pgpass: dir.join("pgpass"),
        pg_hba: vec!["local all all trust".into()],
        ..sample()
    };
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert!(write_for(&settings, ServerConfig::Primary, &SyncNames::Reserved).is_err(), "no PG_VERSION");
    fs::write(dir.join("PG_VERSION"), "15\n").unwrap();
    fs::write(dir.join("postgresql.conf"), "shared_buffers = '1GB'\n").unwrap();
    fs::write(dir.join("postgresql.auto.conf"), "# x\nPrimary_Conninfo='host=a'\nwork_mem = '1MB'\n").unwrap();
    let upstream = Upstream { name: "b".into(), endpoint: Endpoint { host: "::1".into(), port: 7 }, epoch: Epoch(3) };
    let role = ServerConfig::Standby { upstream: Some(&upstream) };

    assert!(write_for(&settings, role, &SyncNames::Reserved).unwrap());
    assert_eq!(read("postgresql.base.conf"), "shared_buffers = '1GB'\n");
    assert_eq!(read("postgresql.auto.conf"), "# x\nwork_mem = '1MB'\n");
    assert_eq!(read("pgpass"), "\\:\\:1:7:*:repl:p\\:w\\\\\n");
    assert!(read("pg_hba.conf").ends_with("\nlocal all all trust\n"));
    let conf = read("postgresql.conf");
    assert!(
        conf.contains("\ninclude 'postgresql.base.conf'\n") && conf.contains("\nprimary_conninfo = 'host=::1 port=7 "),
        "{conf}"
    );
    assert!(!conf.contains("p:w"), "the password is in its own file only");

    assert!(!write_for(&settings, role, &SyncNames::Reserved).unwrap(), "nothing changed");
    assert!(write_for(&settings, ServerConfig::Primary, &SyncNames::Nobody).unwrap());
    assert_eq!(value(&read("postgresql.conf"), "primary_conninfo"), Some("''"));
    assert_eq!(value(&read("postgresql.conf"), NAMES), Some("''"));
    assert_eq!(read("postgresql.base.conf"), "shared_buffers = '1GB'\n");
}
#[test]
fn who_follows_nobody_takes_from_nobody_but_what_was_brought_is_made_consistent() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().to_owned();
    let settings = Settings { data_dir: dir.clone(), config_dir: dir.clone(), pgpass: dir.join("pgpass"), ..sample() };
    fs::write(dir.join("PG_VERSION"), "15\n").unwrap();
    fs::write(dir.join("postgresql.auto.conf"), "restore_command = 'get %f %p'\n").unwrap();
    let (alone, upstream) = (
        ServerConfig::Standby { upstream: None },
        Upstream { name: "b".into(), endpoint: Endpoint { host: "b".into(), port: 7 }, epoch: Epoch(3) },
    );
    let follows = ServerConfig::Standby { upstream: Some(&upstream) };
    let write = |role| {
        write_for(&settings, role, &SyncNames::Reserved).unwrap();
        let text = fs::read_to_string(dir.join("postgresql.conf")).unwrap();
        let include = text.find("\ninclude 'postgresql.restore.conf'\n");
        let emptied = text.find("\nrestore_command = ''\n");
        assert!(emptied.is_none() || include < emptied, "the last line counts: {text}");
        (include.is_some(), emptied.is_some())
    };
    assert_eq!(write(follows), (false, false), "the file is left as it is");
    // Brought by hand, and a copy or a rewind of our own.
    for (label, brought) in [("wal-g", true), ("tanist 5", false)] {
        let text = format!("LABEL: {label}\nBACKUP METHOD: streamed\n");
        fs::write(dir.join(BACKUP_LABEL), text).unwrap();
        assert_eq!(write(alone), (!brought, !brought), "{label}");
    }
    assert_eq!(fs::read(dir.join("postgresql.auto.conf")).unwrap(), b"");
    fs::write(dir.join(BACKUP_LABEL), "BACKUP METHOD: pg_rewind\n").unwrap();
    assert_eq!(write(alone), (true, true));
    fs::remove_file(dir.join(BACKUP_LABEL)).unwrap();
    assert_eq!(write(alone), (true, true));
    assert_eq!(write(follows), (true, false), "in force again");
}
