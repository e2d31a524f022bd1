//! The link to the DNS connection point: what the store shows, rendered into the zone, and told to the server that answers from memory.
//!
//! Host names in the store are resolved beside it, off the loop: the zone is rendered at once with the addresses that are known, and again
//! when a lookup has brought others. A numeric address needs no resolving.

mod addresses;

use crate::config::{ClusterSettings, DnsSettings};
use addresses::{Addresses, Lookups};
use std::sync::Arc;
use tanist_dns::{
    Clock, ClusterFace, Host, Limits, NameServer, PrimaryFace, Server, ServerError, ServerHandle, Snapshot, Ttls, Zone,
    ZoneConfig, ZoneError,
};
use tanist_engine::{Endpoint, Epoch, Face, Lease, Member, MemberName, MemberState, Revision, Role, StoreView};
use tokio::{sync::watch, time::Instant};

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
        tokio::spawn(render(Arc::new(server), cluster.scope.clone(), shown, Lookups::new(addresses::system())));
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
    let DnsSettings { listen: _, advertised, zone, ttl, nameservers, soa } = dns;
    let mut servers: Vec<NameServer> =
        nameservers.iter().map(|server| NameServer { name: server.name.clone(), addresses: server.addresses.clone() }).collect();
    if servers.is_empty() {
        let label: String = me.0.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        servers.push(NameServer { name: format!("ns-{}.{zone}", label.trim_matches('-')), addresses: advertised.clone() });
    }
    let mut config = ZoneConfig::new(zone.clone(), servers);
    if let Some(mailbox) = &soa.mailbox {
        config.mailbox = mailbox.replacen('@', ".", 1);
    }
    (config.refresh, config.retry, config.expire) = (soa.refresh, soa.retry, soa.expire);
    config.ttls = Ttls { primary: *ttl, replica: *ttl, negative: soa.minimum, ..Ttls::default() };
    config
}

/// Renders what is shown, whenever it changes and when names have other addresses.
async fn render(server: Arc<ServerHandle>, scope: String, mut shown: watch::Receiver<Shown>, mut lookups: Lookups) {
    let mut addresses = Addresses::default();
    loop {
        let now = shown.borrow_and_update().clone();
        addresses.want(hosts(&now), Instant::now());
        serve(&server, &face_of(&scope, &now, &addresses), now.known);
        if !news(&mut shown, &mut addresses, &mut lookups).await {
            return;
        }
    }
}

/// Waits until there is something to render; false: nobody shows anything any more.
async fn news(shown: &mut watch::Receiver<Shown>, addresses: &mut Addresses, lookups: &mut Lookups) -> bool {
    loop {
        tokio::select! {
            changed = shown.changed() => return changed.is_ok(),
            answer = lookups.answer(addresses) => if addresses.learn(answer, Instant::now()) {
                return true;
            }
        }
    }
}

fn serve(server: &ServerHandle, face: &ClusterFace, known: bool) {
    // Exactly this cluster is in the zone. Before the store has been read nothing can be said of any name.
    let before = server.snapshot();
    let snapshot = if known { tanist_dns::render(&before, std::slice::from_ref(face)) } else { before.with(face) };
    for problem in snapshot.problems() {
        tracing::debug!(?problem, "not served");
    }
    server.update(snapshot);
}

/// The hosts that need addresses, the primary's first: it is what clients ask for.
fn hosts(shown: &Shown) -> impl Iterator<Item = &str> {
    let primary = shown.face.iter().map(|face| face.endpoint.host.as_str());
    primary.chain(shown.members.iter().filter_map(|member| Some(member.postgres.as_ref()?.host.as_str())))
}

fn face_of(scope: &str, shown: &Shown, addresses: &Addresses) -> ClusterFace {
    let host = |name: &MemberName, endpoint: &Endpoint| Host {
        name: name.to_string(),
        published: endpoint.host.clone(),
        addresses: addresses.of(&endpoint.host),
    };
    let mut members = Vec::new();
    let mut replicas = Vec::new();
    for member in &shown.members {
        let Some(endpoint) = &member.postgres else { continue };
        let host = host(&member.name, endpoint);
        let serves = matches!(member.state, MemberState::Running | MemberState::Streaming) && member.role == Role::Replica;
        if serves && shown.face.as_ref().is_none_or(|face| face.name != member.name) {
            replicas.push(host.clone());
        }
        members.push(host);
    }
    let primary = match &shown.face {
        _ if !shown.known => PrimaryFace::Unknown,
        Some(face) => primary_of(shown, face, host(&face.name, &face.endpoint)),
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

#[cfg(test)]
mod tests;
