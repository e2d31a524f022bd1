//! This node's member key, in Patroni's form.

use super::Tools;
use crate::run::{Fact, delete_by_hand, place_of};
use std::time::Duration;
use tanist_dcs::{StoreError, lease::MemberError};
use tanist_engine::{MemberFace, Postgres, Running, ServerRole};
use tanist_patroni::dcs::{MemberDetail, MemberIdentity, MemberKey};

/// The store has this long for a key that is in the way.
const LIMIT: Duration = Duration::from_secs(3);

impl Tools {
    pub(super) async fn publish_member(&self, face: MemberFace) -> bool {
        let value = MemberKey::from_engine(&face, &self.detail(), &self.identity()).encode();
        let mut written = self.keeper.put_member(value.clone().into_bytes()).await;
        if let Err(MemberError::Taken(_)) = &written {
            match self.clear_the_way().await {
                Ok(true) => written = self.keeper.put_member(value.into_bytes()).await,
                Ok(false) => {}
                Err(error) => written = Err(error.into()),
            }
        }
        match written {
            Ok(_) => true,
            Err(MemberError::Taken(value)) => {
                let (me, place) = (&self.settings.name, place_of(&value));
                self.facts.tell(Fact::Fatal(format!(
                    "name: {me} is the name of another node, which runs at {place}; give this node a name of its own"
                )));
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the member key was not written");
                false
            }
        }
    }

    /// The key has the value of another node: takes it away if no node can have put it there.
    async fn clear_the_way(&self) -> Result<bool, StoreError> {
        delete_by_hand(&*self.store, self.keeper.keys().member(&self.settings.name), LIMIT).await
    }

    /// From the newest look, which may be later than the one the face is from.
    fn detail(&self) -> MemberDetail {
        let pending_restart = self.postgres.pending_restart();
        match &*self.postgres.found().borrow() {
            Postgres::Running(Running { role: ServerRole::Standby { position, replayed, .. }, .. }) => {
                let in_archive_recovery = self.postgres.facts().is_some_and(|known| known.in_archive_recovery);
                let received = position.map(|position| position.lsn);
                MemberDetail { received, replayed: Some(*replayed), in_archive_recovery, pending_restart }
            }
            _ => MemberDetail { pending_restart, ..MemberDetail::default() },
        }
    }

    fn identity(&self) -> MemberIdentity {
        MemberIdentity {
            postgres: self.settings.postgres.connect.clone(),
            api_url: self.settings.rest.api_url(),
            tanist: env!("CARGO_PKG_VERSION").to_owned(),
            tags: (*self.tags()).clone(),
        }
    }
}
