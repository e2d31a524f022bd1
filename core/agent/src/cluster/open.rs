//! Opening the configured store.

use crate::config::StoreSettings;
use std::sync::Arc;
use tanist_dcs::{Store, StoreError, etcd::EtcdStore, local::LocalStore};

/// The store of the configuration. Connects at the first call; an unreachable store is no error here.
pub async fn open(settings: &StoreSettings) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match settings {
        StoreSettings::Local { socket } => Arc::new(LocalStore::new(socket)),
        StoreSettings::Etcd(etcd) => Arc::new(EtcdStore::new(&etcd.endpoints).await?),
    })
}
