//! TLS: whom we trust, who we are, and what is said when it does not fit.

use crate::support::{Etcd, PATIENCE, Setup, open, until};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tanist_dcs::{
    Op, Store, StoreError, Txn,
    etcd::{Access, EtcdStore, Tls},
};
use tanist_tests::certificates::Authorities;

/// Authorities in a directory of their own, for the address of our etcd.
struct Files {
    authorities: Authorities,
    _directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { authorities: Authorities::at(directory.path()), _directory: directory }
    }

    fn authority(&self, name: &str) {
        self.authorities.authority(name);
    }

    fn sign(&self, name: &str, authority: &str, days: u32) {
        self.authorities.sign(name, authority, [127, 0, 77, 1].into(), days);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.authorities.path(name)
    }

    /// The same, for a certificate that has expired when this returns: its last second is over on this machine's clock.
    async fn sign_expired(&self, name: &str, authority: &str) {
        self.sign(name, authority, 0);
        let last = seconds();
        until("the certificate's last second is over", async || (seconds() > last).then_some(())).await;
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// etcd that shows `server` and asks for certificates of `clients`.
    fn setup(&self, server: &str, clients: &str) -> Setup {
        let server = [self.text(&format!("{server}.crt")), self.text(&format!("{server}.key"))];
        let clients = self.text(&format!("{clients}.crt"));
        let pairs = [("--cert-file", &server[0]), ("--key-file", &server[1]), ("--trusted-ca-file", &clients)];
        let mut arguments: Vec<String> = pairs.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.clone()]).collect();
        arguments.push("--client-cert-auth".to_owned());
        Setup { tls: true, arguments, ctl: Vec::new() }
    }

    fn store(&self, etcd: &Etcd, authority: &str, identity: Option<&str>) -> EtcdStore {
        let identity = identity.map(|name| (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key"))));
        let tls = Tls { authorities: Some(self.path(&format!("{authority}.crt"))), identity };
        EtcdStore::new(Access { endpoints: etcd.endpoints(), tls, user: None }).expect("endpoints")
    }
}

fn seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn put() -> Txn {
    Txn { then: vec![Op::put("/k", "1")], ..Txn::default() }
}

/// The one line that people see.
async fn trouble(store: &dyn Store) -> StoreError {
    let error = store.txn(put(), Duration::from_secs(3)).await.expect_err("a refusal");
    assert!(!error.to_string().contains('\n'), "{error:?}");
    error
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("a copy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_do_not_fit_are_named() {
    let files = Files::new();
    for authority in ["ours", "other"] {
        files.authority(authority);
    }
    files.sign("server", "ours", 2);
    files.sign("good", "ours", 2);
    files.sign("foreign", "other", 2);
    files.sign_expired("late", "ours").await;
    let etcd = Etcd::with(1, files.setup("server", "ours"));
    let host = etcd.members[0].client_url.trim_start_matches("https://").to_owned();
    let good = files.store(&etcd, "ours", Some("good"));
    until("a call with the right certificates", async || good.txn(put(), PATIENCE).await.ok()).await;

    let store = files.store(&etcd, "other", Some("good"));
    let error = trouble(&store).await;
    assert!(matches!(&error, StoreError::Unavailable(_)), "nothing was sent: {error:?}");
    assert!(error.to_string().contains(&format!("{host}: etcd3.cacert: ")), "{error}");
    for identity in [None, Some("foreign"), Some("late")] {
        let error = trouble(&files.store(&etcd, "ours", identity)).await.to_string();
        assert!(error.contains(&format!("{host}: etcd3.cert: ")), "{identity:?}: {error}");
    }
    let plain = open(vec![format!("http://{host}")]).unwrap();
    let error = trouble(&plain).await.to_string();
    assert!(error.contains("etcd3.protocol to https"), "{error}");

    let without = Etcd::start(1).await;
    let host = without.members[0].client_url.trim_start_matches("http://").to_owned();
    let tls = Tls { authorities: Some(files.path("ours.crt")), identity: None };
    let encrypted = EtcdStore::new(Access { endpoints: vec![format!("https://{host}")], tls, user: None }).unwrap();
    // etcd answers in plain text and closes; whether the answer or the reset comes first is the network's choice.
    let error = trouble(&encrypted).await.to_string();
    let signs = [host.as_str(), "does not speak TLS", "set etcd3.protocol to http"];
    assert!(signs.iter().all(|sign| error.contains(sign)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_resets_the_handshake_is_named() {
    let files = Files::new();
    files.authority("ours");
    let listener = tokio::net::TcpListener::bind("127.0.77.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    // Data that was not read makes the kernel reset the connection when it is closed.
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.peek(&mut [0]).await;
        }
    });
    let tls = Tls { authorities: Some(files.path("ours.crt")), identity: None };
    let store = EtcdStore::new(Access { endpoints: vec![format!("https://{host}")], tls, user: None }).expect("endpoints");
    let error = trouble(&store).await;
    assert!(matches!(&error, StoreError::Unavailable(_)), "nothing was sent: {error:?}");
    let error = error.to_string();
    assert!(error.contains(&format!("{host}: the server closed the connection in the TLS handshake")), "{error}");
    assert!(error.contains("set etcd3.protocol to http, or see in its log"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_server_certificate_is_named() {
    let files = Files::new();
    files.authority("ours");
    files.sign_expired("server", "ours").await;
    files.sign("good", "ours", 2);
    let etcd = Etcd::with(1, files.setup("server", "ours"));
    let store = files.store(&etcd, "ours", Some("good"));
    let error = until("the handshake fails for the certificate", async || {
        // Until etcd listens, the connection is refused.
        let error = trouble(&store).await.to_string();
        error.contains("the server's certificate has expired").then_some(error)
    })
    .await;
    assert!(error.contains("127.0.77.1:"), "{error}");
}

/// An answer that comes too late, from a member that works: the connection stands.
async fn answer_late(etcd: &Etcd, store: &dyn Store) {
    etcd.signal(0, "-STOP");
    // The first may still be answered: a signal takes a moment.
    until("an answer is late", async || store.txn(put(), Duration::from_millis(300)).await.err()).await;
    etcd.signal(0, "-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_no_good_do_not_end_a_connection_that_works() {
    let files = Files::new();
    for authority in ["ours", "other"] {
        files.authority(authority);
    }
    for (name, authority) in [("server", "ours"), ("good", "ours"), ("me", "ours"), ("foreign", "other")] {
        files.sign(name, authority, 2);
    }
    let etcd = Etcd::with(1, files.setup("server", "ours"));
    let store = files.store(&etcd, "ours", Some("me"));
    until("a call with the right certificates", async || store.txn(put(), PATIENCE).await.ok()).await;

    let (certificate, key) = (files.path("me.crt"), files.path("me.key"));
    for what in ["away", "half-written", "of another certificate", "not what the server accepts"] {
        match what {
            "away" => std::fs::remove_file(&key).expect("a file that was there"),
            "half-written" => std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBM").expect("a file"),
            "of another certificate" => copy(&files.path("good.key"), &key),
            _ => {
                copy(&files.path("foreign.crt"), &certificate);
                copy(&files.path("foreign.key"), &key);
            }
        }
        for _ in 0..2 {
            answer_late(&etcd, &store).await;
            // Not at once: what was held back is answered first. Then call after call, past the reading of the files.
            until(&format!("a call while the key is {what}"), async || store.txn(put(), PATIENCE).await.ok()).await;
            for _ in 0..5 {
                let done = store.txn(put(), PATIENCE).await;
                assert!(done.is_ok(), "the key is {what}: {done:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A file whose disk hangs until this is dropped: a pipe that nobody writes to blocks whoever opens it.
struct Hanging(PathBuf);

impl Hanging {
    fn begin(path: PathBuf) -> Self {
        std::fs::remove_file(&path).expect("a file that was there");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        Self(path)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Who waits reads an end of file; who comes later finds nothing.
        let pipe = std::fs::File::options().read(true).write(true).open(&self.0);
        let _ = std::fs::remove_file(&self.0);
        drop(pipe);
    }
}

#[test]
fn files_on_a_disk_that_hangs_block_one_thread_and_no_call() {
    let threads = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime");
    let files = Files::new();
    files.authority("ours");
    files.sign("server", "ours", 2);
    files.sign("me", "ours", 2);
    runtime.block_on(async {
        let etcd = Etcd::with(1, files.setup("server", "ours"));
        let store = files.store(&etcd, "ours", Some("me"));
        until("a call while the disk works", async || store.txn(put(), PATIENCE).await.ok()).await;
        let _hanging = Hanging::begin(files.path("me.key"));
        for _ in 0..=threads {
            answer_late(&etcd, &store).await;
            let done = store.txn(put(), PATIENCE).await;
            let free = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(|| ())).await;
            assert!(free.is_ok(), "a thread for other work is left");
            assert!(done.is_ok(), "{done:?}");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_files_are_used_without_a_restart() {
    let files = Files::new();
    for authority in ["ours", "next"] {
        files.authority(authority);
    }
    files.sign("server", "ours", 2);
    files.sign("good", "ours", 2);
    let mut etcd = Etcd::with(1, files.setup("server", "ours"));
    // The files of this node; at first they are not there.
    let store = files.store(&etcd, "mine", Some("me"));
    let error = trouble(&store).await;
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("etcd3.cacert: "), "{error}");
    copy(&files.path("ours.crt"), &files.path("mine.crt"));
    for end in ["crt", "key"] {
        copy(&files.path(&format!("good.{end}")), &files.path(&format!("me.{end}")));
    }
    until("a call with the files that came", async || store.txn(put(), PATIENCE).await.ok()).await;

    // Both sides move to another authority.
    etcd.kill(0);
    files.sign("server", "next", 2);
    files.sign("me", "next", 2);
    copy(&files.path("next.crt"), &files.path("mine.crt"));
    copy(&files.path("next.crt"), &files.path("ours.crt"));
    etcd.go(0);
    until("a call with the files of the new authority", async || store.txn(put(), PATIENCE).await.ok()).await;
}
