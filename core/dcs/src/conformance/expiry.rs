//! Keys that end with the session they hang on.

use super::check::{Failure, Ground, PATIENCE, ensure, next, within, write};
use crate::{Change, ExpiryId, Op, StoreError};
use std::time::{Duration, Instant};
use tanist_engine::Revision;

const TTL: Duration = Duration::from_secs(2);

async fn put_on(ground: &Ground<'_>, name: &str, id: Option<ExpiryId>) -> Result<Revision, StoreError> {
    let put = Op::Put { key: ground.key(name), value: b"v".to_vec(), expiry: id };
    Ok(write(&*ground.store, vec![put]).await?.revision)
}

pub(super) async fn keys_end_with_their_expiry(ground: Ground<'_>) -> Result<(), Failure> {
    let begun = Instant::now();
    let id = ground.store.grant(TTL, PATIENCE).await?;
    put_on(&ground, "leader", Some(id)).await?;
    let written = put_on(&ground, "member", Some(id)).await?;
    let shown = ground.get("member").await?.and_then(|kv| kv.expiry);
    ensure!(shown == Some(id), "the key shows expiry {shown:?}, it was put on {id:?}");
    put_on(&ground, "stays", None).await?;
    let mut watch = ground.watch(Revision(written.0 + 2)).await?;
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let (_, changes) = next(&mut watch).await?;
        gone.extend(changes);
    }
    // Not before its time; how late, is the store's affair.
    ensure!(begun.elapsed() >= TTL, "ended after {:?}", begun.elapsed());
    gone.sort_unstable_by(|a, b| a.key().cmp(b.key()));
    let expected = [Change::Delete { key: ground.key("leader") }, Change::Delete { key: ground.key("member") }];
    ensure!(gone == expected, "ended: {gone:?}");
    ensure!(ground.get("stays").await?.is_some(), "a key without expiry has ended");
    Ok(())
}

pub(super) async fn kept_alive_does_not_end(ground: Ground<'_>) -> Result<(), Failure> {
    let id = ground.store.grant(TTL, PATIENCE).await?;
    let canary = ground.store.grant(TTL, PATIENCE).await?;
    let kept = put_on(&ground, "kept", Some(id)).await?;
    put_on(&ground, "canary", Some(canary)).await?;
    // Three of its lives, as another expiry of the same length shows.
    for life in 0..3 {
        within(async {
            while ground.get("canary").await?.is_some() {
                ground.other().keep_alive(id, PATIENCE).await?;
                tokio::time::sleep(TTL / 10).await;
            }
            Ok(())
        })
        .await?;
        let revision = ground.get("kept").await?.map(|kv| kv.mod_revision);
        ensure!(revision == Some(kept), "life {life}: the key is {revision:?}, it was put at {kept}");
        let canary = ground.store.grant(TTL, PATIENCE).await?;
        put_on(&ground, "canary", Some(canary)).await?;
    }
    Ok(())
}

pub(super) async fn revoked_ends_at_once(ground: Ground<'_>) -> Result<(), Failure> {
    let id = ground.store.grant(Duration::from_secs(3600), PATIENCE).await?;
    put_on(&ground, "k", Some(id)).await?;
    ground.other().revoke(id, PATIENCE).await?;
    ensure!(ground.get("k").await?.is_none(), "the key outlived its expiry");
    Ok(())
}

pub(super) async fn an_expiry_that_is_over_stays_over(ground: Ground<'_>) -> Result<(), Failure> {
    let id = ground.store.grant(TTL, PATIENCE).await?;
    put_on(&ground, "k", Some(id)).await?;
    ground.gone("k").await?;
    let kept = ground.store.keep_alive(id, PATIENCE).await;
    ensure!(kept == Err(StoreError::ExpiryGone), "keeping it alive answered {kept:?}");
    let before = ground.put("other", "1").await?;
    let put = put_on(&ground, "k", Some(id)).await;
    ensure!(put == Err(StoreError::ExpiryGone), "a put on it answered {put:?}");
    ensure!(ground.get("k").await?.is_none(), "it was put all the same");
    let after = ground.put("other", "2").await?;
    ensure!(after.0 == before.0 + 1, "something was written between {before} and {after}");
    Ok(())
}

pub(super) async fn written_anew_hangs_on_the_new(ground: Ground<'_>) -> Result<(), Failure> {
    let old = ground.store.grant(Duration::from_secs(3600), PATIENCE).await?;
    let new = ground.store.grant(Duration::from_secs(3600), PATIENCE).await?;
    put_on(&ground, "moved", Some(old)).await?;
    put_on(&ground, "moved", Some(new)).await?;
    put_on(&ground, "freed", Some(old)).await?;
    put_on(&ground, "freed", None).await?;
    ground.store.revoke(old, PATIENCE).await?;
    ensure!(ground.get("moved").await?.is_some(), "a key ended with an expiry it no longer hung on");
    ensure!(ground.get("freed").await?.is_some(), "a key ended with an expiry it was taken off");
    ground.store.revoke(new, PATIENCE).await?;
    ensure!(ground.get("moved").await?.is_none(), "the key outlived its new expiry");
    Ok(())
}
