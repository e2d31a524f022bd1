//! A thread that asks a DNS server for a name every few milliseconds and notes every change of the answer.

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{Name, RData, RecordType},
};
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(2);

/// One answer, and when it was first seen, in nanoseconds of boot time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: u64,
    /// The addresses; empty: none.
    pub addresses: Vec<IpAddr>,
}

/// The running watch. Ends when dropped.
pub struct NameWatch {
    answers: Arc<Mutex<Vec<Answer>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameWatch {
    /// Begins to ask `server` for the A records of `name`. A question without an answer changes nothing.
    pub fn start(server: SocketAddr, name: &str) -> Self {
        let (answers, stop) = (Arc::<Mutex<Vec<Answer>>>::default(), Arc::new(AtomicBool::new(false)));
        let (notes, ended, name) = (answers.clone(), stop.clone(), name.to_owned());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(addresses) = ask(server, &name) {
                    let at = crate::writer::boot_nanos();
                    let mut notes = notes.lock().expect("the notes");
                    if notes.last().is_none_or(|last| last.addresses != addresses) {
                        notes.push(Answer { at, addresses });
                    }
                }
                std::thread::sleep(EVERY);
            }
        });
        Self { answers, stop, thread: Some(thread) }
    }

    /// Every change so far, oldest first.
    pub fn answers(&self) -> Vec<Answer> {
        self.answers.lock().expect("the notes").clone()
    }

    /// When the name was first exactly this address, after `from`.
    pub fn first(&self, address: IpAddr, from: u64) -> Option<u64> {
        self.answers().into_iter().find(|answer| answer.at > from && answer.addresses == [address]).map(|answer| answer.at)
    }
}

impl Drop for NameWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the watching thread");
        }
    }
}

/// One question over UDP.
pub fn ask(server: SocketAddr, name: &str) -> Result<Vec<IpAddr>, String> {
    let mut name = Name::from_ascii(name).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name, RecordType::A));
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let local: IpAddr = if server.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind((local, 0)).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
    socket.send_to(&bytes, server).map_err(|error| error.to_string())?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).map_err(|error| error.to_string())?;
    let reply = Message::from_vec(&buffer[..length]).map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = reply
        .answers
        .iter()
        .filter_map(|record| match record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    Ok(addresses)
}
