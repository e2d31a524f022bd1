//! Every interleaving of a small cluster, up to a number of moves: the shipped `decide` and `audit`, everything around them as small as
//! it can be.
//!
//! Small clusters still have many millions of states: two nodes and two epochs pass 460,000 within 19 moves. A scope names its moves, all
//! of the states within them are visited, and the summary says whether any lie beyond (`complete`). A lease that runs out, is taken by
//! another node and makes its PostgreSQL writable takes 12.
//!
//! *Kept*: each node's own, possibly old view of the store; calls that are on their way, landed, answered, given up, landing late; the
//! lease as its holder, its guard and everybody else count it; promotion in steps; names on their way; replication entry by entry;
//! agents that forget. Any of these may wait for any time, so a slow, frozen or cut-off node is an interleaving, not a fault. Faults are
//! calls given up before their answer, crashes of a primary, and restarts of an agent.
//!
//! *Lost*: time is ticks of a quarter of a ttl that go by everywhere at once (a renewal is due after one, the guard fences at two, the
//! lease is over for its holder at three, for others at four), so no clock drifts, and a guard is never late. Probes and answers of peers
//! are fresh. Where timelines begin is not recorded, so no standby is copied anew. The leader key is always that of the record. A watch
//! shows all keys at once. No bootstrap, switchover, stop of the service, change of mode, promises, plugins, restored store, twins; that
//! is what random schedules are for. Liveness is not judged.

mod act;
mod canon;
mod check;
mod eyes;
mod landing;
mod moves;
mod scope;
mod search;
mod servers;
mod state;

pub use moves::Move;
pub use scope::Scope;
pub use search::{Found, search, tell};
