//! The state of the running server, as the engine sees it, from one statement over a kept session.
//!
//! Whether it serves newcomers is asked beside this by [`crate::new_session::probe`]; [`Prober::note`] folds its answer in.
//! Not decided here: whether a server process exists (the guard knows), and whether silence means death (the engine does).

use crate::{
    InForce, NewSession, SessionError, Settings, conninfo,
    history::Origins,
    identify,
    in_force::Loaded,
    names,
    newcomers::Newcomers,
    pending,
    pending::PendingRestart,
    probe_row::{ProbeRow, RoleRow, SQL, StandbyRow, Walsender},
    session::Session,
    standby_position,
};
use std::{sync::Arc, time::Duration};
use tanist_engine::{Epoch, Lsn, Moment, Position, Postgres, Running, ServerRole, Timeline};
use tokio::time::timeout;
use tokio_postgres::Statement;

/// How the server that runs now was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// When.
    pub since: Moment,
    /// Without `standby.signal`.
    pub as_primary: bool,
}

/// What the newest probe knows beside the engine's [`Running`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Start of the server, microseconds since 1970 by its own clock.
    pub postmaster_started: i64,
    /// Changed parameters that wait for a restart.
    pub pending_restart: Vec<PendingRestart>,
    /// Sessions of clients, ours included.
    pub sessions: u32,
    /// The timeline of the last checkpoint: on a new primary, its own timeline means that the checkpoint after promotion is done and
    /// others may rewind from it.
    pub checkpoint_timeline: Timeline,
    /// Replay is paused.
    pub replay_paused: bool,
    /// Commit time of the last replayed transaction, microseconds since 1970 by the primary's clock.
    pub replayed_commit: Option<i64>,
    /// End of the upstream's WAL, as its walsender last said.
    pub upstream_end: Option<Lsn>,
    /// The walreceiver's process id.
    pub receiver_pid: Option<i32>,
    /// A standby that does not stream and has a `restore_command`: what it replays comes from the archive.
    pub in_archive_recovery: bool,
    /// Who takes WAL from this server.
    pub replication: Vec<Walsender>,
    /// The replication slot through which a standby is to stream.
    pub slot: Option<String>,
    /// `synchronous_standby_names` as this session shows it; what is in force is in [`ServerRole::Primary`].
    pub names_shown: String,
}

/// Why a server that lives turns new sessions away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnedAway {
    /// Clients have used up all connections.
    #[error("no connection is left, also of those kept for superusers: clients have used up max_connections")]
    Full,
    /// It refuses our login, and says why.
    #[error("{0}")]
    Refused(String),
}

/// Keeps a session and what follows from earlier answers of the same server.
#[derive(Debug)]
pub struct Prober {
    settings: Arc<Settings>,
    limit: Duration,
    kept: Option<Kept>,
    in_force: InForce,
    /// The server that started then has been seen to have replayed all local WAL.
    exhausted: Option<i64>,
    /// What waits for a restart of the server that started then and loaded its configuration then.
    pending: Option<(Loaded, Vec<PendingRestart>)>,
    /// The newest answer of `IDENTIFY_SYSTEM`, and what it was an answer for.
    identified: Option<(Asked, (Timeline, Lsn))>,
    /// Where timelines begin.
    origins: Origins,
    /// The first look that got no answer, if the newest got none.
    silent_since: Option<Moment>,
    /// New sessions that were tried beside the kept one.
    newcomers: Newcomers,
    /// Why the newest new session was turned away by a server that lives.
    turned_away: Option<TurnedAway>,
    last: Option<Running>,
    facts: Option<Facts>,
    error: Option<SessionError>,
}

struct Kept {
    session: Session,
    statement: Statement,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("version", &self.session.version).finish_non_exhaustive()
    }
}

/// While these stand, so does the answer about the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    started: i64,
    received: Option<Lsn>,
    replayed: Lsn,
}

impl Prober {
    /// Connects at the first look. `limit` bounds each step of a look.
    pub fn new(settings: Arc<Settings>, limit: Duration) -> Self {
        Self {
            settings,
            limit,
            kept: None,
            in_force: InForce::default(),
            exhausted: None,
            pending: None,
            identified: None,
            origins: Origins::default(),
            silent_since: None,
            newcomers: Newcomers::default(),
            turned_away: None,
            last: None,
            facts: None,
            error: None,
        }
    }

    /// To be given to [`crate::sql::set_sync_names`].
    pub fn in_force(&self) -> InForce {
        self.in_force.clone()
    }

    /// Beside the newest answer; `None` while the server does not answer.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Why a server that lives turns new sessions of ours away, if it does. Looks may go on over the session that is kept.
    pub fn turned_away(&self) -> Option<TurnedAway> {
        match &self.error {
            Some(SessionError::Full(_)) => Some(TurnedAway::Full),
            Some(error @ SessionError::Refused { .. }) => Some(TurnedAway::Refused(error.to_string())),
            // Another server, perhaps, than the one that did.
            Some(SessionError::NoListener(_) | SessionError::NotReady(_)) => None,
            _ => self.turned_away.clone(),
        }
    }

    /// Why the newest look got no answer.
    pub fn error(&self) -> Option<&SessionError> {
        self.error.as_ref()
    }

    /// The server was stopped or killed: forget everything that is true of one server only.
    pub fn gone(&mut self) {
        let in_force = std::mem::take(&mut self.in_force);
        in_force.changing();
        *self = Self { in_force, ..Self::new(Arc::clone(&self.settings), self.limit) };
    }

    /// New settings from the dynamic configuration; kept knowledge stays.
    pub fn configure(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Folds in what became of a new session that was tried at `now`.
    pub fn note(&mut self, now: Moment, new: &NewSession) {
        self.turned_away = match new {
            NewSession::Full => Some(TurnedAway::Full),
            NewSession::Refused(why) => Some(TurnedAway::Refused(why.clone())),
            _ => None,
        };
        self.newcomers.note(now, new);
    }

    /// How long after the end of the newest new session the next one is to be tried.
    pub fn newcomer_pause(&self) -> Duration {
        self.newcomers.pause()
    }

    /// Looks, while the guard says that a postmaster lives. `proof`, `slot_differs` and every `opened_by` are left to the caller: it knows
    /// which slot there is, the write probe's result and, from the store's timeline claims, which epoch opened a timeline.
    pub async fn look(&mut self, now: Moment, started: Started) -> Postgres {
        let starting = Postgres::Starting { since: started.since, as_primary: started.as_primary };
        let had_session = self.kept.is_some();
        let mut answer = self.ask().await;
        if had_session && answer.as_ref().is_err_and(ends_session_only) {
            self.kept = None;
            answer = self.ask().await;
        }
        match answer {
            Ok(running) => {
                self.error = None;
                self.silent_since = None;
                self.last = Some(running.clone());
                if let Some(kept) = self.kept.take_if(|kept| kept.session.is_spare) {
                    kept.session.close().await;
                }
                match self.newcomers.closed_since() {
                    Some(since) => Postgres::Unresponsive { since },
                    None => Postgres::Running(running),
                }
            }
            Err(error) => {
                self.kept = None;
                self.facts = None;
                tracing::debug!(%error, "probe");
                let seen = match &error {
                    SessionError::NoListener(_) | SessionError::NotReady(_) => starting,
                    // It lives, but for want of a session nothing new is known of it: the last answer is the best there is. Without one
                    // (the agent has just begun) nothing is known; it is not starting, which could end in a failover.
                    SessionError::Full(_) | SessionError::Refused { .. } => {
                        self.silent_since = None;
                        let mut last = self.last.clone().map_or(Postgres::Unknown, Postgres::Running);
                        if !self.in_force.stands() {
                            last.names_unknown();
                        }
                        last
                    }
                    SessionError::Timeout(_) | SessionError::Lost(_) | SessionError::Server { .. } => {
                        Postgres::Unresponsive { since: *self.silent_since.get_or_insert(now) }
                    }
                };
                self.error = Some(error);
                seen
            }
        }
    }

    async fn ask(&mut self) -> Result<Running, SessionError> {
        let (mut row, version) = self.row().await?;
        let mut names_in_force = None;
        if let RoleRow::Primary { senders, .. } = &row.role {
            names_in_force = self.in_force.cached(row.at, &row.names, senders);
            if names_in_force.is_none() && self.refresh(row.at, &row.names).await {
                // Position and standbys are to be later than the names they are judged by.
                row = self.row().await?.0;
                if let RoleRow::Primary { senders, .. } = &row.role {
                    names_in_force = self.in_force.cached(row.at, &row.names, senders);
                }
            }
        }
        let mut facts = Facts {
            postmaster_started: row.at.started,
            pending_restart: self.pending(row.pending_restart, row.at).await,
            sessions: u32::try_from(row.sessions).unwrap_or(u32::MAX),
            checkpoint_timeline: row.checkpoint_timeline,
            replay_paused: false,
            replayed_commit: None,
            upstream_end: None,
            receiver_pid: None,
            in_archive_recovery: false,
            replication: row.replication,
            slot: None,
            names_shown: row.names,
        };
        let role = match row.role {
            RoleRow::Primary { timeline, flushed, standbys, .. } => {
                let position = Position { opened_by: Epoch::NONE, timeline, lsn: flushed };
                let (timeline_parent, timeline_begin) = self.origins.of(&self.settings.data_dir, timeline).await.unzip();
                ServerRole::Primary {
                    position,
                    timeline_begin,
                    timeline_parent,
                    proof: None,
                    standbys,
                    names_in_force,
                    checkpointed: row.checkpoint_timeline == timeline,
                }
            }
            RoleRow::Standby(standby) => {
                facts.replay_paused = standby.paused;
                facts.replayed_commit = standby.replayed_commit;
                facts.upstream_end = standby.upstream_end;
                facts.receiver_pid = standby.receiver_pid;
                facts.in_archive_recovery = !standby.streaming && !standby.restore_command.is_empty();
                facts.slot = Some(standby.slot.clone()).filter(|slot| !slot.is_empty());
                if !self.in_force.knows_flag(row.at.started) {
                    // So that after a promotion nothing is left to be found out.
                    self.refresh(row.at, &facts.names_shown).await;
                }
                ServerRole::Standby {
                    position: self.position(row.at.started, &standby).await,
                    replayed: standby.replayed,
                    upstream: conninfo::upstream(&standby.conninfo),
                    streaming: standby.streaming,
                    slot_differs: false,
                }
            }
        };
        self.facts = Some(facts);
        Ok(Running { role, system_id: row.system_id, version })
    }

    /// The row, over the kept session, which is opened if there is none or it was lost since.
    async fn row(&mut self) -> Result<(ProbeRow, u32), SessionError> {
        if self.kept.as_ref().is_none_or(|kept| kept.session.client.is_closed()) {
            self.kept = None;
            let session = Session::open(&self.settings, self.limit).await?;
            let statement =
                timeout(self.limit, session.client.prepare(SQL)).await.map_err(|_| SessionError::Timeout(self.limit))??;
            self.kept = Some(Kept { session, statement });
        }
        let Some(kept) = &self.kept else { return Err(SessionError::Lost("no session".to_owned())) };
        let query = kept.session.client.query_one(&kept.statement, &[]);
        let row = timeout(self.limit, query).await.map_err(|_| SessionError::Timeout(self.limit))??;
        Ok((ProbeRow::read(&row)?, kept.session.version))
    }

    /// What waits for a restart. Asked only when the configuration was loaded since; without an answer the last one stands.
    async fn pending(&mut self, any: bool, at: Loaded) -> Vec<PendingRestart> {
        if !any {
            self.pending = None;
        } else if self.pending.as_ref().is_none_or(|(known, _)| *known != at)
            && let Some(kept) = &self.kept
        {
            match pending::read(&kept.session, self.limit).await {
                Ok(found) => self.pending = Some((at, found)),
                Err(error) => tracing::debug!(%error, "what waits for a restart is not known"),
            }
        }
        self.pending.as_ref().map(|(_, found)| found.clone()).unwrap_or_default()
    }

    /// Checks the names in force anew, in a session of its own. Where none is to be had they stay unknown, which is no reason to
    /// call the server dead. Names that are not ours (asynchronous mode leaves them to the operator) are not looked into.
    async fn refresh(&mut self, at: Loaded, shown: &str) -> bool {
        names::parse(shown).is_some() && matches!(self.in_force.refresh(&self.settings, at, self.limit).await, Ok(Some(_)))
    }

    /// End of the WAL that this standby has, where that is known.
    async fn position(&mut self, started: i64, standby: &StandbyRow) -> Option<Position> {
        if standby_position::is_exhausted(standby) {
            self.exhausted = Some(started);
        }
        if self.exhausted != Some(started) {
            return None;
        }
        if let Some(position) = standby_position::while_streaming(standby) {
            return Some(position);
        }
        let asked = Asked { started, received: standby.received, replayed: standby.replayed };
        let answer = match self.identified {
            Some((before, answer)) if before == asked => answer,
            _ => {
                let answer = identify::identify(&self.settings, self.limit).await;
                let answer = answer.inspect_err(|error| tracing::debug!(%error, "timeline of the standby unknown")).ok()?;
                self.identified = Some((asked, answer));
                answer
            }
        };
        standby_position::when_identified(standby, answer)
    }
}

/// The session is lost, which may be somebody's `pg_terminate_backend`; the server may be well.
fn ends_session_only(error: &SessionError) -> bool {
    match error {
        SessionError::Lost(_) => true,
        SessionError::Server { code, .. } => code == "57P01",
        _ => false,
    }
}
