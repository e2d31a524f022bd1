//! A client like any other: knows a DNS server and a name, resolves it at every connect, and writes rising numbers.
//!
//! It counts what PostgreSQL acknowledged. A commit whose wait for the standby was cancelled (PostgreSQL says so in a warning), and a
//! statement whose answer never came, are in doubt: the row may be there or not.

use super::resolve::Resolver;
use futures_util::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, error::SqlState};

/// Between two writes, and between two attempts to connect.
const EVERY: Duration = Duration::from_millis(10);
/// A server that is silent for so long is left.
const PATIENCE: Duration = Duration::from_secs(1);
const TABLE: &str = "CREATE TABLE IF NOT EXISTS demo (n bigint PRIMARY KEY)";

/// The only things it is told.
#[derive(Clone, Debug)]
pub struct Access {
    /// A DNS server.
    pub server: SocketAddr,
    /// A name.
    pub name: &'static str,
    /// The port, for address records carry none.
    pub port: u16,
    /// The password.
    pub password: String,
}

/// What it was answered.
#[derive(Clone, Debug, Default)]
pub struct Writer(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    /// Acknowledged numbers and when, in order.
    acknowledged: Vec<(i64, Instant)>,
    doubtful: u64,
}

impl Writer {
    /// Writes until the runtime ends.
    pub fn start(access: Access) -> Self {
        let writer = Self::default();
        let notes = writer.clone();
        tokio::spawn(async move {
            let mut next = 1;
            loop {
                if let Some(server) = Server::connect(&access).await {
                    notes.write(&server, &mut next).await;
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        writer
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes over one connection until it is lost.
    async fn write(&self, server: &Server, next: &mut i64) {
        let table = tokio::time::timeout(PATIENCE, server.client.simple_query(TABLE)).await;
        if !matches!(table, Ok(Ok(_))) {
            return;
        }
        loop {
            let number = *next;
            *next += 1;
            let statement = format!("INSERT INTO demo VALUES ({number})");
            let answer = tokio::time::timeout(PATIENCE, server.client.simple_query(&statement)).await;
            let now = Instant::now();
            let warned = server.warned.swap(false, Ordering::SeqCst);
            match answer {
                Ok(Ok(_)) if !warned => self.notes().acknowledged.push((number, now)),
                Ok(Ok(_)) => self.notes().doubtful += 1,
                // Also an error: a server that is shut down says so of commits it has already made durable.
                Ok(Err(_)) | Err(_) => {
                    self.notes().doubtful += 1;
                    return;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// How many rows are acknowledged.
    pub fn count(&self) -> usize {
        self.notes().acknowledged.len()
    }

    /// How many numbers were sent and not acknowledged: their rows may be there or not.
    pub fn doubtful(&self) -> u64 {
        self.notes().doubtful
    }

    /// The acknowledged numbers.
    pub fn acknowledged(&self) -> BTreeSet<i64> {
        self.notes().acknowledged.iter().map(|(number, _)| *number).collect()
    }

    /// Whether a write was acknowledged after this.
    pub fn writes_since(&self, begun: Instant) -> bool {
        self.notes().acknowledged.last().is_some_and(|(_, at)| *at > begun)
    }

    /// The longest time between two acknowledgements of which the second came after `begun`.
    pub fn gap_after(&self, begun: Instant) -> Option<Duration> {
        let notes = self.notes();
        let times: Vec<Instant> = notes.acknowledged.iter().map(|(_, at)| *at).collect();
        times.windows(2).filter(|pair| pair[1] > begun).map(|pair| pair[1] - pair[0]).max()
    }
}

/// One connection.
struct Server {
    client: Client,
    warned: Arc<AtomicBool>,
}

impl Server {
    /// Resolves the name and connects.
    async fn connect(access: &Access) -> Option<Self> {
        let resolver = Resolver::new(access.server, access.name).await.ok()?;
        let address = *resolver.ask().await?.first()?;
        let config = config(address, access);
        let (client, mut connection) = tokio::time::timeout(PATIENCE, config.connect(NoTls)).await.ok()?.ok()?;
        let warned = Arc::new(AtomicBool::new(false));
        let flag = warned.clone();
        // Ends with the client. A warning is read before the answer it belongs to.
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message
                    && *notice.code() == SqlState::WARNING
                {
                    flag.store(true, Ordering::SeqCst);
                }
            }
        });
        Some(Self { client, warned })
    }
}

fn config(address: IpAddr, access: &Access) -> Config {
    let mut config = Config::new();
    config.host(address.to_string()).port(access.port).user("postgres").password(&access.password).dbname("postgres");
    config.connect_timeout(PATIENCE);
    config
}

/// The numbers that are in the table, read through the name as well.
pub async fn found(access: &Access) -> Result<BTreeSet<i64>, String> {
    let server = Server::connect(access).await.ok_or("no connection")?;
    let answer = tokio::time::timeout(Duration::from_secs(5), server.client.query("SELECT n FROM demo", &[])).await;
    let rows = answer.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_silence_that_ended_after_the_fault() {
        let writer = Writer::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (number, ms) in [(1, 0), (2, 500), (3, 510), (4, 810), (5, 820)] {
            writer.notes().acknowledged.push((number, at(ms)));
        }
        assert_eq!(writer.gap_after(at(515)), Some(Duration::from_millis(300)));
        assert_eq!(writer.gap_after(at(100)), Some(Duration::from_millis(500)));
        assert_eq!(writer.gap_after(at(820)), None);
        assert!(writer.writes_since(at(815)) && !writer.writes_since(at(820)));
        assert_eq!(writer.acknowledged(), (1..=5).collect());
    }
}
