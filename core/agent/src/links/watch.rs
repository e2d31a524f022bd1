//! The thread that watches the guard, and fences when the guard cannot (SAFETY §2, "Watching each other").
//!
//! A thread of the operating system and nothing else: it must run when the runtime is busy, and it does no I/O but reading the page.

use super::GuardLink;
use crate::run::{Fact, Facts, clock};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};
use tanist_engine::Postgres;
use tanist_guard::client::{Duty, FenceReason, Look, Watchdog};

/// How long the mark in a fenced data directory is waited for.
const MARK_WAIT: Duration = Duration::from_millis(500);

/// Starts the thread.
pub fn watch_guard(link: GuardLink, data_dir: PathBuf, facts: Facts) -> io::Result<()> {
    thread::Builder::new().name("guard-watch".into()).stack_size(256 << 10).spawn(move || watch(&link, &data_dir, &facts))?;
    Ok(())
}

fn watch(link: &GuardLink, data_dir: &Path, facts: &Facts) {
    let mut watchdog = Watchdog::default();
    let mut alive = link.connection().guard_alive();
    loop {
        link.page().beat_agent(clock::now().as_nanos());
        match watchdog.look(&Look::at(link.page(), alive)) {
            // The guard's end is seen at once; everything else is on the page.
            Duty::Wait(span) => alive = link.connection().guard_lives_for(span.clamp(1, Watchdog::INTERVAL_NS)),
            Duty::Fence(reason) => {
                if fence(link, data_dir, reason, facts) {
                    return;
                }
                alive = link.connection().guard_alive();
            }
        }
    }
}

/// Marks the data directory, so that nobody starts it writable by hand. The disk may hang: this thread waits for a moment only.
fn leave_standby(data_dir: &Path) {
    let (done, marked) = mpsc::channel();
    let data_dir = data_dir.to_owned();
    let mark = move || {
        if let Err(error) = tanist_guard::leave_standby(&data_dir) {
            tracing::error!(%error, "cannot create standby.signal; do not start PostgreSQL by hand");
        }
        let _nobody_waits_any_more = done.send(());
    };
    match thread::Builder::new().name("mark".into()).stack_size(128 << 10).spawn(mark) {
        Ok(_) => {
            if marked.recv_timeout(MARK_WAIT).is_err() {
                tracing::error!("the data directory's storage hangs: standby.signal is created when it answers");
            }
        }
        Err(error) => tracing::error!(%error, "no thread to create standby.signal; do not start PostgreSQL by hand"),
    }
}

/// Fences in the guard's place. True: there is nothing left to watch.
fn fence(link: &GuardLink, data_dir: &Path, reason: FenceReason, facts: &Facts) -> bool {
    if link.fence_state() == tanist_guard::page::FenceState::Complete {
        if reason == FenceReason::GuardDead {
            // No PostgreSQL was there to be fenced, and whoever could start one is gone for good.
            tracing::error!("the guard is dead; no PostgreSQL runs");
            facts.tell(Fact::GuardDead);
            return true;
        }
        // Done already; the guard has not come back yet to say so itself.
        thread::sleep(Duration::from_nanos(Watchdog::INTERVAL_NS));
        return false;
    }
    link.own_fence_begins();
    tracing::error!(?reason, "the guard does not do its work; the agent fences PostgreSQL itself");
    let postmaster = link.page().postmaster();
    match tanist_guard::fence(data_dir, postmaster) {
        Ok(done) => {
            link.own_fence_complete();
            tracing::warn!(?done, "PostgreSQL was fenced by the agent");
            // First the fact, then whoever waits: what is decided next must not meet the old state.
            facts.tell(Fact::PostgresChanged(Postgres::Unknown));
            link.end_waits(postmaster.filter(|pid| is_dead(*pid)));
            leave_standby(data_dir);
        }
        Err(error) => {
            tracing::error!(%error, "the fence is not complete; trying again");
            thread::sleep(Duration::from_millis(20));
            return false;
        }
    }
    if reason == FenceReason::GuardDead {
        facts.tell(Fact::GuardDead);
        return true;
    }
    facts.tell(Fact::Guard);
    false
}

/// Seen dead, and not reaped yet. A process that is not found may have been reaped, or not be ours to see: that proves nothing.
fn is_dead(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) == Some('Z'))
}

/// The letter after the name, which stands in parentheses and may contain some.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{process::Command, time::Instant};

    #[test]
    fn the_dead_are_told_from_those_that_live_or_are_gone() {
        assert_eq!(state("7 (a) Z (b) S 1 7 7 0"), Some('S'));
        let mut child = Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!is_dead(pid), "it waits for its input");
        drop(child.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_dead(pid) {
            assert!(Instant::now() < deadline, "it has not ended");
            thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        assert!(!is_dead(pid), "reaped");
    }
}
