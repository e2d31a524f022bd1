//! What the agent has said and the broker has not taken yet.
//!
//! The agent must never wait for the broker, so this holds a bounded number of things and is locked only to move values. When the
//! bound is reached, a lesser event goes first, then the oldest; the newest role change always stays.

use crate::{ClusterFace, EmissionContext};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tanist_engine::Callback;
use tokio::sync::Notify;

/// More events than this in one turn of the broker mean that it is starved; only the newest matter then.
const MAX_EVENTS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    content: Mutex<Content>,
    /// The last face that was shown: the agent shows one at every decision, and most of them are the same.
    shown: Mutex<Option<ClusterFace>>,
    news: Notify,
}

/// Taken in one piece, so that events and face keep their order: the face is newer than every event here.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) events: VecDeque<EmissionContext>,
    pub(crate) face: Option<ClusterFace>,
    /// Events that found no room.
    pub(crate) dropped: u64,
}

impl Inbox {
    pub(crate) fn event(&self, event: EmissionContext) {
        let mut content = self.lock();
        if content.events.len() >= MAX_EVENTS {
            let lesser = content.events.iter().position(|event| event.emission.callback == Callback::OnReload).unwrap_or(0);
            content.events.remove(lesser);
            content.dropped += 1;
        }
        content.events.push_back(event);
        drop(content);
        self.news.notify_one();
    }

    pub(crate) fn face(&self, face: ClusterFace) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref() == Some(&face) {
            return;
        }
        *shown = Some(face.clone());
        self.lock().face = Some(face);
        self.news.notify_one();
    }

    pub(crate) fn take(&self) -> Content {
        std::mem::take(&mut *self.lock())
    }

    /// Returns once something was put since the last [`Inbox::take`].
    pub(crate) async fn changed(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        // The content is whole between any two statements above, so a panic elsewhere cannot have broken it.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::{Emission, Epoch, Role};

    fn event(callback: Callback, epoch: u64) -> EmissionContext {
        let emission = Emission { callback, role: Role::Replica, previous: Role::Replica, epoch: Epoch(epoch) };
        EmissionContext { emission, face: ClusterFace::default(), timeline: None, lsn: None, cause: String::new() }
    }

    #[test]
    fn a_full_inbox_gives_up_reloads_first_and_never_the_newest_event() {
        let inbox = Inbox::default();
        inbox.event(event(Callback::OnRoleChange, 0));
        (1..=100).for_each(|epoch| inbox.event(event(Callback::OnReload, epoch)));
        inbox.event(event(Callback::OnRoleChange, 101));
        let content = inbox.take();
        assert_eq!(content.events.len(), MAX_EVENTS);
        assert_eq!(content.dropped, 102 - 64);
        assert_eq!(content.events.front().unwrap().emission.epoch, Epoch(0));
        assert_eq!(content.events.back().unwrap().emission.epoch, Epoch(101));
        assert_eq!(inbox.take(), Content::default());
    }

    #[test]
    fn a_face_that_says_nothing_new_is_no_news() {
        let inbox = Inbox::default();
        let face = |epoch| ClusterFace { epoch: Epoch(epoch), ..ClusterFace::default() };
        inbox.face(face(1));
        assert_eq!(inbox.take().face, Some(face(1)));
        inbox.face(face(1));
        assert_eq!(inbox.take().face, None);
        inbox.face(face(2));
        inbox.face(face(1));
        assert_eq!(inbox.take().face, Some(face(1)), "as it is now");
    }
}
