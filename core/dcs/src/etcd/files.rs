//! The files of certificates, read by one at a time, on a thread that may block. While their disk hangs, that is one thread, however many
//! members and calls want them.

use super::access::{Pem, Tls};
use std::sync::{Arc, Mutex, PoisonError};

/// The files, for all members.
pub(super) struct Files {
    tls: Tls,
    /// Belongs to the reading, also when nobody waits for it any more.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Files {
    pub(super) fn new(tls: Tls) -> Self {
        Self { tls, turn: Arc::default() }
    }

    /// What they hold now.
    pub(super) async fn read(&self) -> Result<Pem, String> {
        let turn = self.turn.clone().lock_owned().await;
        let tls = self.tls.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let _until_it_ends = turn;
            tls.read()
        });
        reading.await.unwrap_or_else(|_| Err("certificates could not be read".to_owned()))
    }
}

/// Why a member's connection does not use the files as they are now.
#[derive(Default)]
pub(super) struct Complaint(Mutex<Option<String>>);

impl Complaint {
    /// The present state; nothing: they are used. Logged when it is news.
    pub(super) fn put(&self, host: &str, why: Option<String>) {
        let mut present = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *present != why {
            match &why {
                Some(why) => tracing::error!("{host}: the certificates are not used as they are now: {why}"),
                None => tracing::info!("{host}: the certificates are used as they are now"),
            }
            *present = why;
        }
    }

    /// What is said now.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
