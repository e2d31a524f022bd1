//! Whether a server whose kept session answers is closed to everybody who comes now, from new sessions that are tried one after the other.
//!
//! One of them that gets no answer says little: the machine was busy, or the listen queue was full for a moment. A row of them does. What
//! follows from it is the engine's matter.

use crate::NewSession;
use std::time::Duration;
use tanist_engine::Moment;

/// So many without an answer, with none in between that got one, are no accident.
const ROW: u32 = 3;
/// Between two while all is well.
const SELDOM: Duration = Duration::from_secs(5);
/// Between two while none is answered: a row is to be told from an accident before half a ttl is over.
const SOON: Duration = Duration::from_millis(200);

/// The newest new sessions of one server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Newcomers {
    /// Those without an answer: when the first one was tried, and how many there are.
    row: Option<(Moment, u32)>,
}

impl Newcomers {
    /// Takes in what became of the one that was tried at this moment.
    pub(crate) fn note(&mut self, tried: Moment, new: &NewSession) {
        match new {
            NewSession::Served | NewSession::Full | NewSession::NotReady | NewSession::Refused(_) => self.row = None,
            NewSession::NoAnswer => {
                let (first, before) = self.row.unwrap_or((tried, 0));
                self.row = Some((first, before.saturating_add(1)));
            }
            // Neither an answer nor a silence.
            NewSession::NoListener => {}
        }
    }

    /// Since when nobody new is served, where that is known.
    pub(crate) fn closed_since(&self) -> Option<Moment> {
        self.row.filter(|(_, unanswered)| *unanswered >= ROW).map(|(first, _)| first)
    }

    /// How long after the end of the newest one the next is tried.
    pub(crate) fn pause(&self) -> Duration {
        if self.row.is_some() { SOON } else { SELDOM }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(milliseconds)
    }

    /// What is known after the last of these, tried at these milliseconds.
    fn after(tried: &[(u64, NewSession)]) -> Newcomers {
        let mut newcomers = Newcomers::default();
        tried.iter().for_each(|(when, new)| newcomers.note(at(*when), new));
        newcomers
    }

    #[test]
    fn one_without_an_answer_is_nothing_three_in_a_row_are_something() {
        let tried = [100, 1300, 2500, 3700].map(|when| (when, NewSession::NoAnswer));
        let closed = [0, 1, 2, 3, 4].map(|count| after(&tried[..count]).closed_since());
        assert_eq!(closed, [None, None, None, Some(at(100)), Some(at(100))], "since the first of the row");
    }

    #[test]
    fn an_answer_in_between_starts_anew() {
        for answer in [NewSession::Served, NewSession::Full, NewSession::NotReady, NewSession::Refused("no".into())] {
            let mut tried = [1, 2, 4, 5, 6].map(|when| (when, NewSession::NoAnswer)).to_vec();
            tried.insert(2, (3, answer));
            assert_eq!(after(&tried[..5]).closed_since(), None, "{:?}", tried[2]);
            assert_eq!(after(&tried).closed_since(), Some(at(4)), "{:?}", tried[2]);
            tried.push((7, tried[2].1.clone()));
            assert_eq!(after(&tried).closed_since(), None, "{:?}", tried[2]);
        }
    }

    #[test]
    fn that_nobody_listens_says_nothing() {
        let silence = |when| (when, NewSession::NoAnswer);
        let tried = [(1, NewSession::NoListener), silence(2), silence(3), (4, NewSession::NoListener), silence(5)];
        assert_eq!(after(&tried[..4]).closed_since(), None);
        assert_eq!(after(&tried).closed_since(), Some(at(2)));
    }

    #[test]
    fn the_next_follows_soon_while_none_is_answered() {
        let tried = [(1, NewSession::NoAnswer), (2, NewSession::NoAnswer), (3, NewSession::Served)];
        assert_eq!([0, 1, 2, 3].map(|count| after(&tried[..count]).pause()), [SELDOM, SOON, SOON, SELDOM]);
    }
}
