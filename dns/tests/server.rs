//! The server on real sockets, asked by `dig` and with raw bytes.

mod common;

use common::{at, bytes, face, host, proved, question, with_edns, zone};
use hickory_proto::{op::Message, rr::RecordType};
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tanist_dns::{ClusterFace, Limits, PrimaryFace, Server, ServerError, ServerHandle, Snapshot, Transport, render};
use tanist_engine::{Epoch, Moment};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose clock the test turns, in seconds.
struct Fixture {
    server: ServerHandle,
    seconds: Arc<AtomicU64>,
}

impl Fixture {
    fn start(address: &str, limits: Limits) -> Self {
        let seconds = Arc::new(AtomicU64::new(1));
        let clock = Arc::clone(&seconds);
        let now = Arc::new(move || Moment::ZERO + Duration::from_secs(clock.load(Ordering::Relaxed)));
        let server = Server::spawn(&[address.parse().unwrap()], first(), now, limits).unwrap();
        Self { server, seconds }
    }

    fn address(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    fn dig(&self, arguments: &[&str]) -> String {
        let address = self.address();
        let server = [format!("@{}", address.ip()), "-p".into(), address.port().to_string()];
        let output = Command::new("dig").args(server).args(["+tries=1", "+time=5"]).args(arguments).output();
        let output = output.expect("dig is needed: apt-get install bind9-dnsutils");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn first() -> Snapshot {
    render(&Snapshot::starting(zone()), &[face(40, proved(9, "a", &["192.0.2.1", "2001:db8::1"], at(10.0)))])
}

fn framed(name: &str) -> Vec<u8> {
    let message = question(name, RecordType::A).to_vec().unwrap();
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
}

fn read_reply(stream: &mut TcpStream) -> std::io::Result<Message> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(Message::from_vec(&reply).unwrap())
}

#[test]
fn dig_agrees_over_udp_and_tcp() {
    let fixture = Fixture::start("127.0.53.11:0", Limits::default());
    let name = "primary.c1.db.example.org";
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(fixture.dig(&[transport, "+short", name, "A"]), "192.0.2.1");
        assert_eq!(fixture.dig(&[transport, "+short", name, "AAAA"]), "2001:db8::1");
        assert_eq!(fixture.dig(&[transport, "+short", name, "TXT"]), "\"epoch=9 node=a\"");
        let missing = fixture.dig(&[transport, "x.c1.db.example.org", "A"]);
        assert!(missing.contains("status: NXDOMAIN") && missing.contains("flags: qr aa rd;"), "{missing}");
    }
    for option in ["+subnet=0", "+subnet=192.0.2.0/24"] {
        let answer = fixture.dig(&[option, name, "A"]);
        assert!(answer.contains("status: NOERROR") && answer.contains("CLIENT-SUBNET: "), "{answer}");
    }
    let newer = fixture.dig(&["+edns=1", "+noednsneg", name, "A"]);
    assert!(newer.contains("status: BADVERS"), "{newer}");
    let cookie = fixture.dig(&["+cookie", "+nsid", "+qr", name, "A"]);
    assert!(cookie.contains("192.0.2.1") && cookie.contains("udp: 1232"), "{cookie}");
    assert!(fixture.dig(&[name, "AXFR"]).contains("Transfer failed"));
    assert!(fixture.dig(&["version.bind", "CH", "TXT"]).contains("status: REFUSED"));
    let signed = fixture.dig(&["-y", "hmac-sha256:k.example:c2VjcmV0", name, "A"]);
    assert!(signed.contains("NOTAUTH") && signed.contains("BADKEY"), "{signed}");
    fixture.seconds.store(10, Ordering::Relaxed);
    let over = fixture.dig(&[name, "A"]);
    assert!(over.contains("status: NOERROR") && over.contains("ANSWER: 0") && over.contains("EDE: 14"), "{over}");
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let fixture = Fixture::start("127.0.53.12:0", Limits::default());
    let many: Vec<String> = (0..200).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let next =
        fixture.server.snapshot().with(&ClusterFace { replicas: vec![host("b", &many)], ..face(41, PrimaryFace::Unknown) });
    fixture.server.update(next);
    assert_eq!(fixture.dig(&["+short", "replica.c1.db.example.org", "A"]).lines().count(), 200);
    assert_eq!(fixture.server.stats().tcp_requests, 1, "dig came back over TCP");
}

#[test]
fn an_update_is_answered_from_the_next_query_on() {
    let fixture = Fixture::start("127.0.53.13:0", Limits::default());
    let socket = UdpSocket::bind("127.0.53.13:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let query = question("primary.c1.db.example.org.", RecordType::A);
    let mut buffer = [0; 512];
    let mut took = Vec::new();
    for epoch in 10..210 {
        let address = format!("192.0.2.{epoch}");
        let next = face(31 + epoch, proved(epoch, "b", &[&address], at(10.0)));
        let begin = Instant::now();
        fixture.server.update(fixture.server.snapshot().with(&next));
        socket.send_to(&query.to_vec().unwrap(), fixture.address()).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        took.push(begin.elapsed());
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(answer.answers[0].data.to_string(), address);
    }
    took.sort();
    println!("render + swap + query: n {} min {:?} median {:?} max {:?}", took.len(), took[0], took[100], took[199]);
}

#[test]
fn real_replies_are_those_of_the_pure_function() {
    let fixture = Fixture::start("127.0.53.14:0", Limits::default());
    let socket = UdpSocket::bind("127.0.53.14:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 2048];
    for name in ["primary.c1.db.example.org.", "c1.db.example.org.", "db.example.org.", "example.org."] {
        let query = with_edns(question(name, RecordType::NS), 1232);
        socket.send_to(&query.to_vec().unwrap(), fixture.address()).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], bytes(&first(), at(1.0), &query, Transport::Udp));
    }
}

#[test]
fn one_connection_carries_many_questions() {
    let fixture = Fixture::start("127.0.53.15:0", Limits::default());
    let mut stream = fixture.tcp();
    let names = ["primary.c1.db.example.org.", "x.c1.db.example.org.", "a.c1.db.example.org."];
    stream.write_all(&names.map(framed).concat()).unwrap();
    for name in names {
        assert_eq!(read_reply(&mut stream).unwrap().queries[0].name().to_ascii(), name);
    }
}

#[test]
fn connections_are_bounded_in_number_and_time() {
    let limits = Limits { tcp_connections: 2, tcp_idle: Duration::from_millis(300) };
    let fixture = Fixture::start("127.0.53.16:0", limits);
    let question = framed("a.c1.db.example.org.");
    let mut held: Vec<TcpStream> = (0..2).map(|_| fixture.tcp()).collect();
    for stream in &mut held {
        stream.write_all(&question).unwrap();
        read_reply(stream).unwrap();
    }
    let mut third = fixture.tcp();
    // Reset or end of file, whichever the peer sees first: not a reply.
    assert!(third.write_all(&question).and_then(|()| read_reply(&mut third).map(drop)).is_err());
    assert_eq!(fixture.server.stats().tcp_refused, 1);
    // A client that announces a message and never ends it loses its place.
    held[0].write_all(&question[..10]).unwrap();
    for stream in &mut held {
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or_default(), 0, "closed");
    }
    let begin = Instant::now();
    loop {
        let mut stream = fixture.tcp();
        if stream.write_all(&question).and_then(|()| read_reply(&mut stream).map(drop)).is_ok() {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "no place becomes free");
    }
}

#[test]
fn a_flood_and_hostile_messages_do_not_stop_it() {
    let fixture = Fixture::start("127.0.53.17:0", Limits::default());
    let socket = UdpSocket::bind("127.0.53.17:0").unwrap();
    let query = question("a.c1.db.example.org.", RecordType::A).to_vec().unwrap();
    for round in 0..20_000_usize {
        let mut message = query.clone();
        let position = round % message.len();
        message[position] = (round / message.len()) as u8;
        let _ = socket.send_to(&message, fixture.address());
    }
    let mut stream = fixture.tcp();
    stream.write_all(&60_000_u16.to_be_bytes()).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or_default(), 0, "a message that is too long ends the connection");
    assert_eq!(fixture.dig(&["+short", "a.c1.db.example.org", "A"]), "192.0.2.1");
    assert!(fixture.server.stats().udp_requests > 100);
}

#[test]
fn a_port_in_use_is_named_and_a_stopped_server_frees_its_port() {
    let taken = TcpListener::bind("127.0.53.18:0").unwrap();
    let address = taken.local_addr().unwrap();
    let clock: tanist_dns::Clock = Arc::new(|| Moment::ZERO);
    let spawn = || Server::spawn(&[address], first(), Arc::clone(&clock), Limits::default());
    let error = spawn().unwrap_err();
    assert!(matches!(&error, ServerError::Bind { address: named, transport: "tcp", source }
        if *named == address && source.kind() == ErrorKind::AddrInUse));
    assert!(error.to_string().starts_with(&format!("dns: cannot listen on {address} (tcp): ")), "{error}");
    drop(taken);
    freed(spawn).shutdown();
    drop(freed(spawn));
    assert!(matches!(Server::spawn(&[], first(), clock, Limits::default()), Err(ServerError::NoAddress)));
    freed(|| UdpSocket::bind(address));
}

/// What the port is needed for, once it is free: another test may just be starting `dig`, and up to its exec that process has our closed
/// sockets, too.
fn freed<T, E: std::fmt::Display>(open: impl Fn() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match open() {
            Ok(opened) => return opened,
            Err(error) if begun.elapsed() > Duration::from_secs(2) => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn an_epoch_never_goes_back_on_the_wire() {
    let fixture = Fixture::start("127.0.53.19:0", Limits::default());
    let update = |revision, primary| fixture.server.update(fixture.server.snapshot().with(&face(revision, primary)));
    let name = "primary.c1.db.example.org";
    update(50, PrimaryFace::Nobody { epoch: Some(Epoch(11)) });
    assert_eq!(fixture.dig(&["+short", name, "A"]), "");
    update(51, proved(9, "a", &["192.0.2.1"], at(10.0)));
    assert_eq!(fixture.dig(&["+short", name, "A"]), "", "a late face of the old epoch");
    update(52, proved(11, "b", &["192.0.2.2"], at(10.0)));
    assert_eq!(fixture.dig(&["+short", name, "A"]), "192.0.2.2");
    assert_eq!(fixture.dig(&["+short", "db.example.org", "SOA"]).split(' ').nth(2), Some("52"));
}
