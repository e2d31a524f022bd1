//! What client and server of the embedded store say to each other.

use crate::{Change, ExpiryId, KeyValue, Txn, TxnAnswer};
use serde::{Deserialize, Serialize};
use tanist_engine::Revision;

/// One question. Ids are the client's, never reused on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub id: u64,
    pub call: Call,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Call {
    List {
        prefix: String,
    },
    Txn(Txn),
    Grant {
        ttl_ms: u64,
    },
    KeepAlive(ExpiryId),
    Revoke(ExpiryId),
    /// From then on the connection carries this watch only.
    Watch {
        prefix: String,
        from: Revision,
    },
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    Answer { id: u64, result: Result<Answer, Refusal> },
    Event(Event),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Listing { revision: Revision, items: Vec<KeyValue> },
    Txn(TxnAnswer),
    Granted(ExpiryId),
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    ExpiryGone,
    Refused(String),
}

/// One message of a watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    Changes { revision: Revision, changes: Vec<Change> },
    Progress(Revision),
    Compacted,
}
