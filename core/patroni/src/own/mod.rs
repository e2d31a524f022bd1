//! The keys that tanist adds under `tanist/`, which Patroni ignores. The lease record has its own room (`tanist-dcs`).

mod epoch;
mod handoff;
mod primary;
mod promise;
mod timelines;

pub use epoch::EpochKey;
pub use handoff::HandoffKey;
pub use primary::PrimaryKey;
pub use promise::PromiseKey;
pub use timelines::TimelinesKey;
