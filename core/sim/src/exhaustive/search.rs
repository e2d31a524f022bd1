//! Breadth first, so that the first violation has the shortest story.

use super::{moves::Move, scope::Scope, state::State};
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher},
};

/// What came of an enumeration.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Moves between them.
    pub transitions: u64,
    /// Moves from the first state to the farthest one.
    pub depth: u32,
    /// There are no more states, however many moves.
    pub complete: bool,
    /// What is broken, and the moves to it.
    pub violation: Option<(String, Vec<Move>)>,
}

/// Keys are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// States are told apart by 64 bits: of ten million, two are mistaken for each other once in 400,000 enumerations.
fn print(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Enumerates all states of a scope that lie within its moves.
pub fn search(scope: &Scope) -> Found {
    let mut first = State::first(scope);
    first.canonical(scope.synchronous);
    let mut known: HashSet<u64, BuildHasherDefault<Same>> = HashSet::default();
    known.insert(print(&first));
    let mut steps: Vec<(u32, Move)> = vec![(0, Move::Tick)];
    let mut level = vec![(0_u32, first)];
    let mut found = Found::default();
    while !level.is_empty() && found.depth < scope.moves {
        let mut next = Vec::new();
        for (place, state) in &level {
            if state.is_settled(scope) {
                continue;
            }
            for step in state.moves(scope) {
                let mut after = state.clone();
                match after.apply(step, scope) {
                    Err(text) => {
                        found.violation = Some((text, story(&steps, *place, step)));
                        found.states = known.len();
                        return found;
                    }
                    Ok(false) => continue,
                    Ok(true) => found.transitions += 1,
                }
                if known.insert(print(&after)) {
                    steps.push((*place, step));
                    next.push((steps.len() as u32 - 1, after));
                }
            }
        }
        found.states = known.len();
        if scope.tells {
            eprintln!("depth {}: {} states", found.depth, found.states);
        }
        found.depth += u32::from(!next.is_empty());
        level = next;
    }
    found.complete = level.is_empty();
    found
}

fn story(steps: &[(u32, Move)], from: u32, last: Move) -> Vec<Move> {
    let mut story = vec![last];
    let mut place = from;
    while place != 0 {
        let (parent, step) = steps[place as usize];
        story.push(step);
        place = parent;
    }
    story.reverse();
    story
}

/// The moves in words.
pub fn tell(scope: &Scope, story: &[Move]) -> Vec<String> {
    let mut state = State::first(scope);
    story
        .iter()
        .map(|step| {
            let line = state.tell(*step, scope);
            // The last one is broken, and told all the same.
            let _ = state.apply(*step, scope);
            line
        })
        .collect()
}
