//! Whether the holder of the lease may promote its standby: enough of those that could have acknowledged have promised, and none of
//! them has more (SAFETY §4.4, §4.5).

use super::{ask, history, members, promise, turn::Turn};
use crate::{Held, MemberName, Position, SyncState};

/// What the promises say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Votes {
    /// Everything acknowledged is here.
    Enough,
    /// `/sync` names neither this node nor nobody.
    Outside { leader: MemberName },
    /// Not so many yet, or own position is not known.
    Missing { have: u32, need: u32 },
    /// Somebody who has promised has more.
    Better { member: MemberName },
}

/// `/sync` as the acquiring transaction read it; the view may be older, or newer by nobody's right but this node's. Where nobody was
/// named then, this node may have named some since, been ended, and have the same lease back under a newer epoch.
pub(super) fn electors<'a>(turn: &Turn<'a>, held: &'a Held) -> Option<&'a SyncState> {
    let acquired = held.sync_at_acquisition.as_ref().filter(|sync| sync.leader.is_some());
    let named = turn.seen.store.electors();
    acquired.or(named)
}

/// Whether one standby is enough by itself, because each acknowledged write is on each of them. PostgreSQL ends the walreceiver
/// before it opens, and replays all that it had flushed: so nothing need be cut nor compared.
pub(super) fn alone(sync: &SyncState, turn: &Turn<'_>) -> bool {
    sync.leader.as_ref() == Some(&turn.seen.me) || sync.quorum == 0
}

/// Counts.
pub(super) fn count(turn: &Turn<'_>, held: &Held, position: Option<Position>) -> Votes {
    let Some(sync) = electors(turn, held) else { return Votes::Enough };
    let Some(leader) = sync.leader.clone().filter(|_| !sync.names(&turn.seen.me)) else {
        return inside(turn, held, sync, position);
    };
    Votes::Outside { leader }
}

fn inside(turn: &Turn<'_>, held: &Held, sync: &SyncState, position: Option<Position>) -> Votes {
    let need = sync.quorum;
    if alone(sync, turn) {
        return Votes::Enough;
    }
    let votes: Vec<(MemberName, Position)> = promised(turn, held, sync).chain(patroni(turn, sync)).collect();
    let leader = votes.iter().any(|(name, _)| sync.leader.as_ref() == Some(name));
    let have = u32::try_from(votes.len()).unwrap_or(u32::MAX);
    let own = position.filter(|_| promise::read_after_cut(turn, held.epoch));
    let own = own.map(|own| history::placed(own, &turn.seen.store.timelines));
    let Some(own) = own.filter(|_| leader || have >= need) else { return Votes::Missing { have, need } };
    let reach = |position: &Position| (position.opened_by, position.lsn);
    match votes.into_iter().max_by_key(|(_, position)| reach(position)).filter(|(_, best)| reach(best) > reach(&own)) {
        Some((member, _)) => Votes::Better { member },
        None => Votes::Enough,
    }
}

/// Promises for exactly this epoch, of those that `/sync` names, with a position.
fn promised<'a>(turn: &Turn<'a>, held: &Held, sync: &'a SyncState) -> impl Iterator<Item = (MemberName, Position)> + use<'a> {
    let (seen, epoch) = (turn.seen, held.epoch);
    let given = seen.store.promises.iter().filter(move |promise| promise.epoch == epoch && promise.name != seen.me);
    let named = given.filter(|promise| sync.names(&promise.name));
    named.filter_map(|promise| {
        let position = history::placed(promise.position?, &seen.store.timelines);
        Some((promise.name.clone(), position))
    })
}

/// A Patroni cannot promise. It counts by what it answers, as among its like: the guarantee is then Patroni's.
fn patroni<'a>(turn: &Turn<'a>, sync: &'a SyncState) -> impl Iterator<Item = (MemberName, Position)> + use<'a> {
    let seen = turn.seen;
    let since = turn.now.minus(turn.policy.ttl);
    let foreign = members::others(turn).filter(|member| !member.tanist && sync.names(&member.name));
    let answers: Vec<_> = ask::fresh(turn, since).filter(|(_, answer)| !ask::is_primary(answer)).collect();
    foreign.filter_map(move |member| {
        let (_, answer) = answers.iter().find(|(peer, _)| peer.name == member.name)?;
        Some((member.name.clone(), history::placed(answer.position?, &seen.store.timelines)))
    })
}
