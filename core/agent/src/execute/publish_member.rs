//! This node's member key, in Patroni's form.

use super::Tools;
use tanist_engine::MemberFace;
use tanist_patroni::dcs::{MemberIdentity, MemberKey};

impl Tools {
    pub(super) async fn publish_member(&self, face: MemberFace) -> bool {
        let value = MemberKey::from_engine(&face, &self.identity()).encode();
        match self.keeper.put_member(value.into_bytes()).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "the member key was not written");
                false
            }
        }
    }

    fn identity(&self) -> MemberIdentity {
        MemberIdentity {
            postgres: self.settings.postgres.connect.clone(),
            api_url: self.settings.rest.api_url(),
            tanist: env!("CARGO_PKG_VERSION").to_owned(),
            tags: self.settings.tags.clone(),
        }
    }
}
