//! Watches one address record, question after question over one socket, and keeps every change it sees.

use crate::writer::boot_nanos;
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What was answered from when on; the addresses sorted.
pub type Change = (u64, Vec<IpAddr>);

/// A running watch.
pub struct RecordWatch {
    changes: Arc<Mutex<Vec<Change>>>,
    asked: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RecordWatch {
    /// Begins to ask `server` for the A records of `name`, about every 3 ms.
    pub fn start(server: SocketAddr, name: &str) -> Self {
        let (changes, asked, end) = <(Arc<Mutex<Vec<Change>>>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
        let (kept, count, stop) = (changes.clone(), asked.clone(), end.clone());
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a socket");
            socket.connect(server).expect("a server's address");
            socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
            while !stop.load(Ordering::SeqCst) {
                message.metadata.id = message.metadata.id.wrapping_add(1);
                if let Some(answer) = ask(&socket, &message) {
                    count.fetch_add(1, Ordering::SeqCst);
                    let mut changes = kept.lock().expect("not poisoned");
                    if changes.last().is_none_or(|(_, last)| *last != answer) {
                        changes.push((boot_nanos(), answer));
                    }
                }
                thread::sleep(Duration::from_millis(3));
            }
        });
        Self { changes, asked, end, thread: Some(thread) }
    }

    /// Every change up to now; the first is what was found at the start.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().expect("not poisoned").clone()
    }

    /// How many answers came.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for RecordWatch {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The answer to one question; `None` when none came, or none to this question.
fn ask(socket: &UdpSocket, message: &Message) -> Option<Vec<IpAddr>> {
    socket.send(&message.to_vec().ok()?).ok()?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).ok()?;
    let answer = Message::from_vec(&buffer[..length]).ok().filter(|answer| answer.metadata.id == message.metadata.id)?;
    let mut found: Vec<IpAddr> = answer
        .answers
        .iter()
        .filter_map(|record| if let RData::A(address) = &record.data { Some(IpAddr::V4(address.0)) } else { None })
        .collect();
    found.sort_unstable();
    Some(found)
}
