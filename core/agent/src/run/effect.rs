//! Short effects that are under way, so that none is begun twice.
//!
//! The engine asks for an effect in every decision until it sees its result. Here the second request is recognised while the first is
//! under way, and a failed one rests a moment before it is tried again. A write that the store has taken is seen when the watch shows it:
//! until then it is not written again either, or an agent whose watch is late would write as fast as the store answers.

use std::{collections::BTreeMap, time::Duration};
use tanist_engine::{Action, Moment};

/// A kind of short effect; one of each kind is under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the action it stands for")]
pub enum Effect {
    Acquire,
    Renew,
    Release,
    Fence,
    SyncNames,
    WriteSync,
    Promise,
    Data,
    EndConnections,
    Adopt,
    Checkpoint,
    Initialize,
    Timelines,
    Prove,
    PublishPrimary,
    PublishMember,
    PublishStatus,
    ClearSwitchover,
    AskPeers,
    NameFailsafe,
    AskToWait,
}

impl Effect {
    /// The kind of an action; `None` for jobs and for what is done on the spot.
    pub fn of(action: &Action) -> Option<Self> {
        Some(match action {
            Action::Acquire { .. } => Self::Acquire,
            Action::Renew => Self::Renew,
            Action::Release { .. } => Self::Release,
            Action::Fence => Self::Fence,
            Action::SetSyncNames(_) => Self::SyncNames,
            Action::WriteSync { .. } => Self::WriteSync,
            Action::WritePromise { .. } => Self::Promise,
            Action::RaiseData { .. } => Self::Data,
            Action::EndConnections { .. } => Self::EndConnections,
            Action::AdoptDirectory => Self::Adopt,
            Action::Checkpoint => Self::Checkpoint,
            Action::WriteInitialize { .. } => Self::Initialize,
            Action::ClaimTimeline { .. } | Action::RecordTimeline { .. } => Self::Timelines,
            Action::Prove { .. } => Self::Prove,
            Action::PublishPrimary(_) => Self::PublishPrimary,
            Action::PublishMember(_) => Self::PublishMember,
            Action::PublishStatus { .. } => Self::PublishStatus,
            Action::ClearSwitchover { .. } => Self::ClearSwitchover,
            Action::AskPeers => Self::AskPeers,
            Action::NameFailsafe { .. } => Self::NameFailsafe,
            Action::AskToWait { .. } => Self::AskToWait,
            Action::Arm { .. } | Action::Disarm | Action::Run(_) | Action::Emit(_) | Action::Exit => return None,
        })
    }

    /// How long a failed one rests.
    fn rest(self) -> Duration {
        match self {
            Self::Acquire | Self::Renew | Self::Fence | Self::Prove | Self::AskToWait => Duration::from_millis(50),
            Self::Checkpoint => Duration::from_secs(5),
            Self::PublishStatus | Self::AskPeers => Duration::from_secs(1),
            _ => Duration::from_millis(200),
        }
    }

    /// Its result is seen in the store's keys.
    fn is_shown_by_store(self) -> bool {
        matches!(
            self,
            Self::WriteSync
                | Self::Promise
                | Self::Data
                | Self::Initialize
                | Self::Timelines
                | Self::PublishPrimary
                | Self::ClearSwitchover
                | Self::NameFailsafe
        )
    }
}

/// A write that no news of the store has followed may be written again after this.
const UNSHOWN: Duration = Duration::from_millis(200);

/// Which effects are under way or resting.
#[derive(Debug, Default)]
pub struct UnderWay(BTreeMap<Effect, State>);

#[derive(Debug)]
enum State {
    /// With news of the store since it began.
    Running { news: bool },
    /// It failed.
    Resting(Moment),
    /// The store has taken it, and has not shown anything since.
    Unshown(Moment),
}

impl UnderWay {
    /// Whether one of this kind may begin now; if so it counts as under way.
    pub fn begin(&mut self, effect: Effect, now: Moment) -> bool {
        let free = match self.0.get(&effect) {
            None => true,
            Some(State::Running { .. }) => false,
            Some(State::Resting(until) | State::Unshown(until)) => *until <= now,
        };
        if free {
            self.0.insert(effect, State::Running { news: false });
        }
        free
    }

    /// An effect has ended.
    pub fn end(&mut self, effect: Effect, done: bool, now: Moment) {
        let shown = !effect.is_shown_by_store() || !matches!(self.0.get(&effect), Some(State::Running { news: false }));
        match (done, shown) {
            (false, _) => self.0.insert(effect, State::Resting(now + effect.rest())),
            (true, false) => self.0.insert(effect, State::Unshown(now + UNSHOWN)),
            (true, true) => self.0.remove(&effect),
        };
    }

    /// The store has shown something: what it had taken before is among it, or is written once more.
    pub fn news(&mut self) {
        self.0.retain(|_, state| !matches!(state, State::Unshown(_)));
        for state in self.0.values_mut() {
            if let State::Running { news } = state {
                *news = true;
            }
        }
    }

    /// When the next effect that rests at `now` may be tried again.
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let rests = self.0.values().filter_map(|state| match state {
            State::Running { .. } => None,
            State::Resting(until) | State::Unshown(until) => Some(*until),
        });
        rests.filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    /// A leader whose watch is late asks for the same write at every answer.
    #[test]
    fn a_write_is_not_written_again_before_the_store_has_shown_anything() {
        let mut under_way = UnderWay::default();
        assert!(under_way.begin(Effect::PublishPrimary, at(0)) && !under_way.begin(Effect::PublishPrimary, at(1)));
        under_way.end(Effect::PublishPrimary, true, at(2));
        assert!(!under_way.begin(Effect::PublishPrimary, at(3)), "nothing was shown");
        assert_eq!(under_way.wake_at(at(3)), Some(at(202)));
        under_way.news();
        assert!(under_way.begin(Effect::PublishPrimary, at(4)), "shown, and still wanted");
        under_way.end(Effect::PublishPrimary, true, at(5));
        assert!(under_way.begin(Effect::PublishPrimary, at(205)), "not shown for long");
        // The watch is often faster than the answer.
        under_way.news();
        under_way.end(Effect::PublishPrimary, true, at(206));
        assert!(under_way.begin(Effect::PublishPrimary, at(207)));
    }

    #[test]
    fn a_failure_rests_whatever_the_store_shows() {
        let mut under_way = UnderWay::default();
        assert!(under_way.begin(Effect::Timelines, at(0)));
        under_way.end(Effect::Timelines, false, at(1));
        under_way.news();
        assert!(!under_way.begin(Effect::Timelines, at(200)) && under_way.begin(Effect::Timelines, at(201)));
        // What the lease's keeper knows by itself waits for no news.
        assert!(under_way.begin(Effect::Renew, at(0)));
        under_way.end(Effect::Renew, true, at(1));
        assert!(under_way.begin(Effect::Renew, at(1)));
    }
}
