//! Revisions, comparisons, transactions, reads.

use super::check::{Failure, Ground, PATIENCE, ensure, write, write_if};
use crate::{Compare, MAX_VALUE, Op, StoreError, Txn};
use futures_util::future::join_all;
use tanist_engine::Revision;

pub(super) async fn a_key_carries_its_revisions(ground: Ground<'_>) -> Result<(), Failure> {
    ensure!(ground.get("k").await?.is_none(), "the key is there before it was written");
    let first = ground.put("k", "1").await?;
    let second = ground.put("k", "2").await?;
    ensure!(first.0 > 0 && second > first, "revisions must grow: {first}, then {second}");
    let kv = ground.get("k").await?.ok_or_else(|| Failure::new("the key is not there"))?;
    ensure!(kv.value == b"2", "another value: {:?}", kv.value);
    ensure!((kv.create_revision, kv.mod_revision) == (first, second), "wrong revisions: {kv:?}, written at {first} and {second}");
    write(&*ground.store, vec![Op::Delete(ground.key("k"))]).await?;
    let third = ground.put("k", "3").await?;
    let kv = ground.get("k").await?.ok_or_else(|| Failure::new("the key is not there"))?;
    ensure!(kv.create_revision == third, "created anew at {third}, but says {}", kv.create_revision);
    Ok(())
}

pub(super) async fn all_or_nothing(ground: Ground<'_>) -> Result<(), Failure> {
    let seen = ground.put("a", "1").await?;
    let txn = |revision| Txn {
        compares: vec![Compare::ModRevision(ground.key("a"), revision), Compare::Absent(ground.key("b"))],
        then: vec![Op::put(ground.key("a"), "2"), Op::put(ground.key("b"), "2")],
        otherwise: vec![Op::Get(ground.key("a")), Op::Get(ground.key("b"))],
    };
    let refused = ground.store.txn(txn(Revision(seen.0 + 1)), PATIENCE).await?;
    ensure!(!refused.succeeded, "a comparison that does not hold was passed");
    ensure!(refused.reads.len() == 2 && refused.reads[1].is_none(), "the other branch read {:?}", refused.reads);
    ensure!(ground.get("b").await?.is_none(), "written although the comparison did not hold");
    let done = ground.store.txn(txn(seen), PATIENCE).await?;
    ensure!(done.succeeded && done.revision > seen, "the write answered {done:?} after {seen}");
    for name in ["a", "b"] {
        let revision = ground.get(name).await?.map(|kv| kv.mod_revision);
        ensure!(revision == Some(done.revision), "{name} has revision {revision:?}, the write {}", done.revision);
    }
    Ok(())
}

pub(super) async fn compare_and_set_lets_one_of_many_win(ground: Ground<'_>) -> Result<(), Failure> {
    let mut seen = Revision(0);
    for round in 0..10 {
        let tries = (0..8).map(|who| {
            let store = ground.other();
            let txn = Txn {
                compares: vec![Compare::ModRevision(ground.key("leader"), seen)],
                then: vec![Op::put(ground.key("leader"), format!("node {who} of round {round}"))],
                otherwise: vec![Op::Get(ground.key("leader"))],
            };
            async move { (who, store.txn(txn, PATIENCE).await) }
        });
        let mut winner = None;
        let mut others = Vec::new();
        for (who, answer) in join_all(tries).await {
            let answer = answer?;
            if answer.succeeded {
                ensure!(winner.is_none(), "two of the same race won");
                winner = Some((who, answer.revision));
            } else {
                others.extend(answer.reads.into_iter().flatten());
            }
        }
        let Some((who, revision)) = winner else { return Err(Failure::new("nobody won")) };
        for kv in others {
            ensure!(kv.value == format!("node {who} of round {round}").as_bytes(), "a loser was shown {kv:?}, node {who} won");
        }
        seen = revision;
    }
    Ok(())
}

pub(super) async fn every_comparison_means_what_it_says(ground: Ground<'_>) -> Result<(), Failure> {
    let created = ground.put("k", "old").await?;
    let written = ground.put("k", "v").await?;
    let (here, absent) = (ground.key("k"), ground.key("none"));
    let cases = [
        (Compare::Absent(absent.clone()), true),
        (Compare::Absent(here.clone()), false),
        (Compare::ModRevision(here.clone(), written), true),
        (Compare::ModRevision(here.clone(), created), false),
        (Compare::ModRevision(here.clone(), Revision(0)), false),
        (Compare::ModRevision(absent.clone(), Revision(0)), true),
        (Compare::CreateRevision(here.clone(), created), true),
        (Compare::CreateRevision(here.clone(), written), false),
        (Compare::CreateRevision(absent.clone(), Revision(0)), true),
        (Compare::Value(here.clone(), b"v".to_vec()), true),
        (Compare::Value(here, b"old".to_vec()), false),
        (Compare::Value(absent, b"v".to_vec()), false),
    ];
    for (compare, holds) in cases {
        let answer = write_if(&*ground.store, compare.clone(), Vec::new()).await?;
        ensure!(answer.succeeded == holds, "{compare:?} should be {holds}");
    }
    Ok(())
}

pub(super) async fn operations_see_those_before_them(ground: Ground<'_>) -> Result<(), Failure> {
    ground.put("gone", "1").await?;
    let ops = vec![
        Op::Get(ground.key("gone")),
        Op::put(ground.key("new"), "1"),
        Op::Delete(ground.key("gone")),
        Op::Get(ground.key("new")),
        Op::Get(ground.key("gone")),
    ];
    let answer = write(&*ground.store, ops).await?;
    let there: Vec<bool> = answer.reads.iter().map(Option::is_some).collect();
    ensure!(there == [true, true, false], "reads found {there:?}");
    let before = write(&*ground.store, Vec::new()).await?.revision;
    let nothing = write(&*ground.store, vec![Op::Delete(ground.key("gone"))]).await?;
    ensure!(nothing.revision == before, "deleting what is not there took revision {} after {before}", nothing.revision);
    Ok(())
}

pub(super) async fn a_list_is_one_revision(ground: Ground<'_>) -> Result<(), Failure> {
    for name in ["b", "a", "c/d"] {
        ground.put(name, name).await?;
    }
    let last = ground.put("b", "again").await?;
    let listing = ground.other().list(&ground.prefix, PATIENCE).await?;
    let names: Vec<_> = listing.items.iter().map(|kv| kv.key.trim_start_matches(&ground.prefix)).collect();
    ensure!(names == ["a", "b", "c/d"], "listed {names:?}");
    ensure!(listing.revision == last, "listed at {}, the last write was {last}", listing.revision);
    let nothing = ground.store.list(&ground.key("nothing"), PATIENCE).await?;
    ensure!(nothing.items.is_empty() && nothing.revision == last, "an empty list has a revision too: {nothing:?}");
    Ok(())
}

pub(super) async fn reads_see_what_others_wrote(ground: Ground<'_>) -> Result<(), Failure> {
    let other = ground.other();
    for round in 0..50 {
        let written = ground.put("k", &round.to_string()).await?;
        let read = other.get(&ground.key("k"), PATIENCE).await?.map(|kv| kv.mod_revision);
        ensure!(read == Some(written), "round {round}: written at {written}, another connection reads {read:?}");
    }
    Ok(())
}

pub(super) async fn an_impossible_request_is_refused(ground: Ground<'_>) -> Result<(), Failure> {
    let twice = vec![Op::put(ground.key("k"), "1"), Op::put(ground.key("k"), "2")];
    let big = vec![Op::put(ground.key("k"), vec![b'x'; 4 * MAX_VALUE])];
    for (what, ops) in [("a key written twice", twice), ("a value far too large", big)] {
        match write(&*ground.store, ops).await {
            Err(StoreError::Refused(_)) => {}
            other => return Err(Failure::new(format!("{what} was answered by {other:?}"))),
        }
    }
    ensure!(ground.get("k").await?.is_none(), "refused and carried out");
    Ok(())
}
