//! A TCP relay before a name server that knows where a message ends: it can lose the answer to an update, or hold an update back.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{oneshot, watch},
};

/// What happens to the first update.
pub enum Fault {
    /// It reaches the server; its answer is dropped and the connection closed.
    LoseAnswer,
    /// It waits here until the watched value is true; the sender learns when it has arrived.
    Hold { arrived: oneshot::Sender<()>, go: watch::Receiver<bool> },
}

/// Relays one connection, with a fault.
pub async fn relay(server: SocketAddr, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
        let mut fault = Some(fault);
        while let Some(request) = message(&mut from_client).await {
            let update = request[2] >> 3 & 0x0F == 5;
            let mut lost = false;
            match fault.take_if(|_| update) {
                Some(Fault::Hold { arrived, mut go }) => {
                    arrived.send(()).unwrap();
                    go.wait_for(|go| *go).await.unwrap();
                }
                Some(Fault::LoseAnswer) => lost = true,
                None => {}
            }
            pass(&mut to_server, &request).await;
            let answer = message(&mut from_server).await.expect("the server answers");
            if lost {
                return;
            }
            pass(&mut to_client, &answer).await;
        }
    });
    address
}

async fn message(stream: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

async fn pass(stream: &mut OwnedWriteHalf, message: &[u8]) {
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], message].concat()).await.unwrap();
}
