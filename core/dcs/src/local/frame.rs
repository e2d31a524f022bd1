//! Frames on the socket: u32 length, one byte version, postcard. Bounded in both directions.

use serde::{Serialize, de::DeserializeOwned};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Version of the protocol.
const VERSION: u8 = 1;
/// Largest request: two values of the largest size and what surrounds them.
pub(super) const MAX_REQUEST: usize = 4 << 20;
/// Largest answer: a whole cluster's keys.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

/// The bytes of one frame.
pub(super) fn encode<T: Serialize>(message: &T, max: usize) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    match u32::try_from(body.len() + 1) {
        Ok(length) if body.len() < max => {
            let mut frame = Vec::with_capacity(body.len() + 5);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.push(VERSION);
            frame.extend_from_slice(&body);
            Ok(frame)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {} bytes", body.len()))),
    }
}

/// Reads one frame; `None`: the other side closed between two frames.
pub(super) async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin), max: usize) -> io::Result<Option<T>> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut head = [0; 4];
    match from.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(head) as usize;
    if length == 0 || length > max {
        return Err(bad(format!("a frame of {length} bytes")));
    }
    let mut body = Vec::new();
    // Grows with what really comes, not with what was announced.
    let got = from.take(length as u64).read_to_end(&mut body).await?;
    if got < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match body.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map(Some).map_err(|error| bad(error.to_string())),
        Some((version, _)) => Err(bad(format!("protocol version {version}, this is {VERSION}"))),
        None => Err(bad("an empty frame".to_owned())),
    }
}

/// Writes one frame.
pub(super) async fn write(to: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    to.write_all(frame).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_bounded_and_versioned() -> io::Result<()> {
        let frame = encode(&"hello".to_owned(), 100)?;
        assert_eq!(read::<String>(&mut frame.as_slice(), 100).await?, Some("hello".to_owned()));
        assert_eq!(read::<String>(&mut [].as_slice(), 100).await?, None);
        assert!(encode(&"hello".to_owned(), 5).is_err());
        assert!(read::<String>(&mut frame.as_slice(), 5).await.is_err(), "too long");
        assert!(read::<String>(&mut &frame[..frame.len() - 1], 100).await.is_err(), "cut off");
        let mut other = frame.clone();
        other[4] = 2;
        assert!(read::<String>(&mut other.as_slice(), 100).await.is_err(), "another version");
        assert!(read::<String>(&mut [0, 0, 0, 0].as_slice(), 100).await.is_err(), "no version");
        Ok(())
    }
}
