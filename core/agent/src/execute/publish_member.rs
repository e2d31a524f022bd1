//! This node's member key, in Patroni's form.

use super::Tools;
use crate::run::{Fact, place_of};
use tanist_dcs::lease::MemberError;
use tanist_engine::{MemberFace, Postgres, Running, ServerRole};
use tanist_patroni::dcs::{MemberDetail, MemberIdentity, MemberKey};

impl Tools {
    pub(super) async fn publish_member(&self, face: MemberFace) -> bool {
        let value = MemberKey::from_engine(&face, &self.detail(), &self.identity()).encode();
        match self.keeper.put_member(value.into_bytes()).await {
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

    /// From the newest look, which may be later than the one the face is from.
    fn detail(&self) -> MemberDetail {
        let pending_restart = self.postgres.pending_restart();
        match &*self.postgres.found().borrow() {
            Postgres::Running(Running { role: ServerRole::Standby { position, replayed, .. }, .. }) => {
                MemberDetail { received: position.map(|position| position.lsn), replayed: Some(*replayed), pending_restart }
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
