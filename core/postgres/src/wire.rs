//! The bytes between us and the server: over the Unix socket or over TCP, as an ordinary or as a replication connection.
//!
//! The client library has no replication connections, so the one missing parameter is put into the startup packet on its way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// What the bytes go over.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What becomes of the startup packet, the first that is written.
enum Startup {
    /// It is passed on like all the rest, or has been.
    AsItIs,
    /// It gets the parameter `replication=database` when it is complete; as far as it was written.
    Replication(Vec<u8>),
}

/// A connection as the client library takes it.
pub(crate) struct Wire {
    stream: Stream,
    startup: Startup,
    unsent: Vec<u8>,
}

impl Wire {
    /// An ordinary connection.
    pub(crate) fn plain(stream: Stream) -> Self {
        Self { stream, startup: Startup::AsItIs, unsent: Vec::new() }
    }

    /// A replication connection, with a database.
    pub(crate) fn replication(stream: Stream) -> Self {
        Self { stream, startup: Startup::Replication(Vec::new()), unsent: Vec::new() }
    }

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

/// The packet with the parameter, once it is complete: length, protocol version, name and value pairs, a final NUL.
fn with_replication(packet: &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(packet.get(..4)?.try_into().ok()?) as usize;
    let (body, rest) = (packet.get(4..length.checked_sub(1)?)?, packet.get(length..)?);
    const PARAMETER: &[u8] = b"replication\0database\0";
    let longer = u32::try_from(length + PARAMETER.len()).ok()?;
    Some([&longer.to_be_bytes(), body, PARAMETER, b"\0", rest].concat())
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Startup::Replication(startup) = &mut this.startup {
            startup.extend_from_slice(buf);
            if let Some(packet) = with_replication(startup) {
                this.unsent = packet;
                this.startup = Startup::AsItIs;
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

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
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
