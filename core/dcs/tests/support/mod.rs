//! Real stores for the tests: a server of the embedded store, and Debian's etcd, each on its own, gone when dropped.

#![allow(dead_code, reason = "each test binary uses its part")]

mod etcd;

#[allow(unused_imports, reason = "each test binary uses its part")]
pub use etcd::{Etcd, Setup, open};

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tanist_dcs::{Store, local};
use tokio::{sync::oneshot, task::JoinHandle};

/// Reasonable for anything that takes no time.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server of the embedded store in this process.
pub struct Local {
    pub socket: PathBuf,
    pub file: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), local::ServeError>>>,
    directory: tempfile::TempDir,
}

impl Local {
    pub fn start(on_disk: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("dcs.sock");
        let file = on_disk.then(|| directory.path().join("state"));
        let mut local = Self { socket, file, stop: None, task: None, directory };
        local.go();
        local
    }

    pub fn go(&mut self) {
        let server = local::Server::bind(&self.socket, self.file.as_deref()).expect("the embedded store starts");
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.task = Some(tokio::spawn(server.run(async {
            let _ = stopped.await;
        })));
    }

    /// Stops in order; connections end.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        self.task.take().expect("a running server").await.expect("no panic").expect("a clean end");
    }

    pub fn connect(&self) -> Arc<dyn Store> {
        Arc::new(local::LocalStore::new(&self.socket))
    }
}

/// Waits for a condition.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
