//! The agent's end: every method returns at once, whatever host, plugins or disk do.

use crate::{ClusterFace, EmissionContext, HostStatus, Leadership, LedgerEntry, Notice, PluginStatus, inbox::Inbox};
use std::{sync::Arc, time::Duration};
use tokio::sync::{broadcast, watch};

/// What the broker shows, replaced as a whole after each of its turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerStatus {
    /// Every plugin, in the order of the configuration.
    pub plugins: Vec<PluginStatus>,
    /// The plugin host.
    pub host: HostStatus,
    /// What plugins have done to the world.
    pub ledger: Vec<LedgerEntry>,
    /// Why the ledger could not be read or kept, if it could not.
    pub ledger_problem: Option<String>,
}

/// How the broker shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not yet.
    No,
    /// When nothing waits any more, or after this time.
    Within(Duration),
}

/// The agent's end of the broker.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) leadership: Arc<watch::Sender<Leadership>>,
    pub(crate) ending: Arc<watch::Sender<Ending>>,
    pub(crate) status: watch::Receiver<Arc<BrokerStatus>>,
    pub(crate) notices: broadcast::Sender<Notice>,
}

impl BrokerHandle {
    /// A callback to deliver, on the way to every plugin it concerns.
    pub fn emit(&self, event: EmissionContext) {
        self.inbox.event(event);
    }

    /// The cluster looks like this now. Only the newest counts.
    pub fn face(&self, face: ClusterFace) {
        self.inbox.face(face);
    }

    /// Who leads now. Told before any claim in a new epoch, and at every renewal; told again it wakes nobody.
    pub fn leadership(&self, leadership: Leadership) {
        self.leadership.send_if_modified(|known| {
            let news = !known.is_about(&leadership);
            if news {
                *known = leadership;
            }
            news
        });
    }

    /// Every plugin, in the order of the configuration.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.status.borrow().plugins.clone()
    }

    /// Plugins, host and ledger; `changed()` on the receiver tells when there is something new.
    pub fn watch(&self) -> watch::Receiver<Arc<BrokerStatus>> {
        self.status.clone()
    }

    /// Every call that ends from now on. A receiver that falls far behind misses some and is told so.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Lets waiting events be delivered for at most `grace`, then ends the host and the broker. Returns when that is done.
    pub async fn shutdown(&self, grace: Duration) {
        self.ending.send_replace(Ending::Within(grace));
        let mut status = self.status.clone();
        // The broker holds the sender; it is dropped with its thread's last step.
        while status.changed().await.is_ok() {}
    }
}
