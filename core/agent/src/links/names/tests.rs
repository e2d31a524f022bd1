//! The zone while the system's resolver does what it likes.

use super::{addresses::Resolve, *};
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RecordType},
};
use std::{
    io,
    net::IpAddr,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};
use tanist_dns::{Transport, respond};
use tanist_engine::{Held, Moment, Storage, Tags, Timeline};

/// A resolver whose lookups wait until the test answers them.
struct Fake {
    asked: mpsc::Receiver<(String, mpsc::Sender<io::Result<Vec<IpAddr>>>)>,
}

impl Fake {
    fn new() -> (Self, Resolve) {
        let (ask, asked) = mpsc::channel();
        let ask = Mutex::new(ask);
        let resolve = move |host: &str| {
            let (tell, answer) = mpsc::channel();
            ask.lock().unwrap().send((host.to_owned(), tell)).unwrap();
            answer.recv().unwrap_or_else(|_| Err(io::Error::other("given up")))
        };
        (Self { asked }, Arc::new(resolve))
    }

    async fn next(&self) -> (String, mpsc::Sender<io::Result<Vec<IpAddr>>>) {
        let mut asked = None;
        until(|| {
            asked = self.asked.try_recv().ok();
            asked.is_some()
        })
        .await;
        asked.unwrap()
    }
}

async fn until(mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(10), "in vain");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn member(name: &str, host: &str, role: Role) -> Member {
    Member {
        name: name.into(),
        postgres: Some(endpoint(host)),
        api_url: None,
        state: MemberState::Running,
        role,
        timeline: None,
        lsn: None,
        checkpointed: false,
        tags: Tags::default(),
        tanist: true,
        storage: Storage::default(),
        follows: None,
    }
}

fn endpoint(host: &str) -> Endpoint {
    Endpoint { host: host.to_owned(), port: 5432 }
}

/// Two members; `primary` is proved under a lease that ends then.
fn shown(primary: &str, until: u64) -> Shown {
    let held = Held {
        epoch: Epoch(9),
        acquisition: Revision(9),
        until: Moment::ZERO + Duration::from_secs(until),
        renewed: Moment::ZERO,
        attempted: Moment::ZERO,
        in_flight: false,
        sync_at_acquisition: None,
    };
    Shown {
        revision: Revision(until),
        known: true,
        lease: Lease::Mine(held),
        me: "n2".into(),
        face: Some(Face { epoch: Epoch(9), name: "n2".into(), endpoint: endpoint(primary), timeline: Timeline(1) }),
        members: vec![member("n1", "db1.example.org", Role::Replica), member("n2", primary, Role::Primary)],
    }
}

struct Bench {
    tell: watch::Sender<Shown>,
    server: Arc<ServerHandle>,
}

impl Bench {
    fn start(first: Shown, resolve: Resolve) -> Self {
        let servers = vec![NameServer { name: "ns.example.net".into(), addresses: Vec::new() }];
        let zone = Zone::new(ZoneConfig::new("db.example", servers)).unwrap();
        let clock: Clock = Arc::new(|| Moment::ZERO);
        let listen = ["127.0.0.1:0".parse().unwrap()];
        let server = Arc::new(Server::spawn(&listen, Snapshot::starting(zone), clock, Limits::default()).unwrap());
        let (tell, seen) = watch::channel(first);
        tokio::spawn(render(server.clone(), "demo".into(), seen, Lookups::new(resolve)));
        Self { tell, server }
    }

    fn ask(&self, name: &str, at: u64) -> Vec<String> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(format!("{name}.demo.db.example.")).unwrap(), RecordType::A));
        let now = Moment::ZERO + Duration::from_secs(at);
        let answer = respond(&self.server.snapshot(), now, &query.to_vec().unwrap(), Transport::Udp).unwrap();
        Message::from_vec(&answer).unwrap().answers.iter().map(|record| record.data.to_string()).collect()
    }
}

#[tokio::test]
async fn a_resolver_that_hangs_delays_no_renewal() {
    let (fake, resolve) = Fake::new();
    let bench = Bench::start(shown("db2.example.org", 10), resolve);
    let (host, tell) = fake.next().await;
    assert_eq!(host, "db2.example.org", "the primary's first");
    tell.send(Ok(vec!["192.0.2.2".parse().unwrap()])).unwrap();
    until(|| bench.ask("primary", 5) == ["192.0.2.2"]).await;
    let (host, hanging) = fake.next().await;
    assert_eq!(host, "db1.example.org");
    let begin = Instant::now();
    for end in 11..40 {
        bench.tell.send_replace(shown("db2.example.org", end));
        until(|| bench.ask("primary", end - 1) == ["192.0.2.2"]).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "29 renewals took {:?}", begin.elapsed());
    assert!(fake.asked.try_recv().is_err(), "one lookup at a time");
    assert_eq!(bench.ask("n1", 5), Vec::<String>::new());
    hanging.send(Ok(vec!["192.0.2.1".parse().unwrap()])).unwrap();
    until(|| bench.ask("n1", 5) == ["192.0.2.1"]).await;
}

#[tokio::test]
async fn a_numeric_address_waits_for_no_resolver() {
    let (fake, resolve) = Fake::new();
    let bench = Bench::start(shown("192.0.2.2", 10), resolve);
    until(|| bench.ask("primary", 5) == ["192.0.2.2"]).await;
    assert_eq!(fake.next().await.0, "db1.example.org");
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_asked_for_again() {
    let (fake, resolve) = Fake::new();
    let bench = Bench::start(shown("db2.example.org", 10), resolve);
    fake.next().await.1.send(Err(io::Error::other("SERVFAIL"))).unwrap();
    fake.next().await.1.send(Ok(vec!["192.0.2.1".parse().unwrap()])).unwrap();
    let (host, tell) = fake.next().await;
    assert_eq!(host, "db2.example.org");
    tell.send(Ok(vec!["192.0.2.2".parse().unwrap()])).unwrap();
    until(|| bench.ask("primary", 5) == ["192.0.2.2"]).await;
}

fn dns(advertised: &[&str]) -> DnsSettings {
    DnsSettings {
        listen: vec!["0.0.0.0:53".parse().unwrap()],
        advertised: advertised.iter().map(|address| address.parse().unwrap()).collect(),
        zone: "db.example".into(),
        ttl: 5,
        nameservers: Vec::new(),
        soa: crate::config::SoaSettings { mailbox: None, refresh: 60, retry: 10, expire: 86_400, minimum: 5 },
    }
}

#[test]
fn a_server_that_names_itself_has_an_address_that_others_reach() {
    let config = zone_config(&dns(&["10.0.0.11"]), &"n1".into());
    let expected = NameServer { name: "ns-n1.db.example".into(), addresses: vec!["10.0.0.11".parse().unwrap()] };
    assert_eq!(config.nameservers, [expected]);
    assert!(Zone::new(config).is_ok());
}
