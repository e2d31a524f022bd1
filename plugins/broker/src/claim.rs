//! Carries out one permitted claim of a DNS name within the time of its call, and keeps the ledger true.
//!
//! Claims of one name go one after the other, also when the call of the first is long over. A name whose last claim ended unknown is
//! read back before it is claimed again; and as all this takes time, leadership is looked at once more before the claim is sent.

use crate::{
    Certainty, DnsClaim, DnsFailure, DnsOutcome, DnsTarget, DnsUpdater, Leadership, LedgerEntry,
    leadership::now,
    protocol::{Denial, DnsPointed, PluginId, RecordKind, Reply},
    shared_ledger::SharedLedger,
};
use std::{sync::Arc, time::Duration};
use tanist_engine::Moment;
use tokio::{sync::watch, time::timeout};

/// The ledger's name for claims of DNS names.
const DNS: &str = "dns";

/// A claim and what it is carried out with.
pub(crate) struct Claiming {
    pub(crate) plugin: PluginId,
    pub(crate) updater: Arc<dyn DnsUpdater>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) ledger: SharedLedger,
    /// Held while a claim of this name is under way.
    pub(crate) name_lock: Arc<tokio::sync::Mutex<()>>,
    pub(crate) claim: DnsClaim,
    /// The call must end then.
    pub(crate) deadline: Moment,
}

impl Claiming {
    pub(crate) async fn run(self) -> Result<Reply, Denial> {
        let name_lock = Arc::clone(&self.name_lock);
        let Ok(_turn) = timeout(self.left(), name_lock.lock()).await else {
            return Err(Denial::Unreachable("an earlier claim of the name is still under way".to_owned()));
        };
        let (before, read_back) = self.ledger.look(DNS, &self.key());
        let settled = if read_back { self.settle().await? } else { None };
        let outcome = match settled {
            Some(known) => known,
            None => {
                self.still_leads()?;
                self.point(before.as_ref()).await?
            }
        };
        self.write_down(&outcome, before).await;
        answer(outcome)
    }

    /// Reads the name. `None`: it is not as claimed and nobody newer has it, so the claim is due.
    async fn settle(&self) -> Result<Option<DnsOutcome>, Denial> {
        let DnsClaim { target, name, addresses, epoch, ttl: _ } = &self.claim;
        let left = self.left();
        let why = match timeout(left, self.updater.present(target.clone(), name.clone(), left)).await {
            Ok(Ok(present)) => {
                return Ok(match present.epoch {
                    Some(newer_epoch) if newer_epoch > *epoch => Some(DnsOutcome::Fenced { newer_epoch }),
                    Some(same) if same == *epoch && present.addresses == *addresses => Some(DnsOutcome::AlreadyThere),
                    Some(_) | None => None,
                });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(Denial::Unreachable(format!("what became of the last claim of {name} could not be read back: {why}")))
    }

    fn still_leads(&self) -> Result<(), Denial> {
        self.leadership.borrow().covers(self.claim.epoch, self.deadline)
    }

    async fn point(&self, before: Option<&LedgerEntry>) -> Result<DnsOutcome, Denial> {
        // From the sending on nothing is certain until the answer is read, also if nobody is left to read it. Saying again what is
        // known to be there changes nothing, whatever becomes of it.
        if before != Some(&self.entry(Certainty::Applied)) {
            if !self.ledger.record(self.entry(Certainty::Unknown)).await {
                let why = "it is not known of too many names what became of their last claim; claim them again first";
                return Err(Denial::Unreachable(why.to_owned()));
            }
            // The disk may have taken its time.
            if let Err(denial) = self.still_leads() {
                self.ledger.restore(DNS, &self.key(), before.cloned()).await;
                return Err(denial);
            }
        }
        let left = self.left();
        let sent = timeout(left, self.updater.point(self.claim.clone(), left)).await;
        Ok(sent.unwrap_or_else(|_| DnsOutcome::Unknown("no answer in time".to_owned())))
    }

    async fn write_down(&self, outcome: &DnsOutcome, before: Option<LedgerEntry>) {
        match outcome {
            DnsOutcome::Applied | DnsOutcome::AlreadyThere => drop(self.ledger.record(self.entry(Certainty::Applied)).await),
            DnsOutcome::Unknown(_) => drop(self.ledger.record(self.entry(Certainty::Unknown)).await),
            DnsOutcome::Fenced { .. } => self.ledger.restore(DNS, &self.key(), None).await,
            // Certainly not there: what was known before is still so, and an earlier unknown stays unknown.
            DnsOutcome::Refused(_) | DnsOutcome::Unreachable(_) => self.ledger.restore(DNS, &self.key(), before).await,
        }
    }

    fn entry(&self, certainty: Certainty) -> LedgerEntry {
        let addresses: Vec<String> = self.claim.addresses.iter().map(ToString::to_string).collect();
        LedgerEntry {
            plugin: self.plugin.clone(),
            capability: DNS.to_owned(),
            key: self.key(),
            value: addresses.join(", "),
            epoch: self.claim.epoch,
            certainty,
        }
    }

    fn key(&self) -> String {
        key(&self.claim)
    }

    fn left(&self) -> Duration {
        self.deadline.since(now())
    }
}

/// What a claim is written down under.
pub(crate) fn key(claim: &DnsClaim) -> String {
    format!("{} at {}", claim.name, claim.target.server)
}

fn answer(outcome: DnsOutcome) -> Result<Reply, Denial> {
    match outcome {
        DnsOutcome::Applied => Ok(Reply::DnsPoint(DnsPointed::Applied)),
        DnsOutcome::AlreadyThere => Ok(Reply::DnsPoint(DnsPointed::AlreadyThere)),
        DnsOutcome::Fenced { newer_epoch } => Err(Denial::Fenced { newer_epoch }),
        DnsOutcome::Refused(text) => Err(Denial::Refused(text)),
        DnsOutcome::Unknown(text) => Err(Denial::Unknown(text)),
        DnsOutcome::Unreachable(text) => Err(Denial::Unreachable(text)),
    }
}

/// Reads records for a plugin.
pub(crate) async fn lookup(
    updater: Arc<dyn DnsUpdater>,
    target: DnsTarget,
    name: String,
    kind: RecordKind,
    within: Duration,
) -> Result<Reply, Denial> {
    match timeout(within, updater.lookup(target, name, kind, within)).await {
        Ok(Ok(records)) => Ok(Reply::DnsLookup(records)),
        Ok(Err(DnsFailure::Refused(text))) => Err(Denial::Refused(text)),
        Ok(Err(DnsFailure::Unreachable(text))) => Err(Denial::Unreachable(text)),
        Err(_) => Err(Denial::Unreachable("no answer in time".to_owned())),
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
