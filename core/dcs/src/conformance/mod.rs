//! What every store must do, as a suite that anybody's store can run.
//!
//! Each check works under a prefix of its own and ends with a reason when the store is at fault. It needs a store that nobody else
//! writes to at the same time (revisions are compared).

mod check;
mod expiry;
mod faults;
mod transactions;
mod watches;

pub use check::Failure;

use crate::Store;
use check::Ground;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Runs every check. `connect` gives a new, independent connection to the same store each time, as another agent would have it.
pub async fn run(connect: &(dyn Fn() -> Arc<dyn Store> + Send + Sync)) -> Result<(), Failure> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let ground = |check: &'static str| Ground::new(connect, format!("/conformance/{}-{run}/{check}/", std::process::id()));
    macro_rules! checks {
        ($($module:ident :: $check:ident),* $(,)?) => {$(
            $module::$check(ground(stringify!($check))).await.map_err(|failure| failure.of(stringify!($check)))?;
        )*};
    }
    checks![
        transactions::a_key_carries_its_revisions,
        transactions::all_or_nothing,
        transactions::compare_and_set_lets_one_of_many_win,
        transactions::every_comparison_means_what_it_says,
        transactions::operations_see_those_before_them,
        transactions::a_list_is_one_revision,
        transactions::reads_see_what_others_wrote,
        transactions::an_impossible_request_is_refused,
        watches::every_change_once_in_order,
        watches::a_watch_from_the_past_misses_nothing,
        watches::changes_of_one_revision_come_together,
        watches::a_prefix_is_a_prefix,
        watches::many_watchers_see_the_same,
        watches::a_mirror_follows,
        expiry::keys_end_with_their_expiry,
        expiry::kept_alive_does_not_end,
        expiry::revoked_ends_at_once,
        expiry::an_expiry_that_is_over_stays_over,
        expiry::written_anew_hangs_on_the_new,
        faults::a_lost_answer_is_unknown_and_the_write_landed,
        faults::a_lost_request_is_unknown_and_nothing_happened,
        faults::a_held_write_loses_to_a_newer_one,
    ];
    Ok(())
}
