//! Versions of keys by other names, so that a state does not grow with what has been written.

use super::state::{Keys, State, Write};

impl State {
    /// Renames versions to 1, 2, 3 …, which keeps what compares equal and what is newer.
    pub fn rename(&mut self) {
        rename(
            self,
            |keys, each| {
                each(&mut keys.record.version);
            },
            |state, each| {
                for own in state.nodes.iter_mut().filter_map(|node| node.own.as_mut()) {
                    each(&mut own.version);
                }
                for call in &mut state.calls {
                    match &mut call.write {
                        Write::Acquire { record, .. } | Write::Renew { record, .. } | Write::Release { record, .. } => {
                            each(record)
                        }
                        _ => {}
                    }
                }
            },
        );
        rename(
            self,
            |keys, each| each(&mut keys.sync.version),
            |state, each| {
                for asked in state.nodes.iter_mut().filter_map(|node| node.mind.asked.as_mut()) {
                    each(asked);
                }
                for call in &mut state.calls {
                    match &mut call.write {
                        Write::Acquire { sync, .. } => each(sync),
                        Write::Sync { compared, .. } => each(compared),
                        _ => {}
                    }
                }
            },
        );
        rename(
            self,
            |keys, each| each(&mut keys.claims_version),
            |state, each| {
                for call in &mut state.calls {
                    if let Write::Claims { compared, .. } = &mut call.write {
                        each(compared);
                    }
                }
            },
        );
    }
}

type Each<'a> = &'a mut dyn FnMut(&mut u8);

/// Renames one kind of versions, wherever it stands.
fn rename(state: &mut State, keys: fn(&mut Keys, Each<'_>), others: fn(&mut State, Each<'_>)) {
    let visit = |state: &mut State, each: Each<'_>| {
        keys(&mut state.keys, each);
        for view in state.nodes.iter_mut().filter_map(|node| node.view.as_mut()) {
            keys(view, each);
        }
        others(state, each);
    };
    let mut known: Vec<u8> = Vec::new();
    visit(state, &mut |version| known.push(*version));
    known.sort_unstable();
    known.dedup();
    visit(state, &mut |version| *version = known.binary_search(version).map_or(0, |place| place as u8 + 1));
}
