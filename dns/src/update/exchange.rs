//! One TCP connection to a name server: messages out, answers in, each within the deadline.
//!
//! TCP only. Over UDP a lost answer is asked for again, and an update that was applied the first time then fails its own prerequisite.

use futures_util::StreamExt;
use hickory_client::{
    BufDnsStreamHandle,
    proto::op::{Message, MessageType, OpCode, Query, ResponseCode, SerialMessage},
    proto::rr::{Name, RData, Record, RecordType},
    runtime::{TokioRuntimeProvider, iocompat::AsyncIoTokioAsStd},
    tcp::TcpClientStream,
    xfer::DnsStreamHandle,
};
use std::net::{IpAddr, SocketAddr};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// Answers to something else that are read over before giving up.
const STRAY: usize = 4;

pub(super) struct Connection {
    pub(super) server: SocketAddr,
    stream: TcpClientStream<AsyncIoTokioAsStd<TcpStream>>,
    outbox: BufDnsStreamHandle,
    deadline: Instant,
}

/// The records of one name and type.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) records: Vec<Record>,
}

impl Connection {
    /// Connects; this and all answers must come by `deadline`.
    pub(super) async fn open(server: SocketAddr, deadline: Instant) -> Result<Self, String> {
        let (connecting, outbox) = TcpClientStream::new(server, None, None, TokioRuntimeProvider::new());
        match timeout_at(deadline, connecting).await {
            Err(_) => Err(format!("{server}: no connection in time")),
            Ok(Err(error)) => Err(format!("{server}: {error}")),
            Ok(Ok(stream)) => Ok(Self { server, stream, outbox, deadline }),
        }
    }

    /// From now on answers may come until then.
    pub(super) fn wait_until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Sends a message and waits for the answer with its id.
    pub(super) async fn ask(&mut self, message: Vec<u8>) -> Result<Vec<u8>, String> {
        let server = self.server;
        let id = message.get(..2).map(<[u8]>::to_vec);
        self.outbox.send(SerialMessage::new(message, server)).map_err(|error| format!("{server}: {error}"))?;
        for _ in 0..STRAY {
            match timeout_at(self.deadline, self.stream.next()).await {
                Err(_) => return Err(format!("{server}: no answer in time")),
                Ok(None) => return Err(format!("{server}: closed the connection without an answer")),
                Ok(Some(Err(error))) => return Err(format!("{server}: {error}")),
                Ok(Some(Ok(answer))) if answer.bytes().get(..2) == id.as_deref() => return Ok(answer.into_parts().0),
                Ok(Some(Ok(_))) => {}
            }
        }
        Err(format!("{server}: answers only to what was not asked"))
    }

    /// Asks for the records of a name, without recursion.
    pub(super) async fn read(&mut self, name: &Name, kind: RecordType) -> Result<Reading, String> {
        let mut query = Message::query();
        query.metadata.recursion_desired = false;
        query.add_query(Query::query(name.clone(), kind));
        let bytes = query.to_vec().map_err(|error| error.to_string())?;
        let answer = self.ask(bytes).await?;
        let answer = Message::from_vec(&answer).map_err(|error| format!("{}: {error}", self.server))?;
        let ours = answer.metadata.message_type == MessageType::Response
            && answer.metadata.op_code == OpCode::Query
            && (answer.queries == query.queries || answer.metadata.response_code != ResponseCode::NoError);
        if !ours {
            return Err(format!("{}: the answer does not fit the question", self.server));
        }
        let Message { metadata, answers: records, .. } = answer;
        Ok(Reading { code: metadata.response_code, authoritative: metadata.authoritative, records })
    }

    /// A and AAAA of a name with the smallest TTL; a name without records has none.
    pub(super) async fn addresses(&mut self, name: &Name) -> Result<(Vec<IpAddr>, Option<u32>), String> {
        let mut addresses = Vec::new();
        let mut ttl: Option<u32> = None;
        for kind in [RecordType::A, RecordType::AAAA] {
            let reading = self.read(name, kind).await?;
            if !matches!(reading.code, ResponseCode::NoError | ResponseCode::NXDomain) {
                return Err(format!("{}: {} for {name} {kind}", self.server, mnemonic(reading.code)));
            }
            for record in reading.records {
                let address = match record.data {
                    RData::A(four) => IpAddr::V4(four.0),
                    RData::AAAA(six) => IpAddr::V6(six.0),
                    _ => continue,
                };
                addresses.push(address);
                ttl = Some(ttl.map_or(record.ttl, |least| least.min(record.ttl)));
            }
        }
        Ok((addresses, ttl))
    }
}

/// A response code as `dig` shows it.
pub(super) fn mnemonic(code: ResponseCode) -> String {
    format!("{code:?}").to_ascii_uppercase()
}
