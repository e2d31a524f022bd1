//! One schedule by its name: `SEED`, or `SEED/VARIATION` for the same world with its faults changed a little; `SEED.PATH` for another one
//! of its family. A `b` behind it is the brisk form, which hunts run; an `e` makes the agents eager, as all were when the first scenarios
//! were found.

use crate::{
    branching::{FAMILY, Path, Script, Tail},
    fault,
    mutant::Mutant,
    options::Options,
    rng::Rng,
    variation::varied,
};
use std::{fmt, str::FromStr};

/// A schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Its world and every chance in it.
    pub seed: u64,
    /// Which of its family.
    pub path: Path,
    /// Which change of its faults; zero: none.
    pub variation: u64,
    /// Nothing is waited for (`Options::brisk`).
    pub brisk: bool,
    /// The agents are eager, whatever the seed says (`Options::eager`).
    pub eager: bool,
}

impl Case {
    /// What kind of world it is.
    pub fn options(self, mutant: Option<Mutant>) -> Options {
        let options = Options::of(self.seed, mutant);
        let brisk = self.brisk && !options.whole;
        let slow_checkpoints = brisk && Rng::new(self.seed).fork(24).chance(250);
        Options { brisk, slow_checkpoints, eager: options.eager || self.eager, ..options }
    }

    /// What goes wrong in it.
    pub fn script(self) -> Script {
        let options = self.options(None);
        let faults = varied(fault::schedule(self.seed, &options), self, &options);
        Script { faults, tails: std::array::from_fn(|parting| Tail::of(self, parting)) }
    }

    /// The same with another change of its faults.
    pub fn variation(self, variation: u64) -> Self {
        Self { variation, ..self }
    }
}

impl From<u64> for Case {
    fn from(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if !self.path.is_straight() {
            write!(f, ".{}", self.path)?;
        }
        if self.variation != 0 {
            write!(f, "/{}", self.variation)?;
        }
        f.write_str(if self.brisk { "b" } else { "" })?;
        f.write_str(if self.eager { "e" } else { "" })
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text} is no schedule: SEED, SEED.PATH, SEED/VARIATION or SEED.PATH/VARIATION, perhaps with a b, an e or be behind it"
            )
        };
        let (name, eager) = text.strip_suffix('e').map_or((text, false), |name| (name, true));
        let (name, brisk) = name.strip_suffix('b').map_or((name, false), |name| (name, true));
        let (seed, variation) = name.split_once('/').unwrap_or((name, "0"));
        let (seed, path) = seed.split_once('.').map_or((seed, None), |(seed, path)| (seed, Some(path)));
        let path = path.map_or(Ok(Path::default()), |path| path.parse().map_err(|()| wrong()))?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        Ok(Self { seed: number(seed)?, path, variation: number(variation)?, brisk, eager })
    }
}

/// Many schedules: the families of seeds that follow one another, or variations of one.
#[derive(Clone, Copy, Debug)]
pub enum Cases {
    /// From this seed on, in the brisk form.
    From(u64),
    /// Of this one, from this variation on.
    Around(Case, u64),
}

impl Cases {
    /// The schedule of this number.
    pub fn at(self, index: u64) -> Case {
        match self {
            Self::From(first) => Case { brisk: true, path: Path::number(index), ..first.wrapping_add(index / FAMILY).into() },
            Self::Around(case, first) => case.variation(first.wrapping_add(index)),
        }
    }
}

impl From<u64> for Cases {
    fn from(first: u64) -> Self {
        Self::From(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for name in ["7", "7e", "7b", "7be", "7/3", "7/3e", "7/3b", "7/3be", "7.01", "7.37b", "7.13/3be"] {
            assert_eq!(name.parse::<Case>().unwrap().to_string(), name);
        }
        for name in ["", "e", "b", "7eb", "7/", "/3", "x", "7/3/1", "7.", "7.2", "7.00", "7.40", "7/3.01"] {
            assert!(name.parse::<Case>().unwrap_err().starts_with(name), "{name}");
        }
    }
}
