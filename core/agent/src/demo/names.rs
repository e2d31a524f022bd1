//! An observer of one DNS name: asks every few milliseconds and notes when the answer became another one.

use super::resolve::Resolver;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Between two questions.
const EVERY: Duration = Duration::from_millis(4);

/// What was answered, and since when.
type Answers = Vec<(Instant, Vec<IpAddr>)>;

/// The answers in their order. Silence changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Observer(Arc<Mutex<Answers>>);

impl Observer {
    /// Watches `name` at `server` until the runtime ends.
    pub fn start(server: SocketAddr, name: &'static str) -> Self {
        let observer = Self::default();
        let told = observer.clone();
        tokio::spawn(async move {
            let Ok(resolver) = Resolver::new(server, name).await else { return };
            loop {
                if let Some(addresses) = resolver.ask().await {
                    told.note(Instant::now(), addresses);
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        observer
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: Instant, addresses: Vec<IpAddr>) {
        let mut answers = self.answers();
        if answers.last().is_none_or(|(_, last)| *last != addresses) {
            answers.push((at, addresses));
        }
    }

    /// The newest answer; nothing before the first.
    pub fn now(&self) -> Option<Vec<IpAddr>> {
        self.answers().last().map(|(_, addresses)| addresses.clone())
    }

    /// How long after `begun` the name first was exactly this address, if it still is.
    pub fn followed(&self, begun: Instant, address: IpAddr) -> Option<Duration> {
        let answers = self.answers();
        answers.last().filter(|(_, last)| *last == [address])?;
        let first = answers.iter().find(|(at, addresses)| *at >= begun && *addresses == [address])?;
        Some(first.0 - begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_followed_when_it_is_the_new_address_and_was_not_before() {
        let observer = Observer::default();
        let [old, new]: [IpAddr; 2] = [[127, 0, 1, 1].into(), [127, 0, 1, 2].into()];
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        observer.note(at(0), vec![new]);
        observer.note(at(5), vec![old]);
        let fault = at(10);
        assert_eq!(observer.followed(fault, new), None, "still the old one");
        observer.note(at(20), vec![]);
        assert_eq!(observer.followed(fault, new), None, "nobody");
        observer.note(at(30), vec![new]);
        observer.note(at(40), vec![new]);
        assert_eq!(observer.followed(fault, new), Some(Duration::from_millis(20)));
        observer.note(at(50), vec![old, new]);
        assert_eq!(observer.followed(fault, new), None, "two addresses are not one");
    }
}
