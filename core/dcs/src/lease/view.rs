//! The three keys the lease rests on, as one read of the store shows them.

use super::{Record, RecordError};
use crate::{KeyValue, Keys, Op, TxnAnswer};
use tanist_engine::{Epoch, Reading, Revision};

/// Lease record, leader key and base at one revision.
pub(super) struct View {
    pub revision: Revision,
    pub record: Option<KeyValue>,
    pub leader: Option<KeyValue>,
    pub base: Option<KeyValue>,
}

impl View {
    /// The reads that make a view, alone or as the other branch of a transaction.
    pub(super) fn reads(keys: &Keys) -> Vec<Op> {
        vec![Op::Get(keys.lease()), Op::Get(keys.leader()), Op::Get(keys.epoch())]
    }

    /// Their answer.
    pub(super) fn of(answer: TxnAnswer) -> Self {
        let mut reads = answer.reads.into_iter();
        let mut next = || reads.next().flatten();
        Self { revision: answer.revision, record: next(), leader: next(), base: next() }
    }
}

/// The record as it was received.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub revision: Revision,
    pub content: Result<Record, RecordError>,
    pub received: Reading,
}

impl Recorded {
    /// The store shows a record of the same revision that another attempt wrote: it was restored, and its revisions have caught up.
    pub(super) fn contradicts(&self, shown: &KeyValue) -> bool {
        let identity = |record: &Record| (record.holder.clone(), record.nonce, record.attempt);
        match (&self.content, Record::decode(&shown.value)) {
            (Ok(known), Ok(shown_now)) => shown.mod_revision == self.revision && identity(known) != identity(&shown_now),
            _ => false,
        }
    }
}

/// The base of the epochs.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// Revision of its key; zero: absent.
    pub revision: Revision,
    pub value: Result<Epoch, RecordError>,
}

impl Default for Base {
    fn default() -> Self {
        Self { revision: Revision(0), value: Ok(Epoch::NONE) }
    }
}
