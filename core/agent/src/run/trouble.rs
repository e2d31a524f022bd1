//! Tells people about the store's troubles: the log and the flight recorder's memory. Once when they begin, when they become others,
//! and when they end; not each time another member of the store fails in its own words.

use super::{Line, Story, wall};
use crate::execute::Tools;
use std::collections::BTreeSet;
use tanist_dcs::Trouble;
use tanist_engine::Moment;

/// Different sentences that are told of one trouble.
const MOST: usize = 8;

impl Tools {
    /// What does not work with the store: reading and watching, or, while these work, writing.
    pub fn store_trouble(&self) -> Option<Trouble> {
        let reading = self.mirror.snapshot().trouble.clone();
        reading.or_else(|| self.keeper.troubles().borrow().as_deref().cloned())
    }
}

/// What was told.
pub struct Telling {
    node: String,
    story: Story,
    since: Option<Moment>,
    told: BTreeSet<String>,
}

impl Telling {
    /// Nothing yet.
    pub fn new(node: String, story: Story) -> Self {
        Self { node, story, since: None, told: BTreeSet::new() }
    }

    /// The trouble as it is now.
    pub fn tell(&mut self, trouble: Option<&Trouble>, now: Moment) {
        match (trouble, self.since) {
            (Some(trouble), _) => {
                let text = trouble.to_string();
                self.since.get_or_insert(trouble.since.boot);
                if self.told.len() < MOST && self.told.insert(text.clone()) {
                    tracing::warn!("the store: {text}");
                    self.add(text);
                }
            }
            (None, Some(since)) => {
                let span = now.since(since);
                tracing::info!("the store works again, after {span:.1?}");
                self.add(format!("the store works again, after {span:.1?}"));
                (self.since, self.told) = (None, BTreeSet::new());
            }
            (None, None) => {}
        }
    }

    fn add(&self, reason: String) {
        let node = self.node.clone();
        self.story.add(Line { wall_ms: wall::millis(), node, reason, actions: Vec::new(), violation: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_dcs::StoreError;
    use tanist_engine::Reading;

    #[test]
    fn a_trouble_is_told_once_in_each_wording_and_its_end_once() {
        let story = Story::default();
        let mut telling = Telling::new("a".into(), story.clone());
        let trouble = |text: &str| Trouble { since: Reading::default(), error: StoreError::Unknown(text.into()) };
        let now = Moment::from_nanos(2_500_000_000);
        telling.tell(None, now);
        for text in ["m1", "m2", "m1", "m2"] {
            telling.tell(Some(&trouble(text)), now);
        }
        for number in 0..100 {
            telling.tell(Some(&trouble(&number.to_string())), now);
        }
        telling.tell(None, now);
        telling.tell(None, now);
        let told: Vec<String> = story.lines().into_iter().map(|line| line.reason).collect();
        assert_eq!(told.len(), MOST + 1, "{told:?}");
        assert!(told[0].ends_with("m1") && told[1].ends_with("m2"), "{told:?}");
        assert_eq!(told[MOST], "the store works again, after 2.5s");
    }
}
