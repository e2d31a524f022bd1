//! A cluster whose REST API wants a password for changes.

use tanist_tests::{cluster::Cluster, node::Options, store::Kind};

/// `admin:s3cret` as basic authentication writes it.
pub const AUTHORIZED: &str = "Authorization: Basic YWRtaW46czNjcmV0\r\n";

/// Three nodes on etcd; each node's own file serves patronictl, too.
pub fn with_password() -> Cluster {
    let mut cluster = Cluster::prepare(Kind::Etcd, 3, &Options::default());
    for node in &mut cluster.nodes {
        node.edit(|text| text.replace("restapi:\n", "restapi:\n  authentication: {username: admin, password: s3cret}\n"));
        node.start();
    }
    cluster.settled(true);
    cluster
}
