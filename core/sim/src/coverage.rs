//! What schedules have reached: faults, reasons, actions. A number that stays zero is a hole.

use crate::fault::Kind;
use std::fmt::Write as _;
use tanist_engine::{Action, Reason};

const ACTIONS: [&str; 27] = [
    "acquire",
    "renew",
    "release",
    "arm",
    "disarm",
    "fence",
    "run",
    "set-sync-names",
    "write-sync",
    "write-initialize",
    "claim-timeline",
    "record-timeline",
    "prove",
    "publish-primary",
    "publish-member",
    "publish-status",
    "clear-switchover",
    "emit",
    "ask-peers",
    "exit",
    "write-promise",
    "raise-data",
    "adopt-directory",
    "checkpoint",
    "name-failsafe",
    "ask-to-wait",
    "end-connections",
];

/// What some ten thousand schedules may miss, and why.
pub const RARE: &[(&str, &str)] = &[
    ("keeping-diverged", "in every simulated cluster diverged data are replaced; who keeps them waits for an operator"),
    ("epoch-not-newer", "a store restored from a backup between a leader's acquisition and its face, or under a running one"),
    ("wait-sync", "a primary that crashes within the milliseconds in which its write of `/sync` is under way"),
    ("primary-on-unknown-lease", "an agent that starts beside a running primary and does not reach the store"),
];

/// Counts.
#[derive(Clone, Debug)]
pub struct Coverage {
    faults: [u64; Kind::ALL.len()],
    reasons: [u64; 128],
    actions: [u64; ACTIONS.len()],
    /// The numbers of the kinds that came last, to be found without comparing words.
    recent: [(&'static str, usize); 4],
    next: usize,
    /// Promotions and starts that became writable.
    pub failovers: u64,
    /// Rounds in which all agreed and the lease was extended.
    pub sustained: u64,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Schedules that ended with a node that an operator has to help, for a reason that is known and named in `invariant::liveness`.
    pub stuck: u64,
    /// The longest time until exactly one primary was there, from the healing or from the end of what the schedule made slow, nanoseconds.
    pub slowest_lead: u64,
    /// The same until all was well.
    pub slowest_heal: u64,
    /// The most turns of one agent within a second.
    pub busiest: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            faults: [0; Kind::ALL.len()],
            reasons: [0; 128],
            actions: [0; ACTIONS.len()],
            recent: [("", 127); 4],
            next: 0,
            failovers: 0,
            sustained: 0,
            acknowledged: 0,
            stuck: 0,
            slowest_lead: 0,
            slowest_heal: 0,
            busiest: 0,
        }
    }
}

fn kind_number(kind: &str) -> usize {
    Reason::ALL_KINDS.iter().position(|known| *known == kind).unwrap_or(127)
}

fn action_number(action: &Action) -> usize {
    match action {
        Action::Acquire { .. } => 0,
        Action::Renew => 1,
        Action::Release { .. } => 2,
        Action::Arm { .. } => 3,
        Action::Disarm => 4,
        Action::Fence => 5,
        Action::Run(_) => 6,
        Action::SetSyncNames(_) => 7,
        Action::WriteSync { .. } => 8,
        Action::WriteInitialize { .. } => 9,
        Action::ClaimTimeline { .. } => 10,
        Action::RecordTimeline { .. } => 11,
        Action::Prove { .. } => 12,
        Action::PublishPrimary(_) => 13,
        Action::PublishMember(_) => 14,
        Action::PublishStatus { .. } => 15,
        Action::ClearSwitchover { .. } => 16,
        Action::Emit(_) => 17,
        Action::AskPeers => 18,
        Action::Exit => 19,
        Action::WritePromise { .. } => 20,
        Action::RaiseData { .. } => 21,
        Action::AdoptDirectory => 22,
        Action::Checkpoint => 23,
        Action::NameFailsafe { .. } => 24,
        Action::AskToWait { .. } => 25,
        Action::EndConnections { .. } => 26,
    }
}

impl Coverage {
    /// A fault began.
    pub fn fault(&mut self, kind: Kind) {
        self.faults[kind as usize] += 1;
    }

    /// A decision had this reason. Returns the number of its kind.
    pub fn reason(&mut self, reason: &Reason) -> usize {
        let kind = reason.kind();
        let known = self.recent.iter().find(|(word, _)| std::ptr::eq(*word, kind)).map(|(_, number)| *number);
        let number = known.unwrap_or_else(|| {
            let number = kind_number(kind);
            self.recent[self.next] = (kind, number);
            self.next = (self.next + 1) % self.recent.len();
            number
        });
        self.reasons[number] += 1;
        number
    }

    /// A decision asked for this.
    pub fn action(&mut self, action: &Action) {
        self.actions[action_number(action)] += 1;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.faults.iter_mut().zip(other.faults) {
            *mine += theirs;
        }
        for (mine, theirs) in self.reasons.iter_mut().zip(other.reasons) {
            *mine += theirs;
        }
        for (mine, theirs) in self.actions.iter_mut().zip(other.actions) {
            *mine += theirs;
        }
        self.failovers += other.failovers;
        self.sustained += other.sustained;
        self.acknowledged += other.acknowledged;
        self.stuck += other.stuck;
        self.slowest_lead = self.slowest_lead.max(other.slowest_lead);
        self.slowest_heal = self.slowest_heal.max(other.slowest_heal);
        self.busiest = self.busiest.max(other.busiest);
    }

    /// Reasons and actions that were never reached, but for the rare ones.
    pub fn holes(&self) -> Vec<&'static str> {
        let known = |hole: &&'static str| !RARE.iter().any(|(name, _)| name == hole);
        self.unreached().into_iter().filter(known).collect()
    }

    fn unreached(&self) -> Vec<&'static str> {
        let reasons =
            Reason::ALL_KINDS.iter().enumerate().filter(|(number, _)| self.reasons[*number] == 0).map(|(_, kind)| *kind);
        let actions = ACTIONS.iter().enumerate().filter(|(number, _)| self.actions[*number] == 0).map(|(_, name)| *name);
        reasons.chain(actions).collect()
    }

    /// All counts on one line.
    pub fn line(&self) -> String {
        let mut line = format!(
            "failovers={} sustained={} acknowledged={} stuck={} slowest_lead_ms={} slowest_heal_ms={} busiest={}",
            self.failovers,
            self.sustained,
            self.acknowledged,
            self.stuck,
            self.slowest_lead / 1_000_000,
            self.slowest_heal / 1_000_000,
            self.busiest
        );
        line.push_str(" faults{");
        for kind in Kind::ALL {
            let _ = write!(line, "{kind:?}={} ", self.faults[kind as usize]);
        }
        line.push_str("} reasons{");
        for (number, kind) in Reason::ALL_KINDS.iter().enumerate() {
            let _ = write!(line, "{kind}={} ", self.reasons[number]);
        }
        line.push_str("} actions{");
        for (number, name) in ACTIONS.iter().enumerate() {
            let _ = write!(line, "{name}={} ", self.actions[number]);
        }
        line.push('}');
        line
    }
}
