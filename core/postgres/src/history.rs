//! Where a timeline begins, and which one it left: the last line of its history file in `pg_wal`.

use std::{fs::File, io::Read, path::Path, time::Duration};
use tanist_engine::{Lsn, Timeline};
use tokio::task::JoinHandle;

/// How long a look waits for the file.
const LIMIT: Duration = Duration::from_millis(100);

/// Longer than any history that a cluster could have.
const LONGEST: u64 = 1 << 20;

/// The timeline that was left, and where.
type Origin = (Timeline, Lsn);

/// Origins as far as they have been read: a history file never changes, and the first timeline has none. At most one thread waits for
/// the disk.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    known: Option<(Timeline, Origin)>,
    reading: Option<(Timeline, JoinHandle<Option<Origin>>)>,
}

impl Origins {
    /// Which timeline it left, and where; `None`: it is the first, or its file cannot be read, or not in time.
    pub(crate) async fn of(&mut self, data_dir: &Path, timeline: Timeline) -> Option<Origin> {
        if let Some((_, origin)) = self.known.filter(|(known, _)| *known == timeline) {
            return Some(origin);
        }
        if timeline <= Timeline(1) {
            return None;
        }
        let (asked, mut reading) = self.reading.take().unwrap_or_else(|| {
            let data_dir = data_dir.to_owned();
            (timeline, tokio::task::spawn_blocking(move || origin(&data_dir, timeline)))
        });
        match tokio::time::timeout(LIMIT, &mut reading).await {
            Err(_disk_hangs) => self.reading = Some((asked, reading)),
            Ok(found) => self.known = found.ok().flatten().map(|origin| (asked, origin)),
        }
        self.known.filter(|(known, _)| *known == timeline).map(|(_, origin)| origin)
    }
}

/// Which timeline it left, and where; `None`: it is the first, or its file cannot be read.
fn origin(data_dir: &Path, timeline: Timeline) -> Option<Origin> {
    let path = data_dir.join("pg_wal").join(format!("{:08X}.history", timeline.0));
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
    last_switch(&text)
}

/// Lines are `parent-timeline  switch-point  reason`; a comment begins with `#`.
fn last_switch(text: &str) -> Option<Origin> {
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

    #[tokio::test]
    async fn a_file_that_appears_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut origins = Origins::default();
        assert_eq!(origins.of(dir.path(), Timeline(1)).await, None, "the first timeline has none");
        assert_eq!(origins.of(dir.path(), Timeline(2)).await, None);
        let wal = dir.path().join("pg_wal");
        std::fs::create_dir(&wal).unwrap();
        std::fs::write(wal.join("00000002.history"), "1\t0/3000148\tno recovery target specified\n").unwrap();
        assert_eq!(origins.of(dir.path(), Timeline(2)).await, Some((Timeline(1), Lsn(0x300_0148))));
        std::fs::remove_dir_all(&wal).unwrap();
        assert_eq!(origins.of(dir.path(), Timeline(2)).await, Some((Timeline(1), Lsn(0x300_0148))), "kept");
        assert_eq!(origins.of(dir.path(), Timeline(3)).await, None, "of another timeline nothing is known");
    }
}
