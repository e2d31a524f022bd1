//! The real broker, the real host process and the bundled `dns-update`: a new primary moves a name, also over the death of the host.

use async_trait::async_trait;
use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};
use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerHandle, BrokerStatus, ClusterFace, DnsClaim, DnsFailure, DnsGrant, DnsOutcome, DnsPresent,
    DnsTarget, DnsUpdater, Grants, HostCommand, Leadership, LoadState, Manifest, PluginConfig, Tuning,
    protocol::{DnsRecord, PluginId, RecordKind, Source},
};
use tanist_engine::{Endpoint, Epoch, Face, Member, MemberName, MemberState, Moment, Role, Tags, Timeline};

const PATIENCE: Duration = Duration::from_secs(30);

/// A name server that remembers what it was told.
#[derive(Debug, Default)]
struct Server(Mutex<Vec<DnsClaim>>);

#[async_trait]
impl DnsUpdater for Server {
    async fn point(&self, claim: DnsClaim, _within: Duration) -> DnsOutcome {
        let mut claims = self.0.lock().unwrap();
        if let Some(newer) = claims.last().filter(|last| last.epoch > claim.epoch) {
            return DnsOutcome::Fenced { newer_epoch: newer.epoch };
        }
        if claims.last() == Some(&claim) {
            return DnsOutcome::AlreadyThere;
        }
        claims.push(claim);
        DnsOutcome::Applied
    }

    async fn present(&self, _target: DnsTarget, _name: String, _within: Duration) -> Result<DnsPresent, DnsFailure> {
        let claims = self.0.lock().unwrap();
        Ok(claims
            .last()
            .map(|last| DnsPresent { epoch: Some(last.epoch), addresses: last.addresses.clone() })
            .unwrap_or_default())
    }

    async fn lookup(&self, _: DnsTarget, _: String, _: RecordKind, _: Duration) -> Result<Vec<DnsRecord>, DnsFailure> {
        Ok(Vec::new())
    }
}

fn broker(directory: &Path, server: &Arc<Server>) -> BrokerHandle {
    let manifest = include_str!("../../dns-update/plugin.toml");
    let grant = DnsGrant {
        server: "127.0.0.1:53".to_owned(),
        zone: "example".to_owned(),
        names: vec!["db.example".to_owned()],
        key: None,
        addresses: Vec::new(),
    };
    let plugin = PluginConfig {
        id: PluginId::from("dns-update"),
        source: Source::Builtin("dns-update".to_owned()),
        sha256: None,
        manifest: Manifest::parse(manifest).unwrap(),
        grants: Grants { dns: vec![grant], ..Grants::default() },
        config: vec![("name".to_owned(), "db.example.".to_owned())],
        dry_run: false,
    };
    let cache = directory.join("cache").to_str().unwrap().to_owned();
    let host = HostCommand {
        program: env!("CARGO_BIN_EXE_tanist-plugin-host").into(),
        env: vec![(tanist_plugins::CACHE_ENV.to_owned(), cache)],
        ..HostCommand::default()
    };
    Broker::spawn(BrokerConfig {
        cluster: "demo".to_owned(),
        node: MemberName::from("n1"),
        host,
        journal_dir: directory.join("journal"),
        plugins: vec![plugin],
        dns: Some(Arc::clone(server) as Arc<dyn DnsUpdater>),
        http: None,
        tuning: Tuning::default(),
    })
    .unwrap()
}

/// This node leads at `epoch` and was proved at `address`.
fn lead(broker: &BrokerHandle, epoch: u64, address: &str) {
    let now = clock_gettime(ClockId::Boottime);
    let now = Moment::from_nanos(u64::try_from(now.tv_sec).unwrap() * 1_000_000_000);
    let (me, epoch) = (MemberName::from("n1"), Epoch(epoch));
    let endpoint = Endpoint { host: address.to_owned(), port: 5432 };
    let ttl = Duration::from_secs(3_600);
    broker.leadership(Leadership { epoch, lease_until: Some(now + ttl), ttl });
    let member = Member {
        name: me.clone(),
        postgres: Some(endpoint.clone()),
        api_url: None,
        state: MemberState::Running,
        role: Role::Primary,
        timeline: Some(Timeline(2)),
        lsn: None,
        checkpointed: false,
        tags: Tags::default(),
        tanist: true,
        storage: tanist_engine::Storage::Good,
        follows: None,
    };
    broker.face(ClusterFace {
        epoch,
        leader: Some(me.clone()),
        primary: Some(Face { epoch, name: me, endpoint, timeline: Timeline(2) }),
        role: Role::Primary,
        members: vec![member],
        lsn: None,
    });
}

/// Waits until the broker's state is as wanted.
async fn wait(broker: &BrokerHandle, what: &str, wanted: impl Fn(&BrokerStatus) -> bool) {
    let mut watch = broker.watch();
    let waited = tokio::time::timeout(PATIENCE, watch.wait_for(|status| wanted(status))).await.map(|seen| seen.map(drop));
    assert!(matches!(waited, Ok(Ok(()))), "{what}: {:?}", broker.watch().borrow());
}

fn pointed(server: &Server) -> Option<(u64, Vec<IpAddr>)> {
    server.0.lock().unwrap().last().map(|claim| (claim.epoch, claim.addresses.clone()))
}

#[tokio::test]
async fn a_name_follows_the_primary_over_the_death_of_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::default());
    let broker = broker(directory.path(), &server);
    wait(&broker, "loaded", |status| status.plugins.iter().any(|plugin| matches!(plugin.load, LoadState::Loaded { .. }))).await;
    assert_eq!(pointed(&server), None);

    lead(&broker, 5, "192.0.2.1");
    wait(&broker, "moved", |_| pointed(&server) == Some((5, vec!["192.0.2.1".parse().unwrap()]))).await;

    let host = broker.watch().borrow().host.pid.unwrap();
    kill_process(Pid::from_raw(i32::try_from(host).unwrap()).unwrap(), Signal::KILL).unwrap();
    lead(&broker, 6, "192.0.2.2");
    wait(&broker, "moved again", |_| pointed(&server) == Some((6, vec!["192.0.2.2".parse().unwrap()]))).await;
    wait(&broker, "restarted once", |status| status.host.restarts == 1).await;
    broker.shutdown(Duration::from_secs(1)).await;
}
