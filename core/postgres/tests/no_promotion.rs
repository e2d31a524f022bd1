//! Only the guard promotes, while armed: this crate has no other way, not even by accident.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn no_source_file_promotes_by_sql_or_by_file() {
    let sources = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 10, "the sources were found");
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for forbidden in [concat!("pg_pro", "mote"), concat!("pg_", "ctl"), concat!("join(\"", "promote\")")] {
            assert!(!text.contains(forbidden), "{}: {forbidden}", path.display());
        }
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
