//! Moves in words.

use super::{
    moves::{Fate, Move},
    scope::Scope,
    state::State,
};

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Good => "",
            Self::Late => "; its lease call is late or lost",
            Self::Unanswered => "; the answer to its lease call is lost",
            Self::LateWrite => "; its leader write is late or lost",
        }
    }
}

impl State {
    /// A move in words.
    pub fn tell(&self, step: Move, scope: &Scope) -> String {
        let node = |place: u8| format!("n{}", place + 1);
        match step {
            Move::Tick => "a quarter of a ttl goes by".to_owned(),
            Move::Turn(place, fate) => format!("{}: {}{}", node(place), self.reason(place, scope), fate.words()),
            Move::Watch(place, fate) => {
                let mut shown = self.clone();
                shown.watch(place, scope);
                format!("{} sees the newest keys: {}{}", node(place), shown.reason(place, scope), fate.words())
            }
            Move::Confirm(place, fate) => format!("{} confirms that the record is over, and turns{}", node(place), fate.words()),
            Move::Work(place, fate) => {
                let work = self.nodes.get(usize::from(place)).and_then(|node| node.work);
                format!("{}: the agent begins {work:?}{}", node(place), fate.words())
            }
            Move::Land(place) => {
                let call = self.calls.get(usize::from(place));
                call.map_or_else(String::new, |call| {
                    format!("late, the store carries out of {}: {:?}", node(call.node), call.write)
                })
            }
            Move::Guard(place) => format!("{}: the guard fences", node(place)),
            Move::Opened(place) => format!("{}: PostgreSQL is writable", node(place)),
            Move::Names(place) => format!("{}: the new names are in force", node(place)),
            Move::Replicate(place) => format!("{} receives and flushes one entry", node(place)),
            Move::Write(place) => format!("a client writes to {}", node(place)),
            Move::Crash(place) => format!("{}: PostgreSQL crashes", node(place)),
            Move::Restart(place) => format!("{}: the agent starts anew", node(place)),
            Move::Freeze(place) => format!("{}: the agent stands still", node(place)),
            Move::Thaw(place) => format!("{}: the agent goes on", node(place)),
            Move::Cut(place) => format!("{} is cut from the store", node(place)),
            Move::Mend(place) => format!("{} reaches the store again", node(place)),
            Move::Lose(place) => format!("{}: the machine is gone", node(place)),
            Move::Return(place) => format!("{}: the machine is back", node(place)),
        }
    }
}
