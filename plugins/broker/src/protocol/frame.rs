//! Frames: length and body. Reading is bounded and never panics on what the other side sends.

use super::MAX_FRAME;
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const HEADER: usize = 4;
const CHUNK: usize = 16 << 10;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side announced, or we would have to send, more than a frame may hold.
    #[error("a frame of {size} bytes; at most {MAX_FRAME} are allowed")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
    },
    /// The body is not a message.
    #[error("a frame that is not a message: {0}")]
    Garbage(postcard::Error),
    /// The body holds more than a message.
    #[error("{0} bytes behind a message")]
    Trailing(usize),
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame")]
    Truncated,
}

/// A whole frame, header included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = postcard::to_extend(message, vec![0; HEADER]).map_err(FrameError::Garbage)?;
    let size = frame.len() - HEADER;
    match u32::try_from(size) {
        Ok(length) if size <= MAX_FRAME => frame[..HEADER].copy_from_slice(&length.to_le_bytes()),
        _ => return Err(FrameError::TooLarge { size }),
    }
    Ok(frame)
}

/// The message of a frame's body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    if body.len() > MAX_FRAME {
        return Err(FrameError::TooLarge { size: body.len() });
    }
    let (message, rest) = postcard::take_from_bytes(body).map_err(FrameError::Garbage)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing(rest.len())) }
}

/// Reads frames. [`FrameReader::next`] may be dropped at any time (in `select!`) without losing a byte.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::with_capacity(CHUNK) }
    }

    /// The next message; `None` when the other side has hung up between two frames. After an error the connection is worthless.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        loop {
            if let Some(end) = self.complete()? {
                let message = decode(&self.buffer[HEADER..end])?;
                self.buffer.drain(..end);
                return Ok(Some(message));
            }
            self.buffer.reserve(CHUNK);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
        }
    }

    /// Where the first frame of the buffer ends, once it is there in full.
    fn complete(&self) -> Result<Option<usize>, FrameError> {
        let Some((header, body)) = self.buffer.split_first_chunk::<HEADER>() else { return Ok(None) };
        let size = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if size > MAX_FRAME {
            return Err(FrameError::TooLarge { size });
        }
        Ok((body.len() >= size).then_some(HEADER + size))
    }
}

/// Writes frames. A dropped [`FrameWriter::send`] leaves half a frame behind: never put it under a timeout and go on.
#[derive(Debug)]
pub struct FrameWriter<W> {
    inner: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Sends one message.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), FrameError> {
        let frame = encode(message)?;
        self.inner.write_all(&frame).await?;
        self.inner.flush().await?;
        Ok(())
    }
}
