//! What does not work with the store now, and since when.

use crate::StoreError;
use std::{fmt, sync::Arc};
use tanist_engine::Reading;
use tokio::sync::watch;

/// A trouble that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when nothing has worked.
    pub since: Reading,
    /// What was said last.
    pub error: StoreError,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Trouble {
    /// The trouble after another failure: it began with the first one.
    pub(crate) fn after(before: Option<&Self>, error: StoreError, now: Reading) -> Self {
        Self { since: before.map_or(now, |trouble| trouble.since), error }
    }
}

/// The trouble of one kind of calls, for whoever wants to be told.
pub(crate) struct Troubles(watch::Sender<Option<Arc<Trouble>>>);

impl Default for Troubles {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Troubles {
    /// A call has failed, or has not.
    pub(crate) fn note(&self, failure: Option<&StoreError>, now: Reading) {
        self.0.send_if_modified(|trouble| {
            let next = failure.map(|error| Arc::new(Trouble::after(trouble.as_deref(), error.clone(), now)));
            let news = *trouble != next;
            *trouble = next;
            news
        });
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Trouble>>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_trouble_lasts_from_the_first_failure_to_the_next_success() {
        let at = |seconds| Reading::default().plus(Duration::from_secs(seconds));
        let (troubles, error) = (Troubles::default(), |text: &str| StoreError::Unknown(text.to_owned()));
        let seen = troubles.subscribe();
        let now = || seen.borrow().as_deref().cloned();
        troubles.note(Some(&error("a")), at(1));
        troubles.note(Some(&error("b")), at(2));
        assert_eq!(now(), Some(Trouble { since: at(1), error: error("b") }));
        troubles.note(None, at(3));
        assert_eq!(now(), None);
        troubles.note(Some(&error("c")), at(4));
        assert_eq!(now().map(|trouble| trouble.since), Some(at(4)));
    }
}
