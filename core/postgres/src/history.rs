//! Where a timeline begins, and which one it left: the last line of its history file in `pg_wal`.

use std::{fs::File, io::Read, path::Path};
use tanist_engine::{Lsn, Timeline};

/// Longer than any history that a cluster could have.
const LONGEST: u64 = 1 << 20;

/// Which timeline it left, and where; `None`: it is the first, or its file cannot be read.
pub(crate) fn origin(data_dir: &Path, timeline: Timeline) -> Option<(Timeline, Lsn)> {
    let path = data_dir.join("pg_wal").join(format!("{:08X}.history", timeline.0));
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    last_switch(&text)
}

/// Lines are `parent-timeline  switch-point  reason`; a comment begins with `#`.
fn last_switch(text: &str) -> Option<(Timeline, Lsn)> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    let mut words = line.split_whitespace();
    let parent = words.next()?.parse().ok()?;
    Some((Timeline(parent), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let text = "1\t0/3000148\tno recovery target specified\n\n3\t0/5000028\tno recovery target specified\n\n";
        assert_eq!(last_switch(text), Some((Timeline(3), Lsn(0x500_0028))));
        for nothing in ["", "# only a comment\n", "1\n", "x 0/1 y\n"] {
            assert_eq!(last_switch(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn the_first_timeline_has_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(origin(dir.path(), Timeline(1)), None);
    }
}
