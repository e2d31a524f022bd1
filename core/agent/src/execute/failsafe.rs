//! Failsafe mode: naming the members in the lease record, and asking them to wait while the store is away.

use super::{Tools, outcome::written};
use crate::links::{Kept, Question};
use std::{sync::Arc, time::Duration};
use tanist_dcs::Op;
use tanist_engine::{Epoch, Named};
use tanist_guard::page::Extend;
use tanist_patroni::dcs::FailsafeKey;

impl Tools {
    /// First the file for a restarted agent, then the records, then Patroni's key.
    pub(super) async fn name_failsafe(self: &Arc<Self>, members: Option<Named>, timeout: Duration) -> bool {
        let Some((epoch, nonce)) = self.keeper.held_epoch() else { return true };
        // Before the first record that names anybody has landed, nothing that a restarted agent could use is known.
        let ttl = self.keeper.recorded_ttl();
        let kept = members.as_ref().zip(self.keeper.named()).map(|(members, every)| {
            let named = members.iter().map(|(name, url)| (name.to_string(), url.clone()));
            let members = every.into_iter().map(|(name, url)| (name.to_string(), url)).chain(named).collect();
            Kept { epoch: epoch.0, nonce, ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX), members }
        });
        let tools = self.clone();
        match tokio::task::spawn_blocking(move || tools.failsafe.keep(kept)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    "tanist.state_dir: failsafe.json: {error}; the members named in the lease record stay as they are"
                );
                return false;
            }
            Err(error) => {
                tracing::warn!("the members are not named: {error}");
                return false;
            }
        }
        self.keeper.name(members.clone());
        let key = self.keeper.keys().failsafe();
        let present = self.mirror.snapshot().get(&key).map(|mirrored| mirrored.kv.value.clone());
        let wanted = members.map(|members| FailsafeKey { members }.encode().into_bytes());
        if present == wanted {
            return true;
        }
        let op = wanted.map_or(Op::Delete(key.clone()), |value| Op::put(key, value));
        written("/failsafe", self.keeper.leader_write(vec![op], Vec::new(), timeout).await)
    }

    /// One round. When everybody has agreed the guard's deadline moves to the new end of the lease.
    pub(super) async fn ask_to_wait(&self, epoch: Epoch, system_id: Option<String>) -> bool {
        let Some(round) = self.keeper.begin_round(epoch) else { return false };
        let endpoint = &self.settings.postgres.connect;
        let question = Question {
            scope: self.settings.cluster.scope.clone(),
            system_id,
            conn_url: format!("postgres://{}:{}/postgres", endpoint.host, endpoint.port),
            api_url: self.settings.rest.api_url(),
        };
        let outcome = self.failsafe.ask(&round, &question).await;
        if let Err((member, why)) = &outcome {
            tracing::warn!(%member, round = round.ask.round, "does not agree to wait: {why}");
        }
        let Some(until) = self.keeper.end_round(&round, outcome) else { return true };
        match self.guard.page().extend(epoch.0, until.boot.as_nanos(), until.raw.as_nanos()) {
            Extend::Extended | Extend::Shorter => {}
            Extend::Fenced => tracing::warn!("everybody waits, and already fenced: the answers came too late"),
            Extend::NotArmed => tracing::debug!("the guard is not armed for this epoch"),
        }
        true
    }
}
