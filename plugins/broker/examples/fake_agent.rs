//! An agent that is nothing but a broker, for the tests that kill it: `FAKE_AGENT_DIR` names a directory with `world`, the node's role
//! and epoch now, which it tells as `on_start` when it starts; every line of its standard input is a later role and epoch.

use std::{
    env, fs,
    io::{self, BufRead},
    path::PathBuf,
};
use tanist_broker::{
    Broker, BrokerConfig, BrokerHandle, ClusterFace, EmissionContext, Grants, HostCommand, Manifest, PluginConfig, Tuning,
    protocol::{PluginId, Source},
};
use tanist_engine::{Callback, Emission, Epoch, Role};

const MANIFEST: &str = r#"
id = "vip"
version = "1"
api = "tanist:plugin@0.1.0"
events = ["on_role_change"]
"#;

fn main() {
    let directory = PathBuf::from(env::var_os("FAKE_AGENT_DIR").expect("FAKE_AGENT_DIR"));
    let host = env::var("FAKE_AGENT_HOST").expect("FAKE_AGENT_HOST");
    let plugin = PluginConfig {
        id: PluginId::from("vip"),
        source: Source::Builtin("vip".to_owned()),
        sha256: None,
        manifest: Manifest::parse(MANIFEST).expect("the manifest"),
        grants: Grants::default(),
        config: vec![],
        dry_run: false,
    };
    let env = vec![("FAKE_HOST_DIR".to_owned(), directory.to_str().expect("a path").to_owned())];
    let broker = Broker::spawn(BrokerConfig {
        cluster: "main".to_owned(),
        node: "a".into(),
        host: HostCommand { program: host.into(), env, ..HostCommand::default() },
        journal_dir: directory.join("journal"),
        plugins: vec![plugin],
        dns: None,
        http: None,
        tuning: Tuning::default(),
    })
    .expect("a broker");
    let world = fs::read_to_string(directory.join("world")).unwrap_or_default();
    let mut role = tell(&broker, Callback::OnStart, Role::Uninitialized, &world).unwrap_or_default();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        role = tell(&broker, Callback::OnRoleChange, role, &line).unwrap_or(role);
    }
}

fn tell(broker: &BrokerHandle, callback: Callback, previous: Role, words: &str) -> Option<Role> {
    let (role, epoch) = words.trim().split_once(' ')?;
    let role = if role == "primary" { Role::Primary } else { Role::Replica };
    let epoch = Epoch(epoch.parse().expect("an epoch"));
    let emission = Emission { callback, role, previous, epoch };
    let face = ClusterFace { epoch, role, ..ClusterFace::default() };
    broker.emit(EmissionContext { emission, face: face.clone(), timeline: None, lsn: None, cause: "test".to_owned() });
    broker.face(face);
    Some(role)
}
