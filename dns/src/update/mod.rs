//! The update client: moves a name in somebody else's zone (RFC 2136).
//!
//! One call of [`point`] reads the *generation record*, a TXT record beside the name that holds the epoch of the last move, and then
//! sends **one** message that the server applies as a whole or not at all: *if the generation record still is what I read, replace the
//! addresses and the generation record*. So of two nodes that claim the name the higher epoch wins, in whatever order their messages
//! arrive, and a claim that was delayed on its way cannot undo a newer one.
//!
//! Deliberately absent: retries over time, the check that our own epoch is still current, GSS-TSIG, and any other use of RFC 2136.

mod decide;
mod exchange;
mod generation;
mod key;
mod lookup;
mod message;
mod point;

pub use generation::{Generation, GenerationError};
pub use key::{Algorithm, KeyError, TsigKey};
pub use lookup::{Addresses, LookupError, generation, lookup};
pub use point::{Outcome, ReadBack, Request, Seen, point};
