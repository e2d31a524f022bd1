//! The zone at one moment: immutable, cheap to make from its predecessor, read without waiting.
//!
//! [`render`] is pure. Its time is the store's revision; the clock comes in only when a query is answered, because the end of a lease must
//! take effect without anybody rendering anything.

use crate::{
    cluster::{ClusterView, Node, RrSet, address_sets, label},
    face::ClusterFace,
    serial,
    zone::Zone,
};
use hickory_proto::rr::{
    LowerName, Name, RData, RecordType,
    rdata::{NS, SOA},
};
use std::{collections::HashMap, sync::Arc};
use tanist_engine::{Epoch, Revision};

/// Something of a face that is not served as given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message says it")]
pub enum Problem {
    #[error("cluster {scope:?} has no DNS name: a scope must be one label of letters, digits, '-' and '_'")]
    Scope { scope: String },
    #[error("member {member:?} of {scope} has no DNS name: it must be one label of letters, digits, '-' and '_'")]
    MemberName { scope: String, member: String },
    #[error("member {member:?} of {scope} has no DNS name of its own: the name is taken")]
    NameTaken { scope: String, member: String },
    #[error("{name}.{scope} has more than 256 addresses; the rest is not answered")]
    TooManyAddresses { scope: String, name: String },
    #[error("{scope}: a primary of epoch {given} is not answered, epoch {shown} was there before")]
    OldEpoch { scope: String, shown: Epoch, given: Epoch },
    #[error("{scope}: epoch {epoch} was released and is not answered again")]
    ReleasedEpoch { scope: String, epoch: Epoch },
    #[error("{scope}: the host {host} is not answered, epoch {epoch} has already moved away from it")]
    RetiredHost { scope: String, host: String, epoch: Epoch },
}

/// The zone as it is served.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) zone: Arc<Zone>,
    /// All clusters have been read; before that a missing name proves nothing.
    complete: bool,
    serial: u32,
    /// Names directly below the apex: the name servers' own.
    hosts: Arc<HashMap<Box<[u8]>, Node>>,
    clusters: HashMap<Box<[u8]>, Arc<ClusterView>>,
    refused: Vec<Problem>,
}

/// The zone with exactly these clusters. `previous` gives what was served before, on which the answers for `primary` and the serial depend.
pub fn render(previous: &Snapshot, faces: &[ClusterFace]) -> Snapshot {
    let mut next = Snapshot { complete: true, clusters: HashMap::new(), refused: Vec::new(), ..previous.clone() };
    for face in faces {
        next.put(face, previous);
    }
    next.count(previous);
    next
}

/// Where a query name ends up.
pub(crate) enum Found<'a> {
    /// Not in this zone.
    Outside,
    /// In this zone; whether it exists is not known yet.
    NotReady,
    /// It does not exist, nor anything below it.
    NoName,
    /// The apex.
    Apex,
    /// It exists; the cluster is there where its primary decides.
    Node(&'a Node, Option<&'a ClusterView>),
    /// It exists only because of names below it.
    Empty,
}

impl Snapshot {
    /// The zone before anything is known of its clusters.
    pub fn starting(zone: Zone) -> Self {
        let mut hosts: HashMap<Box<[u8]>, Node> = HashMap::new();
        for (name, addresses) in &zone.nameservers {
            let below = LowerName::new(name);
            if zone.apex.zone_of(&below) && below != zone.apex {
                let key = below.iter().next().unwrap_or_default().into();
                hosts.entry(key).or_default().sets.extend(address_sets(addresses, zone.config.ttls.zone));
            }
        }
        let zone = Arc::new(zone);
        Self { zone, complete: false, serial: 0, hosts: Arc::new(hosts), clusters: HashMap::new(), refused: Vec::new() }
    }

    /// This zone with one cluster as given now and the others as they are.
    pub fn with(&self, face: &ClusterFace) -> Self {
        let mut next = self.clone();
        next.put(face, self);
        next.count(self);
        next
    }

    /// The SOA's serial.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What is not served as given.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.refused.iter().chain(self.clusters.values().flat_map(|view| &view.problems))
    }

    pub(crate) fn find(&self, name: &LowerName) -> Found<'_> {
        if !self.zone.apex.zone_of(name) {
            return Found::Outside;
        }
        let depth = usize::from(name.num_labels()).saturating_sub(self.zone.apex_labels);
        let mut labels = name.iter().take(depth);
        match (labels.next(), labels.next(), labels.next()) {
            (None, ..) => Found::Apex,
            (Some(host), None, _) => match self.hosts.get(host) {
                Some(node) => Found::Node(node, None),
                None if self.clusters.contains_key(host) => Found::Empty,
                None => self.missing(),
            },
            (Some(leaf), Some(scope), None) => match self.clusters.get(scope) {
                Some(view) => view.nodes.get(leaf).map_or(Found::NoName, |node| Found::Node(node, Some(view))),
                None => self.missing(),
            },
            (Some(_), Some(_), Some(_)) => self.missing(),
        }
    }

    pub(crate) fn soa(&self) -> RrSet {
        let config = &self.zone.config;
        let [refresh, retry, expire] =
            [config.refresh, config.retry, config.expire].map(|s| i32::try_from(s).unwrap_or(i32::MAX));
        let primary = self.zone.nameservers.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let soa = SOA::new(primary, self.zone.mailbox.clone(), self.serial.max(1), refresh, retry, expire, config.ttls.negative);
        RrSet { kind: RecordType::SOA, ttl: config.ttls.zone, data: vec![RData::SOA(soa)] }
    }

    /// SOA, NS, and the addresses of a name server that has the zone's own name.
    pub(crate) fn apex_sets(&self) -> Vec<RrSet> {
        let data = self.zone.nameservers.iter().map(|(name, _)| RData::NS(NS(name.clone()))).collect();
        let ns = RrSet { kind: RecordType::NS, ttl: self.zone.config.ttls.zone, data };
        let own = self.glue().filter(|(name, _)| LowerName::new(name) == self.zone.apex).map(|(_, set)| set);
        [self.soa(), ns].into_iter().chain(own).collect()
    }

    /// The name servers inside the zone, with their addresses.
    pub(crate) fn glue(&self) -> impl Iterator<Item = (&Name, RrSet)> {
        let inside = self.zone.nameservers.iter().filter(|(name, _)| self.zone.apex.zone_of(&LowerName::new(name)));
        inside.flat_map(|(name, addresses)| {
            address_sets(addresses, self.zone.config.ttls.zone).into_iter().map(move |set| (name, set))
        })
    }

    fn missing(&self) -> Found<'_> {
        if self.complete { Found::NoName } else { Found::NotReady }
    }

    fn put(&mut self, face: &ClusterFace, previous: &Self) {
        let Some(key) = label(&face.scope) else {
            let problem = Problem::Scope { scope: face.scope.clone() };
            if !self.refused.contains(&problem) {
                self.refused.push(problem);
            }
            return;
        };
        let before = previous.clusters.get(&key);
        let view = match before {
            Some(view) if view.face == *face => Arc::clone(view),
            _ => Arc::new(ClusterView::render(&self.zone, face, before.map(AsRef::as_ref))),
        };
        self.clusters.insert(key, view);
    }

    fn count(&mut self, previous: &Self) {
        let revision = self.clusters.values().map(|view| view.face.revision).max().unwrap_or(Revision(0));
        let kept = self.clusters.iter().all(|(key, view)| {
            previous.clusters.get(key).is_some_and(|before| Arc::ptr_eq(before, view) || !before.differs(view))
        });
        let changed = self.clusters.len() != previous.clusters.len() || !kept;
        self.serial = serial::next(previous.serial, revision, changed);
    }
}
