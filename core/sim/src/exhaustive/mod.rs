//! Every interleaving of a small cluster: the shipped `decide` and `audit`, everything around them as small as it can be.
//!
//! A scope bounds epochs, faults and client writes, and nothing else: the search ends when there is no state left, and says so
//! (`complete`). It is finite because nothing counts for ever: ages saturate at "long ago", versions of keys are renamed after every
//! move, a late call whose comparisons can never hold again is forgotten.
//!
//! *Time* is ticks of a quarter of a ttl that go by everywhere at once: a renewal is due after one, the guard fences at two, the lease
//! is over for its holder at three, for others at four. Within a tick every agent that is not at fault takes its turns, its calls reach
//! the store and are answered, it sees the newest keys, and begins its jobs: in every order. What takes longer is a fault.
//! PostgreSQL is under no such rule: opening, a reload, each entry on its way to a standby may take any time.
//!
//! *Faults*: an agent stands still, for any time and at any moment, also between a decision and its effect; is cut from the store, while
//! what it sends lands late or never; a single call that lands late or never, or whose answer is lost; an agent that begins anew and
//! knows nothing; a PostgreSQL that crashes; a machine that is lost, and returns or does not.
//!
//! *One move* are the turns of an agent up to the next call or job, and a call with its landing and answer. Nobody else can tell:
//! an agent reads the store only where it watches or confirms, so a call that lands later and a turn that is taken later are the same,
//! and what an agent does to itself is seen by nobody. Of a call that is sent again and again only the newest is kept.
//!
//! *Lost*: no clock drifts, and a guard is never late. Probes and answers of peers are fresh. Where timelines begin is not recorded, so
//! no standby is copied anew because of it. The leader key is always that of the record. A watch shows all keys at once. No bootstrap,
//! switchover, stop of the service, change of mode, promises, plugins, restored store, twins; that is what random schedules are for.
//! Liveness is not judged.

mod act;
mod canon;
mod check;
mod eyes;
mod faults;
mod landing;
mod moves;
mod scope;
mod search;
mod servers;
mod state;
mod tell;
mod versions;

pub use moves::{Fate, Move};
pub use scope::Scope;
pub use search::{Found, search, tell};
