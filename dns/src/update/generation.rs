//! The generation record: `epoch=<n> node=<name>` in one character string of a TXT record.
//!
//! Fields are separated by one space; unknown ones are skipped, so that later versions can add some. The same form is answered by our own
//! server beside `primary`.

use std::{fmt, str::FromStr};
use tanist_engine::Epoch;

/// The longest text read or written: what one character string holds.
const LONGEST: usize = 255;
const LONGEST_NODE: usize = 128;

/// Whose claim a name carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// The member that claimed it, for people; characters that would break the form are replaced by `?`.
    pub node: String,
}

/// The text is no generation record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form \"epoch=<number> node=<name>\"")]
pub struct GenerationError(pub String);

impl Generation {
    /// A claim of this node.
    pub fn new(epoch: Epoch, node: &str) -> Self {
        let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        Self { epoch, node: node.chars().take(LONGEST_NODE).map(plain).collect() }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch={} node={}", self.epoch, self.node)
    }
}

impl FromStr for Generation {
    type Err = GenerationError;

    fn from_str(text: &str) -> Result<Self, GenerationError> {
        let error = || GenerationError(text.chars().take(LONGEST).collect());
        if text.len() > LONGEST {
            return Err(error());
        }
        let field = |key: &str| text.split(' ').find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        let digits = field("epoch").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).ok_or_else(error)?;
        let epoch = digits.parse().ok().filter(|epoch| *epoch < Epoch::LIMIT).ok_or_else(error)?;
        Ok(Self::new(Epoch(epoch), field("node").unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let generation = Generation::new(Epoch(9_007_199_254_740_991), "pg-1");
        assert_eq!(generation.to_string(), "epoch=9007199254740991 node=pg-1");
        assert_eq!(generation.to_string().parse(), Ok(generation));
    }

    #[test]
    fn a_node_name_cannot_forge_a_field_or_outgrow_the_record() {
        let generation = Generation::new(Epoch(3), "a epoch=9\u{e9}");
        assert_eq!(generation.to_string(), "epoch=3 node=a?epoch=9?");
        let longest = Generation::new(Epoch(Epoch::LIMIT - 1), &"n".repeat(500)).to_string();
        assert!(longest.len() <= LONGEST);
        assert!(longest.parse::<Generation>().is_ok());
    }

    #[test]
    fn skips_later_fields_and_refuses_everything_else() {
        assert_eq!("v=2 epoch=7 node=b site=x".parse(), Ok(Generation::new(Epoch(7), "b")));
        assert_eq!("epoch=7".parse(), Ok(Generation::new(Epoch(7), "")));
        let long = format!("epoch=7 node={}", "x".repeat(300));
        for text in
            ["", "epoch=", "epoch=-1", "epoch=+1", "epoch=9007199254740992", "epoch=99999999999999999999", "v=spf1 -all", &long]
        {
            assert!(text.parse::<Generation>().is_err(), "{text}");
        }
    }
}
