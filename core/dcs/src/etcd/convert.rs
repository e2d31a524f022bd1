//! Our forms and etcd's. Revisions are etcd's own; a key that is not UTF-8 is not ours and is left out.

use crate::{Change, Compare, ExpiryId, KeyValue, Listing, Op, StoreError, Txn, TxnAnswer};
use etcd_client as etcd;
use etcd_client::{CompareOp, TxnOp, TxnOpResponse};
use tanist_engine::Revision;

fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

/// For comparisons and watches; a revision beyond etcd's range matches none.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn header(header: Option<&etcd::ResponseHeader>) -> Result<Revision, StoreError> {
    match header.map(|header| revision(header.revision())) {
        Some(revision) if revision.0 > 0 => Ok(revision),
        _ => Err(StoreError::Unknown("an answer without a revision".to_owned())),
    }
}

fn key_value(kv: &etcd::KeyValue) -> Option<KeyValue> {
    Some(KeyValue {
        key: kv.key_str().ok()?.to_owned(),
        value: kv.value().to_vec(),
        create_revision: revision(kv.create_revision()),
        mod_revision: revision(kv.mod_revision()),
        expiry: (kv.lease() != 0).then(|| ExpiryId(kv.lease())),
    })
}

pub(super) fn listing(answer: &etcd::GetResponse) -> Result<Listing, StoreError> {
    Ok(Listing { revision: header(answer.header())?, items: answer.kvs().iter().filter_map(key_value).collect() })
}

pub(super) fn txn(txn: &Txn) -> etcd::Txn {
    let compares: Vec<_> = txn
        .compares
        .iter()
        .map(|compare| match compare {
            Compare::Absent(key) => etcd::Compare::create_revision(key.as_str(), CompareOp::Equal, 0),
            Compare::ModRevision(key, revision) => etcd::Compare::mod_revision(key.as_str(), CompareOp::Equal, number(*revision)),
            Compare::CreateRevision(key, revision) => {
                etcd::Compare::create_revision(key.as_str(), CompareOp::Equal, number(*revision))
            }
            Compare::Value(key, value) => etcd::Compare::value(key.as_str(), CompareOp::Equal, value.as_slice()),
        })
        .collect();
    let branch = |ops: &[Op]| ops.iter().map(op).collect::<Vec<_>>();
    etcd::Txn::new().when(compares).and_then(branch(&txn.then)).or_else(branch(&txn.otherwise))
}

fn op(op: &Op) -> TxnOp {
    match op {
        Op::Get(key) => TxnOp::get(key.as_str(), None),
        Op::Put { key, value, expiry } => {
            let options = expiry.map(|id| etcd::PutOptions::new().with_lease(id.0));
            TxnOp::put(key.as_str(), value.as_slice(), options)
        }
        Op::Delete(key) => TxnOp::delete(key.as_str(), None),
    }
}

pub(super) fn txn_answer(answer: &etcd::TxnResponse) -> Result<TxnAnswer, StoreError> {
    let reads = answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(get) => Some(get.kvs().first().and_then(key_value)),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
    });
    Ok(TxnAnswer { succeeded: answer.succeeded(), revision: header(answer.header())?, reads: reads.collect() })
}

/// The changes of one message, grouped by revision. etcd never splits a revision over two messages.
pub(super) fn changes(events: &[etcd::Event]) -> Vec<(Revision, Vec<Change>)> {
    let mut groups: Vec<(Revision, Vec<Change>)> = Vec::new();
    for kv in events.iter().filter_map(etcd::Event::kv) {
        let at = revision(kv.mod_revision());
        let Some(found) = key_value(kv) else { continue };
        // A deletion has no version; asking for the event's type would panic on one that a later etcd may add.
        let change = if kv.version() == 0 { Change::Delete { key: found.key } } else { Change::Put(found) };
        match groups.last_mut() {
            Some((revision, changes)) if *revision == at => changes.push(change),
            _ => groups.push((at, vec![change])),
        }
    }
    groups
}
