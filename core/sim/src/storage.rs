//! When the storage of a node hangs, or is full: in some schedules, beside whatever else goes wrong.

use crate::{
    fault::{Fault, Kind},
    model::clock::{MS, SEC},
    options::Options,
    rng::Rng,
};

/// The faults of storage of a seed, from a stream of their own: the other faults of the seed stay what they are.
pub fn faults(seed: u64, options: &Options) -> Vec<Fault> {
    let mut rng = Rng::new(seed).fork(13);
    if !rng.chance(200) {
        return Vec::new();
    }
    let last = options.heal_at - SEC;
    (0..rng.range(1, 4))
        .map(|_| {
            let at = rng.range(8 * SEC, 62 * SEC).min(last);
            let kind = if rng.chance(650) { Kind::StorageHang } else { Kind::StorageFull };
            let span = if rng.chance(250) { rng.range(10 * MS, 3 * SEC) } else { rng.range(3 * SEC, 25 * SEC) };
            let node = (!rng.chance(600)).then(|| rng.index(options.nodes));
            Fault { kind, at, span: span.min(last - at), node, choice: rng.draw() }
        })
        .collect()
}
