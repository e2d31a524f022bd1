//! What the operator wants of PostgreSQL, on its way into the running server: judged, written, read again.
//!
//! A task of its own, which follows two things: the wishes (of the dynamic configuration and of this node's file) and the server. Values
//! that PostgreSQL would refuse are replaced by the last good ones before anybody can start a server with them. Whom the server follows
//! and whom commits wait for is not touched ([`configure::rewrite`]). What waits for a restart is never done here.

use super::{GuardLink, PostgresLink};
use crate::run::{Fact, Facts};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tanist_engine::Postgres;
use tanist_postgres::{ControlData, SessionError, Settings, accepted, configure, plan, signal, sql};
use tokio::sync::watch;

/// For the judgement, and for each question to the server.
const LIMIT: Duration = Duration::from_secs(3);
/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The agent's end. Cheap to clone.
#[derive(Clone)]
pub struct LiveLink {
    wishes: watch::Sender<(u64, Arc<Settings>)>,
    judged: watch::Receiver<u64>,
    complaints: Complaints,
}

/// What cannot be obeyed, for people.
#[derive(Clone, Default)]
struct Complaints(Arc<Mutex<[Vec<String>; 6]>>);

/// Whose complaints: each replaces its own.
#[derive(Clone, Copy)]
enum Source {
    Reading = 0,
    Values = 1,
    Server = 2,
    Stored = 3,
    File = 4,
    Ignored = 5,
}

impl Complaints {
    fn put(&self, from: Source, lines: Vec<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all[from as usize] != lines {
            for line in &lines {
                tracing::error!("{line}");
            }
            if lines.is_empty() {
                tracing::info!("the configuration can be obeyed again");
            }
            all[from as usize] = lines;
        }
    }

    fn put_silently(&self, from: Source, lines: Vec<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[from as usize] = lines;
    }
}

impl LiveLink {
    /// Starts the task. The settings that `postgres` has now are the first wish.
    pub fn start(postgres: PostgresLink, guard: GuardLink, facts: Facts) -> Self {
        let good = postgres.settings();
        let (wishes, seen) = watch::channel((1, good.clone()));
        let (done, judged) = watch::channel(0);
        let complaints = Complaints::default();
        // An agent before this one may have written what it did not tell the server any more.
        let unread = guard.postmaster().is_some();
        let task = Live {
            postgres,
            guard,
            facts,
            complaints: complaints.clone(),
            done,
            good,
            bad_rules: None,
            unread,
            silent: unread,
            applied: None,
        };
        tokio::spawn(task.run(seen));
        Self { wishes, judged, complaints }
    }

    /// From now on this is wanted.
    pub fn want(&self, settings: Settings) {
        self.wishes.send_modify(|(number, wish)| (*number, *wish) = (*number + 1, Arc::new(settings)));
    }

    /// Waits until the last wish has been judged: before a server may be started with it.
    pub async fn settled(&self) {
        let (number, mut judged) = (self.wishes.borrow().0, self.judged.clone());
        if tokio::time::timeout(LIMIT, judged.wait_for(|judged| *judged >= number)).await.is_err() {
            tracing::warn!("PostgreSQL's configuration has not been judged in time");
        }
    }

    /// This node's file cannot be read; nothing: it can.
    pub fn file_unreadable(&self, why: Option<String>) {
        self.complaints.put(Source::File, why.into_iter().collect());
    }

    /// The configuration in the store cannot be read; nothing: it can.
    pub fn unreadable(&self, why: Option<String>) {
        self.complaints.put(Source::Reading, why.into_iter().collect());
    }

    /// Values in the store that cannot be read, by key. Whoever reads them has logged it.
    pub fn stored(&self, unreadable: &BTreeMap<String, String>) {
        let lines =
            unreadable.iter().map(|(key, why)| format!("{key} cannot be read: {why}; the last good value stays in force"));
        self.complaints.put_silently(Source::Stored, lines.collect());
    }

    /// Options of the configuration in the store that have no effect. Whoever reads it has logged them.
    pub fn ignored(&self, lines: Vec<String>) {
        self.complaints.put_silently(Source::Ignored, lines);
    }

    /// What is not obeyed, one line each.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.0.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }
}

struct Live {
    postgres: PostgresLink,
    guard: GuardLink,
    facts: Facts,
    complaints: Complaints,
    done: watch::Sender<u64>,
    /// Accepted last.
    good: Arc<Settings>,
    /// Lines of pg_hba.conf that the server itself could not read, and those that it has instead.
    bad_rules: Option<(Vec<String>, Vec<String>)>,
    /// The server has not been told of what was written.
    unread: bool,
    /// It is told, and nobody else is: nothing was asked for.
    silent: bool,
    /// The wish that this server has.
    applied: Option<(u64, i32)>,
}

impl Live {
    async fn run(mut self, mut wishes: watch::Receiver<(u64, Arc<Settings>)>) {
        let mut found = self.postgres.found();
        loop {
            let (number, wish) = wishes.borrow_and_update().clone();
            if *self.done.borrow() != number {
                self.judge(&wish).await;
                self.done.send_replace(number);
            }
            let again = match self.apply(number).await {
                Ok(()) => Duration::MAX,
                Err(why) => {
                    tracing::warn!("PostgreSQL's configuration is not in force yet: {why}");
                    PAUSE
                }
            };
            tokio::select! {
                changed = wishes.changed() => if changed.is_err() { return },
                changed = found.changed(), if again == Duration::MAX => if changed.is_err() { return },
                () = tokio::time::sleep(again), if again != Duration::MAX => {}
            }
        }
    }

    /// Replaces what PostgreSQL would refuse.
    async fn judge(&mut self, wish: &Settings) {
        let mut settings = wish.clone();
        if let Some((bad, instead)) = &self.bad_rules
            && settings.pg_hba == *bad
        {
            settings.pg_hba = instead.clone();
        } else {
            self.bad_rules = None;
            self.complaints.put(Source::Server, Vec::new());
        }
        match accepted::accept(&mut settings, &self.good, LIMIT).await {
            Ok(refused) => self.complaints.put(Source::Values, refused.iter().map(ToString::to_string).collect()),
            Err(error) => tracing::warn!("PostgreSQL's parameters are taken as they are: {error}"),
        }
        self.good = Arc::new(settings.clone());
        self.postgres.configure(settings);
    }

    /// Brings what is wanted into the server that runs, if one does. Nothing is done twice.
    async fn apply(&mut self, number: u64) -> Result<(), String> {
        // Also one that lets nobody in: rules that correct this must reach it.
        let answers = matches!(&*self.postgres.found().borrow(), Postgres::Running(_)) || self.postgres.refuses_login();
        let Some(pid) = self.guard.postmaster().filter(|_| answers) else { return Ok(()) };
        if self.applied == Some((number, pid)) {
            return Ok(());
        }
        let settings = self.good.clone();
        let before = blocking(&settings, configure::rules).await?;
        let written = blocking(&settings, configure::rewrite).await?.map_err(|error| error.to_string())?;
        match written {
            Some(changed) => self.unread |= changed,
            None => tracing::info!("PostgreSQL's configuration is written at its next start"),
        }
        // What is on its command line a server only compares with the file when it reads it again: then it says what waits.
        let new = self.applied.is_none_or(|(_, known)| known != pid);
        if new && !self.unread && is_held_up(&settings).await {
            (self.unread, self.silent) = (true, true);
        }
        if self.unread {
            match sql::rules_fault(&settings, LIMIT).await {
                Ok(None) => {}
                Ok(Some(fault)) => self.take_rules_back(&settings, before, fault).await?,
                // It cannot be asked, and keeps the rules that it has if it cannot read others.
                Err(error @ SessionError::Refused { .. }) => tracing::warn!("the rules in pg_hba.conf are not checked: {error}"),
                Err(error) => return Err(error.to_string()),
            }
            signal::reload(pid, || self.guard.postmaster() == Some(pid)).map_err(|error| error.to_string())?;
            if !std::mem::take(&mut self.silent) {
                tracing::info!("PostgreSQL reads its configuration again");
                self.facts.tell(Fact::Reloaded);
            }
            self.unread = false;
            self.postgres.probe_now();
        }
        self.silent = false;
        self.applied = Some((number, pid));
        Ok(())
    }

    /// The server cannot read the new rules: a restart with them would fail.
    async fn take_rules_back(&mut self, settings: &Settings, before: Option<Vec<u8>>, fault: String) -> Result<(), String> {
        let Some(before) = before else { return Err(format!("pg_hba.conf: {fault}")) };
        blocking(settings, move |settings| configure::restore_rules(settings, &before))
            .await?
            .map_err(|error| error.to_string())?;
        let instead = configure::written_lines(settings, "pg_hba.conf").unwrap_or_default();
        self.complaints.put(Source::Server, vec![format!("postgresql.pg_hba: {fault}; the last good list stays in force")]);
        self.bad_rules = Some((settings.pg_hba.clone(), instead.clone()));
        self.good = Arc::new(Settings { pg_hba: instead, ..settings.clone() });
        self.postgres.configure((*self.good).clone());
        Ok(())
    }
}

/// The server is a standby that runs with more than is wanted, because its primary has more.
async fn is_held_up(settings: &Settings) -> bool {
    if !settings.data_dir.join("standby.signal").exists() {
        return false;
    }
    ControlData::read(settings, LIMIT).await.is_ok_and(|control| !plan::raised(settings, &control).is_empty())
}

/// Files are read and written on blocking threads: a stalled disk holds this up, and nothing else.
async fn blocking<T: Send + 'static>(
    settings: &Settings,
    work: impl FnOnce(&Settings) -> T + Send + 'static,
) -> Result<T, String> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || work(&settings)).await.map_err(|error| error.to_string())
}
