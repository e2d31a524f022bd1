//! Memory, tables and instances of one guest.

use tanist_broker::protocol::Limits;
use wasmtime::ResourceLimiter;

/// Core memories of one component; toolchains make one or two.
const MEMORIES: usize = 16;
/// Tables of one component.
const TABLES: usize = 64;

/// Counts what a guest holds, all its memories (tables) together, and remembers a refusal: a guest that runs out of memory traps
/// in whatever way its language chose, and only this tells why.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_left: usize,
    table_left: usize,
    instances: usize,
    refused: bool,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_left: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            table_left: usize::try_from(limits.table_elements).unwrap_or(usize::MAX),
            instances: usize::try_from(limits.instances).unwrap_or(usize::MAX),
            refused: false,
        }
    }

    /// A new call: what was refused before is no explanation of what comes.
    pub(crate) fn begin(&mut self) {
        self.refused = false;
    }

    /// More memory was asked for than there may be, in this call.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let left = self.memory_left.checked_sub(more);
        self.memory_left = left.unwrap_or(self.memory_left);
        self.refused |= left.is_none();
        Ok(left.is_some())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let left = self.table_left.checked_sub(desired.saturating_sub(current));
        self.table_left = left.unwrap_or(self.table_left);
        Ok(left.is_some())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_share_one_budget() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 10, ..Limits::default() });
        assert!(limiter.memory_growing(0, 6, None).unwrap());
        assert!(!limiter.memory_growing(0, 3, Some(2)).unwrap() && !limiter.refused());
        assert!(!limiter.memory_growing(0, 5, None).unwrap());
        assert!(limiter.refused());
        limiter.begin();
        assert!(limiter.memory_growing(6, 10, None).unwrap());
    }

    #[test]
    fn tables_are_counted_together() {
        let mut limiter = Limiter::new(&Limits { table_elements: 10, ..Limits::default() });
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(!limiter.table_growing(0, 5, None).unwrap());
        assert!(limiter.table_growing(6, 10, None).unwrap());
    }
}
