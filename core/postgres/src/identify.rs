//! `IDENTIFY_SYSTEM` on a replication connection: the only question that a standby answers with the timeline it has replayed.
//!
//! The answer is (timeline of replay, end of replay), or the end of received WAL where that is of the same timeline. The SQL views
//! tell a timeline only while a walreceiver runs, and the control file that of the last restart point.
//!
//! The client library has no replication connections, so the one missing parameter is put into the startup packet on its way.

use crate::{SessionError, Settings, session};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tanist_engine::{Lsn, Timeline};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    time::timeout,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Asks.
pub(crate) async fn identify(settings: &Settings, limit: Duration) -> Result<(Timeline, Lsn), SessionError> {
    timeout(limit, ask(settings, limit)).await.map_err(|_| SessionError::Timeout(limit))?
}

async fn ask(settings: &Settings, limit: Duration) -> Result<(Timeline, Lsn), SessionError> {
    let stream = UnixStream::connect(settings.socket_path()).await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => SessionError::Timeout(Duration::ZERO),
        _ => SessionError::NoListener(error.to_string()),
    })?;
    let stream = Replication { stream, startup: Some(Vec::new()), unsent: Vec::new() };
    let (client, connection) = session::config(settings, limit).connect_raw(stream, NoTls).await?;
    let answer = client.simple_query("IDENTIFY_SYSTEM");
    // The answer is read by driving the connection here: no task outlives the question.
    let messages = tokio::select! {
        messages = answer => messages?,
        end = connection => return Err(end.err().map_or_else(|| SessionError::Lost("connection closed".to_owned()), SessionError::from)),
    };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get("timeline")?.parse().ok()?, row.get("xlogpos")?.parse().ok()?)),
        _ => None,
    });
    let (timeline, lsn) = row.ok_or_else(|| SessionError::Lost("IDENTIFY_SYSTEM: answer not understood".to_owned()))?;
    Ok((Timeline(timeline), lsn))
}

/// Adds `replication=database` to the startup packet, the first that is written.
struct Replication {
    stream: UnixStream,
    /// The startup packet as far as it was written; `None` once it has been passed on.
    startup: Option<Vec<u8>>,
    unsent: Vec<u8>,
}

/// The packet with the parameter, once it is complete: length, protocol version, name and value pairs, a final NUL.
fn with_replication(packet: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(packet.get(..4)?.try_into().ok()?) as usize;
    let (body, rest) = (packet.get(4..length.checked_sub(1)?)?, packet.get(length..)?);
    const PARAMETER: &[u8] = b"replication\0database\0";
    let longer = u32::try_from(length + PARAMETER.len()).ok()?;
    Some([&longer.to_be_bytes(), body, PARAMETER, b"\0", rest].concat())
}

impl Replication {
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replication {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(startup) = &mut this.startup {
            startup.extend_from_slice(buf);
            if let Some(packet) = with_replication(startup) {
                this.unsent = packet;
                this.startup = None;
            }
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Replication {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::with_replication;

    #[test]
    fn the_packet_stays_well_formed() {
        let packet = [&17u32.to_be_bytes()[..], &196_608u32.to_be_bytes(), b"user\0me\0\0"].concat();
        assert_eq!(with_replication(&packet[..16]), None, "incomplete");
        let longer = with_replication(&packet).unwrap();
        assert_eq!(&longer[..4], &38u32.to_be_bytes());
        assert_eq!(longer.len(), 38);
        assert_eq!(&longer[8..], b"user\0me\0replication\0database\0\0");
    }
}
