//! From a question to records: what exists, what does not, and what is not known.
//!
//! | the name | answer |
//! |---|---|
//! | is outside the zone | REFUSED |
//! | exists, has the type | NOERROR with the records |
//! | exists, has not | NOERROR without (NODATA), SOA with the negative TTL |
//! | exists only through names below it | NODATA |
//! | does not exist | NXDOMAIN, SOA with the negative TTL |
//! | is in a part of the zone that was not read yet | SERVFAIL, EDE 14: a resolver asks another server and keeps nothing |
//! | is `primary`, and nothing is known | SERVFAIL, EDE 14 |
//! | is `primary`, and nobody is proved writable | NODATA, EDE 14 |
//! | is `primary`, proved for 3 s more | the records with a TTL of at most 3 |
//! | is `primary`, and the lease has lapsed unseen | NODATA, EDE 14; or as configured the last known with TTL 0 and EDE 3 |

use crate::{
    cluster::{ClusterView, Node, RrSet},
    primary::Primary,
    snapshot::{Found, Snapshot},
    zone::Unproved,
};
use hickory_proto::{
    op::ResponseCode,
    rr::{LowerName, Name, Record, RecordType},
};
use tanist_engine::Moment;

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: u16,
    pub(crate) text: &'static str,
}

const STALE: Reason = Reason { code: 3, text: "last known primary, its lease has lapsed" };
const NOT_READ: Reason = Reason { code: 14, text: "cluster state not read yet" };
const NOBODY: Reason = Reason { code: 14, text: "no primary is proved writable" };
const LAPSED: Reason = Reason { code: 14, text: "the lease of the last known primary has lapsed" };

/// The content of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    pub(crate) reason: Option<Reason>,
}

impl Answer {
    /// A reply without records.
    pub(crate) fn error(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: vec![], authorities: vec![], additionals: vec![], reason: None }
    }

    fn not_ready() -> Self {
        Self { reason: Some(NOT_READ), ..Self::error(ResponseCode::ServFail) }
    }

    fn negative(snapshot: &Snapshot, code: ResponseCode, reason: Option<Reason>) -> Self {
        let mut soa = snapshot.soa();
        soa.ttl = soa.ttl.min(snapshot.zone.config.ttls.negative);
        let authorities = records(&snapshot.zone.apex, &soa, u32::MAX).collect();
        Self { authoritative: true, authorities, reason, ..Self::error(code) }
    }
}

/// Answers a question of class IN. `owner` is the name as it was asked, with its letters' case.
pub(crate) fn answer(snapshot: &Snapshot, owner: &Name, kind: RecordType, now: Moment) -> Answer {
    match snapshot.find(&LowerName::new(owner)) {
        Found::Outside => Answer::error(ResponseCode::Refused),
        Found::NotReady => Answer::not_ready(),
        Found::NoName => Answer::negative(snapshot, ResponseCode::NXDomain, None),
        Found::Empty => Answer::negative(snapshot, ResponseCode::NoError, None),
        Found::Apex => apex(snapshot, owner, kind),
        Found::Node(node, cluster) => match validity(snapshot, node, cluster, now) {
            Ok((limit, reason)) => Answer { reason, ..positive(snapshot, owner, &node.sets, kind, limit) },
            Err(Some(reason)) => Answer::negative(snapshot, ResponseCode::NoError, Some(reason)),
            Err(None) => Answer::not_ready(),
        },
    }
}

fn apex(snapshot: &Snapshot, owner: &Name, kind: RecordType) -> Answer {
    let mut answer = positive(snapshot, owner, &snapshot.apex_sets(), kind, u32::MAX);
    if kind == RecordType::NS {
        answer.additionals = snapshot.glue().flat_map(|(name, set)| records(name, &set, u32::MAX).collect::<Vec<_>>()).collect();
    }
    answer
}

fn positive(snapshot: &Snapshot, owner: &Name, sets: &[RrSet], kind: RecordType, limit: u32) -> Answer {
    // ANY gets one set, whichever: RFC 8482.
    match sets.iter().find(|set| set.kind == kind || kind == RecordType::ANY) {
        Some(set) => {
            let answers = records(owner, set, limit).collect();
            Answer { authoritative: true, answers, ..Answer::error(ResponseCode::NoError) }
        }
        None => Answer::negative(snapshot, ResponseCode::NoError, None),
    }
}

/// The upper bound of the TTL and what to say with the records; or why there are none; or that nothing is known.
fn validity(
    snapshot: &Snapshot,
    node: &Node,
    cluster: Option<&ClusterView>,
    now: Moment,
) -> Result<(u32, Option<Reason>), Option<Reason>> {
    let Some(primary) = cluster.filter(|_| node.gated).map(|view| &view.primary) else {
        return Ok((u32::MAX, None));
    };
    match primary {
        Primary::Unknown => Err(None),
        Primary::Nobody => Err(Some(NOBODY)),
        Primary::Proved { until, .. } if now < *until => {
            Ok((u32::try_from(until.since(now).as_secs()).unwrap_or(u32::MAX), None))
        }
        Primary::Proved { .. } | Primary::Lapsed { .. } => match snapshot.zone.config.unproved {
            Unproved::NoData => Err(Some(LAPSED)),
            Unproved::LastKnown => Ok((0, Some(STALE))),
        },
    }
}

fn records<'a>(owner: &'a Name, set: &'a RrSet, limit: u32) -> impl Iterator<Item = Record> + 'a {
    set.data.iter().map(move |data| Record::from_rdata(owner.clone(), set.ttl.min(limit), data.clone()))
}
