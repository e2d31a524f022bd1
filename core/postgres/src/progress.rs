//! How far a running `pg_basebackup --progress` is, from the log that its output goes to.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// A line of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloneProgress {
    /// Kilobytes received.
    pub done_kb: u64,
    /// Kilobytes expected; an estimate that may be exceeded.
    pub total_kb: u64,
}

impl CloneProgress {
    /// 0 to 100.
    pub fn percent(self) -> u8 {
        let percent = self.done_kb.saturating_mul(100).checked_div(self.total_kb).unwrap_or(0).min(100);
        u8::try_from(percent).unwrap_or(100)
    }
}

/// How much of the end of the log is read.
const TAIL: u64 = 8192;

/// The newest line of progress in the log; `None` while there is none.
pub fn read(log: &Path) -> io::Result<Option<CloneProgress>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(parse(&String::from_utf8_lossy(&tail)))
}

/// The newest line of progress in a text. Lines end with a carriage return on a terminal and a newline in a file.
pub fn parse(text: &str) -> Option<CloneProgress> {
    text.rsplit(['\r', '\n']).find_map(parse_line)
}

/// `  32/1024 kB (3%), 0/1 tablespace (…)`.
fn parse_line(line: &str) -> Option<CloneProgress> {
    let (done, rest) = line.trim_start().split_once('/')?;
    let (total, rest) = rest.split_once(" kB (")?;
    if !rest.contains("%)") {
        return None;
    }
    Some(CloneProgress { done_kb: done.parse().ok()?, total_kb: total.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_line_counts() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("waiting for checkpoint\n"), None);
        let text =
            "waiting for checkpoint\n    0/23162 kB (0%), 0/1 tablespace\n11581/23162 kB (50%), 0/1 tablespace\nnote 1/2\n";
        let seen = parse(text).unwrap();
        assert_eq!((seen.done_kb, seen.total_kb, seen.percent()), (11581, 23162, 50));
        assert_eq!(parse("1/2 kB (50%), 0/1\r3/2 kB (100%), 1/1 tablespace\r").unwrap().percent(), 100);
        assert_eq!(parse("1/0 kB (100%), 1/1").unwrap().percent(), 0);
    }
}
