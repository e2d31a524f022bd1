//! Opening the configured store.

use crate::config::{EtcdSettings, StoreSettings};
use std::sync::Arc;
use tanist_dcs::{
    Store, StoreError,
    etcd::{Access, EtcdStore, Password, Tls, User},
    local::LocalStore,
};

/// The store of the configuration. Connects at the first call; an unreachable store is no error here.
pub fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match settings {
        StoreSettings::Local { socket } => Arc::new(LocalStore::new(socket)),
        StoreSettings::Etcd(etcd) => Arc::new(EtcdStore::new(access(etcd))?),
    })
}

fn access(settings: &EtcdSettings) -> Access {
    let EtcdSettings { endpoints, cacert, identity, user } = settings.clone();
    let user = user.map(|(name, password)| User { name, password: Password::new(password.expose()) });
    Access { endpoints, tls: Tls { authorities: cacert, identity }, user }
}
