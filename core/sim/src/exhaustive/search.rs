//! Breadth first, so that the first violation has the shortest story. States wait encoded, and are known by 128 bits each.

use super::{moves::Move, scope::Scope, state::State};
use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, DefaultHasher, Hasher},
    sync::Mutex,
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
    /// All states of the scope have been visited.
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

    fn write_u128(&mut self, word: u128) {
        self.0 = word as u64;
    }
}

type Known = HashSet<u128, BuildHasherDefault<Same>>;

/// States are told apart by 128 bits: of a thousand million, two are mistaken for each other once in 10^20 enumerations.
fn print(encoded: &[u8]) -> u128 {
    let half = |seed| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(encoded);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Shards of the known states, so that threads seldom wait for each other.
const SHARDS: usize = 64;

/// States that are to be followed: where their story ends, and their form.
#[derive(Default)]
struct Level {
    places: Vec<u32>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Level {
    fn push(&mut self, place: u32, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
        self.places.push(place);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, at: usize) -> (u32, &[u8]) {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        (self.places[at], &self.bytes[from..self.ends[at]])
    }
}

/// What one thread found beyond its part of a level.
#[derive(Default)]
struct Beyond {
    steps: Vec<(u32, Move)>,
    next: Level,
    transitions: u64,
    broken: Option<(String, u32, Move)>,
}

/// Enumerates all states of a scope.
pub fn search(scope: &Scope) -> Found {
    let found = enumerate(scope);
    match &found.violation {
        // Which of several shortest stories is found must not depend on threads.
        Some(_) if scope.jobs > 1 => enumerate(&Scope { jobs: 1, tells: false, ..*scope }),
        _ => found,
    }
}

fn enumerate(scope: &Scope) -> Found {
    let known: Vec<Mutex<Known>> = (0..SHARDS).map(|_| Mutex::default()).collect();
    let mut first = State::first(scope);
    first.canonical(scope);
    let encoded = first.encode();
    remember(&known, &encoded);
    let mut steps: Vec<(u32, Move)> = vec![(0, Move::Tick)];
    let mut level = Level::default();
    level.push(0, &encoded);
    let mut found = Found { states: 1, ..Found::default() };
    while !level.places.is_empty() && found.states < scope.states {
        let parts = follow(scope, &known, &level);
        level = Level::default();
        for part in parts {
            found.transitions += part.transitions;
            if let Some((text, place, step)) = part.broken {
                found.violation.get_or_insert_with(|| (text, story(&steps, place, step)));
            }
            let offset = steps.len() as u32;
            steps.extend(part.steps);
            for at in 0..part.next.places.len() {
                let (place, encoded) = part.next.get(at);
                level.push(offset + place, encoded);
            }
        }
        found.states = steps.len();
        if scope.tells {
            eprintln!(
                "depth {}: {} states, {} bytes each",
                found.depth,
                found.states,
                level.bytes.len() / level.places.len().max(1)
            );
        }
        if found.violation.is_some() {
            return found;
        }
        found.depth += u32::from(!level.places.is_empty());
    }
    found.complete = level.places.is_empty();
    found
}

/// `true`: it was not known.
fn remember(known: &[Mutex<Known>], encoded: &[u8]) -> bool {
    let print = print(encoded);
    let shard = &known[(print >> 64) as usize % SHARDS];
    shard.lock().is_ok_and(|mut shard| shard.insert(print))
}

fn follow(scope: &Scope, known: &[Mutex<Known>], level: &Level) -> Vec<Beyond> {
    let size = level.places.len().div_ceil(scope.jobs.max(1)).max(1);
    std::thread::scope(|threads| {
        let parts: Vec<_> = (0..level.places.len())
            .step_by(size)
            .map(|from| threads.spawn(move || beyond(scope, known, level, from..(from + size).min(level.places.len()))))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn beyond(scope: &Scope, known: &[Mutex<Known>], level: &Level, part: std::ops::Range<usize>) -> Beyond {
    let mut found = Beyond::default();
    for at in part {
        let (place, encoded) = level.get(at);
        let state = State::decode(encoded);
        let outcome = state.each(scope, |step, after| {
            found.transitions += 1;
            let encoded = after.encode();
            if remember(known, &encoded) {
                found.next.push(found.steps.len() as u32, &encoded);
                found.steps.push((place, step));
            }
        });
        if let Err((text, step)) = outcome {
            found.broken = Some((text, place, step));
            break;
        }
    }
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
    state.canonical(scope);
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
