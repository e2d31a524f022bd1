//! A relay between one node and the store that can be cut: the node's connections stop moving bytes, as behind a dead link, and new ones
//! get no answer.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// One node's way to the store.
pub struct Relay {
    cut: Arc<AtomicBool>,
}

trait Stream: Read + Write + Send + 'static {
    fn twin(&self) -> Self;
    fn close(&self);
    fn poll_every(&self, span: Duration);
}

/// Both kinds of stream have these under the same names, and no trait in common.
macro_rules! stream {
    ($($kind:ty),+) => {$(
        impl Stream for $kind {
            fn twin(&self) -> Self {
                self.try_clone().expect("a second handle")
            }
            fn close(&self) {
                let _gone_already = self.shutdown(Shutdown::Both);
            }
            fn poll_every(&self, span: Duration) {
                self.set_read_timeout(Some(span)).expect("a time-out");
            }
        }
    )+};
}

stream!(TcpStream, UnixStream);

impl Relay {
    /// Relays `at` to the TCP address `to`.
    pub fn tcp(at: TcpListener, to: String) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let shared = cut.clone();
        thread::spawn(move || {
            for stream in at.incoming().flatten() {
                stream.set_nodelay(true).expect("no delay");
                let (shared, to) = (shared.clone(), to.clone());
                thread::spawn(move || serve(stream, || TcpStream::connect(&to), &shared));
            }
        });
        Self { cut }
    }

    /// Relays the Unix socket `at` to `to`.
    pub fn unix(at: &Path, to: PathBuf) -> Self {
        let listener = UnixListener::bind(at).expect("a socket for the relay");
        std::fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("permissions");
        let cut = Arc::new(AtomicBool::new(false));
        let shared = cut.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, to) = (shared.clone(), to.clone());
                thread::spawn(move || serve(stream, || UnixStream::connect(&to), &shared));
            }
        });
        Self { cut }
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Everything passes again, on old connections and new ones.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

/// One connection: not even opened to the store while the relay is cut.
fn serve<S: Stream>(client: S, connect: impl Fn() -> std::io::Result<S>, cut: &Arc<AtomicBool>) {
    while cut.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    let Ok(store) = connect() else {
        return client.close();
    };
    let (client_twin, store_twin, shared) = (client.twin(), store.twin(), cut.clone());
    thread::spawn(move || pump(client_twin, store_twin, &shared));
    pump(store, client, cut);
}

/// Moves bytes one way; holds them back while the relay is cut.
fn pump<S: Stream>(mut from: S, mut to: S, cut: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    from.poll_every(Duration::from_millis(20));
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while cut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    from.close();
    to.close();
}
