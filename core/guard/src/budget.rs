//! How long before the end of the lease the guard begins to fence.

use crate::clock::MS;

/// The fence budget in nanoseconds: max(300 ms, 3 ms for each of `sessions` (50 at least), twice `longest_ns`, the longest fence
/// measured on this node until all signals were sent), at most a third of the lease's `ttl_ns`.
pub const fn budget_ns(sessions: u64, longest_ns: u64, ttl_ns: u64) -> u64 {
    let sessions = if sessions < 50 { 50 } else { sessions };
    let mut budget = 300 * MS;
    if sessions.saturating_mul(3 * MS) > budget {
        budget = sessions.saturating_mul(3 * MS);
    }
    if longest_ns.saturating_mul(2) > budget {
        budget = longest_ns.saturating_mul(2);
    }
    if ttl_ns > 0 && budget > ttl_ns / 3 { ttl_ns / 3 } else { budget }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn the_largest_of_three_counts_up_to_a_third_of_the_lease() {
        assert_eq!(budget_ns(0, 0, 10 * SECOND), 300 * MS);
        assert_eq!(budget_ns(200, 0, 10 * SECOND), 600 * MS);
        assert_eq!(budget_ns(200, 500 * MS, 10 * SECOND), SECOND);
        assert_eq!(budget_ns(200, 5 * SECOND, 9 * SECOND), 3 * SECOND);
        assert_eq!(budget_ns(0, 0, 600 * MS), 200 * MS);
        assert_eq!(budget_ns(0, 0, 0), 300 * MS, "no lease yet: nothing to cap");
        assert_eq!(budget_ns(u64::MAX, u64::MAX, 3 * SECOND), SECOND);
    }
}
