//! Everything that runs during the demo, and waiting for it to be in some state.

use super::{
    config::{self, BIND_NAME, Secrets, own_name, store_socket},
    http::Http,
    named,
    names::Observer,
    place::Place,
    processes::{self, Process},
    reaper::Reaper,
    screen::Screen,
    watch::{self, NODES, Seen, Whole},
    writer::{Access, Writer},
};
use crate::cli::Failure;
use std::{
    net::IpAddr,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The connection point beside the nodes has this number.
const POINT: u8 = 8;
/// A cluster has formed by then, and healed after a fault, also on a busy machine.
const FORMING: Duration = Duration::from_secs(90);

/// What runs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Where.
    pub place: Place,
    /// The processes.
    pub reaper: Arc<Reaper>,
    /// The output.
    pub screen: Arc<Screen>,
    /// The way to the REST APIs.
    pub http: Http,
    /// What the nodes say.
    pub seen: tokio::sync::watch::Receiver<Seen>,
    /// Our own name.
    pub own: Observer,
    /// The record in BIND.
    pub bind: Observer,
    /// The client.
    pub writer: Writer,
    /// What the client knows.
    pub access: Access,
    /// The guards of the nodes, by number less one.
    guards: Arc<Mutex<[Option<Process>; 3]>>,
}

impl Stage {
    /// Starts store, BIND, connection point, nodes, observers and writer. Nothing is ready yet.
    pub async fn set(place: Place, reaper: Arc<Reaper>, screen: Arc<Screen>) -> Result<Self, Failure> {
        let secrets = Secrets::new()?;
        let http = Http::new();
        tokio::spawn(reaper.clone().keep_reaping());

        let store = place.private("store")?;
        let mut command = place.as_database_user(&place.programs.join("tanist"));
        command.arg("dcs").arg("--socket").arg(store_socket(&place)).arg("--state").arg(store.join("state"));
        reaper.start("the store (tanist dcs)", &store.join("log"), command)?;
        until(&reaper, "the store answers", Duration::from_secs(10), || {
            std::os::unix::net::UnixStream::connect(store_socket(&place)).map_err(|error| error.to_string())
        })
        .await?;
        screen.say("the store answers");

        named::start(&place, &secrets, &reaper)?;
        let point = place.private("dns")?;
        place.write(&point.join("tanist.yml"), &config::connection_point(&place, POINT))?;
        let mut command = place.as_database_user(&place.programs.join("tanist"));
        command.arg("dns").arg(point.join("tanist.yml"));
        reaper.start("the connection point (tanist dns)", &point.join("log"), command)?;
        // Lives as long as the process: the name is needed everywhere and told once.
        let name: &'static str = own_name().leak();
        let own = Observer::start(place.dns(POINT), name);
        let bind = Observer::start(place.named, BIND_NAME);
        until(&reaper, "both DNS servers answer", Duration::from_secs(20), || match (own.now(), bind.now()) {
            (Some(_), Some(_)) => Ok(()),
            (own, bind) => Err(format!("own {own:?}, BIND {bind:?}")),
        })
        .await?;
        screen.say("BIND and the DNS connection point answer; nobody is primary");

        let access = Access { server: place.dns(POINT), name, port: place.postgres_port, password: secrets.superuser.clone() };
        let stage = Self {
            seen: watch::start(&place, &http),
            writer: Writer::start(access.clone()),
            guards: Arc::default(),
            place,
            reaper,
            screen,
            http,
            own,
            bind,
            access,
        };
        for number in NODES {
            let directory = stage.place.private(&format!("n{number}"))?;
            stage.place.write(&directory.join("patroni.yml"), &config::node(&stage.place, number, &secrets))?;
            stage.start_node(number)?;
        }
        Ok(stage)
    }

    /// Starts a node: what a service manager would do.
    pub fn start_node(&self, number: u8) -> Result<(), Failure> {
        let directory = self.place.directory.join(format!("n{number}"));
        let mut command = Command::new(self.place.programs.join("tanist"));
        command.arg("run").arg(directory.join("patroni.yml")).env("RUST_LOG", "info,hickory_server=warn");
        let guard = self.reaper.start(&format!("n{number} (tanist run)"), &directory.join("log"), command)?;
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(number) - 1] = Some(guard);
        Ok(())
    }

    /// A node's guard.
    pub fn guard(&self, number: u8) -> Result<Process, Failure> {
        let guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards[usize::from(number) - 1].ok_or_else(|| Failure::failed(format!("n{number} was not started")))
    }

    /// A node's postmaster.
    pub fn postmaster(&self, number: u8) -> Result<Process, Failure> {
        let guard = self.guard(number)?;
        let children = processes::below(guard.pid);
        let found = children.iter().find(|seen| seen.parent == guard.pid && seen.name == "postgres" && !seen.zombie);
        found.map(|seen| seen.process).ok_or_else(|| Failure::failed(format!("n{number} has no postmaster")))
    }

    /// Guard, agent, plugin host and PostgreSQL of a node.
    pub fn everything(&self, number: u8) -> Result<Vec<Process>, Failure> {
        let guard = self.guard(number)?;
        Ok(std::iter::once(guard).chain(processes::below(guard.pid).iter().map(|seen| seen.process)).collect())
    }

    /// Waits until the cluster can lose a node, both names name its primary, and the writer writes.
    pub async fn whole(&self) -> Result<Whole, Failure> {
        let begun = Instant::now();
        let whole = self
            .until("the cluster is whole", FORMING, || {
                let whole = self.seen.borrow().whole()?;
                let address = [IpAddr::V4(self.place.address(whole.primary))];
                for (name, observer) in [("our own name", &self.own), ("the name in BIND", &self.bind)] {
                    if observer.now().as_deref() != Some(&address) {
                        return Err(format!("{name} is {:?}, the primary is n{}", observer.now(), whole.primary));
                    }
                }
                if self.writer.writes_since(begun) { Ok(whole) } else { Err("no write is acknowledged".to_owned()) }
            })
            .await?;
        self.reaper.note();
        Ok(whole)
    }

    /// Waits for a condition. Fails with its last complaint when it does not come true in time, and when a process ends by itself.
    pub async fn until<T>(&self, what: &str, limit: Duration, probe: impl FnMut() -> Result<T, String>) -> Result<T, Failure> {
        until(&self.reaper, what, limit, probe).await
    }
}

async fn until<T>(
    reaper: &Reaper,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        reaper.check()?;
        match probe() {
            Ok(value) => return Ok(value),
            Err(complaint) if begun.elapsed() > limit => {
                let seconds = limit.as_secs();
                return Err(Failure::failed(format!("{what}: not within {seconds} s: {complaint}\n{}", reaper.tails())));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
