//! A data directory that is replaced forgets what it acknowledged (SAFETY §4.8).
//!
//! Before it is: `tanist/data/<me>` is raised, and then `/sync` has to be seen without this node. The store's keys are seen at one
//! revision each time, so a view that shows the raised mark shows `/sync` as it was at that moment or later; and whoever names this
//! node afterwards has compared the raised mark, that is, has seen it stream from the new directory.

use super::turn::Turn;
use crate::{Action, MemberName, Postgres, Reason, Revision, StoreView, SyncState};

/// Announces that the data directory will be replaced; nothing when it may be. So also where commits wait for nobody, if there is
/// something to lose: a view of the store that is behind may take what is the leader's own history for another one.
pub(super) fn announce(turn: &mut Turn<'_>, from: &MemberName) -> Option<Reason> {
    let nothing = matches!(turn.seen.postgres, Postgres::NoData | Postgres::HalfMade);
    if nothing && !matters(turn) {
        return None;
    }
    if !raised(turn) {
        return Some(Reason::AnnouncingReplacement);
    }
    (matters(turn) && named(turn)).then(|| Reason::KeepingData { from: from.clone() })
}

/// The directory was replaced by other hands: told afterwards, and taken for known once no leader counts on the old one any more. So also
/// where commits wait for nobody, as it seems: the view may be behind, and a walsender of the old one still there for the leader.
pub(super) fn settle(turn: &mut Turn<'_>) {
    if !turn.seen.directory_replaced || turn.seen.store.as_of.is_none() || leads(turn) {
        return;
    }
    if raised(turn) && !named(turn) {
        turn.memory.data_raised = None;
        turn.act(Action::AdoptDirectory);
    }
}

/// This node holds the lease and no server runs: what is here must not be started under it, so it stays unknown until that is over.
fn leads(turn: &Turn<'_>) -> bool {
    turn.held().is_some() && !matches!(turn.seen.postgres, Postgres::Running(_))
}

/// `/sync` may count on what this directory does not hold.
pub(super) fn forgotten(turn: &Turn<'_>) -> bool {
    turn.seen.directory_replaced && matters(turn)
}

/// The mark of a member's data directory; zero: it was never replaced.
pub(super) fn mark(store: &StoreView, name: &MemberName) -> Revision {
    store.data.iter().find(|mark| mark.name == *name).map(|mark| mark.revision).unwrap_or_default()
}

/// `/sync` names the member, and the member has given up its data directory since it was written.
pub(super) fn gave_up(store: &StoreView, sync: &SyncState, name: &MemberName) -> bool {
    sync.standbys.contains(name) && mark(store, name) > sync.revision
}

fn matters(turn: &Turn<'_>) -> bool {
    turn.by_sync()
}

fn named(turn: &Turn<'_>) -> bool {
    turn.seen.store.sync.as_ref().is_some_and(|sync| sync.names(&turn.seen.me))
}

/// Whether the raise for this replacement is seen; asks for it if not. One that was seen and not made use of at once is void: the view
/// that showed it says nothing of what has been written since. So is one for a directory that has been replaced in its turn.
fn raised(turn: &mut Turn<'_>) -> bool {
    turn.announces = true;
    let revision = mark(&turn.seen.store, &turn.seen.me);
    // `/sync` was written since, naming this node: for whoever wrote it the mark was there already, and is no news.
    let overtaken = turn.seen.store.sync.as_ref().is_some_and(|sync| sync.names(&turn.seen.me) && sync.revision > revision);
    let raised = turn.memory.data_raised.filter(|(directory, _)| *directory == turn.seen.directory);
    if !overtaken && raised.is_some_and(|(_, before)| before != revision) {
        return true;
    }
    turn.memory.data_raised = Some((turn.seen.directory, revision));
    turn.act(Action::RaiseData { revision });
    false
}
