//! The synchronous standbys: for whom PostgreSQL waits, and whom `/sync` lets lead (SAFETY §4.6).
//!
//! One rule: every set of standbys that can acknowledge under the names *in force* meets every set that can elect under `/sync`
//! (`quorum`), and so many of those that `/sync` names have everything that was ever acknowledged, that each electing set has one of
//! them. Names are *tightened* first, in force, then `/sync` is written; `/sync` is *loosened* first, seen in the store, then names:
//!
//! ```text
//!   /sync as it is ── names that are safe with both ── /sync as wanted ── names as wanted
//! ```
//!
//! The names in between demand so many of both lists that they are safe with either (`quorum::bridge`); where so many are not there,
//! they match nobody. "Has everything" = it streams from here and has flushed up to a position read after the present names came into
//! force: nothing that they did not demand can have been acknowledged later. `/sync` of an older leader is replaced as soon as
//! standbys have everything, or by {me}, which nothing contradicts: this node was allowed to lead because it has everything.

use super::{
    chosen::{self, Chosen},
    marked,
    primary::Primary,
    quorum, replaced,
    turn::Turn,
};
use crate::{Action, DataMark, Held, Lsn, MemberName, SyncMode, SyncNames, SyncState, SyncStep, SyncTarget};
use std::collections::BTreeSet;

/// The next step; nothing when all is as wanted.
pub(super) fn step(turn: &mut Turn<'_>, held: &Held, primary: &Primary<'_>) -> Option<SyncStep> {
    if turn.policy.synchronous == SyncMode::Off {
        return switch_off(turn, primary);
    }
    let Some(names) = primary.names else { return Some(SyncStep::NamesPending) };
    let target = target(turn, held, primary, names);
    let (seen, absent) = (turn.seen, SyncState::default());
    let present = seen.store.sync.as_ref().unwrap_or(&absent);
    let mut doubtful = marked::doubtful(turn, present, primary.role);
    marked::end(turn, &doubtful, primary.role);
    doubtful.extend(marked::strangers(turn, present, primary.role));
    let scene = Scene { primary, names, target, present, doubtful };
    match scene.present.leader.as_ref() == Some(&turn.seen.me) {
        true => scene.go_on(turn),
        false => Some(scene.take_over(turn)),
    }
}

/// Synchronous mode was switched off: first anybody may lead again, then nobody is waited for. A write of `/sync` that names somebody and
/// is still open would land after that and let him lead without what was acknowledged meanwhile: it is written over before.
fn switch_off(turn: &mut Turn<'_>, primary: &Primary<'_>) -> Option<SyncStep> {
    if turn.seen.store.sync.as_ref().is_some_and(|sync| sync.leader.is_some()) {
        return Some(empty(turn, SyncStep::EmptySync));
    }
    match primary.names {
        Some(SyncNames::Nobody) if !turn.memory.sync_is_asked(&turn.seen.store) => None,
        Some(_) if turn.memory.sync_may_land(&turn.seen.store) => Some(empty(turn, SyncStep::Settle)),
        Some(_) => {
            turn.act(Action::SetSyncNames(SyncNames::Nobody));
            Some(SyncStep::OpenNames)
        }
        None => Some(SyncStep::NamesPending),
    }
}

/// `/sync` names nobody any more.
fn empty(turn: &mut Turn<'_>, step: SyncStep) -> SyncStep {
    write(turn, SyncState { revision: turn.seen.store.sync_revision(), ..SyncState::default() });
    step
}

/// The position read after the present names came into force. Forgotten with the memory, it is read anew and only gets larger.
fn target(turn: &mut Turn<'_>, held: &Held, primary: &Primary<'_>, names: &SyncNames) -> Lsn {
    match &turn.memory.sync_target {
        Some(target) if target.names == *names && target.epoch == held.epoch => target.lsn,
        _ => {
            let lsn = primary.position.lsn;
            turn.memory.sync_target = Some(SyncTarget { names: names.clone(), epoch: held.epoch, lsn });
            lsn
        }
    }
}

/// `/sync` as a leader write over what it reads now, comparing the marks of the data directories it counts on.
fn write(turn: &mut Turn<'_>, state: SyncState) {
    turn.memory.sync_asked = Some(state.revision);
    let mark = |name: &MemberName| DataMark { name: name.clone(), revision: replaced::mark(&turn.seen.store, name) };
    let data = state.standbys.iter().map(mark).collect();
    turn.act(Action::WriteSync { state, data });
}

/// The facts of synchronous replication.
pub(super) struct Scene<'a> {
    pub primary: &'a Primary<'a>,
    pub names: &'a SyncNames,
    pub target: Lsn,
    /// `/sync`; not of this leader, it names nobody who counts here.
    pub present: &'a SyncState,
    /// Members that stream, as it seems, and may not: what is shown of them may be of a data directory that is gone, or of another history.
    pub doubtful: Vec<MemberName>,
}

impl Scene<'_> {
    /// `/sync` is another leader's, or empty.
    fn take_over(&self, turn: &mut Turn<'_>) -> SyncStep {
        let reserved = *self.names == SyncNames::Reserved;
        if strict(turn) && !reserved {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        let complete = chosen::complete(turn, self);
        match complete.is_empty() || !reserved {
            true => self.declare_alone(turn),
            false => self.confirm(turn, self.wanted(turn, complete)),
        }
    }

    /// `/sync` is this leader's.
    fn go_on(&self, turn: &mut Turn<'_>) -> Option<SyncStep> {
        let Chosen { standbys, grace } = chosen::choose(turn, self);
        if !quorum::meet(self.names, self.present) {
            return Some(self.repair(turn));
        }
        if standbys.is_empty() {
            return self.nobody(turn);
        }
        let wanted = self.wanted(turn, standbys);
        let grace = grace.map(|(standby, until)| SyncStep::Grace { standby, until });
        if wanted.standbys == self.present.standbys && wanted.quorum == self.present.quorum {
            return self.demand(turn, &wanted).or(grace);
        }
        if quorum::meet(self.names, &wanted) {
            return Some(self.move_to(turn, wanted, grace));
        }
        Some(self.bridge(turn, &wanted))
    }

    /// `/sync` is as wanted: names too, as soon as so many have everything as they demand.
    fn demand(&self, turn: &mut Turn<'_>, wanted: &SyncState) -> Option<SyncStep> {
        let names = demanding(turn, wanted);
        if *self.names == names {
            return None;
        }
        if *self.names == SyncNames::Reserved && !self.has_enough(wanted) {
            return chosen::gone(turn, self).or_else(|| Some(SyncStep::CatchUp { standby: self.slowest(wanted) }));
        }
        Some(self.set(turn, names, SyncStep::Demand { standbys: list(&wanted.standbys) }))
    }

    /// The names in force are safe with `/sync` as wanted: it is written when enough have everything.
    fn move_to(&self, turn: &mut Turn<'_>, wanted: SyncState, grace: Option<SyncStep>) -> SyncStep {
        if self.has_enough(&wanted) {
            return self.confirm(turn, wanted);
        }
        let alone = self.present.standbys.is_empty();
        if alone && *self.names == SyncNames::Reserved && !strict(turn) {
            return self.set(turn, SyncNames::Nobody, SyncStep::OpenNames);
        }
        let standby = self.slowest(&wanted);
        // Commits wait meanwhile for one who is not there any more: only as long again as they have waited for him.
        match !alone && !strict(turn) && *self.names == SyncNames::Reserved && chosen::patience_is_over(turn) {
            true => self.declare_alone(turn),
            false => grace.unwrap_or(SyncStep::CatchUp { standby }),
        }
    }

    /// Names that are safe with `/sync` as it is and as wanted.
    fn bridge(&self, turn: &mut Turn<'_>, wanted: &SyncState) -> SyncStep {
        let (count, all) = quorum::bridge(self.present, wanted);
        let there = all.iter().filter(|name| chosen::streams(self, name)).count();
        if there < count {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        let names = names(turn, u32::try_from(count).unwrap_or(u32::MAX), all.clone());
        self.set(turn, names, SyncStep::Demand { standbys: list(&all) })
    }

    /// No standby is left that could be waited for.
    fn nobody(&self, turn: &mut Turn<'_>) -> Option<SyncStep> {
        let (alone, store) = (self.present.standbys.is_empty(), &turn.seen.store);
        let useless = !alone && self.present.standbys.iter().all(|name| replaced::gave_up(store, self.present, name));
        match (strict(turn), alone) {
            (true, _) if *self.names != SyncNames::Reserved && (alone || useless) => {
                Some(self.set(turn, SyncNames::Reserved, SyncStep::Reserve))
            }
            // They have given up their data: as long as `/sync` names them they cannot get new ones, and nobody else is here.
            (true, false) if useless => Some(self.declare_alone(turn)),
            (true, _) => Some(SyncStep::NoStandby),
            (false, false) => Some(self.declare_alone(turn)),
            (false, true) if *self.names == SyncNames::Nobody => None,
            (false, true) => Some(self.set(turn, SyncNames::Nobody, SyncStep::OpenNames)),
        }
    }

    /// Names and `/sync` do not fit each other (somebody else wrote one of them): back to a pair that is safe.
    fn repair(&self, turn: &mut Turn<'_>) -> SyncStep {
        if strict(turn) && *self.names != SyncNames::Reserved {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        self.declare_alone(turn)
    }

    /// Names are loosened only when no write of `/sync` is open: it could name somebody whom the new names do not demand.
    fn set(&self, turn: &mut Turn<'_>, names: SyncNames, step: SyncStep) -> SyncStep {
        if names != SyncNames::Reserved && turn.memory.sync_may_land(&turn.seen.store) {
            return self.settle(turn);
        }
        turn.act(Action::SetSyncNames(names));
        step
    }

    /// Writes what `/sync` reads over the same revision once more: of all such writes one lands, and this one changes nothing. Not
    /// where one of those it names has given up its data meanwhile.
    fn settle(&self, turn: &mut Turn<'_>) -> SyncStep {
        let store = &turn.seen.store;
        let unsound = |name: &MemberName| *name == turn.seen.me || replaced::gave_up(store, self.present, name);
        if self.present.standbys.iter().any(unsound) {
            return match strict(turn) && *self.names != SyncNames::Reserved {
                true => self.set(turn, SyncNames::Reserved, SyncStep::Reserve),
                false if strict(turn) => SyncStep::NoStandby,
                false => self.declare_alone(turn),
            };
        }
        write(turn, self.present.clone());
        SyncStep::Settle
    }

    fn confirm(&self, turn: &mut Turn<'_>, wanted: SyncState) -> SyncStep {
        if !chosen::marks_known(turn, &wanted.standbys) {
            return SyncStep::CatchUp { standby: self.slowest(&wanted) };
        }
        let standbys = list(&wanted.standbys);
        write(turn, wanted);
        SyncStep::Confirm { standbys }
    }

    fn declare_alone(&self, turn: &mut Turn<'_>) -> SyncStep {
        let (revision, leader) = (self.present.revision, Some(turn.seen.me.clone()));
        write(turn, SyncState { revision, leader, standbys: BTreeSet::new(), quorum: 0 });
        SyncStep::DeclareAlone
    }

    /// `/sync` over these standbys: commits wait for so many of them as are asked for.
    fn wanted(&self, turn: &Turn<'_>, standbys: BTreeSet<MemberName>) -> SyncState {
        let all = u32::try_from(standbys.len()).unwrap_or(u32::MAX);
        let quorum = all.saturating_sub(turn.policy.synchronous.node_count());
        SyncState { revision: self.present.revision, leader: Some(turn.seen.me.clone()), standbys, quorum }
    }

    /// Every electing set would have one who has everything.
    fn has_enough(&self, wanted: &SyncState) -> bool {
        let behind = wanted.standbys.iter().filter(|name| !chosen::has_everything(self, name)).count();
        behind < quorum::electing(wanted)
    }

    /// For people: one who is waited for.
    fn slowest(&self, wanted: &SyncState) -> MemberName {
        let behind = wanted.standbys.iter().find(|name| !chosen::has_everything(self, name));
        behind.or(wanted.standbys.first()).cloned().unwrap_or_default()
    }
}

fn strict(turn: &Turn<'_>) -> bool {
    turn.policy.synchronous.is_strict()
}

/// The names that go with `/sync`.
fn demanding(turn: &Turn<'_>, wanted: &SyncState) -> SyncNames {
    let all = u32::try_from(wanted.standbys.len()).unwrap_or(u32::MAX);
    names(turn, all.saturating_sub(wanted.quorum), wanted.standbys.clone())
}

fn names(turn: &Turn<'_>, count: u32, standbys: BTreeSet<MemberName>) -> SyncNames {
    match turn.policy.synchronous {
        SyncMode::Quorum { .. } => SyncNames::AnyOf { count, standbys },
        SyncMode::Off | SyncMode::On { .. } => SyncNames::FirstOf { count, standbys },
    }
}

fn list(names: &BTreeSet<MemberName>) -> String {
    names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(", ")
}
