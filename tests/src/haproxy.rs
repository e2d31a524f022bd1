//! A real HAProxy before a cluster, configured the way people configure it before Patroni: one port for the primary, one for the
//! standbys, both decided by checks of the REST API.

use crate::{cluster::Cluster, place, process, wait};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

/// A running HAProxy.
pub struct HaProxy {
    /// Where clients that write connect.
    pub primary: SocketAddr,
    /// Where clients that read connect.
    pub standbys: SocketAddr,
    socket: PathBuf,
    child: Child,
}

impl HaProxy {
    /// Starts it before the nodes of a cluster, and waits until its checks have found the primary and all standbys.
    pub fn start(cluster: &Cluster) -> Self {
        let host = cluster.place.address(6);
        let primary = (host, cluster.place.free_port()).into();
        let standbys = (host, cluster.place.free_port()).into();
        let directory = cluster.place.path().join("haproxy");
        std::fs::create_dir_all(&directory).expect("a directory");
        place::give_to_database_user(&directory);
        let (socket, config) = (directory.join("stats.sock"), directory.join("haproxy.cfg"));
        std::fs::write(&config, text(cluster, primary, standbys, &socket)).expect("the configuration");
        let log = std::fs::File::create(directory.join("log")).expect("the log");
        let mut command = place::as_database_user(Path::new("/usr/sbin/haproxy"));
        command.arg("-db").arg("-f").arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/need haproxy)"));
        let proxy = Self { primary, standbys, socket, child };
        let wanted = cluster.nodes.len() - 1;
        wait::until("HAProxy has found primary and standbys", Duration::from_secs(20), || {
            match (proxy.up("primary")?.len(), proxy.up("standbys")?.len()) {
                (1, found) if found == wanted => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
        proxy
    }

    /// The servers of a section whose checks succeed.
    pub fn up(&self, section: &str) -> Result<Vec<String>, String> {
        let servers = self.servers(section)?;
        Ok(servers.into_iter().filter(|(_, status)| status.starts_with("UP")).map(|(name, _)| name).collect())
    }

    /// The servers of a section with their state, as HAProxy's own statistics show them.
    fn servers(&self, section: &str) -> Result<BTreeMap<String, String>, String> {
        let text = self.ask("show stat\n").map_err(|error| format!("{}: {error}", self.socket.display()))?;
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let column = |name: &str| head.iter().position(|column| *column == name).ok_or_else(|| format!("no {name} in {head:?}"));
        let (section_at, server_at, status_at) = (column("pxname")?, column("svname")?, column("status")?);
        let rows = lines.map(|line| line.split(',').collect::<Vec<_>>()).filter(|row| row.len() > status_at);
        let servers = rows.filter(|row| row[section_at] == section && !["FRONTEND", "BACKEND"].contains(&row[server_at]));
        Ok(servers.map(|row| (row[server_at].to_owned(), row[status_at].to_owned())).collect())
    }

    fn ask(&self, question: &str) -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(question.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        process::signal(self.child.id().cast_signed(), rustix::process::Signal::KILL);
        let _ended = self.child.wait();
    }
}

/// The configuration. Checks are as people write them, only more frequent (3 s there), so that the tests are short.
fn text(cluster: &Cluster, primary: SocketAddr, standbys: SocketAddr, socket: &Path) -> String {
    let mut servers = String::new();
    for node in &cluster.nodes {
        let (name, postgres, rest) = (&node.name, node.postgres, node.rest.port());
        let _infallible = writeln!(servers, "    server {name} {postgres} maxconn 100 check port {rest}");
    }
    let checks = "    http-check expect status 200\n    \
                  default-server inter 200ms fall 3 rise 2 on-marked-down shutdown-sessions\n";
    format!(
        "global\n    maxconn 500\n    stats socket {socket} mode 600 level admin\n\
         defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 30m\n    timeout server 30m\n    timeout check 1s\n\
         listen primary\n    bind {primary}\n    option httpchk OPTIONS /master\n{checks}{servers}\
         listen standbys\n    bind {standbys}\n    balance roundrobin\n    option httpchk OPTIONS /replica\n{checks}{servers}",
        socket = socket.display(),
    )
}
