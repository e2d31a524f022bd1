//! Questions that many plugins ask of what they are given.

use crate::{Event, Member, View};

impl Event {
    /// The member that has the lease.
    pub fn leading_member(&self) -> Option<&Member> {
        named(&self.members, self.leader.as_deref()?)
    }

    /// The node that calls the plugin.
    pub fn this_member(&self) -> Option<&Member> {
        named(&self.members, &self.node)
    }
}

impl View {
    /// The node that calls the plugin.
    pub fn this_member(&self) -> Option<&Member> {
        named(&self.members, &self.node)
    }
}

fn named<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.name == name)
}
