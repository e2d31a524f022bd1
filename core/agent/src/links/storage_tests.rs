//! What is concluded from writes that return, fail, or do not return.

use super::*;

const LIMIT: u64 = 64 << 20;

fn settings() -> StorageSettings {
    StorageSettings { timeout: Some(Duration::from_secs(10)), minimum_free: LIMIT }
}

fn at(seconds: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(seconds)
}

/// One volume that writes once a second.
struct Disk(StorageLink);

impl Disk {
    fn new() -> Self {
        let volumes = Mutex::new(vec![Volume::new("/data".into())]);
        Self(StorageLink(Arc::new(Shared { settings: settings(), volumes })))
    }

    fn write(&self, second: u64, outcome: &Outcome) -> Storage {
        self.0.begin(0, at(second));
        self.0.end(0, outcome, at(second));
        self.0.judge(at(second)).state
    }

    fn free(&self, second: u64, free: u64) -> Storage {
        self.write(second, &Outcome::Written { free, no_room: false })
    }

    /// What is said after the last of these seconds, in each of which so much is free.
    fn every_second(&self, seconds: std::ops::Range<u64>, free: u64) -> Storage {
        seconds.fold(Storage::Good, |_, second| self.free(second, free))
    }
}

#[test]
fn a_write_that_does_not_return_is_noticed_at_the_limit_and_forgotten_after_some_that_do() {
    let disk = Disk::new();
    assert_eq!(disk.free(1, 2 * LIMIT), Storage::Good);
    disk.0.begin(0, at(2));
    assert_eq!(disk.0.judge(at(11)).state, Storage::Good, "slow is not dead");
    let seen = disk.0.judge(at(12));
    assert_eq!((seen.state, seen.since), (Storage::Broken, at(2)));
    assert!(seen.why.contains("/data") && seen.why.contains("10s"), "{}", seen.why);
    assert_eq!(disk.0.judge(at(60)), seen, "nothing new is told while it hangs");
    disk.0.end(0, &Outcome::Written { free: 2 * LIMIT, no_room: false }, at(61));
    assert_eq!(disk.0.judge(at(61)).state, Storage::Broken);
    assert_eq!(disk.free(62, 2 * LIMIT), Storage::Broken);
    assert_eq!(disk.free(63, 2 * LIMIT), Storage::Good);
}

#[test]
fn a_write_that_hung_between_two_looks_of_the_watch_counts() {
    let disk = Disk::new();
    disk.0.begin(0, at(2));
    disk.0.end(0, &Outcome::Written { free: 2 * LIMIT, no_room: false }, at(30));
    assert_eq!(disk.0.judge(at(30)).state, Storage::Broken);
}

#[test]
fn one_failed_write_is_an_accident_two_are_not() {
    let disk = Disk::new();
    let failed = || failed(Errno::ROFS);
    assert_eq!(disk.write(1, &failed()), Storage::Good);
    assert_eq!(disk.free(2, 2 * LIMIT), Storage::Good);
    assert_eq!(disk.write(3, &failed()), Storage::Good);
    assert_eq!(disk.write(4, &failed()), Storage::Broken);
    assert!(disk.0.judge(at(4)).why.contains("Read-only"), "{:?}", disk.0.judge(at(4)));
    for second in 5..7 {
        assert_eq!(disk.free(second, 2 * LIMIT), Storage::Broken);
    }
    assert_eq!(disk.free(7, 2 * LIMIT), Storage::Good);
}

#[test]
fn full_below_the_limit_and_again_good_at_twice_as_much() {
    let disk = Disk::new();
    assert_eq!(disk.every_second(1..9, LIMIT), Storage::Good);
    assert_eq!(disk.every_second(9..12, LIMIT - 1), Storage::Good);
    assert_eq!(disk.free(12, LIMIT - 1), Storage::Full, "for three seconds");
    assert_eq!(disk.every_second(13..40, 2 * LIMIT - 1), Storage::Full, "nothing changes hands for a byte");
    assert_eq!(disk.every_second(40..50, 2 * LIMIT), Storage::Full);
    assert_eq!(disk.free(50, 2 * LIMIT), Storage::Good, "for ten seconds");
    let no_room = Outcome::Written { free: 9 * LIMIT, no_room: true };
    let full = [51, 52, 53, 54].map(|second| disk.write(second, &no_room));
    assert_eq!(full, [Storage::Good, Storage::Good, Storage::Good, Storage::Full], "a quota, or no inodes");
    let absent = (55..66).map(|second| disk.write(second, &failed(Errno::NOENT)));
    assert_eq!(absent.filter(|state| *state == Storage::Full).count(), 10, "a directory that is not there lacks no room");
    assert_eq!((disk.0.judge(at(66)).state, disk.0.free()), (Storage::Good, None));
}

#[test]
fn only_samples_in_a_row_count() {
    let disk = Disk::new();
    for start in [1, 5, 9] {
        assert_eq!(disk.every_second(start..start + 3, 1), Storage::Good);
        assert_eq!(disk.free(start + 3, LIMIT), Storage::Good, "room for a moment");
    }
    assert_eq!(disk.every_second(13..17, 1), Storage::Full);
    // A shutdown deletes temporary files.
    assert_eq!(disk.every_second(17..27, 9 * LIMIT), Storage::Full);
    assert_eq!(disk.free(27, LIMIT), Storage::Full, "used up again");
    assert_eq!(disk.every_second(28..38, 9 * LIMIT), Storage::Full);
    assert_eq!(disk.free(38, 9 * LIMIT), Storage::Good);
}

#[test]
fn two_samples_decide_nothing_however_far_apart_they_are() {
    let disk = Disk::new();
    assert_eq!([1, 9, 17].map(|second| disk.free(second, 1)), [Storage::Good, Storage::Good, Storage::Full]);
    assert_eq!([26, 35, 44].map(|second| disk.free(second, 9 * LIMIT)), [Storage::Full, Storage::Full, Storage::Good]);
}

#[test]
fn the_worst_volume_counts() {
    let volumes = ["/data", "/wal"].map(|path| Volume::new(path.into())).into();
    let link = StorageLink(Arc::new(Shared { settings: settings(), volumes: Mutex::new(volumes) }));
    for second in 1..5 {
        link.end(0, &Outcome::Written { free: 1, no_room: false }, at(second));
    }
    link.begin(1, at(4));
    assert_eq!(link.judge(at(5)).state, Storage::Full);
    assert_eq!(link.judge(at(14)).state, Storage::Broken);
    assert!(link.judge(at(14)).why.contains("/wal"));
}

#[test]
fn a_real_directory_is_written_and_left_empty() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = probe(directory.path(), None);
    assert!(matches!(outcome, Outcome::Written { free, no_room: false } if free > 0), "{outcome:?}");
    assert!(matches!(probe(directory.path(), Some(directory.path())), Outcome::Nothing), "one file system is written once");
    assert!(matches!(probe(&directory.path().join("absent"), None), Outcome::Nothing));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
