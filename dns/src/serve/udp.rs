//! UDP: one datagram at a time per socket, no queue of our own.

use super::{Shared, count};
use crate::respond::Transport;
use std::{io, net, sync::Arc, time::Duration};
use tokio::net::UdpSocket;

/// Larger than any query; what is longer is cut by the kernel and then malformed.
const BUFFER: usize = 4096;

/// Serves a socket until the runtime ends.
pub(super) fn start(socket: net::UdpSocket, shared: Arc<Shared>) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    tokio::spawn(async move {
        let mut buffer = vec![0; BUFFER];
        loop {
            let (length, source) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    // An ICMP error of an earlier reply, or the system is out of memory: never a reason to stop.
                    tracing::debug!(%error, "receiving a DNS datagram failed");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
            };
            count(&shared.counters.udp_requests);
            // Port 0 cannot be answered.
            if source.port() == 0 {
                continue;
            }
            let Some(reply) = shared.reply(&buffer[..length], Transport::Udp) else {
                continue;
            };
            if socket.try_send_to(&reply, source).is_err() {
                count(&shared.counters.udp_dropped);
            }
        }
    });
    Ok(())
}
