//! Only the guard promotes, while armed: this crate has no other way, not even by accident.

use std::{fs, path::Path};

#[test]
fn no_source_file_promotes_by_sql_or_by_file() {
    let mut files = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        files += 1;
        for forbidden in [concat!("pg_pro", "mote"), concat!("pg_", "ctl"), concat!("join(\"", "promote\")")] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
    assert!(files > 10, "the sources were found");
}
