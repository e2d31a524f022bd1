//! Physical replication slots: one for each member that streams from here, and those that the operator wants to keep.
//!
//! A slot keeps WAL for a standby that is away. Only slots that this node has made are ever dropped. Logical slots are not touched.

use crate::{SessionError, Settings, quote::literal, session::Session};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tanist_engine::Lsn;
use tokio::time::timeout;

/// The longest name of a slot that PostgreSQL takes.
const LONGEST: usize = 63;

/// A slot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// For a standby, not for logical decoding.
    pub physical: bool,
    /// Somebody streams through it.
    pub active: bool,
    /// WAL is kept from here on; `None`: none is reserved.
    pub restart: Option<Lsn>,
    /// How much WAL that is, bytes.
    pub retained: u64,
    /// Its WAL has exceeded `max_slot_wal_keep_size` and is gone.
    pub lost: bool,
}

/// What is to be done with a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make it, and keep WAL from now on.
    Create(String),
    /// Remove it.
    Drop(String),
    /// Let go of what lies before; on a standby, whose slots nobody uses.
    Advance(String, Lsn),
}

/// The slot of a member, by Patroni's rule: its name in small letters, `-` and `.` as `_`, any other character as its number.
pub fn name_of_member(member: &str) -> String {
    let mut name = String::new();
    for c in member.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => name.push(c),
            '-' | '.' => name.push('_'),
            other => name.push_str(&format!("u{:04}", u32::from(other))),
        }
    }
    name.truncate(LONGEST);
    name
}

/// What makes of the slots that are there those that are wanted. `wanted` says how far the leader's slot is, on a standby; `own` are the
/// names that this node has made slots for.
pub fn plan(there: &[Slot], wanted: &BTreeMap<String, Option<Lsn>>, own: &BTreeSet<String>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, reached) in wanted {
        match there.iter().find(|slot| slot.name == *name) {
            None => changes.push(Change::Create(name.clone())),
            Some(slot) if !slot.physical || slot.active => {}
            Some(slot) if slot.lost => changes.extend([Change::Drop(name.clone()), Change::Create(name.clone())]),
            Some(slot) => {
                let (Some(reached), Some(restart)) = (reached, slot.restart) else { continue };
                if *reached > restart {
                    changes.push(Change::Advance(name.clone(), *reached));
                }
            }
        }
    }
    let gone = |slot: &&Slot| slot.physical && !slot.active && own.contains(&slot.name) && !wanted.contains_key(&slot.name);
    changes.extend(there.iter().filter(gone).map(|slot| Change::Drop(slot.name.clone())));
    changes
}

/// The slots that are there, without temporary ones.
pub async fn look(settings: &Settings, limit: Duration) -> Result<Vec<Slot>, SessionError> {
    let session = Session::open(settings, limit).await?;
    let sql = "SELECT slot_name::text, slot_type = 'physical', active, restart_lsn, \
               coalesce(wal_status = 'lost', false), \
               coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, \
               restart_lsn)::int8, 0) FROM pg_replication_slots WHERE NOT temporary";
    let rows = timeout(limit, session.client.query(sql, &[])).await.map_err(|_| SessionError::Timeout(limit))??;
    let slot = |row: &tokio_postgres::Row| -> Result<Slot, tokio_postgres::Error> {
        let restart: Option<tokio_postgres::types::PgLsn> = row.try_get(3)?;
        Ok(Slot {
            name: row.try_get(0)?,
            physical: row.try_get(1)?,
            active: row.try_get(2)?,
            restart: restart.map(|lsn| Lsn(u64::from(lsn))),
            lost: row.try_get(4)?,
            retained: u64::try_from(row.try_get::<_, i64>(5)?).unwrap_or(0),
        })
    };
    let slots = rows.iter().map(slot).collect::<Result<_, _>>()?;
    session.close().await;
    Ok(slots)
}

/// Carries the changes out, each by itself: one that fails holds no other up. What failed, in words.
pub async fn apply(
    settings: &Settings,
    changes: &[Change],
    limit: Duration,
) -> Result<Vec<(Change, SessionError)>, SessionError> {
    let mut failed = Vec::new();
    if changes.is_empty() {
        return Ok(failed);
    }
    let session = Session::open(settings, limit).await?;
    for change in changes {
        let sql = match change {
            Change::Create(name) => format!("SELECT pg_create_physical_replication_slot({}, true)", literal(name)),
            Change::Drop(name) => format!("SELECT pg_drop_replication_slot({})", literal(name)),
            Change::Advance(name, to) => format!("SELECT pg_replication_slot_advance({}, '{to}')", literal(name)),
        };
        match timeout(limit, session.client.batch_execute(&sql)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed.push((change.clone(), error.into())),
            Err(_) => return Err(SessionError::Timeout(limit)),
        }
    }
    session.close().await;
    Ok(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str, restart: u64) -> Slot {
        Slot { name: name.into(), physical: true, active: false, restart: Some(Lsn(restart)), retained: 0, lost: false }
    }

    fn wanted(list: &[(&str, Option<u64>)]) -> BTreeMap<String, Option<Lsn>> {
        list.iter().map(|(name, lsn)| ((*name).to_owned(), lsn.map(Lsn))).collect()
    }

    #[test]
    fn names_as_patroni_makes_them() {
        assert_eq!(name_of_member("Node-1.example"), "node_1_example");
        assert_eq!(name_of_member("a b"), "au0032b");
        assert_eq!(name_of_member("é"), "u0233");
        assert_eq!(name_of_member(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_ours_and_unwanted_goes() {
        let active = Slot { active: true, ..slot("busy", 5) };
        let there = [slot("gone", 5), slot("foreign", 5), active, Slot { physical: false, ..slot("logical", 5) }];
        let own = ["gone", "busy", "logical"].map(str::to_owned).into();
        let changes = plan(&there, &wanted(&[("new", None)]), &own);
        assert_eq!(changes, [Change::Create("new".into()), Change::Drop("gone".into())]);
    }

    #[test]
    fn a_slot_that_nobody_uses_follows_the_leader_s_and_never_goes_back() {
        let there = [slot("a", 5), slot("b", 9), Slot { active: true, ..slot("c", 5) }, Slot { restart: None, ..slot("d", 0) }];
        let all = wanted(&[("a", Some(8)), ("b", Some(8)), ("c", Some(8)), ("d", Some(8))]);
        assert_eq!(plan(&there, &all, &BTreeSet::new()), [Change::Advance("a".into(), Lsn(8))]);
        let leads = wanted(&[("a", None), ("b", None), ("c", None), ("d", None)]);
        assert_eq!(plan(&there, &leads, &BTreeSet::new()), []);
    }

    #[test]
    fn one_whose_wal_is_gone_is_made_anew() {
        let there = [Slot { lost: true, ..slot("a", 5) }];
        let made = [Change::Drop("a".into()), Change::Create("a".into())];
        assert_eq!(plan(&there, &wanted(&[("a", None)]), &BTreeSet::new()), made);
    }
}
