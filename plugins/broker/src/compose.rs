//! Turns what the agent says (engine types) into the events and views that plugins see, and numbers them.
//!
//! It remembers who led before, so that an event can tell a failover from a return, and the newest face.

use crate::{
    ClusterFace, EmissionContext,
    journal::Leaders,
    protocol::{Action, Attributes, Event, Member, Primary, Role, View},
};
use std::{
    net::Ipv6Addr,
    time::{SystemTime, UNIX_EPOCH},
};
use tanist_engine::{Callback, Emission, Endpoint, Epoch, Face, Lsn, MemberName, Tags};

/// Numbers and composes events and views of one node.
#[derive(Debug)]
pub(crate) struct Composer {
    cluster: String,
    node: MemberName,
    sequence: u64,
    leaders: Leaders,
    face: ClusterFace,
}

impl Composer {
    /// `sequence` and `leaders`: the highest number and the newest leader that the journals know. The numbers also begin above the present
    /// time in milliseconds, so that an idempotency key is never used twice even when the journals are gone.
    pub(crate) fn new(cluster: String, node: MemberName, sequence: u64, leaders: Leaders) -> Self {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let sequence = sequence.max(u64::try_from(millis).unwrap_or(0));
        Self { cluster, node, sequence, leaders, face: ClusterFace::default() }
    }

    /// The newest face. Returns whether a plugin would see a difference that matters; positions alone do not.
    pub(crate) fn face(&mut self, face: ClusterFace) -> bool {
        let changed = without_positions(&face) != without_positions(&self.face);
        self.saw_leader(&face);
        self.face = face;
        changed
    }

    /// The newest epoch at which this node was proved writable and published; 0: it is not the published primary.
    pub(crate) fn proved(&self) -> u64 {
        match &self.face.primary {
            Some(primary) if primary.name == self.node => primary.epoch.0,
            Some(_) | None => 0,
        }
    }

    /// The event of a callback, and, when this node takes over from another, the release that goes before it.
    pub(crate) fn event(&mut self, context: EmissionContext) -> (Event, Option<Event>) {
        let EmissionContext { emission, face, timeline, lsn, cause } = context;
        let Emission { callback, role, previous, epoch } = emission;
        self.saw_leader(&face);
        let ClusterFace { epoch: _, leader, primary, role: _, members, lsn: end } = face;
        let action = Action::from(callback);
        let owner = self.leaders.previous.clone().filter(|owner| *owner != self.node);
        let takes_over = owner.filter(|_| role == tanist_engine::Role::Primary && action != Action::OnStop);
        let release = takes_over.map(|owner| (owner, self.next()));
        let sequence = self.next();
        let event = Event {
            cluster: self.cluster.clone(),
            node: self.node.to_string(),
            epoch: epoch.0,
            sequence,
            idempotency_key: self.key(epoch, action.name(), sequence),
            action,
            role: role.into(),
            previous_role: previous.into(),
            leader: leader.map(|leader| leader.to_string()),
            previous_leader: self.leaders.previous.as_ref().map(|leader| leader.to_string()),
            timeline: timeline.map(|timeline| timeline.0),
            lsn: lsn.map(|lsn| lsn.0),
            members: members.into_iter().map(|found| member(found, end)).collect(),
            cause,
            dry_run: false,
            attributes: primary.as_ref().filter(|primary| primary.epoch == epoch).map(endpoint).unwrap_or_default(),
        };
        let release = release.map(|(owner, sequence)| Event {
            sequence,
            idempotency_key: self.key(epoch, "release", sequence),
            action: Action::OnRoleChange,
            role: Role::Demoted,
            previous_role: Role::Primary,
            ..event.clone().released_by(&owner.0, &self.node.0)
        });
        (event, release)
    }

    /// The view of the newest face.
    pub(crate) fn view(&mut self, cause: &str) -> View {
        let sequence = self.next();
        let ClusterFace { epoch, leader, primary, role, members, lsn } = self.face.clone();
        View {
            cluster: self.cluster.clone(),
            node: self.node.to_string(),
            epoch: epoch.0,
            sequence,
            idempotency_key: self.key(epoch, "reconcile", sequence),
            role: role.into(),
            leader: leader.map(|leader| leader.to_string()),
            previous_leader: self.leaders.previous.as_ref().map(|leader| leader.to_string()),
            primary: primary.filter(|primary| primary.epoch == epoch).map(Primary::from),
            lsn: lsn.map(|lsn| lsn.0),
            members: members.into_iter().map(|found| member(found, lsn)).collect(),
            cause: cause.to_owned(),
            dry_run: false,
            attributes: Attributes::new(),
        }
    }

    /// Who leads and who did.
    pub(crate) fn leaders(&self) -> &Leaders {
        &self.leaders
    }

    fn saw_leader(&mut self, face: &ClusterFace) {
        self.leaders.saw(face.leader.as_ref(), face.epoch);
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn key(&self, epoch: Epoch, what: &str, sequence: u64) -> String {
        format!("{}/{epoch}/{}/{what}/{sequence}", self.cluster, self.node)
    }
}

fn without_positions(face: &ClusterFace) -> ClusterFace {
    let mut face = ClusterFace { lsn: None, ..face.clone() };
    face.members.iter_mut().for_each(|member| member.lsn = None);
    face
}

/// The proved endpoint, for a callback that does not want to look it up among the members.
fn endpoint(primary: &Face) -> Attributes {
    let Endpoint { host, port } = &primary.endpoint;
    let shown = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    vec![("primary-endpoint".to_owned(), shown)]
}

fn member(found: tanist_engine::Member, end: Option<Lsn>) -> Member {
    let tanist_engine::Member {
        name,
        postgres,
        api_url: _,
        state,
        role,
        timeline: _,
        lsn,
        checkpointed: _,
        tags,
        tanist: _,
        storage: _,
        follows: _,
    } = found;
    let (host, port) = postgres.map_or((String::new(), 0), |Endpoint { host, port }| (host, port));
    let lag = end.zip(lsn).map(|(end, lsn)| end.0.saturating_sub(lsn.0));
    Member {
        name: name.to_string(),
        host,
        port,
        role: role.into(),
        state: state.to_string(),
        lag,
        site: String::new(),
        tags: attributes(tags),
    }
}

fn attributes(tags: Tags) -> Attributes {
    let Tags { nofailover, nosync, failover_priority } = tags;
    let flags = [("nofailover", nofailover), ("nosync", nosync)];
    let flags = flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name.to_owned(), "true".to_owned()));
    flags.chain(failover_priority.map(|priority| ("failover_priority".to_owned(), priority.to_string()))).collect()
}

impl From<Face> for Primary {
    fn from(face: Face) -> Self {
        let Face { epoch, name, endpoint: Endpoint { host, port }, timeline } = face;
        Self { name: name.to_string(), host, port, epoch: epoch.0, timeline: timeline.0 }
    }
}

impl From<Callback> for Action {
    fn from(callback: Callback) -> Self {
        match callback {
            Callback::OnStart => Self::OnStart,
            Callback::OnStop => Self::OnStop,
            Callback::OnRestart => Self::OnRestart,
            Callback::OnReload => Self::OnReload,
            Callback::OnRoleChange => Self::OnRoleChange,
        }
    }
}

impl From<tanist_engine::Role> for Role {
    fn from(role: tanist_engine::Role) -> Self {
        match role {
            tanist_engine::Role::Primary => Self::Primary,
            tanist_engine::Role::Replica => Self::Replica,
            tanist_engine::Role::Demoted => Self::Demoted,
            tanist_engine::Role::Uninitialized => Self::Uninitialized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tanist_engine::{MemberState, Timeline};

    fn member_of(name: &str, lsn: u64) -> tanist_engine::Member {
        tanist_engine::Member {
            name: name.into(),
            postgres: Some(Endpoint { host: "10.0.0.1".to_owned(), port: 5432 }),
            api_url: None,
            state: MemberState::Running,
            role: tanist_engine::Role::Replica,
            timeline: None,
            lsn: Some(Lsn(lsn)),
            checkpointed: false,
            tags: Tags { nosync: true, ..Tags::default() },
            tanist: true,
            storage: tanist_engine::Storage::Good,
            follows: None,
        }
    }

    fn face(epoch: u64, leader: Option<&str>) -> ClusterFace {
        let endpoint = Endpoint { host: "fd00::1".to_owned(), port: 5432 };
        ClusterFace {
            epoch: Epoch(epoch),
            leader: leader.map(MemberName::from),
            primary: leader.map(|name| Face { epoch: Epoch(epoch), name: name.into(), endpoint, timeline: Timeline(2) }),
            role: tanist_engine::Role::Primary,
            members: vec![member_of("b", 100)],
            lsn: Some(Lsn(160)),
        }
    }

    fn event(composer: &mut Composer, face: ClusterFace) -> Event {
        let (role, previous) = (tanist_engine::Role::Primary, tanist_engine::Role::Replica);
        let emission = Emission { callback: Callback::OnRoleChange, role, previous, epoch: face.epoch };
        let cause = "failover".to_owned();
        let (event, release) = composer.event(EmissionContext { emission, face, timeline: Some(Timeline(2)), lsn: None, cause });
        let released = release.map(|release| (release.released_for().map(str::to_owned), release.role, release.sequence + 1));
        assert_eq!(released, Some((event.previous_leader.clone(), Role::Demoted, event.sequence)));
        event
    }

    #[test]
    fn an_event_tells_a_failover_from_a_return() {
        let mut composer = Composer::new("main".to_owned(), "a".into(), u64::MAX >> 12, Leaders::default());
        composer.face(face(7, Some("b")));
        composer.face(face(7, None));
        let first = event(&mut composer, face(9, Some("a")));
        assert_eq!((first.leader.as_deref(), first.previous_leader.as_deref()), (Some("a"), Some("b")));
        let second = event(&mut composer, face(9, Some("a")));
        assert_eq!(second.sequence, first.sequence + 2);
        assert_eq!(second.previous_leader.as_deref(), Some("b"));
        assert_eq!(second.idempotency_key, format!("main/9/a/on_role_change/{}", second.sequence));
        assert_eq!(second.attributes, [("primary-endpoint".to_owned(), "[fd00::1]:5432".to_owned())]);
        assert_eq!(second.members[0].lag, Some(60));
        assert_eq!(second.members[0].tags, [("nosync".to_owned(), "true".to_owned())]);
    }

    #[test]
    fn numbers_go_on_above_the_journals_and_above_the_clock() {
        let high = 1 << 50;
        assert_eq!(Composer::new("main".to_owned(), "a".into(), high, Leaders::default()).view("attach").sequence, high + 1);
        let first = Composer::new("main".to_owned(), "a".into(), 3, Leaders::default()).view("attach").sequence;
        assert!(first > 1_600_000_000_000 && first < Epoch::LIMIT, "{first}");
    }

    #[test]
    fn positions_alone_are_no_change_and_another_epochs_endpoint_is_nobodys() {
        let mut composer = Composer::new("main".to_owned(), "a".into(), 0, Leaders::default());
        assert!(composer.face(face(7, Some("a"))));
        assert_eq!(composer.proved(), 7);
        let mut moved = ClusterFace { lsn: Some(Lsn(500)), ..face(7, Some("a")) };
        moved.members[0].lsn = Some(Lsn(400));
        assert!(!composer.face(moved));
        let mut stale = face(9, Some("a"));
        stale.primary = face(7, Some("a")).primary;
        assert!(composer.face(stale));
        assert_eq!(composer.view("face").primary, None);
        assert!(composer.face(face(9, Some("b"))));
        assert_eq!(composer.proved(), 0);
    }
}
