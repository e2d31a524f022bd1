//! What can happen next. Every move that is possible is taken, so the order in which things happen is never chosen.

use super::{
    act::Made,
    scope::Scope,
    state::{OLD, OVER, Record, Server, State, Work},
};
use crate::mutant::Mutant;

/// What becomes of the calls that an agent makes in its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are carried out and answered.
    Good,
    /// A fault: the lease call lands late or never.
    Late,
    /// A fault: the lease call is carried out, and the answer lost.
    Unanswered,
    /// A fault: the leader write lands late or never.
    LateWrite,
}

/// A move. Numbers are nodes, for `Land` the place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is told by `tell`")]
pub enum Move {
    Tick,
    Turn(u8, Fate),
    Watch(u8, Fate),
    Confirm(u8, Fate),
    Work(u8, Fate),
    Land(u8),
    Guard(u8),
    Opened(u8),
    Names(u8),
    Replicate(u8),
    Write(u8),
    Crash(u8),
    Restart(u8),
    Freeze(u8),
    Thaw(u8),
    Cut(u8),
    Mend(u8),
    Lose(u8),
    Return(u8),
}

impl State {
    /// Takes every move: the state behind each that changes something. An error: something is broken by that move.
    pub(super) fn each(&self, scope: &Scope, mut behind: impl FnMut(Move, Self)) -> Result<(), (String, Move)> {
        if self.is_settled(scope) {
            return Ok(());
        }
        // Nodes that have something to do before time goes on.
        let mut busy = [false; 3];
        for (step, urgent) in self.moves(scope) {
            let made = self.take(step, scope, &mut behind)?;
            if let (Some(place), Some(_)) = (urgent, &made) {
                busy[usize::from(place)] = true;
            }
            let fates = match made {
                Some(made) if self.faults < scope.faults => self.fates(step, made),
                _ => Vec::new(),
            };
            for step in fates {
                self.take(step, scope, &mut behind)?;
            }
        }
        if self.faults < scope.faults {
            for step in self.standstills(busy) {
                self.take(step, scope, &mut behind)?;
            }
        }
        if busy == [false; 3] {
            self.take(Move::Tick, scope, &mut behind)?;
        }
        Ok(())
    }

    /// Nodes that stand still or are cut off from now on. Whether one that has nothing to do does nothing because of a fault shows only
    /// later, when it has, and to whoever asks it; so it begins then.
    fn standstills(&self, busy: [bool; 3]) -> Vec<Move> {
        let mut moves = Vec::new();
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| !node.down) {
            let asked = self.nodes.iter().enumerate().any(|(other, node)| other != place && node.asked);
            if !node.frozen && (busy[place] || asked) {
                moves.push(Move::Freeze(place as u8));
            }
            if !node.cut && busy[place] {
                moves.push(Move::Cut(place as u8));
            }
        }
        moves
    }

    /// The calls that were made; nothing when the move changes nothing.
    fn take(&self, step: Move, scope: &Scope, behind: &mut impl FnMut(Move, Self)) -> Result<Option<Made>, (String, Move)> {
        let mut after = self.clone();
        let made = after.apply(step, scope).map_err(|text| (text, step))?.filter(|_| after != *self);
        if made.is_some() {
            behind(step, after);
        }
        Ok(made)
    }

    /// The same move, with a fault that meets one of its calls. What is cut off needs none.
    fn fates(&self, step: Move, (lease, leader): Made) -> Vec<Move> {
        let (again, place): (fn(u8, Fate) -> Move, u8) = match step {
            Move::Turn(place, _) => (Move::Turn, place),
            Move::Watch(place, _) => (Move::Watch, place),
            Move::Confirm(place, _) => (Move::Confirm, place),
            Move::Work(place, _) => (Move::Work, place),
            _ => return Vec::new(),
        };
        if self.nodes[usize::from(place)].cut {
            return Vec::new();
        }
        let fates = [(Fate::Late, lease), (Fate::Unanswered, lease), (Fate::LateWrite, leader)];
        fates.into_iter().filter(|(_, made)| *made).map(|(fate, _)| again(place, fate)).collect()
    }

    /// All moves but `Tick` and `standstills`, and the node for which time waits with it; some may turn out to change nothing.
    fn moves(&self, scope: &Scope) -> Vec<(Move, Option<u8>)> {
        let mut moves = Vec::with_capacity(24);
        for place in 0..scope.nodes {
            self.moves_of_agent(place, &mut moves);
            self.moves_of_server(place, scope, &mut moves);
            if self.faults < scope.faults {
                self.moves_of_faults(place, &mut moves);
            }
        }
        moves.extend((0..self.calls.len() as u8).map(|place| (Move::Land(place), None)));
        moves
    }

    fn moves_of_agent(&self, place: u8, moves: &mut Vec<(Move, Option<u8>)>) {
        let (node, newest) = (&self.nodes[usize::from(place)], self.keys.view());
        if node.runs() {
            let mut turn = |step: fn(u8, Fate) -> Move| moves.push((step(place, Fate::Good), Some(place)));
            turn(Move::Turn);
            if node.work.is_some() && !matches!(node.server, Server::Opening { .. }) {
                turn(Move::Work);
            }
            if node.hears() && node.view.as_ref() != Some(&newest) {
                turn(Move::Watch);
            }
            if node.hears() && self.is_over_for(place) {
                turn(Move::Confirm);
            }
        }
        if node.frozen {
            moves.push((Move::Thaw(place), None));
        }
        if node.cut && !node.down {
            moves.push((Move::Mend(place), None));
        }
        if node.down {
            moves.push((Move::Return(place), None));
        }
    }

    /// The record in its view is over by its own time, and still the newest.
    fn is_over_for(&self, place: u8) -> bool {
        let node = &self.nodes[usize::from(place)];
        let newest = |record: &Record| !record.released && record.version == self.keys.record.version;
        let over = node.own.is_none() && node.seen_age >= OLD && node.confirmed.is_none();
        over && node.view.as_ref().is_some_and(|keys| newest(&keys.record))
    }

    fn moves_of_server(&self, place: u8, scope: &Scope, moves: &mut Vec<(Move, Option<u8>)>) {
        let node = &self.nodes[usize::from(place)];
        // Time waits for a guard: it is never late.
        if !scope.lacks(Mutant::GuardNeverFences) && node.armed.is_some_and(|(_, age)| age >= scope.deadline()) {
            moves.push((Move::Guard(place), Some(place)));
        }
        match node.server {
            Server::Opening { .. } => moves.push((Move::Opened(place), None)),
            Server::Standby { .. } if self.streams_from(place).is_some_and(|up| self.behind(place, up)) => {
                moves.push((Move::Replicate(place), None));
            }
            Server::Primary if self.writes < scope.writes => moves.push((Move::Write(place), None)),
            _ => {}
        }
        if node.names.1.is_some() {
            moves.push((Move::Names(place), None));
        }
    }

    fn moves_of_faults(&self, place: u8, moves: &mut Vec<(Move, Option<u8>)>) {
        let node = &self.nodes[usize::from(place)];
        if node.down {
            return;
        }
        moves.push((Move::Lose(place), None));
        if matches!(node.server, Server::Primary | Server::Opening { .. }) {
            moves.push((Move::Crash(place), None));
        }
        if node.runs() && node.view.is_some() {
            moves.push((Move::Restart(place), None));
        }
    }

    fn behind(&self, place: u8, upstream: u8) -> bool {
        self.nodes[usize::from(place)].log.len() < self.nodes[usize::from(upstream)].log.len()
    }

    /// Carries a move out: the calls that were made. Nothing: it is not possible after all. An error: something is broken.
    pub(super) fn apply(&mut self, step: Move, scope: &Scope) -> Result<Option<Made>, String> {
        let made = match step {
            Move::Turn(place, fate) => self.turns(place, fate, scope)?,
            Move::Watch(place, fate) => {
                self.watch(place, scope);
                self.turns(place, fate, scope)?
            }
            Move::Confirm(place, fate) => {
                self.nodes[usize::from(place)].confirmed = Some(0);
                self.turns(place, fate, scope)?
            }
            Move::Work(place, fate) => {
                let opens = self.nodes[usize::from(place)].work.is_some_and(Work::opens);
                match self.work(place, scope)? {
                    // PostgreSQL may open before the agent looks again.
                    true if opens => Some((false, false)),
                    true => self.turns(place, fate, scope)?,
                    false => None,
                }
            }
            Move::Land(place) => {
                let call = self.calls.remove(usize::from(place));
                self.land(&call, scope)?.map(|_| (false, false))
            }
            other => {
                self.happen(other, scope)?;
                Some((false, false))
            }
        };
        let late = match step {
            Move::Turn(_, fate) | Move::Watch(_, fate) | Move::Confirm(_, fate) | Move::Work(_, fate) => fate != Fate::Good,
            _ => false,
        };
        self.faults += u8::from(late);
        self.check()?;
        self.canonical(scope);
        Ok(made)
    }

    /// What is always possible.
    fn happen(&mut self, step: Move, scope: &Scope) -> Result<(), String> {
        match step {
            Move::Guard(place) => self.fence(place),
            Move::Opened(place) => self.opened(place, scope)?,
            Move::Names(place) => self.names_in_force(place)?,
            Move::Replicate(place) => self.replicate(place)?,
            Move::Write(place) => self.write(place)?,
            Move::Crash(place) => self.crash(place),
            Move::Restart(place) => self.restart(place),
            Move::Freeze(place) => self.nodes[usize::from(place)].frozen = true,
            Move::Thaw(place) => self.nodes[usize::from(place)].frozen = false,
            Move::Cut(place) => self.nodes[usize::from(place)].cut = true,
            Move::Mend(place) => self.nodes[usize::from(place)].cut = false,
            Move::Lose(place) => self.lose(place),
            Move::Return(place) => self.nodes[usize::from(place)].down = false,
            _ => self.tick(),
        }
        let fault = matches!(step, Move::Crash(_) | Move::Restart(_) | Move::Freeze(_) | Move::Cut(_) | Move::Lose(_));
        self.faults += u8::from(fault);
        Ok(())
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
                *age = (*age + 1).min(OLD);
            }
            node.tried = false;
            node.waits = (false, false);
            node.asked = false;
            node.mind.stays_out = false;
            if let Some((_, before)) = &mut node.mind.missed {
                *before = true;
            }
        }
    }
}
