//! A request that claims, over a real host process: what leadership does to it on its way.

use crate::bench::{Bench, face, plugin, wait};
use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tanist_broker::{Certainty, HttpExchange, HttpFailure, HttpGrant, HttpSender, Runs, protocol::HttpResponse};
use tanist_engine::Callback;

/// Takes its time to connect, then writes.
#[derive(Default)]
struct Slow {
    asked: AtomicBool,
    connected: AtomicBool,
    written: AtomicU32,
}

#[async_trait]
impl HttpSender for Slow {
    async fn send(&self, _: HttpExchange, _: Duration) -> Result<HttpResponse, HttpFailure> {
        self.asked.store(true, Ordering::SeqCst);
        while !self.connected.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.written.fetch_add(1, Ordering::SeqCst);
        Ok(HttpResponse { status: 200, headers: vec![], body: vec![] })
    }
}

fn bench(sender: &Arc<Slow>) -> Bench {
    let mut plugins = vec![plugin("pool", Runs::Leader, Duration::from_secs(10))];
    plugins[0].grants.http.push(HttpGrant {
        url: "http://pool.example.org/".to_owned(),
        methods: vec!["POST".to_owned()],
        addresses: vec![],
        access: "pool/0".to_owned(),
        headers: vec![],
    });
    let bench = Bench::with(plugins, &["post-claim"], |config| config.http = Some(sender.clone()));
    bench.lease(9, Duration::from_secs(60));
    bench.handle.face(face(9, true));
    bench.emit(Callback::OnRoleChange, 9);
    wait("the request", || sender.asked.load(Ordering::SeqCst).then_some(()));
    bench
}

#[test]
fn a_claim_is_not_written_when_the_lease_went_while_it_was_connecting() {
    let sender = Arc::<Slow>::default();
    let mut bench = bench(&sender);
    bench.no_lease(9);
    wait("the loss of leadership", || (!bench.handle.status()[0].active).then_some(()));
    sender.connected.store(true, Ordering::SeqCst);
    assert!(!bench.callback().2);
    assert_eq!(sender.written.load(Ordering::SeqCst), 0);
    assert!(bench.notes("answers")[0].contains("does not hold the lease"), "{:?}", bench.notes("answers"));
    let ledger = bench.handle.watch().borrow().ledger.clone();
    // The broker cannot see how far it had come.
    assert_eq!(ledger.iter().map(|entry| entry.certainty).collect::<Vec<_>>(), [Certainty::Unknown]);
}

#[test]
fn a_claim_is_written_while_the_lease_is_held_and_renewed() {
    let sender = Arc::<Slow>::default();
    let mut bench = bench(&sender);
    bench.lease(9, Duration::from_secs(70));
    sender.connected.store(true, Ordering::SeqCst);
    assert!(bench.callback().2);
    assert_eq!(sender.written.load(Ordering::SeqCst), 1);
    let ledger = bench.handle.watch().borrow().ledger.clone();
    assert_eq!(ledger.iter().map(|entry| entry.certainty).collect::<Vec<_>>(), [Certainty::Applied]);
}
