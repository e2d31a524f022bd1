//! What the agent knows of PostgreSQL and of the store's keys: looks, their results, positions placed by the claims.

use super::{
    World,
    event::{Local, Process},
    glance,
    view::{self, News},
};
use crate::{
    model::{clock::MS, postgres::Server},
    mutant::Mutant,
};
use std::rc::Rc;
use tanist_engine::{
    Epoch, Lease, MemberState, Moment, PeerAnswer, Position, Postgres, Role, ServerRole, SyncNames, Timeline, TimelineClaim,
};

impl World {
    /// Looks at PostgreSQL soon.
    pub fn kick(&mut self, node: usize) {
        let soon = self.rng.range(MS / 2, 6 * MS);
        self.plan_look(node, soon);
    }

    fn plan_look(&mut self, node: usize, after: u64) {
        let agent = &mut self.nodes[node].agent;
        agent.look += 1;
        let look = agent.look;
        self.later(node, after, Local::Look { look });
    }

    pub(super) fn look(&mut self, node: usize, look: u64) {
        if self.nodes[node].agent.look != look {
            return;
        }
        let begun = self.reading(node).boot;
        let here = &self.nodes[node];
        let hung = here.stopped[Process::Postgres as usize] > 0 && here.pg.server != Server::Down;
        let (found, took) = if hung {
            let since = self.nodes[node].agent.unresponsive.unwrap_or(begun);
            self.nodes[node].agent.unresponsive = Some(since);
            (Postgres::Unresponsive { since }, 1000 * MS)
        } else {
            self.nodes[node].agent.unresponsive = None;
            let believed = self.options.without(Mutant::NamesSetIsInForce);
            let names = &self.names;
            (self.nodes[node].pg.look(|node| names[node].clone(), believed), self.rng.range(MS / 2, 8 * MS))
        };
        let pause = match &found {
            Postgres::Unknown | Postgres::Starting { .. } => 25 * MS,
            Postgres::Unresponsive { .. } => 200 * MS,
            Postgres::Running(running) => match &running.role {
                ServerRole::Primary { names_in_force: None, .. } => 25 * MS,
                ServerRole::Primary { names_in_force: Some(SyncNames::Nobody), .. } => 1000 * MS,
                ServerRole::Primary { standbys, .. } if standbys.iter().all(|standby| !standby.sync) => 200 * MS,
                ServerRole::Standby { streaming: false, .. } | ServerRole::Standby { position: None, .. } => 400 * MS,
                _ => 1000 * MS,
            },
            _ => 1000 * MS,
        };
        self.plan_look(node, took + pause);
        if !self.options.brisk {
            return self.later(node, took, Local::Found { begun, found: Box::new(found) });
        }
        if let Some(found) = self.anything_new(node, begun, found) {
            self.later(node, took, Local::Found { begun, found: Box::new(found) });
        }
    }

    /// What was found, unless it is what the agent knows, and nothing waits for a look.
    fn anything_new(&mut self, node: usize, begun: Moment, mut found: Postgres) -> Option<Postgres> {
        let seen = &mut self.nodes[node].agent.seen;
        place(&mut found, &seen.store.timelines);
        let awaited = seen.last_job.as_ref().is_some_and(|last| seen.probed < last.at);
        let uncut =
            matches!(&found, Postgres::Running(running) if matches!(&running.role, ServerRole::Standby { upstream: None, .. }));
        let void = begun < seen.probed || begun < self.nodes[node].agent.valid_from.max(self.nodes[node].agent.names_valid_from);
        if awaited || uncut || void || self.nodes[node].agent.seen.postgres != found {
            return Some(found);
        }
        self.nodes[node].agent.seen.probed = begun;
        self.look_at_directory(node);
        None
    }

    pub(super) fn found(&mut self, node: usize, begun: Moment, mut found: Postgres) {
        let agent = &mut self.nodes[node].agent;
        // The agent looks once at a time: a look that waits for a server which then answered another one is none.
        if begun < agent.valid_from.max(agent.seen.probed) {
            return;
        }
        // The first look after a job ended is news, whatever it finds.
        let awaited = agent.seen.last_job.as_ref().is_some_and(|last| agent.seen.probed < last.at);
        agent.seen.probed = begun;
        if begun < agent.names_valid_from {
            found.names_unknown();
        }
        self.look_at_directory(node);
        let agent = &mut self.nodes[node].agent;
        place(&mut found, &agent.seen.store.timelines);
        if self.options.without(Mutant::PositionAlwaysKnown)
            && let Postgres::Running(running) = &mut found
            && let ServerRole::Standby { position, replayed, .. } = &mut running.role
            && position.is_none()
        {
            *position = Some(Position { opened_by: Epoch::NONE, timeline: Timeline(1), lsn: *replayed });
        }
        if agent.seen.postgres != found {
            let led_on = agent.seen.store.primary.as_ref().map(|face| face.timeline);
            let idle = glance::only_moved(&agent.seen.postgres, &found, led_on);
            agent.seen.postgres = found;
            if idle && !awaited {
                return self.glance(node);
            }
            self.found_for_job(node);
            return self.turn(node);
        }
        if awaited {
            return self.turn(node);
        }
        // That it was found again says that nothing has changed since the cut.
        if let Postgres::Running(running) = &agent.seen.postgres
            && let ServerRole::Standby { upstream: None, .. } = &running.role
        {
            self.turn(node);
        }
    }

    /// PostgreSQL has changed in a way that whoever caused it tells at once.
    pub fn postgres_changed(&mut self, node: usize, state: Postgres) {
        let now = self.reading(node).boot;
        let agent = &mut self.nodes[node].agent;
        agent.seen.postgres = state;
        agent.settled = None;
        agent.valid_from = now;
        self.kick(node);
    }

    /// The view of the store has changed: positions are placed anew. `true`: a decision may differ.
    pub fn view_changed(&mut self, node: usize) -> bool {
        let now = self.reading(node).boot;
        let agent = &mut self.nodes[node].agent;
        let Some(snap) = agent.mirror.snap.clone() else { return true };
        let changed = view::config(&snap).is_some_and(|config| config.rule(&mut agent.policy));
        if changed {
            agent.keeper.ttl = agent.policy.ttl;
            let reserves = agent.policy.synchronous.is_on();
            self.reserve_names(node, reserves);
            // Names of the mode before are on their way out.
            self.checks.strict[node] = false;
            self.store.grants[node] = self.nodes[node].agent.policy.ttl.as_nanos() as u64;
        }
        let agent = &mut self.nodes[node].agent;
        let known = agent.mirror.viewed.replace(Rc::clone(&snap));
        let news = view::read(known.as_deref(), &snap, now, &mut agent.seen.store);
        if news == News::Timelines {
            let claims = std::mem::take(&mut agent.seen.store.timelines);
            place(&mut agent.seen.postgres, &claims);
            for answer in agent.seen.peers.iter_mut().filter_map(|peer| peer.answer.as_mut()) {
                if let Some(position) = &mut answer.position {
                    position.opened_by = opener(&claims, position);
                }
            }
            agent.seen.store.timelines = claims;
        }
        match news {
            News::Members(told) => changed || !self.is_others(node, told),
            news => changed || news != News::Idle,
        }
    }

    /// None of these members is this node, or whoever leads it: while somebody else leads, nobody decides by what the others say.
    fn is_others(&self, node: usize, told: u16) -> bool {
        let Lease::Theirs(theirs) = &self.nodes[node].agent.seen.lease else { return false };
        let concerns = |other: usize| other == node || self.names[other] == theirs.holder;
        (0..self.nodes.len()).all(|other| told >> other & 1 == 0 || !concerns(other))
    }

    /// The rules have changed, and with them the file of a standby: it gets the reserved name as soon as the mode asks for it.
    fn reserve_names(&mut self, node: usize, reserves: bool) {
        let pg = &mut self.nodes[node].pg;
        if reserves && matches!(pg.server, Server::Standby | Server::Starting { as_primary: false, .. }) {
            (pg.names_file, pg.names, pg.names_next) = (SyncNames::Reserved, SyncNames::Reserved, None);
        }
    }

    /// What the agent says of itself over REST.
    pub fn answer_of(&self, node: usize) -> PeerAnswer {
        let seen = &self.nodes[node].agent.seen;
        let (state, role, position) = match &seen.postgres {
            Postgres::Running(running) => match &running.role {
                ServerRole::Primary { position, .. } => (MemberState::Running, Role::Primary, Some(*position)),
                ServerRole::Standby { position, streaming, .. } => {
                    (if *streaming { MemberState::Streaming } else { MemberState::Running }, Role::Replica, *position)
                }
            },
            Postgres::Starting { as_primary, .. } => {
                (MemberState::Starting, if *as_primary { Role::Primary } else { Role::Replica }, None)
            }
            Postgres::Stopped(_) => (MemberState::Stopped, Role::Replica, None),
            _ => (MemberState::Unknown, Role::Uninitialized, None),
        };
        let (tags, storage) = (self.options.tags(node), seen.storage.state);
        PeerAnswer { state, role, position, tags, storage, barred: seen.failsafe.barred }
    }
}

fn place(postgres: &mut Postgres, claims: &[TimelineClaim]) {
    let position = match postgres {
        Postgres::Stopped(stopped) => Some(&mut stopped.position),
        Postgres::Running(running) => match &mut running.role {
            ServerRole::Primary { position, .. } => Some(position),
            ServerRole::Standby { position, .. } => position.as_mut(),
        },
        _ => None,
    };
    if let Some(position) = position {
        position.opened_by = opener(claims, position);
    }
}

/// The epoch that claimed the position's timeline.
pub fn opener(claims: &[TimelineClaim], position: &Position) -> Epoch {
    claims.iter().filter(|claim| claim.timeline == position.timeline).map(|claim| claim.epoch).max().unwrap_or_default()
}
