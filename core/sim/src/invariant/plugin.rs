//! I6 for a plugin that is called by the shipped queue: in order, at least once, but for what something newer has replaced. A reload waits
//! for everything else; the last role change is never lost.

use crate::world::World;
use std::collections::BTreeMap;
use tanist_engine::Callback;

/// What a node's plugin is owed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed {
    /// Callbacks that must be done yet, and whether they were tried.
    owed: BTreeMap<u64, (Callback, bool)>,
    /// Those that something newer has replaced; they may still be called for.
    replaced: BTreeMap<u64, Callback>,
    /// The last one called for: a reload, anything else.
    called: [u64; 2],
}

fn lesser(callback: Callback) -> bool {
    callback == Callback::OnReload
}

/// What a newer callback makes pointless: its like, waiting or tried; and whatever was tried and is not a role change gives way to what
/// comes after it, a role change that was tried to a stop.
fn replaces(newer: Callback, older: Callback, tried: bool) -> bool {
    let ends = matches!(newer, Callback::OnRoleChange | Callback::OnStop) || older != Callback::OnRoleChange;
    newer == older || tried && ends && !lesser(newer) && !lesser(older)
}

impl World {
    /// The queue was given a callback.
    pub(crate) fn check_told(&mut self, node: usize, number: u64, callback: Callback) {
        let Owed { owed, replaced, called: _ } = &mut self.checks.owed[node];
        replaced.extend(
            owed.extract_if(.., |_, (older, tried)| replaces(callback, *older, *tried)).map(|(old, (what, _))| (old, what)),
        );
        owed.insert(number, (callback, false));
    }

    /// The plugin is called for a callback.
    pub(crate) fn check_called(&mut self, node: usize, number: u64) {
        let Owed { owed, replaced, called } = &mut self.checks.owed[node];
        let waiting = owed.get_mut(&number).map(|(callback, tried)| (*callback, std::mem::replace(tried, true)).0);
        let Some(callback) = waiting.or_else(|| replaced.get(&number).copied()) else {
            let text = format!("a plugin of {} is called for callback {number}, which is done", self.names[node]);
            return self.violate("I6", text);
        };
        let last = &mut called[usize::from(!lesser(callback))];
        let before = std::mem::replace(last, (*last).max(number));
        let skipped = owed.iter().find(|(older, (what, _))| !lesser(*what) && (**older < number || lesser(callback)));
        let skipped = skipped.map(|(older, _)| *older).filter(|older| *older != number);
        if before > number || skipped.is_some() {
            let text = format!(
                "a plugin of {} is called for callback {number} ({callback}) after {before}, skipping {skipped:?}",
                self.names[node]
            );
            self.violate("I6", text);
        }
    }

    /// The call has failed: now it is a tried one, and something newer may have come meanwhile.
    pub(crate) fn check_failed(&mut self, node: usize, number: u64) {
        let Owed { owed, replaced, called: _ } = &mut self.checks.owed[node];
        let Some((callback, _)) = owed.get(&number).copied() else { return };
        if owed.range(number + 1..).any(|(_, (newer, _))| replaces(*newer, callback, true)) {
            owed.remove(&number);
            replaced.insert(number, callback);
        }
    }

    /// The plugin has done it, and the queue knows.
    pub(crate) fn check_done(&mut self, node: usize, number: u64) {
        let Owed { owed, replaced, called: _ } = &mut self.checks.owed[node];
        owed.remove(&number);
        replaced.remove(&number);
    }

    /// Nothing waits in the queue: then nothing is owed.
    pub(crate) fn check_owed(&mut self) {
        let forgotten = (0..self.nodes.len()).find_map(|node| {
            let (number, (callback, _)) = self.checks.owed[node].owed.first_key_value()?;
            (!self.nodes[node].plugin.waits())
                .then(|| format!("a plugin of {} was never told {callback} {number}", self.names[node]))
        });
        if let Some(text) = forgotten {
            self.violate("I6", text);
        }
    }
}
