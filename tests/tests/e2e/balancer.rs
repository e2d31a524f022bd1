//! What asks the REST API all the time: a HAProxy whose checks were written for Patroni; and clients that mean no good.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tanist_tests::{
    cluster::Cluster,
    haproxy::HaProxy,
    node::{Node, Options},
    rest, sql,
    store::Kind,
    wait, writer,
};

const SLACK: Duration = Duration::from_secs(30);

/// A HAProxy whose checks were written for Patroni: a client writing through it loses nothing over a switchover and the loss of a node,
/// and the port for reading always has a server.
#[test]
fn haproxy_follows_the_primary() {
    let mut cluster = Cluster::start(Kind::Local, 3, &Options::default());
    let primary = cluster.primary().expect("a primary");
    sql::query(cluster.nodes[primary].postgres, writer::TABLE).expect("the table");
    let proxy = Arc::new(HaProxy::start(&cluster));
    let writer = writer::Writer::start(cluster.place.path(), &[proxy.primary], None);
    writer.writes_again(SLACK);
    let reader = Reader::start(proxy.clone());

    let standby = cluster.named_standby().expect("a standby");
    let fault = Cluster::now();
    let body = format!(r#"{{"leader":"{}"}}"#, cluster.nodes[primary].name);
    let (code, text) = rest::request("POST", cluster.nodes[standby].rest, "/switchover", &body).expect("an answer");
    assert_eq!(code, 200, "any node takes the request: {text}");
    let leader = cluster.settled(true);
    routed_to(&proxy, &cluster, leader);
    writer.writes_again(SLACK);
    println!("  switchover: write gap through the proxy {:?}", writer.so_far().gap_after(fault));

    let fault = Cluster::now();
    cluster.nodes[leader].kill();
    let heir = cluster.next_primary(leader, SLACK);
    routed_to(&proxy, &cluster, heir);
    writer.writes_again(SLACK);
    println!("  node gone: write gap through the proxy {:?}", writer.so_far().gap_after(fault));

    cluster.nodes[leader].start();
    reader.finish();
    cluster.verdict(writer, true);
}

/// Waits until the proxy's port for writing leads to this node alone, and checks that it does.
fn routed_to(proxy: &HaProxy, cluster: &Cluster, index: usize) {
    let node = &cluster.nodes[index];
    wait::until(&format!("HAProxy writes to {}", node.name), SLACK, || match proxy.up("primary")? {
        up if up == [node.name.clone()] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let server = wait::until("a client comes through", SLACK, || sql::value(proxy.primary, "SELECT inet_server_addr()"));
    assert_eq!(server, node.postgres.ip().to_string(), "the client's server");
}

/// A client that reads through the proxy all the time, and an eye on the servers behind it.
struct Reader {
    end: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    reads: usize,
    looks: usize,
    longest: Duration,
    without_server: Vec<String>,
}

impl Reader {
    fn start(proxy: Arc<HaProxy>) -> Self {
        let (end, seen) = <(Arc<AtomicBool>, Arc<Mutex<Seen>>)>::default();
        let (stop, notes) = (end.clone(), seen.clone());
        let thread = thread::spawn(move || {
            let mut last = Instant::now();
            while !stop.load(Ordering::SeqCst) {
                let up = proxy.up("standbys");
                let read = sql::value(proxy.standbys, "SELECT 1").is_ok();
                let mut notes = notes.lock().expect("the notes");
                notes.looks += 1;
                if !matches!(&up, Ok(up) if !up.is_empty()) {
                    notes.without_server.push(format!("{up:?}"));
                }
                if read {
                    notes.reads += 1;
                    notes.longest = notes.longest.max(last.elapsed());
                    last = Instant::now();
                }
                drop(notes);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { end, seen, thread }
    }

    /// Ends it: there was a server at every look, and reading never stood still for longer than a check takes to find a dead one.
    fn finish(self) {
        self.end.store(true, Ordering::SeqCst);
        self.thread.join().expect("the reader");
        let seen = self.seen.lock().expect("the notes");
        println!("  {} of {} reads, the longest without one {:?}", seen.reads, seen.looks, seen.longest);
        assert!(seen.without_server.is_empty(), "no server to read from: {:?}", seen.without_server);
        assert!(seen.looks > 50 && seen.reads > 50, "{} reads in {} looks", seen.reads, seen.looks);
        assert!(seen.longest < Duration::from_secs(8), "no read for {:?}", seen.longest);
    }
}

/// Clients that send half a request, announce more than they send, send too much, or read nothing: health checks of others are answered
/// all the while, and such a client is cut off.
#[test]
fn slow_clients_hold_nobody_up() {
    let cluster = Cluster::start(Kind::Local, 1, &Options { synchronous: false, ..Options::default() });
    let (node, from) = (&cluster.nodes[0], IpAddr::from(cluster.place.address(200)));

    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..200).map(|_| half_a_request(from, node.rest)).collect();
    answers(node, "while 200 half requests wait");
    let kept = slow.iter_mut().map(is_closed).filter(|closed| !closed).count();
    assert!(kept <= 64, "{kept} connections of one address");
    wait::until("half requests are cut off", Duration::from_secs(15), || {
        slow.retain_mut(|stream| !is_closed(stream));
        if slow.is_empty() { Ok(()) } else { Err(format!("{} are open", slow.len())) }
    });
    assert!(kept > 0 && begun.elapsed() > Duration::from_secs(3), "some were waited for: {kept}, {:?}", begun.elapsed());
    assert_eq!(whole_request(from, node.rest, "GET /primary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 200);

    let post = "POST /switchover HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    assert_eq!(whole_request(from, node.rest, &format!("{post}\r\n")), 411, "no body is announced");
    assert_eq!(whole_request(from, node.rest, &format!("{post}Content-Length: 100000\r\n\r\n{}", "x".repeat(100_000))), 400);
    assert_eq!(whole_request(from, node.rest, &format!("{post}X: {}\r\n\r\n", "x".repeat(40_000))), 431, "a long head");
    assert_eq!(whole_request(from, node.rest, &format!("{post}{}\r\n", "X: y\r\n".repeat(100))), 431, "many lines");
    assert_eq!(whole_request(from, node.rest, &format!("{post}Content-Length: 100\r\n\r\nx")), 408, "a body that does not come");

    let unread: Vec<TcpStream> = (0..20).map(|_| reads_nothing(from, node.rest)).collect();
    answers(node, "while 20 clients do not read");
    drop(unread);
}

/// For two seconds every check is answered, within the half second that the client gives it.
fn answers(node: &Node, when: &str) {
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(node.get("/primary"), 200, "{when}");
        asked += 1;
    }
    println!("  {asked} checks answered {when}");
}

/// A connection from an address of one's own.
fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        socket.connect(to).await.and_then(tokio::net::TcpStream::into_std)
    });
    stream.expect("a connection")
}

fn half_a_request(from: IpAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(from, to);
    // One that was closed at once is one that was refused.
    let _refused = stream.write(b"GET /primary HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    stream
}

/// Asks again and again, as long as anything can be sent, and reads no answer.
fn reads_nothing(from: IpAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(from, to);
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    for _ in 0..1_000 {
        match stream.write(request.as_bytes()) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream
}

/// The other side has closed it. The socket does not block.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// The code of the answer.
fn whole_request(from: IpAddr, to: SocketAddr, text: &str) -> u16 {
    let mut stream = connect(from, to);
    stream.set_nonblocking(false).expect("a blocking socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    // Who is refused early sees the connection close while he still sends.
    let _cut_short = stream.write_all(text.as_bytes());
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer).unwrap_or_else(|error| panic!("no answer: {error}"));
    let line = String::from_utf8_lossy(&answer[..length]).into_owned();
    line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in `{line}`"))
}
