//! Short effects that are under way, so that none is begun twice.
//!
//! The engine asks for an effect in every decision until it sees its result. Here the second request is recognised while the first is
//! under way, and a failed one rests a moment before it is tried again.

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
}

/// Which effects are under way or resting.
#[derive(Debug, Default)]
pub struct UnderWay(BTreeMap<Effect, State>);

#[derive(Debug)]
enum State {
    Running,
    Resting(Moment),
}

impl UnderWay {
    /// Whether one of this kind may begin now; if so it counts as under way.
    pub fn begin(&mut self, effect: Effect, now: Moment) -> bool {
        let free = match self.0.get(&effect) {
            None => true,
            Some(State::Running) => false,
            Some(State::Resting(until)) => *until <= now,
        };
        if free {
            self.0.insert(effect, State::Running);
        }
        free
    }

    /// An effect has ended.
    pub fn end(&mut self, effect: Effect, done: bool, now: Moment) {
        if done {
            self.0.remove(&effect);
        } else {
            self.0.insert(effect, State::Resting(now + effect.rest()));
        }
    }

    /// When the next effect that rests at `now` may be tried again.
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let rests = self.0.values().filter_map(|state| if let State::Resting(until) = state { Some(*until) } else { None });
        rests.filter(|until| *until > now).min()
    }
}
