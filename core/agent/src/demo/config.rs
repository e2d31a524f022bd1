//! Configuration files of the demo's nodes, in the form of patroni.yml, and its secrets.

use super::place::{DATABASE_USER, Place};
use crate::cli::Failure;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{fs::File, io::Read, path::PathBuf};

/// The cluster's name.
pub const SCOPE: &str = "demo";
/// The zone of our own connection points.
pub const ZONE: &str = "tanist.example";
/// The zone in BIND.
pub const BIND_ZONE: &str = "bind.example";
/// The name that `dns-update` moves.
pub const BIND_NAME: &str = "primary.bind.example";
/// The name of the key it signs with.
pub const KEY: &str = "demo-key";

/// The name clients use.
pub fn own_name() -> String {
    format!("primary.{SCOPE}.{ZONE}")
}

/// Made anew for every demo.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Of PostgreSQL's superuser.
    pub superuser: String,
    /// Of the standbys.
    pub replication: String,
    /// The TSIG key, in Base64.
    pub tsig: String,
}

impl Secrets {
    /// From the kernel's random numbers.
    pub fn new() -> Result<Self, Failure> {
        let mut bytes = [0; 64];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.map_err(|error| Failure::environment(format!("/dev/urandom: {error}")))?;
        let word = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Self { superuser: word(&bytes[..12]), replication: word(&bytes[12..24]), tsig: STANDARD.encode(&bytes[32..]) })
    }
}

/// The socket of the embedded store.
pub fn store_socket(place: &Place) -> PathBuf {
    place.directory.join("store/dcs.sock")
}

/// A node.
pub fn node(place: &Place, number: u8, secrets: &Secrets) -> String {
    let directory = place.directory.join(format!("n{number}"));
    let user = if place.is_root() { format!("  user: {DATABASE_USER}\n") } else { String::new() };
    let Secrets { superuser, replication, tsig } = secrets;
    format!(
        "scope: {SCOPE}\nname: n{number}\n\
         local:\n  socket: {store}\n\
         tanist:\n  state_dir: {directory}/state\n{user}\
         restapi:\n  listen: {rest}\n  connect_address: {rest}\n\
         bootstrap:\n  dcs:\n    ttl: 5\n    loop_wait: 1\n    retry_timeout: 2\n    maximum_lag_on_failover: 1048576\n    \
         synchronous_mode: true\n    postgresql:\n      parameters:\n        max_connections: 40\n        shared_buffers: 16MB\n  \
         initdb:\n    - encoding: UTF8\n    - data-checksums\n\
         postgresql:\n  listen: {postgres}\n  connect_address: {postgres}\n  data_dir: {directory}/data\n  \
         authentication:\n    superuser: {{username: postgres, password: '{superuser}'}}\n    \
         replication: {{username: replicator, password: '{replication}'}}\n  \
         parameters:\n    unix_socket_directories: {directory}\n  \
         pg_hba:\n    - local all all trust\n    - host all all 127.0.0.0/8 scram-sha-256\n    \
         - host replication replicator 127.0.0.0/8 scram-sha-256\n\
         dns:\n  listen: ['{dns}']\n  zone: {ZONE}\n  ttl: 1\n\
         plugins:\n  - name: dns-update\n    component: builtin:dns-update\n    config:\n      name: {BIND_NAME}\n      ttl: '1'\n    \
         grants:\n      dns:\n        server: {named}\n        zones: [{BIND_ZONE}]\n        names: [{BIND_NAME}]\n        \
         tsig_key: {{name: {KEY}, algorithm: hmac-sha256, secret: '{tsig}'}}\n",
        store = store_socket(place).display(),
        directory = directory.display(),
        rest = place.rest(number),
        postgres = place.postgres(number),
        dns = place.dns(number),
        named = place.named,
    )
}

/// The connection point that stands beside the nodes: clients ask it, whichever node is gone.
pub fn connection_point(place: &Place, number: u8) -> String {
    let (store, listen) = (store_socket(place), place.dns(number));
    format!(
        "scope: {SCOPE}\nlocal:\n  socket: {store}\ndns:\n  listen: ['{listen}']\n  zone: {ZONE}\n  ttl: 1\n",
        store = store.display()
    )
}
