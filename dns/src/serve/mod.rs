//! The authoritative server: sockets, a thread and a runtime of its own.
//!
//! Everything is bounded. One task per UDP socket takes one datagram at a time, so the socket's buffer is the queue and a flood is dropped
//! by the kernel; TCP connections are counted and timed. All of it runs on one thread, which shares nothing with its caller but the
//! pointer to the newest [`Snapshot`] and counters.
//!
//! Each configured address gets a socket of its own: a reply always leaves from the address that was asked.

mod tcp;
mod udp;

use crate::{
    respond::{Transport, respond},
    snapshot::Snapshot,
};
use arc_swap::ArcSwap;
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tanist_engine::Moment;
use tokio::sync::oneshot;

/// The caller's clock: the one the ends of leases are counted on.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Bounds of the TCP side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; more are closed at once.
    pub tcp_connections: usize,
    /// A connection is closed when no whole request has come for so long, or a reply cannot be written for so long.
    pub tcp_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tcp_connections: 128, tcp_idle: Duration::from_secs(10) }
    }
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process has the port, the address is not on this machine, or the port needs a privilege.
    #[error("dns: cannot listen on {address} ({transport}): {source}{}", remedy(.source))]
    Bind {
        /// The configured address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing to listen on.
    #[error("dns: no address to listen on")]
    NoAddress,
    /// The system gave no thread or runtime.
    #[error("dns: {0}")]
    Thread(io::Error),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop what listens there (`ss -lntup`) or choose another address or port",
        io::ErrorKind::AddrNotAvailable => "; the address is not configured on this machine",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    }
}

/// How much was answered since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Datagrams received.
    pub udp_requests: u64,
    /// Messages received over TCP.
    pub tcp_requests: u64,
    /// Replies that could not be sent at once and were dropped.
    pub udp_dropped: u64,
    /// Connections closed because there were too many.
    pub tcp_refused: u64,
}

#[derive(Default)]
struct Counters {
    udp_requests: AtomicU64,
    tcp_requests: AtomicU64,
    udp_dropped: AtomicU64,
    tcp_refused: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What the tasks share.
struct Shared {
    snapshot: ArcSwap<Snapshot>,
    clock: Clock,
    limits: Limits,
    counters: Counters,
}

impl Shared {
    /// A reply, from the newest snapshot. A defect in the message reader ends one query, not the server.
    fn reply(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let now = (self.clock)();
        let snapshot = self.snapshot.load();
        catch_unwind(AssertUnwindSafe(|| respond(&snapshot, now, message, transport))).unwrap_or_else(|_| {
            tracing::error!(length = message.len(), "a DNS request made the server panic; it gets no answer");
            None
        })
    }
}

/// Starts the server.
pub struct Server;

impl Server {
    /// Listens on every address with UDP and TCP and answers from `snapshot` until [`ServerHandle::update`] brings a newer one. When it
    /// returns, all sockets are bound. Port 0 takes a free port, the same for both.
    pub fn spawn(listen: &[SocketAddr], snapshot: Snapshot, clock: Clock, limits: Limits) -> Result<ServerHandle, ServerError> {
        if listen.is_empty() {
            return Err(ServerError::NoAddress);
        }
        let sockets = listen.iter().map(|address| bind(*address)).collect::<Result<Vec<_>, _>>()?;
        let addresses = sockets.iter().map(|(_, _, address)| *address).collect();
        let shared = Arc::new(Shared { snapshot: ArcSwap::from_pointee(snapshot), clock, limits, counters: Counters::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServerError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let tasks = Arc::clone(&shared);
        let serve = move || {
            runtime.block_on(async {
                for (udp, tcp, address) in sockets {
                    let started = udp::start(udp, Arc::clone(&tasks)).and_then(|()| tcp::start(tcp, Arc::clone(&tasks)));
                    if let Err(error) = started {
                        tracing::error!(%address, %error, "the DNS server cannot serve an address");
                    }
                }
                // Ends by a message or because the handle is gone; both mean stop.
                let _ = stopped.await;
            });
        };
        let thread = std::thread::Builder::new().name("tanist-dns".into()).spawn(serve).map_err(ServerError::Thread)?;
        Ok(ServerHandle { addresses, shared, running: Some((stop, thread)) })
    }
}

/// A running server. It stops when this is dropped.
pub struct ServerHandle {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl ServerHandle {
    /// Where it listens, in the order of the configuration, with the ports it got.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers from this snapshot from the next query on. Waits for nobody.
    pub fn update(&self, snapshot: Snapshot) {
        self.shared.snapshot.store(Arc::new(snapshot));
    }

    /// What is answered now: the `previous` of the next rendering.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// Counters.
    pub fn stats(&self) -> ServerStats {
        let Counters { udp_requests, tcp_requests, udp_dropped, tcp_refused } = &self.shared.counters;
        let [udp_requests, tcp_requests, udp_dropped, tcp_refused] =
            [udp_requests, tcp_requests, udp_dropped, tcp_refused].map(|counter| counter.load(Ordering::Relaxed));
        ServerStats { udp_requests, tcp_requests, udp_dropped, tcp_refused }
    }

    /// Closes all sockets and waits until the thread has ended.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the DNS server's thread had panicked");
            }
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// A free port is free for UDP and for TCP only by chance: a few tries.
const PORT_TRIES: usize = 20;

fn bind(address: SocketAddr) -> Result<(UdpSocket, TcpListener, SocketAddr), ServerError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let failed = |transport| move |source| ServerError::Bind { address, transport, source };
        let udp = UdpSocket::bind(address).map_err(failed("udp"))?;
        let bound = udp.local_addr().map_err(failed("udp"))?;
        tries -= 1;
        match TcpListener::bind(bound) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(failed("tcp")(source)),
            Ok(tcp) => {
                udp.set_nonblocking(true).map_err(failed("udp"))?;
                tcp.set_nonblocking(true).map_err(failed("tcp"))?;
                return Ok((udp, tcp, bound));
            }
        }
    }
}
