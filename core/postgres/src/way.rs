//! The way into the server. The Unix socket comes first; a server whose access rules have no line for it, as Patroni's users write them,
//! is reached over TCP, at an address of this machine. Where the database `postgres` is gone, `template1` takes its place.
//!
//! What worked is tried first the next time: a refused login is a line in the server's log.

use crate::{
    SessionError, Settings,
    session::{Session, lacks_database},
    wire::{Stream, Wire},
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, timeout, timeout_at},
};

/// Where sessions belong.
const DATABASE: &str = "postgres";
/// In its place. Nobody can make a database while somebody is connected to its template, so no session there is kept.
const SPARE_DATABASE: &str = "template1";
/// How long the spare one is tried first.
const SPARE_FIRST: Duration = Duration::from_secs(60);

/// What leads to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Socket,
    Tcp,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Sql,
    Replication,
}

/// What worked last, of the server at one socket.
#[derive(Clone, Copy, Debug)]
struct Known {
    way: Way,
    /// The database `postgres` did not accept the session.
    spare: Option<Instant>,
}

static KNOWN: Mutex<BTreeMap<PathBuf, Known>> = Mutex::new(BTreeMap::new());

fn known(settings: &Settings) -> Option<Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&settings.socket_path()).copied()
}

fn remember(settings: &Settings, known: Option<Known>) {
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known {
        Some(known) => all.insert(settings.socket_path(), known),
        None => all.remove(&settings.socket_path()),
    };
}

/// Opens a session. The limit is that of all ways together.
pub(crate) async fn open(settings: &Settings, limit: Duration, purpose: Purpose) -> Result<Session, SessionError> {
    let deadline = Instant::now() + limit;
    let before = known(settings);
    let ways = match before.map(|known| known.way) {
        Some(Way::Tcp) => [Way::Tcp, Way::Socket],
        _ => [Way::Socket, Way::Tcp],
    };
    let mut failed = None;
    for way in ways {
        let answer = timeout_at(deadline, enter(settings, way, before, limit, purpose)).await;
        let error = match answer.unwrap_or(Err(SessionError::Timeout(limit))) {
            Ok((session, spare)) => {
                remember(settings, Some(Known { way, spare }));
                return Ok(session);
            }
            Err(error) => error,
        };
        let go_on = matches!(error, SessionError::NoListener(_) | SessionError::Refused { .. });
        failed = Some(match failed {
            None => error,
            Some(first) => both(first, error),
        });
        if !go_on {
            break;
        }
    }
    remember(settings, None);
    Err(failed.unwrap_or(SessionError::Timeout(limit)))
}

/// What two ways say together. A server that refused a login on the first one lives, whatever became of the second.
fn both(first: SessionError, second: SessionError) -> SessionError {
    match (first, second) {
        (SessionError::Refused { message: first, .. }, SessionError::Refused { code, message }) if first != message => {
            SessionError::Refused { code, message: format!("{first}; {message}") }
        }
        (first @ SessionError::NoListener(_), SessionError::NoListener(_)) => first,
        (
            first @ SessionError::Refused { .. },
            SessionError::NoListener(_) | SessionError::Timeout(_) | SessionError::Lost(_),
        ) => first,
        (_, second) => second,
    }
}

/// A session on this way, and since when it is in the spare database, if it is.
async fn enter(
    settings: &Settings,
    way: Way,
    before: Option<Known>,
    limit: Duration,
    purpose: Purpose,
) -> Result<(Session, Option<Instant>), SessionError> {
    let since = before.and_then(|known| known.spare).filter(|since| since.elapsed() < SPARE_FIRST);
    if since.is_none() {
        match log_in(settings, way, DATABASE, limit, purpose).await {
            Err(SessionError::Refused { code, message }) if lacks_database(&code) => {
                tracing::debug!("{message}: {SPARE_DATABASE} is used");
            }
            answer => return answer.map(|session| (session, None)),
        }
    }
    let mut session = log_in(settings, way, SPARE_DATABASE, limit, purpose).await?;
    session.is_spare = true;
    Ok((session, Some(since.unwrap_or_else(Instant::now))))
}

async fn log_in(
    settings: &Settings,
    way: Way,
    database: &str,
    limit: Duration,
    purpose: Purpose,
) -> Result<Session, SessionError> {
    let stream = match way {
        Way::Socket => UnixStream::connect(settings.socket_path()).await.map(Stream::Unix).map_err(no_way)?,
        Way::Tcp => Stream::Tcp(connect(settings).await?),
    };
    let wire = match purpose {
        Purpose::Sql => Wire::plain(stream),
        Purpose::Replication => Wire::replication(stream),
    };
    let session = Session::log_in(settings, wire, database, limit).await?;
    if way == Way::Tcp {
        is_ours(settings, &session, limit).await?;
    }
    Ok(session)
}

fn no_way(error: io::Error) -> SessionError {
    match error.kind() {
        // The listen queue of a socket whose postmaster accepts nothing is full.
        io::ErrorKind::WouldBlock => SessionError::Timeout(Duration::ZERO),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SessionError::NoListener(error.to_string()),
        _ => SessionError::Lost(error.to_string()),
    }
}

async fn connect(settings: &Settings) -> Result<TcpStream, SessionError> {
    let Some(host) = host(&settings.listen_addresses) else {
        return Err(SessionError::NoListener("no address to listen on".to_owned()));
    };
    let nobody = |error: io::Error| SessionError::NoListener(format!("{host}: {error}"));
    let stream = TcpStream::connect((host, settings.port)).await.map_err(nobody)?;
    let (near, far) = (stream.local_addr().map_err(nobody)?, stream.peer_addr().map_err(nobody)?);
    if !on_one_machine(near, far) {
        return Err(SessionError::NoListener(format!("{host}: another machine has this address")));
    }
    stream.set_nodelay(true).map_err(nobody)?;
    Ok(stream)
}

/// Where the server listens for us: the loopback interface if it can be, as Patroni has it, else its first address.
fn host(listen: &[String]) -> Option<&str> {
    let local = |address: &String| match address.as_str() {
        "*" | "0.0.0.0" => Some("127.0.0.1"),
        "::" => Some("::1"),
        address if address.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) => {
            Some("")
        }
        _ => None,
    };
    let found =
        listen.iter().find_map(|address| local(address).map(|host| if host.is_empty() { address.as_str() } else { host }));
    found.or_else(|| listen.first().map(String::as_str))
}

/// Whoever talks to an address of his own machine does so from that address. One that has moved on is that of another server.
fn on_one_machine(near: SocketAddr, far: SocketAddr) -> bool {
    near.ip() == far.ip() || near.ip().is_loopback() && far.ip().is_loopback()
}

/// Another server of this machine may listen at the address while ours does not.
async fn is_ours(settings: &Settings, session: &Session, limit: Duration) -> Result<(), SessionError> {
    let rows = timeout(limit, session.client.simple_query("SHOW data_directory"));
    let rows = rows.await.map_err(|_| SessionError::Timeout(limit))??;
    let shown = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if shown.map(Path::new) == Some(settings.data_dir.as_path()) {
        return Ok(());
    }
    let shown = shown.unwrap_or("an unknown directory");
    Err(SessionError::NoListener(format!("port {}: the server there is that of {shown}", settings.port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_preferred() {
        for (listen, wanted) in [
            (&["*"][..], "127.0.0.1"),
            (&["10.0.0.1", "0.0.0.0"], "127.0.0.1"),
            (&["::"], "::1"),
            (&["10.0.0.1", "localhost"], "localhost"),
            (&["10.0.0.1", "127.0.9.1"], "127.0.9.1"),
            (&["node-1.example.com", "10.0.0.1"], "node-1.example.com"),
        ] {
            let listen: Vec<String> = listen.iter().map(|address| (*address).to_owned()).collect();
            assert_eq!(host(&listen), Some(wanted), "{listen:?}");
        }
        assert_eq!(host(&[]), None);
    }

    #[test]
    fn an_address_that_has_moved_to_another_machine_is_not_ours() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(on_one_machine(address("10.0.0.1:40000"), address("10.0.0.1:5432")));
        assert!(on_one_machine(address("127.0.0.1:40000"), address("127.0.9.1:5432")));
        assert!(!on_one_machine(address("10.0.0.2:40000"), address("10.0.0.1:5432")));
    }

    #[test]
    fn who_refused_lives() {
        let refused = |message: &str| SessionError::Refused { code: "28000".into(), message: message.into() };
        let (silence, nobody) = (SessionError::Timeout(Duration::ZERO), SessionError::NoListener("x".into()));
        assert_eq!(both(refused("a"), silence.clone()), refused("a"));
        assert_eq!(both(refused("a"), nobody.clone()), refused("a"));
        assert_eq!(both(refused("a"), refused("a")), refused("a"));
        assert_eq!(both(refused("a"), refused("b")), refused("a; b"));
        assert_eq!(both(refused("a"), SessionError::Full("f".into())), SessionError::Full("f".into()));
        assert_eq!(both(nobody.clone(), refused("b")), refused("b"));
        assert_eq!(both(nobody.clone(), silence.clone()), silence);
    }
}
