//! Watches: every change once, in order, without gaps.

use super::check::{Failure, Ground, PATIENCE, ensure, next, within, write};
use crate::{Change, Clock, Mirror, Op};
use tanist_engine::Revision;

fn value(changes: &[Change]) -> Option<&[u8]> {
    match changes {
        [Change::Put(kv)] => Some(&kv.value),
        _ => None,
    }
}

pub(super) async fn every_change_once_in_order(ground: Ground<'_>) -> Result<(), Failure> {
    let before = ground.put("before", "0").await?;
    let mut watch = ground.watch(Revision(before.0 + 1)).await?;
    let writers = (0..4).map(|writer| {
        let (store, key) = (ground.other(), ground.key(&format!("k{writer}")));
        async move {
            let mut revisions = Vec::new();
            for round in 0..25 {
                revisions.push(write(&*store, vec![Op::put(key.clone(), format!("{round}"))]).await?.revision);
            }
            Ok::<_, Failure>(revisions)
        }
    });
    let mut written = Vec::new();
    for revisions in futures_util::future::join_all(writers).await {
        written.extend(revisions?);
    }
    written.sort_unstable();
    for (place, expected) in written.iter().enumerate() {
        let (revision, changes) = next(&mut watch).await?;
        ensure!(revision == *expected, "place {place}: the watch shows revision {revision}, {expected} is next");
        ensure!(changes.len() == 1, "revision {revision} has {} changes", changes.len());
    }
    write(&*ground.store, vec![Op::Delete(ground.key("k0"))]).await?;
    let (revision, changes) = next(&mut watch).await?;
    ensure!(changes == [Change::Delete { key: ground.key("k0") }], "a deletion is shown as {changes:?} at {revision}");
    Ok(())
}

pub(super) async fn a_watch_from_the_past_misses_nothing(ground: Ground<'_>) -> Result<(), Failure> {
    let mut written = Vec::new();
    for round in 0..20 {
        written.push(ground.put("k", &round.to_string()).await?);
    }
    for (place, from) in written.iter().enumerate() {
        let mut watch = ground.watch(*from).await?;
        for expected in &written[place..] {
            let (revision, _) = next(&mut watch).await?;
            ensure!(revision == *expected, "from {from}: shows {revision}, {expected} is next");
        }
    }
    Ok(())
}

pub(super) async fn changes_of_one_revision_come_together(ground: Ground<'_>) -> Result<(), Failure> {
    let before = ground.put("gone", "0").await?;
    let mut watch = ground.watch(Revision(before.0 + 1)).await?;
    let ops = vec![Op::put(ground.key("a"), "1"), Op::put(ground.key("b"), "1"), Op::Delete(ground.key("gone"))];
    let written = write(&*ground.store, ops).await?.revision;
    let (revision, changes) = next(&mut watch).await?;
    ensure!(revision == written, "written at {written}, shown at {revision}");
    let mut keys: Vec<_> = changes.iter().map(Change::key).collect();
    keys.sort_unstable();
    ensure!(keys == [ground.key("a"), ground.key("b"), ground.key("gone")], "shown together: {keys:?}");
    Ok(())
}

pub(super) async fn a_prefix_is_a_prefix(ground: Ground<'_>) -> Result<(), Failure> {
    let before = ground.put("x", "0").await?;
    let mut watch = ground.store.watch(&ground.key("in/"), Revision(before.0 + 1), PATIENCE).await?;
    ground.put("im", "1").await?;
    ground.put("in", "1").await?;
    ground.put("io", "1").await?;
    let mixed = vec![Op::put(ground.key("out"), "1"), Op::put(ground.key("in/1"), "1")];
    let written = write(&*ground.store, mixed).await?.revision;
    let (revision, changes) = next(&mut watch).await?;
    ensure!(revision == written && value(&changes) == Some(b"1"), "shown first: {changes:?} at {revision}, wanted {written}");
    Ok(())
}

pub(super) async fn many_watchers_see_the_same(ground: Ground<'_>) -> Result<(), Failure> {
    let before = ground.put("k", "0").await?;
    let mut watches = Vec::new();
    for _ in 0..8 {
        watches.push(ground.other().watch(&ground.prefix, Revision(before.0 + 1), PATIENCE).await?);
    }
    let mut written = Vec::new();
    for round in 0..50 {
        written.push(ground.put("k", &round.to_string()).await?);
    }
    for watch in &mut watches {
        for expected in &written {
            let (revision, _) = next(watch).await?;
            ensure!(revision == *expected, "shows {revision}, {expected} is next");
        }
    }
    Ok(())
}

pub(super) async fn a_mirror_follows(ground: Ground<'_>) -> Result<(), Failure> {
    ground.put("before", "0").await?;
    let mirror = Mirror::spawn(ground.other(), ground.prefix.clone(), Clock::system(), PATIENCE);
    let mut changed = mirror.subscribe();
    ground.put("k", "1").await?;
    write(&*ground.store, vec![Op::Delete(ground.key("before"))]).await?;
    let last = ground.put("k", "2").await?;
    let snapshot = within(async {
        let found = changed.wait_for(|snapshot| snapshot.revision >= last).await;
        found.map(|snapshot| snapshot.clone()).map_err(|_| Failure::new("the mirror has ended"))
    })
    .await?;
    let keys: Vec<_> = snapshot.keys.keys().collect();
    ensure!(keys == [&ground.key("k")], "the mirror shows {keys:?}");
    let seen = snapshot.get(&ground.key("k")).map(|seen| seen.kv.mod_revision);
    ensure!(seen == Some(last), "the mirror shows revision {seen:?}, written at {last}");
    Ok(())
}
