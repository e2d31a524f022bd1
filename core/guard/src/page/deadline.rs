//! The deadline: one word that decides, and two slots that belong to it.
//!
//! A deadline is a pair of times (two clocks) and an epoch, but only one word can be exchanged atomically. So:
//!
//! - The word `deadline` is 0 (unarmed), 1 (fenced), or the boot-time deadline in nanoseconds with its lowest bit replaced by the
//!   number of the *slot* that holds the rest: raw deadline, epoch, ttl.
//! - **Extend** (agent): read the word, write the *other* slot, compare-exchange the word to the larger deadline with the other slot's
//!   number. The slot in force is never written while it is in force.
//! - **Take** (guard): compare-exchange exactly the word that was judged over → 1. Whoever comes second sees the other's word: never
//!   "fenced, but extended", never the reverse. A word that is still the same since it was read also proves that the slot read with
//!   it was not written meanwhile.
//! - **Arm** (guard): take the present word out of force (→ 0), then write the slot that was in force *last*, then publish. An extension
//!   that is under way writes the other slot, and its compare-exchange expects a word that does not come again: a new word that
//!   would equal the last one is made 2 ns smaller.
//! - Extensions of one agent exclude each other by a mutex; a new agent is started only after the old one was reaped.

use super::{DEADLINE, EPOCH, LAST_WORD, Page, SLOTS, TTL};
use crate::clock::Now;
use std::sync::{PoisonError, atomic::Ordering::SeqCst};

const UNARMED: u64 = 0;
const FENCED: u64 = 1;

/// What the guard was told to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Nothing: PostgreSQL may run as a standby only.
    Unarmed,
    /// The guard took the deadline and fences, or has fenced. See [`Page::fence_state`].
    Fenced,
    /// A writable PostgreSQL is allowed.
    Armed(Armed),
}

/// A deadline in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// For this epoch.
    pub epoch: u64,
    /// Boot-time deadline, nanoseconds.
    pub boot: u64,
    /// CLOCK_MONOTONIC_RAW deadline, nanoseconds.
    pub raw: u64,
    /// The lease's ttl, nanoseconds.
    pub ttl: u64,
    word: u64,
}

impl Armed {
    /// Nanoseconds until the first of the two deadlines less `margin`; 0: over.
    pub fn left(&self, now: Now, margin: u64) -> u64 {
        let boot = self.boot.saturating_sub(margin).saturating_sub(now.boot);
        let raw = self.raw.saturating_sub(margin).saturating_sub(now.raw);
        boot.min(raw)
    }
}

/// What became of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extend {
    /// The new deadline is in force.
    Extended,
    /// The guard took the deadline first: PostgreSQL is being fenced, or was.
    Fenced,
    /// The guard is not armed, or for another epoch. Nothing was changed.
    NotArmed,
    /// Not later than what is in force. Nothing was changed.
    Shorter,
}

impl Page {
    /// The deadline with everything that belongs to it, consistent.
    pub fn deadline(&self) -> Deadline {
        loop {
            let word = self.get(DEADLINE);
            match word {
                UNARMED => return Deadline::Unarmed,
                FENCED => return Deadline::Fenced,
                _ => {}
            }
            let at = SLOTS[slot_of(word)];
            let (raw, epoch, ttl) = (self.get(at), self.get(at + 1), self.get(at + 2));
            if self.get(DEADLINE) == word {
                return Deadline::Armed(Armed { epoch, boot: word & !1, raw, ttl, word });
            }
        }
    }

    /// The deadline in force, if one is.
    pub fn arm_view(&self) -> Option<Armed> {
        match self.deadline() {
            Deadline::Armed(armed) => Some(armed),
            Deadline::Unarmed | Deadline::Fenced => None,
        }
    }

    /// The agent renewed its lease of `epoch`: it now ends at `boot` and `raw` (nanoseconds of the two clocks).
    pub fn extend(&self, epoch: u64, boot: u64, raw: u64) -> Extend {
        self.extend_stepwise(epoch, boot, raw, &mut || ())
    }

    /// [`Page::extend`] with a call between any two accesses, so that tests can interleave the guard there.
    pub(super) fn extend_stepwise(&self, epoch: u64, boot: u64, raw: u64, step: &mut dyn FnMut()) -> Extend {
        let _one_at_a_time = self.extending.lock().unwrap_or_else(PoisonError::into_inner);
        let boot = boot & !1;
        loop {
            let armed = match self.deadline() {
                Deadline::Unarmed => return Extend::NotArmed,
                Deadline::Fenced => return Extend::Fenced,
                Deadline::Armed(armed) => armed,
            };
            step();
            if armed.epoch != epoch {
                return Extend::NotArmed;
            }
            if boot <= armed.boot || raw < armed.raw {
                return Extend::Shorter;
            }
            let other = 1 - slot_of(armed.word);
            for (offset, value) in [raw, epoch, armed.ttl].into_iter().enumerate() {
                self.set(SLOTS[other] + offset, value);
                step();
            }
            match self.word(DEADLINE).compare_exchange(armed.word, boot | other as u64, SeqCst, SeqCst) {
                Ok(_) => return Extend::Extended,
                Err(FENCED) => return Extend::Fenced,
                // Disarmed, or armed anew: look again.
                Err(_) => {}
            }
        }
    }

    /// Guard: take the deadline that was `seen` and is over. False: it was extended meanwhile, look again.
    pub(crate) fn take(&self, seen: &Armed) -> bool {
        let taken = self.word(DEADLINE).compare_exchange(seen.word, FENCED, SeqCst, SeqCst).is_ok();
        if taken {
            self.set(LAST_WORD, seen.word);
        }
        taken
    }

    /// Guard: take whatever is in force, because a fence begins for another reason.
    pub(crate) fn take_any(&self) {
        while let Deadline::Armed(armed) = self.deadline() {
            if self.take(&armed) {
                return;
            }
        }
    }

    /// Guard: nothing may be writable from now on.
    pub(crate) fn disarm(&self) {
        let word = self.word(DEADLINE).swap(UNARMED, SeqCst);
        if word > FENCED {
            self.set(LAST_WORD, word);
        }
    }

    /// Guard: a writable PostgreSQL is allowed for `epoch` until then. Replaces what is in force.
    pub(crate) fn arm(&self, epoch: u64, boot: u64, raw: u64, ttl: u64) {
        self.disarm();
        let last = self.get(LAST_WORD);
        let slot = slot_of(last);
        for (offset, value) in [raw, epoch, ttl].into_iter().enumerate() {
            self.set(SLOTS[slot] + offset, value);
        }
        self.set(EPOCH, epoch);
        self.set(TTL, ttl);
        let word = (boot & !1).max(4) | slot as u64;
        self.set(DEADLINE, if word == last { word - 2 } else { word });
    }
}

const fn slot_of(word: u64) -> usize {
    (word & 1) as usize
}

#[cfg(test)]
#[path = "races.rs"]
mod races;
