//! Timing of the lease record, for its holder and for everybody else.

/// An attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(pub u64);
/// Holder.
#[derive(Clone, Debug, Default)]
pub struct HolderClock {}
/// Observer.
#[derive(Clone, Debug, Default)]
pub struct ObserverClock {}
