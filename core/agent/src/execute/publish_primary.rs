//! The cluster's face: `tanist/primary`, and `/history` where it is not that of PostgreSQL. One leader write.

use super::{Tools, outcome::written};
use crate::run::wall;
use std::time::{Duration, UNIX_EPOCH};
use tanist_dcs::{Compare, Op};
use tanist_engine::{Face, Revision};
use tanist_patroni::{
    dcs::{HistoryKey, HistoryLine},
    own::PrimaryKey,
};
use tanist_postgres::{Switch, TimelineHistory, timeline_history};

/// The face does not wait longer for the disk: the history is for people.
const LIMIT: Duration = Duration::from_millis(200);

impl Tools {
    pub(super) async fn publish_primary(&self, face: Face, timeout: Duration) -> bool {
        let keys = self.keeper.keys();
        let value = PrimaryKey { face: face.clone(), since: wall::iso_now() }.encode();
        let mut ops = vec![Op::put(keys.primary(), value)];
        let mut compares = Vec::new();
        if let Some((op, compare)) = self.history(&face).await {
            ops.push(op);
            compares.push(compare);
        }
        written("tanist/primary", self.keeper.leader_write(ops, compares, timeout).await)
    }

    /// What `/history` is to be, if it is not. PostgreSQL knows best: a number that was claimed may never have been opened, and a leader
    /// may have been lost before it could write its line.
    async fn history(&self, face: &Face) -> Option<(Op, Compare)> {
        let data_dir = &self.settings.postgres.data_dir;
        let file = match timeline_history(data_dir, face.timeline, LIMIT).await {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!("/history is left as it is: the history of timeline {}: {error}", face.timeline.0);
                return None;
            }
        };
        let key = self.keeper.keys().history();
        let snapshot = self.mirror.snapshot();
        let present = snapshot.get(&key);
        let revision = present.map_or(Revision(0), |mirrored| mirrored.kv.mod_revision);
        let value = next(file, present.map(|mirrored| mirrored.kv.value.as_ref()), face)?;
        Some((Op::put(key.clone(), value.encode()), Compare::ModRevision(key, revision)))
    }
}

/// `None`: the key is as it is to be.
fn next(file: TimelineHistory, present: Option<&[u8]>, face: &Face) -> Option<HistoryKey> {
    let known = match present.map(HistoryKey::decode).transpose() {
        Ok(known) => Some(known.unwrap_or_default()),
        Err(error) => {
            tracing::warn!(%error, "/history is written anew");
            None
        }
    };
    let opened = file.opened.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let opened = opened.map(|since| wall::iso(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)));
    let line = |Switch { timeline, lsn, reason }| HistoryLine { timeline, lsn, reason, at: None, leader: None };
    let lines = file.switches.into_iter().map(line).collect();
    let wanted = HistoryKey::rebuilt(lines, known.as_ref().unwrap_or(&HistoryKey::default()), (opened, face.name.to_string()));
    (known.as_ref() != Some(&wanted)).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;
    use tanist_engine::{Endpoint, Epoch, Lsn, Timeline};

    fn face(timeline: u32) -> Face {
        let endpoint = Endpoint { host: "10.0.0.2".to_owned(), port: 5432 };
        Face { epoch: Epoch(9), name: "b".into(), endpoint, timeline: Timeline(timeline) }
    }

    fn file(switches: &[(u32, u64)]) -> TimelineHistory {
        let switch =
            |(timeline, lsn): &(u32, u64)| Switch { timeline: Timeline(*timeline), lsn: Lsn(*lsn), reason: "r".to_owned() };
        let opened: Option<SystemTime> = Some(UNIX_EPOCH + Duration::from_millis(1_795_233_600_123));
        TimelineHistory { switches: switches.iter().map(switch).collect(), opened }
    }

    fn text(file: TimelineHistory, present: Option<&str>) -> Option<String> {
        next(file, present.map(str::as_bytes), &face(3)).map(|key| key.encode())
    }

    #[test]
    fn the_line_is_that_of_the_timeline_that_was_left() {
        // Number 2 was claimed by a promotion that failed.
        let written = text(file(&[(1, 100)]), None).expect("a line");
        assert_eq!(written, r#"[[1,100,"r","2026-11-21T04:00:00.123000+00:00","b"]]"#);
        assert_eq!(text(file(&[(1, 100)]), Some(&written)), None, "it is there");
    }

    #[test]
    fn garbage_is_mended() {
        for garbage in ["garbage", r#"{"lines":[]}"#, r#"[[1,"x"]]"#] {
            let written = text(file(&[(1, 100), (2, 200)]), Some(garbage)).expect("another value");
            assert!(written.starts_with(r#"[[1,100,"r"],[2,200,"r","2026-"#), "{written}");
        }
    }

    #[test]
    fn the_first_timeline_has_no_history() {
        assert_eq!(text(TimelineHistory::default(), None), None);
        assert_eq!(
            text(TimelineHistory::default(), Some(r#"[[1,100,"r"]]"#)).as_deref(),
            Some("[]"),
            "of a cluster before this one"
        );
    }
}
