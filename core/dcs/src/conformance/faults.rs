//! Lost and slow answers, made by a store in front of the store: what the caller may conclude, and that comparisons protect.

use super::check::{Failure, Ground, PATIENCE, ensure, within, write, write_if};
use crate::{
    Compare, Op, StoreError,
    faulty::{Fault, Faulty},
};
use std::time::Duration;

pub(super) async fn a_lost_answer_is_unknown_and_the_write_landed(ground: Ground<'_>) -> Result<(), Failure> {
    let faulty = Faulty::new(ground.other());
    faulty.set(Fault::LoseAnswer);
    let answer = write(&*faulty, vec![Op::put(ground.key("k"), "1")]).await;
    ensure!(matches!(answer, Err(StoreError::Unknown(_))), "answered {answer:?}");
    ensure!(ground.get("k").await?.is_some(), "the write did not land");
    Ok(())
}

pub(super) async fn a_lost_request_is_unknown_and_nothing_happened(ground: Ground<'_>) -> Result<(), Failure> {
    let faulty = Faulty::new(ground.other());
    faulty.set(Fault::LoseRequest);
    let answer = write(&*faulty, vec![Op::put(ground.key("k"), "1")]).await;
    ensure!(matches!(answer, Err(StoreError::Unknown(_))), "answered {answer:?}");
    ensure!(ground.get("k").await?.is_none(), "the write landed");
    Ok(())
}

pub(super) async fn a_held_write_loses_to_a_newer_one(ground: Ground<'_>) -> Result<(), Failure> {
    let seen = ground.put("leader", "old").await?;
    let faulty = Faulty::new(ground.other());
    faulty.set(Fault::HoldRequest);
    let key = ground.key("leader");
    let late = {
        let (faulty, key) = (faulty.clone(), key.clone());
        async move { write_if(&*faulty, Compare::ModRevision(key.clone(), seen), vec![Op::put(key, "late")]).await }
    };
    let newer = async {
        within(async {
            while faulty.held() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        })
        .await?;
        let answer = write_if(&*ground.store, Compare::ModRevision(key.clone(), seen), vec![Op::put(key.clone(), "new")]).await;
        faulty.let_go();
        Ok::<_, Failure>(answer?)
    };
    let (late, newer) = tokio::join!(late, newer);
    let (late, newer) = (late?, newer?);
    ensure!(newer.succeeded, "the newer write lost to one that was not sent yet");
    ensure!(!late.succeeded, "the late write passed a comparison that no longer holds");
    let value = ground.store.get(&key, PATIENCE).await?.map(|kv| kv.value);
    ensure!(value.as_deref() == Some(b"new"), "the key is {value:?}");
    Ok(())
}
