//! What the generation record says about a claim. Pure.

use super::Generation;
use hickory_proto::rr::{RData, Record, rdata::TXT};
use tanist_engine::Epoch;

/// The generation record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// There is none: nobody has moved the name with an epoch yet.
    Absent,
    /// A claim, with the record's exact content for the prerequisite.
    Claimed { content: TXT, generation: Generation },
    /// Not a claim, or several. It is never overwritten; but what was read may have come out of a wildcard.
    Foreign(String),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody with a higher epoch has the name.
    Fenced(Generation),
    /// The same epoch has claimed the name: compare the addresses first.
    Compare(TXT),
    /// Replace what is there, if the record still is this (`None`: still absent).
    Replace(Option<TXT>),
    /// Replace what is there, if nothing is: servers look for the record of a prerequisite without wildcards (RFC 2136 §2.4.3). Where
    /// there is one after all, it is this, and stays.
    ReplaceNone(String),
}

/// The longest piece of a foreign record that is shown.
const SHOWN: usize = 80;

impl Present {
    pub(super) fn of(records: &[Record]) -> Self {
        let texts: Vec<&TXT> =
            records.iter().filter_map(|r| if let RData::TXT(text) = &r.data { Some(text) } else { None }).collect();
        let [text] = texts[..] else {
            return if texts.is_empty() { Self::Absent } else { Self::Foreign(format!("{} TXT records", texts.len())) };
        };
        let plain = String::from_utf8_lossy(&text.txt_data.concat()).into_owned();
        match plain.parse() {
            Ok(generation) => Self::Claimed { content: text.clone(), generation },
            Err(_) => Self::Foreign(plain.chars().take(SHOWN).collect()),
        }
    }
}

pub(super) fn decide(epoch: Epoch, present: Present) -> Step {
    match present {
        Present::Absent => Step::Replace(None),
        Present::Foreign(text) => Step::ReplaceNone(text),
        Present::Claimed { generation, .. } if generation.epoch > epoch => Step::Fenced(generation),
        Present::Claimed { content, generation } if generation.epoch == epoch => Step::Compare(content),
        Present::Claimed { content, .. } => Step::Replace(Some(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;

    fn present(texts: &[&str]) -> Present {
        let record = |text: &&str| Record::from_rdata(Name::root(), 0, RData::TXT(TXT::new(vec![(*text).to_owned()])));
        Present::of(&texts.iter().map(record).collect::<Vec<_>>())
    }

    #[test]
    fn the_higher_epoch_wins_and_nothing_foreign_is_overwritten() {
        let claimed = "epoch=7 node=a";
        let content = TXT::new(vec![claimed.to_owned()]);
        assert_eq!(decide(Epoch(1), present(&[])), Step::Replace(None));
        assert_eq!(decide(Epoch(9), present(&[claimed])), Step::Replace(Some(content.clone())));
        assert_eq!(decide(Epoch(7), present(&[claimed])), Step::Compare(content));
        assert_eq!(decide(Epoch(6), present(&[claimed])), Step::Fenced(Generation::new(Epoch(7), "a")));
        assert_eq!(decide(Epoch(9), present(&["v=spf1 -all"])), Step::ReplaceNone("v=spf1 -all".into()));
        assert_eq!(decide(Epoch(9), present(&[claimed, "epoch=8 node=b"])), Step::ReplaceNone("2 TXT records".into()));
    }
}
