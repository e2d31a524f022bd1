//! The body: the event as JSON.
//!
//! Fields are only ever added. `version` changes when the meaning of one does.

use std::fmt::Write;
use tanist_plugin::{Action, Event, Member, Role};

/// The body for an event.
pub fn body(event: &Event) -> String {
    let mut object = Object::new();
    object.number("version", Some(1));
    object.text("event", Some(action(&event.action)));
    object.text("cluster", Some(&event.cluster));
    object.text("node", Some(&event.node));
    object.text("role", Some(role(&event.role)));
    object.text("previous_role", Some(role(&event.previous_role)));
    object.text("leader", event.leader.as_deref());
    object.text("previous_leader", event.previous_leader.as_deref());
    object.number("epoch", Some(event.epoch));
    object.number("timeline", event.timeline.map(u64::from));
    object.text("lsn", event.lsn.as_deref());
    object.text("cause", Some(&event.cause));
    let endpoint = event.attributes.iter().find(|(name, _)| name == "primary-endpoint");
    object.text("primary_endpoint", endpoint.map(|(_, value)| value.as_str()));
    object.raw("members", &format!("[{}]", event.members.iter().map(member).collect::<Vec<_>>().join(",")));
    object.number("sequence", Some(event.sequence));
    object.text("idempotency_key", Some(&event.idempotency_key));
    object.finish()
}

fn member(member: &Member) -> String {
    let mut object = Object::new();
    object.text("name", Some(&member.name));
    object.text("host", member.host.as_deref());
    object.number("port", member.port.map(u64::from));
    object.text("role", Some(role(&member.role)));
    object.text("state", Some(&member.state));
    object.number("lag", member.lag);
    object.finish()
}

fn action(action: &Action) -> &str {
    match action {
        Action::OnStart => "on_start",
        Action::OnStop => "on_stop",
        Action::OnRestart => "on_restart",
        Action::OnReload => "on_reload",
        Action::OnRoleChange => "on_role_change",
        Action::Other(word) => word,
    }
}

fn role(role: &Role) -> &str {
    match role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::StandbyLeader => "standby_leader",
        Role::Demoted => "demoted",
        Role::Uninitialized => "uninitialized",
        Role::Other(word) => word,
    }
}

/// An object that is being written. What is not known is `null`, so that every field is always there.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0 += &format!("\"{name}\":{value}");
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        self.raw(name, &value.map_or("null".to_owned(), quoted));
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        self.raw(name, &value.map_or("null".to_owned(), |value| value.to_string()));
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => {
                // Writing to a text cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event() -> Event {
        Event {
            cluster: "demo".to_owned(),
            node: "n2".to_owned(),
            epoch: 9,
            sequence: 7,
            idempotency_key: "demo/9/n2/on_role_change/7".to_owned(),
            action: Action::OnRoleChange,
            role: Role::Primary,
            previous_role: Role::Replica,
            leader: Some("n2".to_owned()),
            previous_leader: Some("n1".to_owned()),
            timeline: Some(3),
            lsn: None,
            members: vec![Member {
                name: "n2".to_owned(),
                host: Some("10.0.0.2".to_owned()),
                port: Some(5432),
                role: Role::Primary,
                state: "running".to_owned(),
                lag: None,
                site: None,
                tags: vec![],
            }],
            cause: "the leader \"n1\"\nis gone\\".to_owned(),
            deadline_ms: 5_000,
            dry_run: false,
            attributes: vec![("primary-endpoint".to_owned(), "10.0.0.2:5432".to_owned())],
        }
    }

    #[test]
    fn the_body_is_json_with_every_field() {
        let expected = concat!(
            r#"{"version":1,"event":"on_role_change","cluster":"demo","node":"n2","role":"primary","previous_role":"replica","#,
            r#""leader":"n2","previous_leader":"n1","epoch":9,"timeline":3,"lsn":null,"cause":"the leader \"n1\"\u000ais gone\\","#,
            r#""primary_endpoint":"10.0.0.2:5432","members":[{"name":"n2","host":"10.0.0.2","port":5432,"role":"primary","#,
            r#""state":"running","lag":null}],"sequence":7,"idempotency_key":"demo/9/n2/on_role_change/7"}"#,
        );
        assert_eq!(body(&event()), expected);
    }
}
