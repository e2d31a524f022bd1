//! Who waits for which job of the guard, and whose wait ends when this agent has fenced in the guard's place.
//!
//! The guard answers when it runs. While it stands still, jobs would count as running for as long as that lasts, and the lease be renewed
//! for a server that is gone. What comes of a job that no longer waits is dropped: its number is never used again.
//!
//! The fence finds what works in the data directory. Programs that write it from elsewhere (pg_basebackup, pg_rewind, initdb, find) live
//! on, and an order to start a server that the guard has not carried out yet may still be: those waits do not end.

use std::collections::BTreeMap;
use tanist_guard::protocol::{Exit, Refusal};
use tokio::sync::mpsc;

/// News of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobNews {
    /// Its process runs.
    Spawned,
    /// It ended.
    Exited(Exit),
    /// It was refused.
    Refused(Refusal),
    /// The guard has not answered, and this agent has ended what the job was about.
    Fenced,
}

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A program that writes the data directory.
    Write,
    /// A server is to be started.
    Start {
        /// The postmaster on the page when it was ordered: another one there is the one that was asked for.
        before: Option<i32>,
    },
    /// The server that runs is to be stopped, or promoted: neither can happen to a dead one.
    Change,
}

/// The jobs that somebody waits for.
#[derive(Default)]
pub struct Jobs(BTreeMap<u64, Waiter>);

struct Waiter {
    order: Order,
    news: mpsc::UnboundedSender<JobNews>,
}

impl Jobs {
    /// Somebody waits for this one from now on.
    pub fn wait(&mut self, job: u64, order: Order) -> mpsc::UnboundedReceiver<JobNews> {
        let (news, receiver) = mpsc::unbounded_channel();
        self.0.insert(job, Waiter { order, news });
        receiver
    }

    /// Nobody waits for it any more.
    pub fn forget(&mut self, job: u64) {
        self.0.remove(&job);
    }

    /// No news will come.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether somebody waits for it.
    pub fn knows(&self, job: u64) -> bool {
        self.0.contains_key(&job)
    }

    /// Tells whoever waits.
    pub fn tell(&self, job: u64, news: JobNews) {
        if let Some(waiter) = self.0.get(&job) {
            let _nobody_waits_any_more = waiter.news.send(news);
        }
    }

    /// This agent's own fence is complete; `dead`: the postmaster on the page, if it was seen to have ended.
    pub fn fenced(&mut self, dead: Option<i32>) {
        self.0.retain(|_, waiter| {
            let ended = match waiter.order {
                Order::Write => false,
                Order::Start { before } => dead.is_some() && dead != before,
                Order::Change => true,
            };
            if ended {
                let _nobody_waits_any_more = waiter.news.send(JobNews::Fenced);
            }
            !ended
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a job that is about this hears of a fence that left `dead`, and whether it is waited for afterwards.
    fn after_fence(order: Order, dead: Option<i32>) -> (Option<JobNews>, bool) {
        let mut jobs = Jobs::default();
        let mut news = jobs.wait(7, order);
        jobs.fenced(dead);
        let told = news.try_recv().ok();
        jobs.tell(7, JobNews::Exited(Exit::Code(0)));
        let waits = news.try_recv().is_ok();
        assert_eq!(jobs.knows(7), waits);
        (told, waits)
    }

    #[test]
    fn a_stop_and_a_promotion_end_with_the_server_and_hear_no_late_answer() {
        for dead in [None, Some(2)] {
            assert_eq!(after_fence(Order::Change, dead), (Some(JobNews::Fenced), false));
        }
    }

    #[test]
    fn a_writer_goes_on() {
        assert_eq!(after_fence(Order::Write, Some(2)), (None, true));
    }

    #[test]
    fn a_start_ends_only_if_its_own_server_was_seen_dead() {
        for before in [None, Some(1)] {
            assert_eq!(after_fence(Order::Start { before }, Some(2)), (Some(JobNews::Fenced), false));
        }
        // The guard may carry the order out when it runs again.
        assert_eq!(after_fence(Order::Start { before: None }, None), (None, true), "none was started yet");
        assert_eq!(after_fence(Order::Start { before: Some(1) }, Some(1)), (None, true), "that was the one before");
    }

    #[test]
    fn an_answer_from_before_the_fence_counts() {
        let mut jobs = Jobs::default();
        let mut news = jobs.wait(7, Order::Change);
        jobs.tell(7, JobNews::Exited(Exit::Code(0)));
        jobs.fenced(None);
        assert_eq!(news.try_recv(), Ok(JobNews::Exited(Exit::Code(0))));
    }

    #[test]
    fn each_hears_of_his_own() {
        let mut jobs = Jobs::default();
        let (mut first, mut second) = (jobs.wait(1, Order::Write), jobs.wait(2, Order::Change));
        jobs.tell(1, JobNews::Spawned);
        assert_eq!(first.try_recv(), Ok(JobNews::Spawned));
        assert!(second.try_recv().is_err());
        jobs.forget(1);
        jobs.clear();
        assert!(!jobs.knows(1) && !jobs.knows(2));
        assert_eq!(second.try_recv(), Err(mpsc::error::TryRecvError::Disconnected), "no news will come");
    }
}
