//! Where timelines began and which ones they left: their history files in `pg_wal`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tanist_engine::{Lsn, Timeline};
use tokio::task::JoinHandle;

/// How long a look waits for the file.
const LIMIT: Duration = Duration::from_millis(100);

/// Longer than any history that a cluster could have.
const LONGEST: u64 = 1 << 20;

/// The timeline that was left, and where.
type Origin = (Timeline, Lsn);

/// A timeline that was left, as a history file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Its number.
    pub timeline: Timeline,
    /// Where it was left.
    pub lsn: Lsn,
    /// PostgreSQL's own words for why.
    pub reason: String,
}

/// The history file of a timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineHistory {
    /// What was left on the way to it, oldest first.
    pub switches: Vec<Switch>,
    /// When it was opened, that is, when the file was made.
    pub opened: Option<SystemTime>,
}

/// Reads the history of a timeline. The first one has none. A disk that does not answer within the limit is an error.
pub async fn timeline_history(data_dir: &Path, timeline: Timeline, limit: Duration) -> io::Result<TimelineHistory> {
    if timeline <= Timeline(1) {
        return Ok(TimelineHistory::default());
    }
    let path = path(data_dir, timeline);
    let reading = tokio::task::spawn_blocking(move || {
        let file = File::open(&path)?;
        let opened = file.metadata()?.modified().ok();
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("{}: not understood", path.display()));
        Ok(TimelineHistory { switches: switches(&text(file)?).ok_or_else(wrong)?, opened })
    });
    match tokio::time::timeout(limit, reading).await {
        Ok(read) => read.map_err(io::Error::other)?,
        Err(late) => Err(late.into()),
    }
}

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
    last_switch(&text(File::open(path(data_dir, timeline)).ok()?).ok()?)
}

/// The history file of a timeline.
pub(crate) fn path(data_dir: &Path, timeline: Timeline) -> PathBuf {
    data_dir.join("pg_wal").join(format!("{:08X}.history", timeline.0))
}

fn text(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn last_switch(text: &str) -> Option<Origin> {
    let Switch { timeline, lsn, reason: _ } = switch(lines(text).next_back()?)?;
    Some((timeline, lsn))
}

/// `None`: a line is not understood.
fn switches(text: &str) -> Option<Vec<Switch>> {
    lines(text).map(switch).collect()
}

/// Without comments.
fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A line is `parent-timeline  switch-point  reason`.
fn switch(line: &str) -> Option<Switch> {
    let (parent, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (lsn, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some(Switch { timeline: Timeline(parent.parse().ok()?), lsn: lsn.parse().ok()?, reason: reason.trim_start().to_owned() })
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
    async fn a_history_in_full() {
        let dir = tempfile::tempdir().unwrap();
        let read = |timeline| timeline_history(dir.path(), Timeline(timeline), Duration::from_secs(10));
        assert_eq!(read(1).await.unwrap(), TimelineHistory::default());
        assert_eq!(read(4).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::create_dir(dir.path().join("pg_wal")).unwrap();
        let file = path(dir.path(), Timeline(4));
        std::fs::write(&file, "# x\n1\t0/3000148\tno recovery target specified\n\n3\t0/5000028\tbefore 2026\n").unwrap();
        let history = read(4).await.unwrap();
        let line = |timeline, lsn, reason: &str| Switch { timeline: Timeline(timeline), lsn: Lsn(lsn), reason: reason.into() };
        assert_eq!(history.switches, [line(1, 0x300_0148, "no recovery target specified"), line(3, 0x500_0028, "before 2026")]);
        assert!(history.opened.is_some());
        std::fs::write(&file, "garbage\n").unwrap();
        assert_eq!(read(4).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
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
