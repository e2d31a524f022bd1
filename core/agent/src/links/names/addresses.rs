//! Addresses of host names: what is known of them, which is asked for next, and the one lookup that is under way.
//!
//! Whoever renders the zone takes what is known and waits for nothing. The system's resolver may hang for as long as it likes: it does so
//! on a thread of its own, one at a time, so that neither the zone nor the agent's blocking tasks wait for it.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// A resolved name is asked for again after this; one that cannot be resolved at the latest after this.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// The first repetition after a failure; each further one waits twice as long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A lookup that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(5);
/// Names that are not shown any more are remembered up to this number: a member that comes back is answered at once.
const REMEMBERED: usize = 256;

/// Resolves a host name and may block for as long as that takes.
pub(super) type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Resolve {
    Arc::new(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
}

/// What is known of host names.
#[derive(Default)]
pub(super) struct Addresses {
    /// Those that are shown, in the order in which they are asked for.
    wanted: Vec<String>,
    known: BTreeMap<String, Entry>,
}

struct Entry {
    addresses: Vec<IpAddr>,
    due: Instant,
    failures: u32,
}

/// What is to be done about names.
#[derive(Debug, PartialEq, Eq)]
enum Next<'a> {
    Ask(&'a str),
    Wait(Instant),
    Nothing,
}

impl Addresses {
    /// The addresses of a host as far as they are known: a numeric one is its own.
    pub(super) fn of(&self, host: &str) -> Vec<IpAddr> {
        match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.known.get(host).map(|entry| entry.addresses.clone()).unwrap_or_default(),
        }
    }

    /// These hosts are shown now, the most important first.
    pub(super) fn want<'a>(&mut self, hosts: impl Iterator<Item = &'a str>, now: Instant) {
        self.wanted.clear();
        for host in hosts.filter(|host| host.parse::<IpAddr>().is_err()) {
            if self.wanted.iter().any(|known| known == host) {
                continue;
            }
            self.wanted.push(host.to_owned());
            self.known.entry(host.to_owned()).or_insert_with(|| Entry { addresses: Vec::new(), due: now, failures: 0 });
        }
        if self.known.len() > REMEMBERED {
            self.known.retain(|host, _| self.wanted.contains(host));
        }
    }

    fn next(&self, now: Instant) -> Next<'_> {
        let due = |host: &String| self.known.get(host).map(|entry| entry.due);
        if let Some(host) = self.wanted.iter().find(|host| due(host).is_some_and(|due| due <= now)) {
            return Next::Ask(host);
        }
        self.wanted.iter().filter_map(due).min().map_or(Next::Nothing, Next::Wait)
    }

    /// Takes in what the resolver said; whether a host has other addresses now. After a failure the last known ones stay.
    pub(super) fn learn(&mut self, answer: Answer, now: Instant) -> bool {
        let Answer { host, found } = answer;
        let Some(entry) = self.known.get_mut(&host) else { return false };
        let found = found.and_then(|found| if found.is_empty() { Err(io::Error::other("no address")) } else { Ok(found) });
        match found {
            Ok(mut found) => {
                found.sort_unstable();
                found.dedup();
                if std::mem::take(&mut entry.failures) > 0 {
                    tracing::info!(%host, "the host name can be resolved again");
                }
                entry.due = now + RESOLVE_EVERY;
                let changed = entry.addresses != found;
                entry.addresses = found;
                changed
            }
            Err(error) => {
                if entry.failures == 0 {
                    tracing::warn!(%host, %error, "a member's host name cannot be resolved; the last known addresses stay in the zone");
                }
                entry.due = now + (RETRY_AFTER * 2_u32.pow(entry.failures.min(5))).min(RESOLVE_EVERY);
                entry.failures += 1;
                false
            }
        }
    }
}

/// What the resolver said of a host.
pub(super) struct Answer {
    host: String,
    found: io::Result<Vec<IpAddr>>,
}

/// The lookups, one after the other.
pub(super) struct Lookups {
    resolve: Resolve,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    host: String,
    answer: oneshot::Receiver<io::Result<Vec<IpAddr>>>,
    since: Instant,
    told: bool,
}

impl Lookups {
    /// By this resolver.
    pub(super) fn new(resolve: Resolve) -> Self {
        Self { resolve, under_way: None }
    }

    /// The next answer. May be given up at any moment and called again: a lookup that is under way goes on.
    pub(super) async fn answer(&mut self, addresses: &Addresses) -> Answer {
        loop {
            if let Some(asked) = &mut self.under_way {
                let found = asked.wait().await;
                let host = std::mem::take(&mut asked.host);
                self.under_way = None;
                return Answer { host, found };
            }
            match addresses.next(Instant::now()) {
                Next::Ask(host) => self.under_way = Some(self.ask(host)),
                Next::Wait(until) => tokio::time::sleep_until(until).await,
                Next::Nothing => std::future::pending().await,
            }
        }
    }

    /// On a thread that nobody waits for, not even at the end of the process.
    fn ask(&self, host: &str) -> UnderWay {
        let (tell, answer) = oneshot::channel();
        let (resolve, name) = (self.resolve.clone(), host.to_owned());
        let thread = std::thread::Builder::new().name("tanist-resolve".into());
        let asked = thread.spawn(move || {
            // Nobody listens any more when the server has been stopped.
            let _ = tell.send(resolve(&name));
        });
        if let Err(error) = asked {
            tracing::warn!(%host, %error, "no thread to resolve a host name");
        }
        UnderWay { host: host.to_owned(), answer, since: Instant::now(), told: false }
    }
}

impl UnderWay {
    async fn wait(&mut self) -> io::Result<Vec<IpAddr>> {
        let patience = SLOW.saturating_sub(self.since.elapsed());
        if !self.told {
            match tokio::time::timeout(patience, &mut self.answer).await {
                Ok(found) => return found.unwrap_or_else(lost),
                Err(_) => {
                    self.told = true;
                    tracing::warn!(host = %self.host, "the system's resolver does not answer; the last known addresses stay in the zone");
                }
            }
        }
        (&mut self.answer).await.unwrap_or_else(lost)
    }
}

/// The thread was not started, or ended without an answer.
fn lost(_: oneshot::error::RecvError) -> io::Result<Vec<IpAddr>> {
    Err(io::Error::other("the lookup ended without an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(host: &str, addresses: &[&str]) -> Answer {
        Answer { host: host.into(), found: Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()) }
    }

    fn failure(host: &str) -> Answer {
        Answer { host: host.into(), found: Err(io::Error::other("SERVFAIL")) }
    }

    #[test]
    fn the_first_wanted_is_asked_first_and_a_failure_is_backed_off_from() {
        let (mut addresses, begin) = (Addresses::default(), Instant::now());
        assert_eq!(addresses.next(begin), Next::Nothing);
        addresses.want(["db1", "192.0.2.9", "db2", "db1"].into_iter(), begin);
        assert_eq!(addresses.next(begin), Next::Ask("db1"));
        assert!(!addresses.learn(failure("db1"), begin));
        assert_eq!(addresses.next(begin), Next::Ask("db2"));
        assert!(addresses.learn(answer("db2", &["192.0.2.2"]), begin));
        let mut now = begin;
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            let Next::Wait(due) = addresses.next(now) else { panic!("{:?}", addresses.next(now)) };
            assert_eq!(due - now, Duration::from_secs(wait));
            now = due;
            addresses.learn(failure("db1"), now);
            addresses.learn(answer("db2", &["192.0.2.2"]), now);
        }
    }

    #[test]
    fn the_last_known_addresses_stay() {
        let (mut addresses, now) = (Addresses::default(), Instant::now());
        addresses.want(["db1"].into_iter(), now);
        assert!(addresses.learn(answer("db1", &["192.0.2.2", "192.0.2.1", "192.0.2.2"]), now));
        assert!(!addresses.learn(answer("db1", &["192.0.2.1", "192.0.2.2"]), now), "the order is no change");
        addresses.learn(failure("db1"), now);
        addresses.learn(answer("db1", &[]), now);
        addresses.want([].into_iter(), now);
        assert_eq!(addresses.next(now), Next::Nothing, "nobody is asked for what is not shown");
        assert_eq!(addresses.of("db1"), ["192.0.2.1".parse::<IpAddr>().unwrap(), "192.0.2.2".parse().unwrap()]);
        assert_eq!(addresses.of("2001:db8::1"), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    }
}
