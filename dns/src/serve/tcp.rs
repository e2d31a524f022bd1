//! TCP (RFC 7766): messages with a length before them, several per connection, a bounded number of connections, each with a time limit.

use super::{Shared, count};
use crate::respond::Transport;
use std::{io, net, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

/// No query is longer; whoever announces more is disconnected.
const LONGEST: usize = 4096;

/// Serves a listener until the runtime ends.
pub(super) fn start(listener: net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        let free = Arc::new(Semaphore::new(shared.limits.tcp_connections));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: trying again at once would only burn the processor.
                    tracing::warn!(%error, "accepting a DNS connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&free).try_acquire_owned() else {
                count(&shared.counters.tcp_refused);
                continue;
            };
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &shared).await {
                    tracing::debug!(%error, "a DNS connection ended");
                }
                drop(place);
            });
        }
    });
    Ok(())
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let idle = shared.limits.tcp_idle;
    let mut buffer = vec![0; LONGEST];
    // One limit for the whole request: a client that sends a byte now and then does not hold its place.
    while let Some(length) = timeout(idle, read(&mut stream, &mut buffer)).await?? {
        count(&shared.counters.tcp_requests);
        let Some(reply) = shared.reply(&buffer[..length], Transport::Tcp) else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        timeout(idle, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// One message; `None`: the client is done, or announces a message that is none.
async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(message) = buffer.get_mut(..length) else {
        return Ok(None);
    };
    stream.read_exact(message).await?;
    Ok(Some(length))
}
