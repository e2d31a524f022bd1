//! Values for unit tests.

use crate::protocol::{Action, Event, Role};

pub(crate) fn event(action: Action, epoch: u64, sequence: u64) -> Event {
    Event {
        cluster: "main".to_owned(),
        node: "a".to_owned(),
        epoch,
        sequence,
        idempotency_key: format!("main/{epoch}/a/{action}/{sequence}"),
        action,
        role: Role::Primary,
        previous_role: Role::Replica,
        leader: Some("a".to_owned()),
        previous_leader: None,
        timeline: Some(2),
        lsn: Some(0x0300_0000),
        members: vec![],
        cause: "test".to_owned(),
        dry_run: false,
        attributes: vec![],
    }
}
