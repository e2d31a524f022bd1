//! The synchronous standby: which names PostgreSQL waits for, and whom `/sync` lets lead (SAFETY §4.6).
//!
//! One rule: every set of nodes that can acknowledge under the names *in force* contains one that may lead under `/sync`, and whoever
//! may lead has everything that was ever acknowledged. With one synchronous standby the safe pairs are
//!
//! ```text
//!   names in force   may acknowledge   safe with /sync
//!   Reserved         nobody            {me}, or {me, S} where S has everything so far
//!   Nobody           me alone          {me}
//!   FirstOf{S}       me and S          {me}, or {me, S} where S has everything so far
//! ```
//!
//! and each step below moves between neighbours of that table: *tighten* names first, in force, then `/sync`; *loosen* `/sync` first,
//! seen in the store, then names. A standby is never replaced directly (under `FirstOf{T}` an acknowledged write may be missing on S,
//! whom `/sync` still lets lead): names go to `Reserved`, then T, having everything, is named in `/sync`, then names demand T.
//!
//! "Has everything" = it streams from here and has flushed up to a position read after the present names came into force: nothing that
//! they did not demand of it can have been acknowledged later. `/sync` of an older leader is replaced as soon as a standby has
//! everything, or by {me}, which nothing contradicts: this node was allowed to lead because it has everything.

use super::{members, primary::Primary, turn::Turn};
use crate::{Action, Held, Lsn, Member, MemberName, StandbySeen, SyncMode, SyncNames, SyncState, SyncStep, SyncTarget};
use std::time::Duration;

/// A standby further behind is not waited for: commits would hang until it has caught up. One WAL segment.
const NEAR: u64 = 16 << 20;

/// The next step; nothing when all is as wanted.
pub(super) fn step(turn: &mut Turn<'_>, held: &Held, primary: &Primary<'_>) -> Option<SyncStep> {
    if turn.policy.synchronous == SyncMode::Off {
        return switch_off(turn, primary);
    }
    let strict = turn.policy.synchronous.is_strict();
    let Some(names) = primary.names else { return Some(SyncStep::NamesPending) };
    let target = target(turn, held, primary, names);
    let sync = turn.seen.store.sync.as_ref().filter(|sync| sync.leader.as_ref() == Some(&turn.seen.me));
    let scene = Scene { primary, names, target, strict };
    match sync.map(|sync| &sync.standbys) {
        None => Some(scene.take_over(turn)),
        Some(standbys) => match (standbys.first(), standbys.len()) {
            (None, _) => scene.alone(turn),
            (Some(standby), 1) => scene.with(turn, standby),
            (Some(_), _) => Some(scene.repair(turn)),
        },
    }
}

/// Synchronous mode was switched off: first anybody may lead again, then nobody is waited for.
fn switch_off(turn: &mut Turn<'_>, primary: &Primary<'_>) -> Option<SyncStep> {
    if turn.seen.store.sync.as_ref().is_some_and(|sync| sync.leader.is_some()) {
        write(turn, None, None);
        return Some(SyncStep::EmptySync);
    }
    match primary.names {
        Some(SyncNames::Nobody) => None,
        Some(_) => {
            turn.act(Action::SetSyncNames(SyncNames::Nobody));
            Some(SyncStep::OpenNames)
        }
        None => Some(SyncStep::NamesPending),
    }
}

/// The position read after the present names came into force. Forgotten with the memory, it is read anew and only gets larger.
fn target(turn: &mut Turn<'_>, held: &Held, primary: &Primary<'_>, names: &SyncNames) -> Lsn {
    let fits = |target: &&SyncTarget| target.names == *names && target.epoch == held.epoch;
    let lsn = turn.memory.sync_target.as_ref().filter(fits).map_or(primary.position.lsn, |target| target.lsn);
    turn.memory.sync_target = Some(SyncTarget { names: names.clone(), epoch: held.epoch, lsn });
    lsn
}

/// `/sync` as a leader write over what it reads now.
fn write(turn: &mut Turn<'_>, leader: Option<MemberName>, standby: Option<MemberName>) {
    let revision = turn.seen.store.sync.as_ref().map(|sync| sync.revision).unwrap_or_default();
    turn.memory.sync_asked = turn.held().map(|held| (held.epoch, revision));
    let state = SyncState { revision, leader, standbys: standby.into_iter().collect(), quorum: 0 };
    turn.act(Action::WriteSync { state, data: Vec::new() });
}

/// A write of `/sync` that was asked for has not been seen: its outcome is unknown, and it may land late.
fn unresolved(turn: &Turn<'_>) -> bool {
    let revision = turn.seen.store.sync.as_ref().map(|sync| sync.revision).unwrap_or_default();
    turn.held().is_some_and(|held| turn.memory.sync_asked == Some((held.epoch, revision)))
}

/// The facts of synchronous replication.
struct Scene<'a> {
    primary: &'a Primary<'a>,
    names: &'a SyncNames,
    target: Lsn,
    strict: bool,
}

impl Scene<'_> {
    /// `/sync` is another leader's, or empty.
    fn take_over(&self, turn: &mut Turn<'_>) -> SyncStep {
        if self.strict && *self.names != SyncNames::Reserved {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        match self.complete(turn).filter(|_| *self.names == SyncNames::Reserved) {
            Some(standby) => self.confirm(turn, standby),
            None => self.declare_alone(turn),
        }
    }

    /// `/sync` lets only this node lead.
    fn alone(&self, turn: &mut Turn<'_>) -> Option<SyncStep> {
        match self.names {
            SyncNames::Reserved => Some(match self.complete(turn) {
                Some(standby) => self.confirm(turn, standby),
                None if self.strict => self.best(turn).map_or(SyncStep::NoStandby, |standby| SyncStep::CatchUp { standby }),
                None => self.set(turn, SyncNames::Nobody, SyncStep::OpenNames),
            }),
            SyncNames::Nobody if self.strict => Some(self.set(turn, SyncNames::Reserved, SyncStep::Reserve)),
            SyncNames::Nobody => {
                let standby = self.best(turn)?;
                Some(self.demand(turn, standby))
            }
            SyncNames::FirstOf { standbys: demanded, .. } | SyncNames::AnyOf { standbys: demanded, .. } => {
                Some(match demanded.first().filter(|_| demanded.len() == 1) {
                    Some(standby) if self.has_everything(standby) && knows(turn, standby) => self.confirm(turn, standby.clone()),
                    Some(standby) if self.streams(standby).is_some() && knows(turn, standby) => {
                        SyncStep::CatchUp { standby: standby.clone() }
                    }
                    Some(standby) => self.grace(turn, standby).unwrap_or_else(|| self.reopen(turn)),
                    None => self.reopen(turn),
                })
            }
        }
    }

    /// `/sync` names one standby beside this node.
    fn with(&self, turn: &mut Turn<'_>, standby: &MemberName) -> Option<SyncStep> {
        let fit = self.streams(standby).is_some() && !forbidden(turn, standby);
        if fit {
            turn.memory.sync_missed = None;
        }
        let demanded = matches!(self.names, SyncNames::FirstOf { standbys: demanded, .. } if demanded.len() == 1 && demanded.contains(standby));
        if demanded && fit {
            return None;
        }
        if *self.names == SyncNames::Reserved && fit {
            return Some(match self.has_everything(standby) {
                true => self.demand(turn, standby.clone()),
                false => SyncStep::CatchUp { standby: standby.clone() },
            });
        }
        if !demanded && *self.names != SyncNames::Reserved {
            return Some(self.repair(turn));
        }
        Some(self.grace(turn, standby).unwrap_or_else(|| self.replace(turn)))
    }

    /// The standby of `/sync` is gone for good: another one, or none.
    fn replace(&self, turn: &mut Turn<'_>) -> SyncStep {
        match (self.names, self.complete(turn)) {
            (SyncNames::Reserved, Some(other)) => self.confirm(turn, other),
            (SyncNames::FirstOf { .. }, Some(_)) => self.set(turn, SyncNames::Reserved, SyncStep::Reserve),
            (SyncNames::FirstOf { .. }, None) if self.best(turn).is_some() => {
                self.set(turn, SyncNames::Reserved, SyncStep::Reserve)
            }
            (_, None) if self.strict => SyncStep::NoStandby,
            _ => match self.nearly(turn) {
                Some(standby) => SyncStep::CatchUp { standby },
                None => self.declare_alone(turn),
            },
        }
    }

    /// A standby that is about to have everything: waited for as long as the one before was.
    fn nearly(&self, turn: &mut Turn<'_>) -> Option<MemberName> {
        let standby = self.best(turn)?;
        let (_, since) = turn.memory.sync_missed.as_ref()?;
        let until = *since + patience(turn) * 2;
        (!turn.reached(until)).then_some(standby)
    }

    /// Names and `/sync` do not fit each other (somebody else wrote one of them): back to a pair that is safe.
    fn repair(&self, turn: &mut Turn<'_>) -> SyncStep {
        if self.strict && *self.names != SyncNames::Reserved {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        self.declare_alone(turn)
    }

    /// The standby that was demanded is gone and `/sync` does not name it.
    fn reopen(&self, turn: &mut Turn<'_>) -> SyncStep {
        if self.strict {
            return self.set(turn, SyncNames::Reserved, SyncStep::Reserve);
        }
        self.set(turn, SyncNames::Nobody, SyncStep::OpenNames)
    }

    /// A standby may be away for a moment; commits wait meanwhile.
    fn grace(&self, turn: &mut Turn<'_>, standby: &MemberName) -> Option<SyncStep> {
        let since = match &turn.memory.sync_missed {
            Some((name, since)) if name == standby => *since,
            _ => turn.now,
        };
        turn.memory.sync_missed = Some((standby.clone(), since));
        let until = since + patience(turn);
        (!turn.reached(until)).then(|| SyncStep::Grace { standby: standby.clone(), until })
    }

    /// Names are loosened only when no write of `/sync` is open: it could name somebody whom the new names do not demand.
    fn set(&self, turn: &mut Turn<'_>, names: SyncNames, step: SyncStep) -> SyncStep {
        if names != SyncNames::Reserved && unresolved(turn) {
            return self.settle(turn);
        }
        turn.act(Action::SetSyncNames(names));
        step
    }

    /// Writes `/sync` over the same revision once more, with what is sound now. Of all such writes one lands.
    fn settle(&self, turn: &mut Turn<'_>) -> SyncStep {
        let present = turn.seen.store.sync.as_ref().filter(|sync| sync.leader.as_ref() == Some(&turn.seen.me));
        match present.and_then(|sync| sync.standbys.first().cloned()) {
            Some(standby) if self.has_everything(&standby) => self.confirm(turn, standby),
            Some(standby) if self.strict => SyncStep::CatchUp { standby },
            _ => self.declare_alone(turn),
        }
    }

    fn demand(&self, turn: &mut Turn<'_>, standby: MemberName) -> SyncStep {
        turn.memory.sync_missed = None;
        self.set(turn, SyncNames::one(standby.clone()), SyncStep::Demand { standby })
    }

    fn confirm(&self, turn: &mut Turn<'_>, standby: MemberName) -> SyncStep {
        turn.memory.sync_missed = None;
        write(turn, Some(turn.seen.me.clone()), Some(standby.clone()));
        SyncStep::Confirm { standby }
    }

    fn declare_alone(&self, turn: &mut Turn<'_>) -> SyncStep {
        write(turn, Some(turn.seen.me.clone()), None);
        SyncStep::DeclareAlone
    }

    fn streams(&self, name: &MemberName) -> Option<&StandbySeen> {
        members::streaming(self.primary.role, name)
    }

    fn has_everything(&self, name: &MemberName) -> bool {
        self.streams(name).is_some_and(|standby| standby.flushed >= self.target)
    }

    /// The best standby that has everything.
    fn complete(&self, turn: &Turn<'_>) -> Option<MemberName> {
        self.pick(turn, |standby| standby.flushed >= self.target)
    }

    /// The best standby that is worth waiting for.
    fn best(&self, turn: &Turn<'_>) -> Option<MemberName> {
        self.pick(turn, |standby| self.primary.position.lsn.0.saturating_sub(standby.flushed.0) <= NEAR)
    }

    fn pick(&self, turn: &Turn<'_>, enough: impl Fn(&StandbySeen) -> bool) -> Option<MemberName> {
        let fit = members::others(turn).filter(|member| serves(member));
        let able = fit.filter_map(|member| Some((self.streams(&member.name).filter(|standby| enough(standby))?, member)));
        let best = able.max_by_key(|(standby, member)| {
            (member.tags.failover_priority.unwrap_or(1), standby.flushed, std::cmp::Reverse(&member.name))
        });
        best.map(|(standby, _)| standby.name.clone())
    }
}

/// How long commits wait for a standby that is away.
fn patience(turn: &Turn<'_>) -> Duration {
    (turn.policy.ttl / 5).min(Duration::from_secs(1))
}

/// A member that may be named in `/sync`: one that may lead and can keep the promises of a tanist.
fn serves(member: &Member) -> bool {
    member.tanist && !member.tags.nosync && member.tags.may_lead()
}

fn knows(turn: &Turn<'_>, name: &MemberName) -> bool {
    members::find(turn, name).is_some_and(serves)
}

/// Its tags say that it must not be a synchronous standby (any more). An absent member key says nothing: only its agent is away.
fn forbidden(turn: &Turn<'_>, name: &MemberName) -> bool {
    members::find(turn, name).is_some_and(|member| !serves(member))
}
