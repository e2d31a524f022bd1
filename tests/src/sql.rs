//! Small questions to a PostgreSQL, each on a connection of its own.

use std::{net::SocketAddr, time::Duration};
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// How a test logs in.
pub fn config(at: SocketAddr) -> Config {
    let mut config = Config::new();
    config.host(at.ip().to_string()).port(at.port()).user("postgres").password("secret").dbname("postgres");
    config.connect_timeout(Duration::from_secs(2));
    config
}

/// Runs statements; gives the rows of the last one, as text.
pub fn query(at: SocketAddr, text: &str) -> Result<Vec<Vec<String>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let work = async {
            let (client, connection) = config(at).connect(NoTls).await.map_err(|error| format!("{at}: {error:?}"))?;
            let driver = tokio::spawn(connection);
            let rows = client.simple_query(text).await.map_err(|error| format!("{at}: {text}: {error:?}"));
            drop(client);
            let _closed = driver.await;
            Ok(rows?.into_iter().filter_map(row).collect())
        };
        tokio::time::timeout(Duration::from_secs(10), work).await.map_err(|_| format!("{at}: {text}: no answer"))?
    })
}

fn row(message: SimpleQueryMessage) -> Option<Vec<String>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|column| row.get(column).unwrap_or("").to_owned()).collect())
}

/// The single value of a question.
pub fn value(at: SocketAddr, text: &str) -> Result<String, String> {
    query(at, text)?.into_iter().next().and_then(|row| row.into_iter().next()).ok_or_else(|| format!("{text}: no row"))
}

/// An open session; ends when dropped.
pub struct Held {
    _client: tokio_postgres::Client,
    _runtime: tokio::runtime::Runtime,
}

/// Runs statements in a session that stays open.
pub fn hold(at: SocketAddr, text: &str) -> Result<Held, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().map_err(|error| error.to_string())?;
    let client = runtime.block_on(async {
        let (client, connection) = config(at).connect(NoTls).await.map_err(|error| format!("{at}: {error:?}"))?;
        tokio::spawn(connection);
        client.simple_query(text).await.map_err(|error| format!("{at}: {text}: {error:?}"))?;
        Ok::<_, String>(client)
    })?;
    Ok(Held { _client: client, _runtime: runtime })
}
