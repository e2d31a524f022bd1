//! The zone's serial number: the store's revision, seen through RFC 1982.
//!
//! Every node that has read the same revision gives the same serial. It never goes back: where the revision does not grow although the
//! content changed (another store, several changes seen at one revision), the serial takes one step of its own.

use tanist_engine::Revision;

/// The serial after `previous` (zero: none was given out yet) for content read at `revision`.
pub(crate) fn next(previous: u32, revision: Revision, changed: bool) -> u32 {
    // The low half is what the wire has room for.
    let wanted = (revision.0 & u64::from(u32::MAX)) as u32;
    if wanted != 0 && (previous == 0 || newer(wanted, previous)) {
        wanted
    } else if changed || previous == 0 {
        previous.wrapping_add(1).max(1)
    } else {
        previous
    }
}

/// RFC 1982: `a` comes after `b`.
fn newer(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_revision_and_never_goes_back() {
        assert_eq!(next(0, Revision(7), true), 7);
        assert_eq!(next(7, Revision(9), false), 9);
        assert_eq!(next(9, Revision(9), false), 9);
        assert_eq!(next(9, Revision(9), true), 10);
        assert_eq!(next(1_000, Revision(3), true), 1_001);
        assert_eq!(next(1_000, Revision(3), false), 1_000);
        assert_eq!(next(0, Revision(0), false), 1);
        assert_eq!(next(0, Revision(3_000_000_000), false), 3_000_000_000);
    }

    #[test]
    fn wraps_around_as_serials_do() {
        assert_eq!(next(u32::MAX, Revision(1 << 32), true), 1);
        assert_eq!(next(u32::MAX - 1, Revision((1 << 32) + 5), true), 5);
        assert!(newer(5, u32::MAX) && !newer(u32::MAX, 5));
    }
}
