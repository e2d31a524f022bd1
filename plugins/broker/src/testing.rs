//! Values for unit tests.

use crate::{
    Grants, Manifest, PluginConfig,
    protocol::{Action, Event, PluginId, Role, Source},
};

pub(crate) fn plugin(id: &str) -> PluginConfig {
    let manifest = format!("id = \"{id}\"\nversion = \"1\"\napi = \"tanist:plugin@0.1.0\"\nevents = [\"on_role_change\"]");
    PluginConfig {
        id: PluginId::from(id),
        source: Source::Builtin(id.to_owned()),
        sha256: None,
        manifest: Manifest::parse(&manifest).unwrap(),
        grants: Grants::default(),
        config: vec![],
        dry_run: false,
    }
}

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
