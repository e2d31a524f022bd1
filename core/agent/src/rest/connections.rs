//! Connections to the REST API: how many, how slow, how long.
//!
//! A health check must get its answer whatever else is connected. So one address has a bounded number of connections, one network of
//! IPv6 another, and all together a third; a request's head has to arrive in time; an answer that nobody reads, and a connection that
//! never ends, are cut off.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    rc::Rc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// Connections at a time, from all addresses together.
const ALL: usize = 512;
/// Connections at a time from one address.
const PER_ADDRESS: usize = 64;
/// Connections at a time from one network of IPv6, whose hosts may have any number of addresses. More than from one address: a whole
/// site's health checks may come from one network.
const PER_NETWORK: usize = 256;
/// The head of a request must have arrived by then; also how long a connection may be idle between two requests.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// The head of a request may be this long.
const MAX_HEAD: usize = 16 << 10;
/// Lines in the head of a request.
const MAX_HEADERS: usize = 64;
/// Sent and not acknowledged for so long: nobody reads.
const UNREAD_LIMIT: Duration = Duration::from_secs(10);
/// After that a connection takes no further request.
const LIFETIME: Duration = Duration::from_secs(60);
/// What is being answered then has this much more; a restart may take a while.
const LAST_ANSWER: Duration = Duration::from_secs(360);
/// Rest after a connection could not be accepted, for instance for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves until the process ends. Everything happens on the calling thread.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let crowd = Crowd::default();
    tokio::task::LocalSet::new()
        .run_until(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => match crowd.enter(peer.ip()) {
                        Some(place) => {
                            tokio::task::spawn_local(talk(stream, peer, router.clone(), place));
                        }
                        None => tracing::debug!(%peer, "a connection to the REST API was refused: there are too many"),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the REST API could not be accepted");
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
            }
        })
        .await;
}

/// One connection to its end.
async fn talk(stream: TcpStream, peer: SocketAddr, router: Router, _place: Place) {
    bound_writes(&stream);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(MAX_HEAD).max_headers(MAX_HEADERS);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = tokio::time::sleep(LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            // What is not over then is cut off.
            tokio::time::timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%peer, %error, "a connection to the REST API has ended");
    }
}

/// Small answers go at once, and unread ones do not wait for ever.
fn bound_writes(stream: &TcpStream) {
    let limit = u32::try_from(UNREAD_LIMIT.as_millis()).unwrap_or(u32::MAX);
    let set = stream.set_nodelay(true).and_then(|()| Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, limit)?));
    if let Err(error) = set {
        tracing::debug!(%error, "a connection to the REST API has the system's own limits");
    }
}

/// Who is connected.
#[derive(Clone, Default)]
struct Crowd(Rc<RefCell<HashMap<IpAddr, usize>>>);

/// A connection's place among them; given back when it is dropped.
struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut counts = self.0.borrow_mut();
        let (all, here) = (counts.values().sum::<usize>(), counts.get(&address).copied().unwrap_or(0));
        let near: usize = counts.iter().filter(|(other, _)| network(**other) == network(address)).map(|(_, count)| count).sum();
        if all >= ALL || near >= PER_NETWORK || here >= PER_ADDRESS {
            return None;
        }
        counts.insert(address, here + 1);
        Some(Place { crowd: self.clone(), address })
    }
}

/// What one host may have all addresses of: a /64 of IPv6; of IPv4 only the address itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.borrow_mut();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places() {
        let crowd = Crowd::default();
        let address = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()]);
        let greedy: Vec<_> = (0..PER_ADDRESS * 2).filter_map(|_| crowd.enter(address(1))).collect();
        assert_eq!(greedy.len(), PER_ADDRESS);
        assert!(crowd.enter(address(2)).is_some(), "another address has its own places");
        let crowded: Vec<_> = (0..ALL).filter_map(|number| crowd.enter(address(2 + number % 20))).collect();
        assert_eq!(greedy.len() + crowded.len(), ALL);
        drop((greedy, crowded));
        assert!(crowd.0.borrow().is_empty(), "places are given back");
    }

    #[test]
    fn one_network_of_ipv6_cannot_take_all_places() {
        let crowd = Crowd::default();
        let address = |network: u16, host: u16| IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host]);
        let greedy: Vec<_> = (0..1000).filter_map(|host| crowd.enter(address(1, host))).collect();
        assert_eq!(greedy.len(), PER_NETWORK, "an address for each connection");
        assert!(crowd.enter(address(2, 0)).is_some(), "another network has its own places");
        let one: Vec<_> = (0..PER_ADDRESS * 2).filter_map(|_| crowd.enter(address(2, 1))).collect();
        assert_eq!(one.len(), PER_ADDRESS);
        assert!(crowd.enter(address(2, 2)).is_some(), "its neighbour is not shut out");
    }

    #[test]
    fn an_ipv4_address_is_the_same_through_ipv6() {
        let crowd = Crowd::default();
        let mapped = |last: u8| IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped());
        let plain: Vec<_> = (0..PER_ADDRESS).filter_map(|_| crowd.enter(IpAddr::from([10, 0, 0, 1]))).collect();
        assert_eq!(plain.len(), PER_ADDRESS);
        assert!(crowd.enter(mapped(1)).is_none());
        let others: Vec<_> = (2..=250).filter_map(|last| crowd.enter(mapped(last))).collect();
        assert_eq!(others.len(), 249, "they are not one network");
    }
}
