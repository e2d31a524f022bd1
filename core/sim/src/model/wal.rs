//! Write-ahead logs as lists of segments of *branches*.
//!
//! A branch is one life of a timeline on one server: two servers that open a timeline of the same number open different branches, which
//! is what PostgreSQL itself cannot see. A log contains a write iff it has a segment of the write's branch that covers it.

/// A stretch of one branch: bytes after `from` up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seg {
    /// The branch.
    pub branch: u32,
    /// Its timeline number, all that PostgreSQL knows.
    pub timeline: u32,
    /// After this byte.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
}

/// A log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wal(Vec<Seg>);

impl Wal {
    /// The log of a new cluster.
    pub fn begin(branch: u32, at: u64) -> Self {
        Self(vec![Seg { branch, timeline: 1, from: 0, to: at }])
    }

    /// Its end.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |seg| seg.to)
    }

    /// Its present timeline.
    pub fn timeline(&self) -> u32 {
        self.0.last().map_or(1, |seg| seg.timeline)
    }

    /// Its present branch.
    pub fn branch(&self) -> u32 {
        self.0.last().map_or(0, |seg| seg.branch)
    }

    /// Where the present branch begins.
    pub fn branch_begin(&self) -> u64 {
        self.0.last().map_or(0, |seg| seg.from)
    }

    /// Where the present timeline begins; nothing for the first.
    pub fn timeline_begin(&self) -> Option<u64> {
        self.0.iter().find(|seg| seg.timeline == self.timeline()).filter(|_| self.timeline() > 1).map(|seg| seg.from)
    }

    /// Which timeline the present one left; nothing for the first.
    pub fn timeline_parent(&self) -> Option<u32> {
        let at = self.0.iter().position(|seg| seg.timeline == self.timeline())?;
        self.0.get(at.checked_sub(1)?).map(|seg| seg.timeline)
    }

    /// Writes `bytes` more.
    pub fn write(&mut self, bytes: u64) -> u64 {
        if let Some(seg) = self.0.last_mut() {
            seg.to += bytes;
        }
        self.end()
    }

    /// Opens a new branch at the end.
    pub fn open(&mut self, branch: u32, timeline: u32) {
        let end = self.end();
        self.0.push(Seg { branch, timeline, from: end, to: end });
    }

    /// Whether the bytes up to `lsn` of `branch`, beginning after `from`, are here.
    pub fn covers(&self, branch: u32, from: u64, lsn: u64) -> bool {
        self.0.iter().any(|seg| seg.branch == branch && seg.from <= from && lsn <= seg.to)
    }

    /// What a server with this log sends to one whose log ends at (`timeline`, `end`), up to `upto`: PostgreSQL compares the number of
    /// the timeline and the position where it was left, nothing else. Nothing: it refuses.
    pub fn send(&self, timeline: u32, end: u64, upto: u64) -> Option<Vec<Seg>> {
        let last = self.0.iter().rposition(|seg| seg.timeline == timeline)?;
        if end > self.0[last].to {
            return None;
        }
        let later = self.0[last..].iter().filter_map(|seg| {
            let cut = Seg { from: seg.from.max(end), to: seg.to.min(upto), ..*seg };
            (cut.from < cut.to || (seg.from == seg.to && seg.from >= end && seg.to <= upto)).then_some(cut)
        });
        Some(later.collect())
    }

    /// Takes in what was sent.
    pub fn receive(&mut self, sent: &[Seg]) {
        for seg in sent {
            match self.0.last_mut() {
                Some(last) if last.branch == seg.branch && seg.to <= last.to => {}
                Some(last) if last.branch == seg.branch && last.to >= seg.from => last.to = seg.to,
                _ => self.0.push(*seg),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_that_leaves_at_the_fork_follows_and_one_beyond_does_not() {
        let mut old = Wal::begin(1, 100);
        let mut new = old.clone();
        new.open(2, 2);
        new.write(50);
        assert_eq!(new.send(1, 100, 150).unwrap().len(), 1);
        let mut behind = Wal::begin(1, 80);
        behind.receive(&new.send(1, 80, 150).unwrap());
        assert_eq!(behind, new);
        old.write(10);
        assert_eq!(new.send(1, old.end(), 150), None);
        assert!(new.covers(1, 0, 100) && !new.covers(1, 0, 110) && new.covers(2, 100, 150));
    }

    #[test]
    fn equal_numbers_of_other_branches_are_mistaken_for_each_other_and_the_loss_shows() {
        let mut one = Wal::begin(1, 100);
        let mut other = one.clone();
        one.open(2, 2);
        one.write(50);
        other.open(3, 2);
        other.write(90);
        one.receive(&other.send(2, 150, 190).unwrap());
        assert_eq!(one.end(), 190);
        assert!(!one.covers(3, 100, 150));
    }
}
