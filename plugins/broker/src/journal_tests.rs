//! The journal survives a crash at every step of a write.

use super::*;

fn record(sequence: u64) -> Record {
    let acknowledged = Acknowledged { action: Action::OnStart, role: Role::Replica, epoch: 3, sequence };
    Record { acknowledged: Some(acknowledged), pending: vec![crate::testing::event(Action::OnRoleChange, 4, sequence + 1)] }
}

fn setup() -> (tempfile::TempDir, Journal) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::new(directory.path(), &PluginId::from("dns-update"));
    (directory, journal)
}

#[test]
fn what_was_written_is_read_and_nothing_is_an_empty_record() {
    let (_directory, journal) = setup();
    assert_eq!(journal.load().unwrap(), Record::default());
    journal.write(&record(7)).unwrap();
    journal.write(&record(9)).unwrap();
    assert_eq!(journal.load().unwrap(), record(9));
    assert_eq!(record(9).sequence(), 10);
}

/// A crash leaves the file of the step it happened in. Every state of the directory that a write passes through is laid out by
/// hand and read: it must be the old record until the rename, and the new one after it.
#[test]
fn a_crash_at_any_step_of_a_write_leaves_the_old_record_or_the_new() {
    let (_directory, journal) = setup();
    journal.write(&record(1)).unwrap();
    let new = render(&record(2)).unwrap();
    for written in 0..=new.len() {
        fs::write(journal.temporary(), &new[..written]).unwrap();
        assert_eq!(journal.load().unwrap(), record(1), "crash after {written} bytes");
    }
    fs::rename(journal.temporary(), &journal.file).unwrap();
    assert_eq!(journal.load().unwrap(), record(2));
    fs::write(journal.temporary(), &new[..10]).unwrap();
    journal.write(&record(3)).unwrap();
    assert_eq!(journal.load().unwrap(), record(3), "what a crash left behind is in nobody's way");
}

#[test]
fn a_damaged_journal_is_kept_aside_and_reported() {
    let (directory, journal) = setup();
    let good = render(&record(1)).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&good[..good.len() - 1], &good[..30], b"", b"\xff\xfe", &flipped] {
        fs::write(&journal.file, bad).unwrap();
        let error = journal.load().unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(directory.path().join("dns-update.journal.damaged")).unwrap(), bad);
        assert_eq!(journal.load().unwrap(), Record::default());
        journal.write(&record(5)).unwrap();
        assert_eq!(journal.load().unwrap(), record(5));
    }
}

#[test]
fn a_directory_that_is_gone_is_an_error_and_no_panic() {
    let (directory, journal) = setup();
    drop(directory);
    assert!(matches!(journal.write(&record(1)), Err(JournalError::Io { .. })));
}
