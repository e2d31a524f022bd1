//! The plugin host process: start it, talk to it without ever waiting for it, notice that it is gone, kill it.
//!
//! Not here: what is said, and when it is started again.

use crate::{
    HostCommand,
    protocol::{FD_ENV, FrameError, FrameReader, ToAgent, ToHost, encode},
};
use std::{io, os::fd::OwnedFd, process::Stdio};
use tanist_engine::Moment;
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
};

/// Frames that may wait for a host that does not read.
const MAX_OUTGOING: usize = 64;

/// A running host. Dropping it closes the socket, which ends a host that works; [`HostProcess::kill`] ends any.
#[derive(Debug)]
pub(crate) struct HostProcess {
    child: Child,
    pid: u32,
    reader: FrameReader<OwnedReadHalf>,
    outgoing: mpsc::Sender<Vec<u8>>,
    /// Its `Hello` was read, and it speaks our version.
    pub(crate) greeted: bool,
    /// When it was started.
    pub(crate) started: Moment,
    /// When anything was last read from it.
    pub(crate) heard: Moment,
    /// The oldest ping without an answer, and when it was sent.
    pub(crate) unanswered: Option<(u64, Moment)>,
    /// When the last ping was sent.
    pub(crate) pinged: Moment,
}

/// What a host does by itself.
#[derive(Debug)]
pub(crate) enum HostNews {
    /// It said something.
    Said(ToAgent),
    /// It is gone, or makes no sense.
    Gone(String),
}

/// A host that does not read what it is told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("it does not read what it is told")]
    Full,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl HostProcess {
    /// Starts it. Must be called inside of a runtime.
    pub(crate) fn start(command: &HostCommand, now: Moment) -> io::Result<Self> {
        let (near, far) = std::os::unix::net::UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let HostCommand { program, args, env, run_as } = command;
        let mut start = Command::new(program);
        // Its own process group: Ctrl-C at the agent's terminal is the agent's business.
        start.args(args).env_clear().envs(env.iter().cloned()).env(FD_ENV, "0").current_dir("/").process_group(0);
        start.stdin(OwnedFd::from(far)).stdout(Stdio::null()).stderr(Stdio::inherit());
        if let Some((user, group)) = run_as {
            start.uid(*user).gid(*group);
        }
        let child = start.spawn()?;
        let pid = child.id().unwrap_or_default();
        // The far end lives in `start` too; the host's death must be the end of the stream.
        drop(start);
        let (reader, writer) = UnixStream::from_std(near)?.into_split();
        let (outgoing, frames) = mpsc::channel(MAX_OUTGOING);
        tokio::spawn(write(writer, frames));
        let reader = FrameReader::new(reader);
        Ok(Self { child, pid, reader, outgoing, greeted: false, started: now, heard: now, unanswered: None, pinged: now })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Says something, or fails at once.
    pub(crate) fn send(&self, message: &ToHost) -> Result<(), SendError> {
        let frame = encode(message)?;
        self.outgoing.try_send(frame).map_err(|_| SendError::Full)
    }

    /// The next thing it does. May be dropped without losing anything.
    pub(crate) async fn news(&mut self) -> HostNews {
        let Self { reader, child, .. } = self;
        tokio::select! {
            // What it said before it died is read first.
            biased;
            read = reader.next() => match read {
                Ok(Some(message)) => HostNews::Said(message),
                Ok(None) => HostNews::Gone("it hung up".to_owned()),
                Err(error) => HostNews::Gone(error.to_string()),
            },
            ended = child.wait() => HostNews::Gone(ended.map_or_else(|error| error.to_string(), |status| format!("it died: {status}"))),
        }
    }

    /// Ends it, whatever it does. Returns the child, to be reaped once it is dead: that can take long (a process inside an
    /// uninterruptible system call), and nobody shall wait for it.
    pub(crate) fn kill(mut self) -> Child {
        // It is not reaped yet, so the signal cannot hit another process; an error means that it is dead already.
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(pid = self.pid, %error, "kill");
        }
        self.child
    }
}

async fn write(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if writer.write_all(&frame).await.is_err() {
            // The reading side notices the end of the connection, and says so.
            return;
        }
    }
}
