//! How far a standby's history reaches, from what it says of itself.
//!
//! Known only if it has streamed since its start, or has replayed everything it had and waits for more. Before, what it acknowledged
//! in an earlier life may still lie on its disk, received and not replayed, and neither LSN shows it (SAFETY: position).

use crate::probe_row::StandbyRow;
use tanist_engine::{Epoch, Lsn, Position, Timeline};

/// Waits of the startup process that it enters only when archive and `pg_wal` have nothing more: for a walreceiver's data, and
/// between two rounds in which no source had any.
const EXHAUSTED: [&str; 2] = ["RecoveryWalStream", "RecoveryRetrieveRetryInterval"];

/// Whether all local WAL has been replayed at least once since the start. True for as long as the server lives.
///
/// A walreceiver has a position as soon as it was asked for one, which happens when local WAL is exhausted.
pub(crate) fn is_exhausted(standby: &StandbyRow) -> bool {
    standby.received.is_some() || standby.startup_wait.as_deref().is_some_and(|wait| EXHAUSTED.contains(&wait))
}

/// The walreceiver tells timeline and position of what it receives; where replay is beyond it, it has only just begun.
pub(crate) fn while_streaming(standby: &StandbyRow) -> Option<Position> {
    let (timeline, received) = (standby.receiver_timeline?, standby.received?);
    (standby.streaming && received >= standby.replayed).then(|| position(timeline, received))
}

/// Without a walreceiver: the answer of `IDENTIFY_SYSTEM`, unless more was received than it covers. Then replay is still on an older
/// timeline than the received WAL, whose number nobody tells; it is known as soon as replay gets there.
pub(crate) fn when_identified(standby: &StandbyRow, (timeline, lsn): (Timeline, Lsn)) -> Option<Position> {
    standby.received.is_none_or(|received| received <= lsn).then(|| position(timeline, lsn))
}

fn position(timeline: Timeline, lsn: Lsn) -> Position {
    Position { opened_by: Epoch::NONE, timeline, lsn }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(received: Option<u64>, replayed: u64) -> StandbyRow {
        StandbyRow { received: received.map(Lsn), replayed: Lsn(replayed), ..StandbyRow::default() }
    }

    #[test]
    fn nothing_is_known_before_local_wal_is_exhausted() {
        let waiting = |wait: &str| StandbyRow { startup_wait: Some(wait.into()), ..row(None, 5) };
        assert!(!is_exhausted(&row(None, 5)));
        assert!(!is_exhausted(&waiting("RecoveryPause")) && !is_exhausted(&waiting("RecoveryApplyDelay")));
        assert!(is_exhausted(&waiting("RecoveryRetrieveRetryInterval")) && is_exhausted(&waiting("RecoveryWalStream")));
        assert!(is_exhausted(&row(Some(1), 5)));
    }

    #[test]
    fn a_walreceiver_that_has_just_begun_is_not_believed() {
        let streaming = |received| StandbyRow { streaming: true, receiver_timeline: Some(Timeline(2)), ..row(Some(received), 5) };
        assert_eq!(while_streaming(&streaming(4)), None);
        assert_eq!(while_streaming(&streaming(5)), Some(position(Timeline(2), Lsn(5))));
        assert_eq!(while_streaming(&StandbyRow { streaming: false, ..streaming(9) }), None);
    }

    #[test]
    fn received_wal_of_a_timeline_not_yet_replayed_hides_the_end() {
        let answer = (Timeline(1), Lsn(5));
        assert_eq!(when_identified(&row(Some(6), 5), answer), None);
        assert_eq!(when_identified(&row(Some(5), 5), answer), Some(position(Timeline(1), Lsn(5))));
        assert_eq!(when_identified(&row(None, 5), answer), Some(position(Timeline(1), Lsn(5))));
    }
}
