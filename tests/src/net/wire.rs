//! The switch between the hosts: passes IPv4 packets by destination, late, never, or one way only, as the test says.
//!
//! One thread. Packets between two hosts keep their order, whatever their delay: the delay of a link is constant while it lasts.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    collections::VecDeque,
    os::fd::AsFd,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tappers::Tun;

/// Packets that do not pass, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Sent by this host; `None`: by any.
    pub from: Option<u8>,
    /// For this host; `None`: for any.
    pub to: Option<u8>,
    /// Only TCP with this port at either end; `None`: everything.
    pub port: Option<u16>,
}

/// What every packet between two different hosts meets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// One-way delay.
    pub delay: Duration,
    /// Lost packets, of 1,000.
    pub loss: u64,
}

#[derive(Default)]
struct Rules {
    cuts: Vec<Cut>,
    link: Link,
}

/// The switch. Its interfaces go when it is dropped.
pub struct Wire {
    rules: Arc<Mutex<Rules>>,
    dropped: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins the hosts' interfaces. `OBSERVER`'s packets are neither cut nor delayed.
    pub(super) fn new(mut hosts: Vec<(u8, Tun)>) -> Self {
        let (rules, dropped, ending) = <(Arc<Mutex<Rules>>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        for (_, tun) in &mut hosts {
            tun.set_nonblocking(true).expect("a descriptor that does not block");
        }
        let switch = Switch { hosts, waiting: VecDeque::new(), rules: rules.clone(), dropped: dropped.clone(), chance: 1 };
        let stop = ending.clone();
        let thread = std::thread::spawn(move || switch.run(&stop));
        Self { rules, dropped, ending, thread: Some(thread) }
    }

    /// From now on these packets do not pass, beside those cut before.
    pub fn cut(&self, cuts: &[Cut]) {
        self.rules().cuts.extend_from_slice(cuts);
    }

    /// Host `a` and host `b` do not hear each other.
    pub fn part(&self, a: u8, b: u8) {
        self.cut(&[Cut { from: Some(a), to: Some(b), port: None }, Cut { from: Some(b), to: Some(a), port: None }]);
    }

    /// Nobody hears `host`, and it hears nobody.
    pub fn isolate(&self, host: u8) {
        self.cut(&[Cut { from: Some(host), to: None, port: None }, Cut { from: None, to: Some(host), port: None }]);
    }

    /// Nothing on this port passes from or to `host`.
    pub fn isolate_port(&self, host: u8, port: u16) {
        let port = Some(port);
        self.cut(&[Cut { from: Some(host), to: None, port }, Cut { from: None, to: Some(host), port }]);
    }

    /// Every cut is mended.
    pub fn mend(&self) {
        self.rules().cuts.clear();
    }

    /// From now on all links are like this.
    pub fn links(&self, link: Link) {
        self.rules().link = link;
    }

    /// Packets that were cut or lost up to now: a test's proof that its fault took place.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().expect("the rules")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// A packet on its way.
struct Waiting {
    due: Instant,
    to: u8,
    bytes: Vec<u8>,
}

struct Switch {
    hosts: Vec<(u8, Tun)>,
    waiting: VecDeque<Waiting>,
    rules: Arc<Mutex<Rules>>,
    dropped: Arc<AtomicU64>,
    chance: u64,
}

impl Switch {
    fn run(mut self, ending: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while !ending.load(Ordering::SeqCst) {
            self.wait();
            for index in 0..self.hosts.len() {
                // A bounded share each, so that nobody starves.
                for _ in 0..64 {
                    let (from, tun) = &self.hosts[index];
                    let from = *from;
                    let Ok(length) = tun.recv(&mut buffer) else { break };
                    self.take(from, &buffer[..length]);
                }
            }
            self.deliver();
        }
    }

    /// Until a packet comes or one is due.
    fn wait(&self) {
        let limit = Duration::from_millis(50);
        let span = self.waiting.front().map_or(limit, |next| next.due.saturating_duration_since(Instant::now()).min(limit));
        let mut sources: Vec<PollFd<'_>> =
            self.hosts.iter().map(|(_, tun)| PollFd::from_borrowed_fd(tun.as_fd(), PollFlags::IN)).collect();
        let span = Timespec { tv_sec: 0, tv_nsec: i64::from(span.subsec_nanos()) };
        // Interrupted: the next round looks again.
        let _ready = poll(&mut sources, Some(&span));
    }

    fn take(&mut self, from: u8, packet: &[u8]) {
        let Some(to) = destination(packet).filter(|to| self.hosts.iter().any(|(host, _)| host == to)) else { return };
        let ours = from == super::OBSERVER || to == super::OBSERVER;
        let (cut, link) = {
            let rules = self.rules.lock().expect("the rules");
            (rules.cuts.iter().any(|cut| matches(cut, from, to, packet)), rules.link)
        };
        if !ours && (cut || self.chance() % 1_000 < link.loss) {
            self.dropped.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let delay = if ours { Duration::ZERO } else { link.delay };
        if delay.is_zero() {
            return self.send(to, packet);
        }
        let due = Instant::now() + delay;
        let after = self.waiting.partition_point(|other| other.due <= due);
        self.waiting.insert(after, Waiting { due, to, bytes: packet.to_vec() });
    }

    fn deliver(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            if next.due > Instant::now() {
                return self.waiting.push_front(next);
            }
            self.send(next.to, &next.bytes);
        }
    }

    fn send(&self, to: u8, packet: &[u8]) {
        if let Some((_, tun)) = self.hosts.iter().find(|(host, _)| *host == to) {
            // A full queue loses the packet, as any switch does.
            let _lost = tun.send(packet);
        }
    }

    /// xorshift64 (Marsaglia 2003): which packets are lost is the same in every run.
    fn chance(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }
}

/// The last byte of an IPv4 packet's destination.
fn destination(packet: &[u8]) -> Option<u8> {
    (packet.len() >= 20 && packet[0] >> 4 == 4).then(|| packet[19])
}

fn matches(cut: &Cut, from: u8, to: u8, packet: &[u8]) -> bool {
    let hosts = cut.from.is_none_or(|host| host == from) && cut.to.is_none_or(|host| host == to);
    hosts && cut.port.is_none_or(|port| ports(packet).is_some_and(|both| both.contains(&port)))
}

/// Source and destination port of a TCP packet (RFC 9293 §3.1).
fn ports(packet: &[u8]) -> Option<[u16; 2]> {
    let header = usize::from(packet.first()? & 0x0F) * 4;
    let tcp = (*packet.get(9)? == 6).then(|| packet.get(header..header + 4)).flatten()?;
    Some([u16::from_be_bytes([tcp[0], tcp[1]]), u16::from_be_bytes([tcp[2], tcp[3]])])
}
