//! Whom commits really wait for: `synchronous_standby_names` as every process has it, not as `SHOW` says.
//!
//! What a commit does is decided in three places. The backend waits if the shared flag "standbys are defined" is set, which only the
//! checkpointer changes, when it reads the configuration. A walsender releases waiting backends, by its own copy of the
//! configuration: if its own priority (in shared memory, set from that copy) is not zero, up to where the first of all
//! walsenders with a priority has flushed, by its copy's number and method.
//! So the names are in force when:
//!
//! 1. *the postmaster has read them and signalled everybody*: a session that was forked afterwards has them. It was, if the
//!    configuration it has was loaded before it began; the postmaster signals all children in one go and forks none in between;
//!    every later child is born with the names;
//! 2. *the checkpointer has read them* ([`crate::checkpointer`]). Not needed where the flag is known to be right already:
//!    between two settings that both name somebody it does not change;
//! 3. *every walsender has the priority that the names give it.* A walsender whose flush position is not known shows none, so
//!    it must be seen to have read the configuration. One that has not begun to stream reads it before it does;
//! 4. *the file says so too*: an agent that died between writing and reloading has left other names, which the next reload of whoever
//!    brings in force;
//! 5. *every walsender has the method and number of the names.* Nothing shows these. Where they are known to be what they were before,
//!    nothing is to be done; where not, every walsender must be seen to have read the configuration.

use crate::{SessionError, Settings, checkpointer, names, names::Form, session::Session};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tanist_engine::SyncNames;
use tokio::time::timeout;

/// Between two reloads that a check asks for.
const RELOAD_AGAIN: Duration = Duration::from_secs(1);

/// What is known of the names in force; shared by the probes and by whoever changes the names.
#[derive(Clone, Debug, Default)]
pub struct InForce(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Counts changes: a check that began before one says nothing after it.
    generation: u64,
    /// Found by a check; the configuration was loaded at this time by the kept session of the server that started at that time.
    found: Option<(Loaded, SyncNames)>,
    /// The flag in shared memory of the server that started at this time.
    flag: Option<(i64, bool)>,
    /// Method and number that every walsender of the server that started at this time has.
    form: Option<(i64, Form)>,
    /// When a check last asked for a reload.
    reloaded: Option<Instant>,
}

/// When the server started and when the kept session loaded its configuration, in microseconds of the server's clock. Compared for
/// equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    pub(crate) started: i64,
    pub(crate) loaded: i64,
}

/// A walsender, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) pid: i32,
    pub(crate) name: String,
    pub(crate) priority: i32,
    pub(crate) flush_known: bool,
    /// Streams or catches up; a base backup or a connection that has not begun releases nobody.
    pub(crate) sends: bool,
}

impl InForce {
    /// Names are about to be changed: what is known says nothing any more.
    pub fn changing(&self) {
        let mut known = self.lock();
        known.generation += 1;
        known.found = None;
    }

    /// Files that the server refuses stay as they are, whatever is asked of it.
    fn may_reload(&self) -> bool {
        let mut known = self.lock();
        let may = known.reloaded.is_none_or(|at| at.elapsed() >= RELOAD_AGAIN);
        if may {
            known.reloaded = Some(Instant::now());
        }
        may
    }

    /// Nothing has been changed since the last check.
    pub(crate) fn stands(&self) -> bool {
        self.lock().found.is_some()
    }

    /// The names in force, where a check has found them and nothing has changed since.
    pub(crate) fn cached(&self, loaded: Loaded, shown: &str, senders: &[Sender]) -> Option<SyncNames> {
        let known = self.lock();
        let (at, names) = known.found.as_ref()?;
        (*at == loaded && names::parse(shown).as_ref() == Some(names) && have_priorities(names, senders)).then(|| names.clone())
    }

    /// Whether a check would tell something new while the server is in recovery.
    pub(crate) fn knows_flag(&self, started: i64) -> bool {
        self.lock().flag.is_some_and(|(at, _)| at == started)
    }

    /// Checks anew, and remembers the result for the kept session's `loaded`, which must have been read before.
    pub(crate) async fn refresh(
        &self,
        settings: &Settings,
        loaded: Loaded,
        limit: Duration,
    ) -> Result<Option<SyncNames>, SessionError> {
        let generation = self.lock().generation;
        let found = self.check(settings, limit).await?;
        let mut known = self.lock();
        if known.generation != generation {
            return Ok(None);
        }
        known.found = found.clone().map(|names| (loaded, names));
        Ok(found)
    }

    /// One check in a new session; `None`: not (yet) in force, or not ours.
    pub(crate) async fn check(&self, settings: &Settings, limit: Duration) -> Result<Option<SyncNames>, SessionError> {
        let session = Session::open(settings, limit).await?;
        let generation = self.lock().generation;
        let found = self.look(&session, generation, limit).await;
        session.close().await;
        found
    }

    async fn look(&self, session: &Session, generation: u64, limit: Duration) -> Result<Option<SyncNames>, SessionError> {
        let row = timeout(limit, session.client.query_one(SQL, &[])).await.map_err(|_| SessionError::Timeout(limit))??;
        let inherited: bool = row.try_get("inherited")?;
        let filed: bool = row.try_get("filed")?;
        if !filed && self.may_reload() {
            // Whoever wrote the file has not come to this, or is about to.
            let reload = session.client.query_one("SELECT pg_reload_conf()", &[]);
            timeout(limit, reload).await.map_err(|_| SessionError::Timeout(limit))??;
        }
        let Some(names) = names::parse(row.try_get("names")?).filter(|_| inherited && filed) else { return Ok(None) };
        let senders = senders(&row)?;
        if !have_priorities(&names, &senders) {
            return Ok(None);
        }
        let (started, flag) = (row.try_get("started")?, names != SyncNames::Nobody);
        let checkpointer: Option<i32> = row.try_get("checkpointer")?;
        let form = names::form(&names);
        let form_known = self.lock().form == Some((started, form));
        let is_doubtful = |one: &&Sender| one.sends && !(one.flush_known && form_known);
        let mut doubtful: Vec<i32> = senders.iter().filter(is_doubtful).map(|one| one.pid).collect();
        let flag_known = self.lock().flag == Some((started, flag));
        if !flag_known {
            let Some(pid) = checkpointer else { return Ok(None) };
            doubtful.push(pid);
        }
        if !doubtful.is_empty() && !checkpointer::have_reloaded(session, &doubtful, limit.min(Duration::from_millis(500))).await?
        {
            return Ok(None);
        }
        let mut known = self.lock();
        if known.generation != generation {
            return Ok(None);
        }
        (known.flag, known.form) = (Some((started, flag)), Some((started, form)));
        Ok(Some(names))
    }

    /// A change to these names begins: a flag, a method or a number that they change are not known until a check has seen them.
    pub(crate) fn forget_unless(&self, names: &SyncNames) {
        let mut known = self.lock();
        known.flag = known.flag.filter(|(_, flag)| *flag == (*names != SyncNames::Nobody));
        known.form = known.form.filter(|(_, form)| *form == names::form(names));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn have_priorities(names: &SyncNames, senders: &[Sender]) -> bool {
    senders.iter().filter(|sender| sender.flush_known).all(|sender| sender.priority == names::priority(names, &sender.name))
}

const SQL: &str = "\
SELECT current_setting('synchronous_standby_names') AS names,
       pg_conf_load_time() < me.backend_start AS inherited,
       (SELECT source = 'command line' FROM pg_settings WHERE name = 'synchronous_standby_names')
         OR current_setting('synchronous_standby_names') = coalesce(
           (SELECT setting FROM pg_file_settings WHERE name = 'synchronous_standby_names' ORDER BY seqno DESC LIMIT 1), '') AS filed,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 AS started,
       (SELECT pid FROM pg_stat_activity \
         WHERE backend_type = 'checkpointer' LIMIT 1) AS checkpointer,
       s.pids, s.applications, s.priorities, s.flush_known, s.sends
  FROM pg_stat_get_activity(pg_backend_pid()) AS me,
       (SELECT array_agg(pid) AS pids, array_agg(application_name) AS applications, array_agg(sync_priority) AS priorities,
               array_agg(flush_lsn IS NOT NULL) AS flush_known, array_agg(state IN ('streaming', 'catchup')) AS sends
          FROM pg_stat_replication) AS s";

/// Reads the walsender columns that both this check and the probe's row have.
pub(crate) fn senders(row: &tokio_postgres::Row) -> Result<Vec<Sender>, SessionError> {
    let pids: Option<Vec<i32>> = row.try_get("pids")?;
    let names: Option<Vec<Option<String>>> = row.try_get("applications")?;
    let priorities: Option<Vec<Option<i32>>> = row.try_get("priorities")?;
    let flush_known: Option<Vec<bool>> = row.try_get("flush_known")?;
    let sends: Option<Vec<Option<bool>>> = row.try_get("sends")?;
    let (Some(pids), Some(names), Some(priorities), Some(flush_known), Some(sends)) =
        (pids, names, priorities, flush_known, sends)
    else {
        return Ok(Vec::new());
    };
    let rest = names.into_iter().zip(priorities).zip(flush_known).zip(sends);
    let senders = pids.into_iter().zip(rest).map(|(pid, (((name, priority), flush_known), sends))| Sender {
        pid,
        name: name.unwrap_or_default(),
        priority: priority.unwrap_or(0),
        flush_known,
        sends: sends.unwrap_or(true),
    });
    Ok(senders.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(name: &str, priority: i32, flush_known: bool) -> Sender {
        Sender { pid: 1, name: name.into(), priority, flush_known, sends: true }
    }

    #[test]
    fn every_walsender_must_agree() {
        let names = SyncNames::one("b".into());
        assert!(have_priorities(&names, &[sender("b", 1, true), sender("c", 0, true), sender("c", 7, false)]));
        assert!(!have_priorities(&names, &[sender("b", 0, true)]), "b has not heard of it");
        assert!(!have_priorities(&names, &[sender("b", 1, true), sender("c", 1, true)]), "c still believes it counts");
        assert!(!have_priorities(&SyncNames::Reserved, &[sender("b", 1, true)]));
    }

    #[test]
    fn what_was_found_ends_with_any_change() {
        let in_force = InForce::default();
        let at = Loaded { started: 1, loaded: 2 };
        let names = SyncNames::Reserved;
        let text = names::render(&names);
        in_force.lock().found = Some((at, names.clone()));
        assert_eq!(in_force.cached(at, &text, &[]), Some(names));
        assert_eq!(in_force.cached(Loaded { loaded: 3, ..at }, &text, &[]), None, "reloaded since");
        assert_eq!(in_force.cached(at, "", &[]), None, "shows something else");
        assert_eq!(in_force.cached(at, &text, &[sender("b", 1, true)]), None, "a walsender disagrees");
        in_force.changing();
        assert_eq!(in_force.cached(at, &text, &[]), None);
    }
}
