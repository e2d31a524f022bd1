//! The log: one line per event to standard error, by a thread of its own.
//!
//! Standard error may be a pipe that nobody reads, or a file whose disk hangs, and the run loop, the REST API and the thread that
//! watches the guard all log. So whoever logs hands the line over and goes on; what the thread cannot take is left out and counted, and
//! the count is written when writing works again.

use crate::config::LogSettings;
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written.
const ROOM: usize = 1024;
/// How long the end of the process waits for the last lines.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the thread is given.
enum Message {
    Line(Vec<u8>),
    /// Everything before it has been written.
    Flush(SyncSender<()>),
}

/// Hands lines over; every clone to the same thread.
#[derive(Clone)]
struct Lines {
    to: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    fn start(out: impl Write + Send + 'static, room: usize) -> io::Result<Self> {
        let (to, lines) = mpsc::sync_channel(room);
        let left_out = Arc::new(AtomicU64::new(0));
        let missing = left_out.clone();
        thread::Builder::new().name("log".into()).stack_size(128 << 10).spawn(move || write_all(out, &lines, &missing))?;
        Ok(Self { to, left_out })
    }

    /// Waits until what was handed over is written, for at most `limit`.
    fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let (done, wait) = mpsc::sync_channel(1);
        while self.to.try_send(Message::Flush(done.clone())).is_err() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _in_time = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write_all(mut out: impl Write, lines: &Receiver<Message>, left_out: &AtomicU64) {
    // A line that cannot be written is lost; there is no other place to say so.
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => {
                let missing = left_out.swap(0, Relaxed);
                if missing > 0 {
                    let _lost =
                        writeln!(out, "tanist: {missing} lines of the log are missing about here: nobody took them in time");
                }
                let _lost = out.write_all(&line);
            }
            Message::Flush(done) => {
                let _lost = out.flush();
                let _nobody_waits_any_more = done.try_send(());
            }
        }
    }
}

/// One event's line.
struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    /// The formatter hands over a whole line at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.to.try_send(Message::Line(bytes.to_vec())).is_err() {
            self.0.left_out.fetch_add(1, Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Waits for the last lines when it is dropped, but not for long.
#[must_use = "without it the last lines may be missing"]
pub struct Log(Lines);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(FAREWELL);
    }
}

/// Logs to standard error, in the form and from the level that the configuration asks for; `RUST_LOG` wins.
pub fn start(log: LogSettings) -> io::Result<Log> {
    let default = format!("{},hickory_server=warn", log.level.as_str());
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    let lines = Lines::start(io::stderr(), ROOM)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone()).with_target(false);
    if log.json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(Log(lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Takes nothing until it is opened.
    #[derive(Clone, Default)]
    struct Blocked(Arc<Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_blocked_and_what_is_missing_is_counted() {
        let out = Blocked::default();
        let lines = Lines::start(out.clone(), 4).unwrap();
        let closed = out.0.lock().unwrap();
        let since = Instant::now();
        for number in 0..100 {
            lines.make_writer().write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        lines.flush(Duration::from_millis(20));
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        drop(closed);
        lines.flush(Duration::from_secs(10));
        lines.make_writer().write_all(b"after\n").unwrap();
        lines.flush(Duration::from_secs(10));
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        // One line was in the thread's hands, four waited.
        let kept = text.lines().filter(|line| line.parse::<u32>().is_ok()).count();
        assert!((4..=5).contains(&kept), "{text}");
        assert!(text.contains("0\n1\n2\n3\n") && text.ends_with("after\n"), "{text}");
        assert!(text.contains(&format!("tanist: {} lines of the log are missing", 100 - kept)), "{text}");
    }
}
