//! The link to the DNS connection point: what the store shows, rendered into the zone, and told to the server that answers from memory.
//!
//! Host names in the store are resolved here, off the loop; an address needs no resolving and is answered at once.

use crate::config::{ClusterSettings, DnsSettings};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tanist_dns::{
    Clock, ClusterFace, Host, Limits, NameServer, PrimaryFace, Server, ServerError, ServerHandle, Snapshot, Ttls, Zone,
    ZoneConfig, ZoneError,
};
use tanist_engine::{Epoch, Face, Lease, Member, MemberName, MemberState, Revision, Role, StoreView};
use tokio::sync::watch;

/// A resolved name is asked for again after this.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// The agent's end; without a `dns` section it does nothing.
#[derive(Clone)]
pub struct NamesLink(Option<watch::Sender<Shown>>);

/// What the connection point shows, in the engine's types.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    revision: Revision,
    known: bool,
    lease: Lease,
    me: MemberName,
    face: Option<Face>,
    members: Vec<Member>,
}

/// Why there is no connection point.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// The zone cannot be served as configured.
    #[error("dns.{0}")]
    Zone(#[from] ZoneError),
    /// The sockets.
    #[error("{0}")]
    Server(#[from] ServerError),
}

impl NamesLink {
    /// Starts the server where one is configured. `me` names the server inside its zone.
    pub fn start(cluster: &ClusterSettings, me: &MemberName, clock: Clock) -> Result<Self, NamesError> {
        let Some(dns) = &cluster.dns else { return Ok(Self(None)) };
        let zone = Zone::new(zone_config(dns, me))?;
        let server = Server::spawn(&dns.listen, Snapshot::starting(zone), clock, Limits::default())?;
        tracing::info!(zone = %dns.zone, listen = ?server.local_addrs(), "answering for the zone");
        let nothing =
            Shown { revision: Revision(0), known: false, lease: Lease::Unknown, me: me.clone(), face: None, members: Vec::new() };
        let (tell, shown) = watch::channel(nothing);
        tokio::spawn(render(server, cluster.scope.clone(), shown));
        Ok(Self(Some(tell)))
    }

    /// The cluster looks like this now.
    pub fn show(&self, me: &MemberName, lease: &Lease, view: &StoreView, revision: Revision) {
        let Some(tell) = &self.0 else { return };
        let shown = Shown {
            revision,
            known: view.as_of.is_some(),
            lease: lease.clone(),
            me: me.clone(),
            face: view.primary.clone(),
            members: view.members.clone(),
        };
        tell.send_if_modified(|last| {
            let changed = *last != shown;
            *last = shown;
            changed
        });
    }
}

fn zone_config(dns: &DnsSettings, me: &MemberName) -> ZoneConfig {
    let DnsSettings { listen, zone, ttl, nameservers, soa } = dns;
    let mut servers: Vec<NameServer> =
        nameservers.iter().map(|server| NameServer { name: server.name.clone(), addresses: server.addresses.clone() }).collect();
    if servers.is_empty() {
        let label: String = me.0.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let addresses = listen.iter().map(SocketAddr::ip).collect();
        servers.push(NameServer { name: format!("ns-{}.{zone}", label.trim_matches('-')), addresses });
    }
    let mut config = ZoneConfig::new(zone.clone(), servers);
    if let Some(mailbox) = &soa.mailbox {
        config.mailbox = mailbox.replacen('@', ".", 1);
    }
    (config.refresh, config.retry, config.expire) = (soa.refresh, soa.retry, soa.expire);
    config.ttls = Ttls { primary: *ttl, replica: *ttl, negative: soa.minimum, ..Ttls::default() };
    config
}

/// Renders what is shown, whenever it changes and when names may have new addresses.
async fn render(server: ServerHandle, scope: String, mut shown: watch::Receiver<Shown>) {
    let mut resolver = Resolver::default();
    loop {
        let now = shown.borrow_and_update().clone();
        let face = face_of(&scope, &now, &mut resolver).await;
        // Exactly this cluster is in the zone. Before the store has been read nothing can be said of any name.
        let snapshot = if now.known { tanist_dns::render(&server.snapshot(), &[face]) } else { server.snapshot().with(&face) };
        for problem in snapshot.problems() {
            tracing::debug!(?problem, "not served");
        }
        server.update(snapshot);
        let again = if resolver.has_names() { RESOLVE_EVERY } else { Duration::from_secs(86_400) };
        match tokio::time::timeout(again, shown.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_closed)) => return,
        }
    }
}

async fn face_of(scope: &str, shown: &Shown, resolver: &mut Resolver) -> ClusterFace {
    let mut members = Vec::new();
    let mut replicas = Vec::new();
    for member in &shown.members {
        let Some(endpoint) = &member.postgres else { continue };
        let host = Host { name: member.name.to_string(), addresses: resolver.addresses(&endpoint.host).await };
        let serves = matches!(member.state, MemberState::Running | MemberState::Streaming) && member.role == Role::Replica;
        if serves && shown.face.as_ref().is_none_or(|face| face.name != member.name) {
            replicas.push(host.clone());
        }
        members.push(host);
    }
    let primary = match &shown.face {
        _ if !shown.known => PrimaryFace::Unknown,
        Some(face) => {
            let host = Host { name: face.name.to_string(), addresses: resolver.addresses(&face.endpoint.host).await };
            primary_of(shown, face, host)
        }
        None => PrimaryFace::Nobody { epoch: epoch_of(&shown.lease) },
    };
    ClusterFace { scope: scope.to_owned(), revision: shown.revision, primary, replicas, members }
}

/// The published face is believed only while the lease record has its holder and its epoch (SAFETY §6).
fn primary_of(shown: &Shown, face: &Face, host: Host) -> PrimaryFace {
    let nobody = PrimaryFace::Nobody { epoch: epoch_of(&shown.lease) };
    match &shown.lease {
        Lease::Mine(held) if held.epoch == face.epoch && face.name == shown.me => {
            PrimaryFace::Proved { host, epoch: face.epoch, until: held.until }
        }
        Lease::Theirs(theirs) if theirs.epoch == face.epoch && theirs.holder == face.name => {
            PrimaryFace::Proved { host, epoch: face.epoch, until: theirs.vacant_at }
        }
        Lease::Vacant { released: true, last_epoch, .. } => PrimaryFace::Released { epoch: *last_epoch },
        Lease::Vacant { last_epoch, .. } if *last_epoch == face.epoch => PrimaryFace::Lapsed { host, epoch: face.epoch },
        Lease::Unknown => PrimaryFace::Lapsed { host, epoch: face.epoch },
        Lease::Mine(_) | Lease::Theirs(_) | Lease::Vacant { .. } => nobody,
    }
}

fn epoch_of(lease: &Lease) -> Option<Epoch> {
    match lease {
        Lease::Mine(held) => Some(held.epoch),
        Lease::Theirs(theirs) => Some(theirs.epoch),
        Lease::Vacant { last_epoch, .. } if *last_epoch > Epoch::NONE => Some(*last_epoch),
        Lease::Vacant { .. } | Lease::Unknown => None,
    }
}

/// Addresses of host names, asked for once in a while.
#[derive(Default)]
struct Resolver {
    known: BTreeMap<String, (tokio::time::Instant, Arc<[IpAddr]>)>,
}

impl Resolver {
    async fn addresses(&mut self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let now = tokio::time::Instant::now();
        if let Some((asked, addresses)) = self.known.get(host)
            && now.duration_since(*asked) < RESOLVE_EVERY
        {
            return addresses.to_vec();
        }
        let question = tokio::time::timeout(Duration::from_secs(2), tokio::net::lookup_host((host, 0))).await;
        let mut found: Vec<IpAddr> = match question {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            Ok(Err(error)) => {
                tracing::warn!(%host, %error, "a member's host name has no address; the last known one stays in the zone");
                return self.known.get(host).map_or_else(Vec::new, |(_, addresses)| addresses.to_vec());
            }
            Err(_) => return self.known.get(host).map_or_else(Vec::new, |(_, addresses)| addresses.to_vec()),
        };
        found.sort_unstable();
        found.dedup();
        self.known.insert(host.to_owned(), (now, found.clone().into()));
        found
    }

    fn has_names(&self) -> bool {
        !self.known.is_empty()
    }
}
