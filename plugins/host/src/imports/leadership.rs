//! `leadership`: asked at the agent each time. What is not known is answered as "no".

use crate::{bindings::leadership, guest::Guest};
use tanist_broker::protocol::{LeadershipState, Op, Reply};

impl leadership::Host for Guest {
    async fn current_epoch(&mut self) -> wasmtime::Result<Option<u64>> {
        let state = self.leadership().await?;
        Ok(state.lease_left_ms.map(|_| state.epoch))
    }

    async fn is_current(&mut self, epoch: u64) -> wasmtime::Result<bool> {
        let state = self.leadership().await?;
        Ok(state.lease_left_ms.is_some() && state.epoch == epoch)
    }

    async fn lease_left_ms(&mut self) -> wasmtime::Result<u64> {
        Ok(self.leadership().await?.lease_left_ms.unwrap_or(0))
    }
}

impl Guest {
    async fn leadership(&mut self) -> wasmtime::Result<LeadershipState> {
        Ok(match self.ask(Op::Leadership).await? {
            Ok(Reply::Leadership(state)) => state,
            Ok(Reply::DnsPoint(_) | Reply::DnsLookup(_) | Reply::Http(_)) | Err(_) => LeadershipState::default(),
        })
    }
}
