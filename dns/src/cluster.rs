//! The names of one cluster: what its face becomes below `<scope>.<zone>`.
//!
//! | name | records |
//! |---|---|
//! | `primary` | A, AAAA of the proved primary; TXT `epoch=<n> node=<name>` |
//! | `replica` | A, AAAA of the replicas; without any, those of the primary, if the zone says so |
//! | `<member>` | A, AAAA of the member |
//!
//! `sync` and `any` are kept free for later. A member whose name is taken or is no label has no name of its own and is reported.

use crate::{
    face::{ClusterFace, Host},
    primary::{Held, History, Primary},
    snapshot::Problem,
    update::Generation,
    zone::Zone,
};
use hickory_proto::rr::{
    RData, RecordType,
    rdata::{A, AAAA, TXT},
};
use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};
use tanist_engine::Epoch;

/// Names below a cluster that no member can have.
const RESERVED: [&str; 4] = ["primary", "replica", "sync", "any"];

/// More addresses than this on one name are cut off and reported: the answer must fit a message.
const MAX_ADDRESSES: usize = 256;

/// A name's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// Answered only while the primary is proved.
    pub(crate) gated: bool,
    pub(crate) sets: Vec<RrSet>,
}

/// Records of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RrSet {
    pub(crate) kind: RecordType,
    pub(crate) ttl: u32,
    pub(crate) data: Vec<RData>,
}

/// A cluster as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterView {
    pub(crate) face: ClusterFace,
    pub(crate) history: History,
    pub(crate) primary: Primary,
    pub(crate) nodes: HashMap<Box<[u8]>, Node>,
    pub(crate) problems: Vec<Problem>,
}

impl ClusterView {
    /// Renders a face after what was served before.
    pub(crate) fn render(zone: &Zone, face: &ClusterFace, previous: Option<&Self>) -> Self {
        let mut history = previous.map(|view| view.history.clone()).unwrap_or_default();
        let (primary, held) = history.advance(&face.primary);
        let mut view = Self { face: face.clone(), history, primary, nodes: HashMap::new(), problems: Vec::new() };
        if let Some(held) = held {
            view.problems.push(Problem::of(&face.scope, held));
        }
        view.add_primary(zone);
        view.add_replica(zone);
        for member in &face.members {
            view.add_member(zone, member);
        }
        view
    }

    /// Whether the served content differs; the end of the lease is not content.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.nodes != other.nodes || std::mem::discriminant(&self.primary) != std::mem::discriminant(&other.primary)
    }

    fn add_primary(&mut self, zone: &Zone) {
        let mut node = Node { gated: true, sets: Vec::new() };
        if let Some((host, epoch)) = self.last_known() {
            let ttl = zone.config.ttls.primary;
            node.sets = self.addresses("primary", &host.addresses, ttl);
            node.sets.push(RrSet { kind: RecordType::TXT, ttl, data: vec![epoch_text(epoch, &host.name)] });
        }
        self.nodes.insert(b"primary"[..].into(), node);
    }

    fn add_replica(&mut self, zone: &Zone) {
        let ttl = zone.config.ttls.replica;
        let replicas: Vec<IpAddr> = self.face.replicas.iter().flat_map(|host| host.addresses.clone()).collect();
        let node = if !replicas.is_empty() {
            Node { gated: false, sets: self.addresses("replica", &replicas, ttl) }
        } else if zone.config.replica_falls_back {
            let primary = self.last_known().map(|(host, _)| host.addresses).unwrap_or_default();
            Node { gated: true, sets: self.addresses("replica", &primary, ttl.min(zone.config.ttls.primary)) }
        } else {
            Node::default()
        };
        self.nodes.insert(b"replica"[..].into(), node);
    }

    fn add_member(&mut self, zone: &Zone, member: &Host) {
        let scope = self.face.scope.clone();
        let Some(label) = label(&member.name) else {
            return self.problems.push(Problem::MemberName { scope, member: member.name.clone() });
        };
        if RESERVED.iter().any(|name| name.as_bytes() == &*label) || self.nodes.contains_key(&label) {
            return self.problems.push(Problem::NameTaken { scope, member: member.name.clone() });
        }
        let sets = self.addresses(&member.name, &member.addresses, zone.config.ttls.member);
        self.nodes.insert(label, Node { gated: false, sets });
    }

    fn last_known(&self) -> Option<(Host, Epoch)> {
        match &self.primary {
            Primary::Proved { host, epoch, .. } | Primary::Lapsed { host, epoch } => Some((host.clone(), *epoch)),
            Primary::Unknown | Primary::Nobody => None,
        }
    }

    /// A and AAAA sets in the order given, each address once.
    fn addresses(&mut self, name: &str, addresses: &[IpAddr], ttl: u32) -> Vec<RrSet> {
        let mut seen = BTreeSet::new();
        let unique: Vec<IpAddr> = addresses.iter().copied().filter(|address| seen.insert(*address)).collect();
        if unique.len() > MAX_ADDRESSES {
            self.problems.push(Problem::TooManyAddresses { scope: self.face.scope.clone(), name: name.to_owned() });
        }
        address_sets(&unique[..unique.len().min(MAX_ADDRESSES)], ttl)
    }
}

/// A and AAAA sets, none of them empty.
pub(crate) fn address_sets(addresses: &[IpAddr], ttl: u32) -> Vec<RrSet> {
    let (four, six): (Vec<RData>, Vec<RData>) =
        addresses.iter().map(|address| rdata(*address)).partition(|d| matches!(d, RData::A(_)));
    [(RecordType::A, four), (RecordType::AAAA, six)]
        .into_iter()
        .filter(|(_, data)| !data.is_empty())
        .map(|(kind, data)| RrSet { kind, ttl, data })
        .collect()
}

fn rdata(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(four) => RData::A(A(four)),
        IpAddr::V6(six) => RData::AAAA(AAAA(six)),
    }
}

fn epoch_text(epoch: Epoch, node: &str) -> RData {
    RData::TXT(TXT::new(vec![Generation::new(epoch, node).to_string()]))
}

/// A name as one label of the zone, in lower case; `None`: it cannot be one. Letters, digits, `-` and `_` only, so that nobody
/// has to escape anything.
pub(crate) fn label(name: &str) -> Option<Box<[u8]>> {
    let fits = (1..=63).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (fits && plain).then(|| name.to_ascii_lowercase().into_bytes().into())
}

impl Problem {
    fn of(scope: &str, held: Held) -> Self {
        let scope = scope.to_owned();
        match held {
            Held::OldEpoch { shown, given } => Self::OldEpoch { scope, shown, given },
            Held::ReleasedEpoch(epoch) => Self::ReleasedEpoch { scope, epoch },
            Held::RetiredHost(host, epoch) => Self::RetiredHost { scope, host, epoch },
        }
    }
}
