//! What the agent's broker and the plugin host say to each other.
//!
//! Each side's first frame is its `Hello` with [`VERSION`]; whoever reads another version hangs up. A frame is a length (u32,
//! little-endian, at most [`MAX_FRAME`]) and that many bytes of postcard. Ids of calls and requests are never reused within one
//! agent process. Times on the wire are durations, never points in time, because the two processes share no clock worth trusting.
//!
//! These are wire types: nothing here decides anything, and engine types do not appear.

mod event;
mod frame;
mod message;
mod op;
mod outcome;
mod socket;

pub use event::{Action, Attributes, Event, Member, Primary, Role, View};
pub use frame::{FrameError, FrameReader, FrameWriter, decode, encode};
pub use message::{
    Call, CallId, Digest, Done, Export, Import, Level, Limits, Load, LoadFailure, Loaded, PluginId, RequestId, Source, ToAgent,
    ToHost, Work,
};
pub use op::{Denial, DnsPointed, DnsRecord, HttpRequest, HttpResponse, LeadershipState, Op, RecordKind, Reply};
pub use outcome::{Outcome, PluginError, TrapKind};
pub use socket::{FD_ENV, SocketError, inherited_socket};

/// The version of this protocol. Agent and host are shipped together; a difference means a half-done upgrade.
pub const VERSION: u32 = 2;

/// The largest body of a frame.
pub const MAX_FRAME: usize = 1 << 20;

#[cfg(test)]
mod tests;
