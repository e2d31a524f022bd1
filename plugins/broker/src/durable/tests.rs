//! A durable value survives a crash at every step of a write.

use super::{power_cut::PowerCut, *};
use std::fs;

const MAGIC: &str = "test 1 ";

type Value = Vec<String>;

fn value(number: u64) -> Value {
    vec![format!("value {number}"), "x".repeat(100)]
}

fn on(disk: &PowerCut) -> Durable<Value> {
    Durable::new(Arc::new(disk.clone()), Path::new("/state"), "value", MAGIC)
}

fn real() -> (tempfile::TempDir, Durable<Value>) {
    let directory = tempfile::tempdir().unwrap();
    let durable = Durable::new(Arc::new(RealDisk), directory.path(), "value", MAGIC);
    (directory, durable)
}

#[test]
fn what_was_written_is_read_and_nothing_is_the_default() {
    let (_directory, durable) = real();
    assert_eq!(durable.load().unwrap(), Value::default());
    durable.write(&value(7)).unwrap();
    durable.write(&value(9)).unwrap();
    assert_eq!(durable.load().unwrap(), value(9));
}

/// The power is cut instead of each step of two writes; whatever may be on the disk then is read.
#[test]
fn a_power_cut_at_any_step_leaves_the_old_value_or_the_new() {
    let mut cuts = 0;
    for step in 0.. {
        let disk = PowerCut::new();
        on(&disk).write(&value(1)).unwrap();
        disk.cut_at(step);
        let written = on(&disk).write(&value(2)).is_ok();
        for found in disk.found().into_iter().chain([disk.survived()]) {
            let loaded = on(&found).load().unwrap_or_else(|error| panic!("cut at step {step}: {error}"));
            assert!(loaded == value(2) || (!written && loaded == value(1)), "cut at step {step}: {loaded:?}");
            on(&found).write(&value(3)).unwrap();
            assert_eq!(on(&found).load().unwrap(), value(3), "what a crash left behind is in nobody's way");
            cuts += 1;
        }
        if !disk.is_cut() {
            break;
        }
    }
    assert!(cuts > 50, "only {cuts} disks were looked at");
}

/// A temporary file that was cut anywhere is not read, whatever is in it.
#[test]
fn a_torn_temporary_file_of_any_length_is_not_read() {
    let (_directory, durable) = real();
    durable.write(&value(1)).unwrap();
    let new = durable.render(&value(2)).unwrap();
    for written in 0..=new.len() {
        fs::write(durable.beside("new"), &new[..written]).unwrap();
        assert_eq!(durable.load().unwrap(), value(1), "crash after {written} bytes");
    }
    fs::rename(durable.beside("new"), &durable.file).unwrap();
    assert_eq!(durable.load().unwrap(), value(2));
}

/// A file that is cut or changed at any byte is noticed, kept aside, and in nobody's way.
#[test]
fn a_damaged_file_is_noticed_at_every_byte() {
    let (_directory, durable) = real();
    let good = durable.render(&value(1)).unwrap();
    let cut = (0..good.len()).map(|length| good[..length].to_vec());
    let flipped = (0..good.len()).map(|place| {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        bytes
    });
    for bad in cut.chain(flipped) {
        fs::write(&durable.file, &bad).unwrap();
        let error = durable.load().unwrap_err();
        assert!(matches!(error, DurableError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(durable.beside("damaged")).unwrap(), bad);
        assert_eq!(durable.load().unwrap(), Value::default());
    }
    durable.write(&value(5)).unwrap();
    assert_eq!(durable.load().unwrap(), value(5));
}

#[test]
fn what_is_too_long_to_be_read_is_not_written() {
    let (_directory, durable) = real();
    durable.write(&value(1)).unwrap();
    let error = durable.write(&vec!["x".repeat(MAX_FILE as usize)]).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
    assert_eq!(durable.load().unwrap(), value(1));
}

#[test]
fn a_directory_that_is_gone_is_an_error_and_no_panic() {
    let (directory, durable) = real();
    drop(directory);
    assert!(matches!(durable.write(&value(1)), Err(DurableError::Io { .. })));
}
