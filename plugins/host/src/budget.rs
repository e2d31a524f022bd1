//! Bytes a guest may put out in one call: log lines, standard output and standard error together.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

/// Bytes of standard error that are kept for the report of a fault.
const TAIL: usize = 4 << 10;
/// What one write costs beyond its bytes, so that empty lines are not free.
const OVERHEAD: usize = 64;

/// A limit of our own that a guest has broken. Travels through the sandbox as the error that ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// Too much output.
    #[error("more than {0} bytes of log lines, standard output and standard error in one call")]
    Output(usize),
    /// Too many requests.
    #[error("more than {0} requests to the agent in one call")]
    Requests(u32),
}

/// The output of one instance. Cloned into the sandbox's standard streams.
#[derive(Clone, Debug)]
pub(crate) struct Output(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limit: usize,
    left: usize,
    tail: VecDeque<u8>,
}

impl Output {
    pub(crate) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(State { limit, left: limit, tail: VecDeque::new() })))
    }

    /// Begins a call.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.left = state.limit;
        state.tail.clear();
    }

    /// Pays for a line that goes elsewhere.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Breach> {
        let mut state = self.state();
        let left = state.left.checked_sub(bytes.saturating_add(OVERHEAD));
        state.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Breach::Output(state.limit))
    }

    /// Pays for what is written to a standard stream and keeps its end.
    fn write(&self, bytes: &[u8]) -> Result<(), Breach> {
        let paid = self.charge(bytes.len());
        let mut state = self.state();
        let kept = &bytes[bytes.len().saturating_sub(TAIL)..];
        state.tail.extend(kept);
        let excess = state.tail.len().saturating_sub(TAIL);
        state.tail.drain(..excess);
        paid
    }

    /// The end of what was written in this call.
    pub(crate) fn tail(&self) -> String {
        let bytes: Vec<u8> = self.state().tail.iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes).map_err(|breach| StreamError::Trap(breach.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(TAIL)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Self::write(&self, bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end_and_counts_everything() {
        let output = Output::new(10_000);
        Output::write(&output, &[b'a'; 5_000]).unwrap();
        Output::write(&output, b"the end\n").unwrap();
        assert!(output.tail().len() < TAIL && output.tail().ends_with("the end"));
        assert_eq!(output.charge(5_000), Err(Breach::Output(10_000)));
        output.begin();
        assert_eq!(output.tail(), "");
        output.charge(5_000).unwrap();
    }

    #[test]
    fn empty_lines_are_not_free() {
        let output = Output::new(640);
        assert_eq!((0..100).take_while(|_| output.charge(0).is_ok()).count(), 10);
    }
}
