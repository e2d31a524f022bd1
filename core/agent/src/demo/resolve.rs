//! The smallest DNS client: one question for IPv4 addresses over UDP, one server, no cache.

use hickory_proto::{
    op::{Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::net::UdpSocket;

/// No answer by then is none.
const LIMIT: Duration = Duration::from_millis(300);

/// Asks one server for one name.
#[derive(Debug)]
pub struct Resolver {
    socket: UdpSocket,
    name: Name,
}

impl Resolver {
    /// For the addresses of `name`, as `server` knows them.
    pub async fn new(server: SocketAddr, name: &str) -> io::Result<Self> {
        let mut name = Name::from_ascii(name).map_err(io::Error::other)?;
        name.set_fqdn(true);
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.connect(server).await?;
        Ok(Self { socket, name })
    }

    /// The addresses; empty: the server says there are none. Nothing: it did not answer, or not to this.
    pub async fn ask(&self) -> Option<Vec<IpAddr>> {
        let mut question = Message::query();
        question.metadata.recursion_desired = false;
        question.add_query(Query::query(self.name.clone(), RecordType::A));
        self.socket.send(&question.to_vec().ok()?).await.ok()?;
        let answer = async {
            let mut bytes = [0; 1500];
            loop {
                let length = self.socket.recv(&mut bytes).await.ok()?;
                // A late answer to an earlier question has another id.
                if let Ok(answer) = Message::from_vec(bytes.get(..length)?)
                    && answer.metadata.id == question.metadata.id
                {
                    return addresses(&answer);
                }
            }
        };
        tokio::time::timeout(LIMIT, answer).await.ok().flatten()
    }
}

fn addresses(answer: &Message) -> Option<Vec<IpAddr>> {
    let said = matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
    if answer.metadata.message_type != MessageType::Response || !said {
        return None;
    }
    let address = |data: &RData| match data {
        RData::A(four) => Some(IpAddr::V4(four.0)),
        _ => None,
    };
    Some(answer.answers.iter().filter_map(|record| address(&record.data)).collect())
}
