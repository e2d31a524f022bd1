//! What can happen next. Every move that is possible is taken, so the order in which things happen is never chosen.

use super::{
    scope::Scope,
    state::{DEADLINE, OLD, OVER, Server, State},
};
use crate::mutant::Mutant;

/// A move. Numbers are nodes, for calls their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is told by `tell`")]
pub enum Move {
    Tick,
    Turn(u8),
    Watch(u8),
    Confirm(u8),
    Land(u8),
    Answer(u8),
    GiveUp(u8),
    Guard(u8),
    Work(u8),
    Opened(u8),
    Names(u8),
    Replicate(u8),
    Write(u8),
    Crash(u8),
    Restart(u8),
}

impl State {
    /// All moves; some of them may turn out to change nothing.
    pub fn moves(&self, scope: &Scope) -> Vec<Move> {
        let mut moves = Vec::with_capacity(16);
        let spared = scope.lacks(Mutant::GuardNeverFences);
        let due = |place: u8| !spared && self.nodes[usize::from(place)].armed.is_some_and(|(_, age)| age >= DEADLINE);
        // A guard that is due fences before time goes on.
        if !(0..scope.nodes).any(due) {
            moves.push(Move::Tick);
        }
        for place in 0..scope.nodes {
            self.moves_of(place, scope, due(place), &mut moves);
        }
        for (place, call) in self.calls.iter().enumerate() {
            let place = place as u8;
            match call.landed {
                None => moves.push(Move::Land(place)),
                Some(_) if call.waited => moves.push(Move::Answer(place)),
                Some(_) => {}
            }
            if call.waited && self.faults < scope.faults {
                moves.push(Move::GiveUp(place));
            }
        }
        moves
    }

    fn moves_of(&self, place: u8, scope: &Scope, due: bool, moves: &mut Vec<Move>) {
        let node = &self.nodes[usize::from(place)];
        moves.push(Move::Turn(place));
        if node.view.as_ref() != Some(&self.keys) {
            moves.push(Move::Watch(place));
        }
        let over = node.own.is_none() && node.seen_age >= OLD && node.confirmed.is_none();
        if over && node.view.as_ref().is_some_and(|keys| !keys.record.released && keys.record.version == self.keys.record.version)
        {
            moves.push(Move::Confirm(place));
        }
        if due {
            moves.push(Move::Guard(place));
        }
        if node.work.is_some() && !matches!(node.server, Server::Opening { .. }) {
            moves.push(Move::Work(place));
        }
        match node.server {
            Server::Opening { .. } => moves.push(Move::Opened(place)),
            Server::Standby { .. } if self.streams_from(place).is_some_and(|up| self.behind(place, up)) => {
                moves.push(Move::Replicate(place));
            }
            Server::Primary if self.writes < scope.writes => moves.push(Move::Write(place)),
            _ => {}
        }
        if node.names.1.is_some() {
            moves.push(Move::Names(place));
        }
        if self.faults < scope.faults {
            if matches!(node.server, Server::Primary | Server::Opening { .. }) {
                moves.push(Move::Crash(place));
            }
            if node.view.is_some() {
                moves.push(Move::Restart(place));
            }
        }
    }

    fn behind(&self, place: u8, upstream: u8) -> bool {
        self.nodes[usize::from(place)].log.len() < self.nodes[usize::from(upstream)].log.len()
    }

    /// Carries a move out. `Ok(false)`: it is not possible after all. An error: something is broken.
    pub fn apply(&mut self, step: Move, scope: &Scope) -> Result<bool, String> {
        match step {
            Move::Tick => self.tick(),
            Move::Turn(place) => self.turn(place, scope)?,
            Move::Watch(place) => {
                self.watch(place);
                self.turn(place, scope)?;
            }
            Move::Confirm(place) => {
                self.nodes[usize::from(place)].confirmed = Some(0);
                self.turn(place, scope)?;
            }
            Move::Land(place) => {
                if !self.land(usize::from(place), scope)? {
                    return Ok(false);
                }
            }
            Move::Answer(place) => {
                let node = self.answer(usize::from(place));
                self.turn(node, scope)?;
            }
            Move::GiveUp(place) => self.give_up(usize::from(place)),
            Move::Guard(place) => self.fence(place),
            Move::Work(place) => {
                if !self.work(place, scope)? {
                    return Ok(false);
                }
                self.turn(place, scope)?;
            }
            Move::Opened(place) => self.opened(place, scope)?,
            Move::Names(place) => self.names_in_force(place)?,
            Move::Replicate(place) => self.replicate(place)?,
            Move::Write(place) => self.write(place)?,
            Move::Crash(place) => {
                self.faults += 1;
                self.crash(place);
            }
            Move::Restart(place) => self.restart(place),
        }
        self.check()?;
        self.canonical(scope.synchronous);
        Ok(true)
    }

    /// A quarter of a ttl goes by, on every clock.
    fn tick(&mut self) {
        self.keys.record.age = (self.keys.record.age + 1).min(OLD);
        for call in &mut self.calls {
            call.age = (call.age + 1).min(OLD);
        }
        for node in &mut self.nodes {
            node.seen_age = (node.seen_age + 1).min(OLD);
            node.confirmed = node.confirmed.map(|age| (age + 1).min(OLD));
            if let Some(own) = &mut node.own {
                own.age = (own.age + 1).min(OVER);
            }
            if let Some(keys) = &mut node.view {
                keys.record.age = (keys.record.age + 1).min(OLD);
            }
            if let Some((_, age)) = &mut node.armed {
                *age = (*age + 1).min(OVER);
            }
            node.tried = false;
            node.asked = false;
            node.mind.stays_out = false;
            if let Some((_, before)) = &mut node.mind.missed {
                *before = true;
            }
        }
    }

    fn restart(&mut self, place: u8) {
        self.faults += 1;
        for call in self.calls.iter_mut().filter(|call| call.node == place) {
            call.waited = false;
        }
        self.forget_calls();
        let node = &mut self.nodes[usize::from(place)];
        node.life += 1;
        node.mind = Default::default();
        (node.view, node.own, node.confirmed) = (None, None, None);
        (node.work, node.worked) = (None, None);
        (node.tried, node.asked, node.seen_age) = (false, false, 0);
    }

    /// A move in words.
    pub fn tell(&self, step: Move, scope: &Scope) -> String {
        let call = |place: u8| self.calls.get(usize::from(place)).map(|call| format!("n{}: {:?}", call.node + 1, call.write));
        match step {
            Move::Tick => "a quarter of a ttl goes by".to_owned(),
            Move::Turn(place) => format!("n{}: {}", place + 1, self.reason(place, scope)),
            Move::Watch(place) => format!("n{} sees the newest keys, and turns", place + 1),
            Move::Confirm(place) => format!("n{} confirms that the record is over, and turns", place + 1),
            Move::Land(place) => format!("the store carries out {}", call(place).unwrap_or_default()),
            Move::Answer(place) => format!("the answer arrives: {}", call(place).unwrap_or_default()),
            Move::GiveUp(place) => format!("no answer, given up: {}", call(place).unwrap_or_default()),
            Move::Guard(place) => format!("n{}: the guard fences", place + 1),
            Move::Work(place) => {
                format!("n{}: {:?}, and turns", place + 1, self.nodes.get(usize::from(place)).and_then(|node| node.work))
            }
            Move::Opened(place) => format!("n{}: PostgreSQL is writable", place + 1),
            Move::Names(place) => format!("n{}: the new names are in force", place + 1),
            Move::Replicate(place) => format!("n{} receives and flushes one entry", place + 1),
            Move::Write(place) => format!("a client writes to n{}", place + 1),
            Move::Crash(place) => format!("n{}: PostgreSQL crashes", place + 1),
            Move::Restart(place) => format!("n{}: the agent starts anew", place + 1),
        }
    }
}
