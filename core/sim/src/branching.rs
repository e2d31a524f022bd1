//! Schedules that begin alike. Much of a schedule is spent on getting into a state that is worth a fault, so the schedules of one seed are
//! a family: what happens before they part is run once, and each then goes another way, with other chances and with a scene, faults that
//! another schedule has close together, in the place of what the seed says. Each is complete, from the first start to the end, and runs
//! alone under its own name as it does among the others.

use crate::{
    case::Case,
    fault::{self, Fault},
    model::clock::SEC,
    options::{HEAL_AT, Options},
    rng::Rng,
    variation::varied,
};
use std::{fmt, str::FromStr};

/// How many ways there are at each parting: before the first fault, and when half of the faults have begun.
pub const WAYS: [u8; 2] = [4, 8];

/// What begins within so long is a scene.
const SCENES: [u64; 4] = [2 * SEC, 4 * SEC, 4 * SEC, 8 * SEC];

/// Schedules of a family.
pub const FAMILY: u64 = {
    let (mut many, mut parting) = (1, 0);
    while parting < WAYS.len() {
        many *= WAYS[parting] as u64;
        parting += 1;
    }
    many
};

/// So much room has to be left for other faults.
const ROOM: u64 = 5 * SEC;

/// Which way is taken at each parting; the zeroth is what the seed itself says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path([u8; WAYS.len()]);

impl Path {
    /// The path of that number in the family.
    pub fn number(index: u64) -> Self {
        let (mut left, mut path) = (index % FAMILY, Self::default());
        for (way, ways) in path.0.iter_mut().zip(WAYS).rev() {
            *way = (left % u64::from(ways)) as u8;
            left /= u64::from(ways);
        }
        path
    }

    /// The way at a parting.
    pub fn way(self, parting: usize) -> u8 {
        self.0[parting]
    }

    /// Another way at that parting, and the zeroth at those behind it.
    pub fn turned(self, parting: usize, way: u8) -> Self {
        let mut path = self;
        path.0[parting] = way;
        path.0[parting + 1..].fill(0);
        path
    }

    /// It is what the seed itself says.
    pub fn is_straight(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|way| write!(f, "{way}"))
    }
}

impl FromStr for Path {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let ways: Vec<u8> = text.chars().map_while(|digit| digit.to_digit(10).map(|way| way as u8)).collect();
        let known = text.len() == ways.len() && ways.iter().zip(WAYS).all(|(way, ways)| *way < ways);
        ways.try_into().map(Self).ok().filter(|path| known && !path.is_straight()).ok_or(())
    }
}

/// What goes wrong in a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// From the beginning.
    pub faults: Vec<Fault>,
    /// In the place of those that have not begun at a parting.
    pub tails: [Option<Tail>; WAYS.len()],
}

impl Script {
    /// All its lists of faults, in the order in which their turn comes.
    pub fn lists(&mut self) -> Vec<&mut Vec<Fault>> {
        let tails = self.tails.iter_mut().flatten().map(|tail| &mut tail.faults);
        std::iter::once(&mut self.faults).chain(tails).collect()
    }
}

/// What happens after a parting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Chance is another one from here on.
    pub chance: u64,
    /// When the first begins after the parting.
    pub pause: u64,
    /// Counted from the first.
    pub faults: Vec<Fault>,
    /// Everything heals so long after the first has begun.
    pub healed_after: u64,
}

impl Tail {
    /// What this schedule does at that parting; nothing: it goes on.
    pub fn of(case: Case, parting: usize) -> Option<Self> {
        if case.path.way(parting) == 0 {
            return None;
        }
        let mut rng = (0..=parting).fold(Rng::new(case.seed).fork(25), |rng, at| rng.fork(u64::from(case.path.way(at))));
        let seed = rng.draw();
        let options = Options { heal_at: HEAL_AT, ..case.options(None) };
        let other = varied(fault::schedule(seed, &options), Case { seed, ..case }, &options);
        // One fault of it, and what comes soon after.
        let first = if other.is_empty() { HEAL_AT } else { other[rng.index(other.len())].at };
        let last = first + SCENES[rng.index(SCENES.len())];
        let scene = other.into_iter().filter(|fault| (first..last).contains(&fault.at));
        let faults = scene.map(|fault| Fault { at: fault.at - first, ..fault }).collect();
        Some(Self { chance: rng.draw(), pause: rng.below(SEC), faults, healed_after: HEAL_AT - first })
    }

    /// When everything heals, and what happens until then, for a parting at that time; nothing where there is no room.
    pub fn planned(&self, now: u64) -> Option<(u64, Vec<Fault>)> {
        if now + ROOM > HEAL_AT || self.faults.is_empty() {
            return None;
        }
        let first = now + self.pause;
        let heal_at = (first + self.healed_after).min(HEAL_AT);
        let planned = self.faults.iter().map(|fault| {
            let at = (first + fault.at).min(heal_at - 2 * SEC);
            Fault { at, span: fault.span.min(heal_at - SEC - at), ..*fault }
        });
        Some((heal_at, planned.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_path_and_every_path_has_a_name() {
        let names: Vec<String> = (0..FAMILY).map(|index| Path::number(index).to_string()).collect();
        assert_eq!(names[..3], ["00", "01", "02"]);
        assert_eq!((names.len(), names[8].as_str(), names[31].as_str()), (32, "10", "37"));
        for name in &names[1..] {
            assert_eq!(name.parse::<Path>().map(|path| path.to_string()).as_ref(), Ok(name));
        }
        for name in ["", "0", "00", "40", "08", "010", "0x"] {
            assert_eq!(name.parse::<Path>(), Err(()), "{name}");
        }
    }

    #[test]
    fn a_tail_is_a_scene_of_another_schedule() {
        for seed in 0..200 {
            let case = Case { brisk: true, ..seed.into() };
            assert_eq!((Tail::of(case, 0), Tail::of(case, 1)), (None, None));
            let one = Case { path: Path::number(FAMILY - 1), ..case };
            let tails = [Tail::of(one, 0), Tail::of(one, 1)].map(Option::unwrap);
            assert_ne!(tails[0].chance, tails[1].chance);
            for tail in &tails {
                let Some((heal_at, faults)) = tail.planned(20 * SEC) else {
                    assert!(tail.faults.is_empty());
                    continue;
                };
                assert!(heal_at <= HEAL_AT && faults[0].at >= 20 * SEC);
                assert!(faults.iter().all(|fault| fault.at + fault.span < heal_at) && faults.is_sorted_by_key(|fault| fault.at));
                assert_eq!(tail.planned(66 * SEC), None);
            }
        }
    }
}
