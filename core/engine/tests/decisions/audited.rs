//! The audit refuses. Each case is a scene in the scenario language and one effect that must not be asked for in it; the same effect in
//! the scene made right is accepted, so that no case passes for another reason than its own.

use crate::harness::{Scene, facts};
use std::time::Duration;
use tanist_engine::*;

/// The opinion on one effect in a scene.
fn opinion(scene: &str, action: &Action) -> Result<(), String> {
    let mut built = Scene::default();
    for line in scene.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        facts::apply(&mut built, words[0], &words[1..]);
    }
    // What an honest memory holds: the position of the running primary, read under the names in force.
    if let (Lease::Mine(held), Postgres::Running(running)) = (&built.seen.lease, &built.seen.postgres)
        && let ServerRole::Primary { position, names_in_force: Some(names), .. } = &running.role
    {
        built.memory.sync_target = Some(SyncTarget { names: names.clone(), epoch: held.epoch, lsn: position.lsn });
    }
    let wake_at = built.now + Duration::from_secs(1);
    let decision = Decision { memory: built.memory, actions: vec![action.clone()], reason: Reason::ProbePending, wake_at };
    audit(&built.policy, &built.seen, &decision, built.now).map_err(|violation| violation.to_string())
}

/// Accepted in `right`; refused with these words after any of `wrong` has changed the scene.
fn refused(action: Action, right: &str, wrong: &[(&str, &str)]) {
    assert_eq!(opinion(right, &action), Ok(()), "{action:?} in the right scene");
    for (change, words) in wrong {
        let answer = opinion(&format!("{right}\n{change}"), &action);
        assert!(answer.as_ref().is_err_and(|answer| answer.contains(words)), "{action:?} after {change}: {answer:?}");
    }
}

const STORE: &str = "store read\ninitialize 7000";

fn first_of(name: &str) -> SyncNames {
    SyncNames::one(name.into())
}

#[test]
fn a_lease_is_taken_only_vacant_and_left_only_quiet() {
    refused(
        Action::Acquire { record: Revision(7) },
        &format!("{STORE}\npg standby\nlease vacant epoch=7"),
        &[
            ("lease unknown", "not vacant"),
            ("lease theirs holder=b epoch=7", "not vacant"),
            ("lease vacant epoch=7 record=8", "not vacant"),
            ("pg standby id=6666", "another cluster"),
            ("storage broken", "takes no writes"),
        ],
    );
    refused(
        Action::Release { handoff: None, clear_switchover: false },
        &format!("{STORE}\npg stopped was-primary\nlease mine epoch=7"),
        &[
            ("pg primary", "no fence"),
            ("pg starting as-primary", "no fence"),
            ("pg unresponsive", "no fence"),
            ("lease unknown", "lease"),
        ],
    );
    refused(Action::Disarm, "pg stopped was-primary", &[("pg primary", "may be writable")]);
    refused(
        Action::Exit,
        "pg stopped\nstopping\nlease unknown",
        &[("lease mine epoch=7", "released"), ("pg primary", "no fence")],
    );
}

#[test]
fn the_guard_is_armed_only_for_the_lease_that_runs() {
    let until = Moment::ZERO + Duration::from_millis(104_950);
    refused(
        Action::Arm { epoch: Epoch(7), until },
        "lease mine epoch=7",
        &[
            ("lease mine epoch=8", "another epoch"),
            ("lease mine epoch=7 until=+4", "beyond the end"),
            ("lease unknown", "lease"),
            ("guard fence=running", "arms the guard"),
            ("guard newest=8", "older than the newest"),
        ],
    );
}

#[test]
fn nothing_becomes_writable_without_lease_permission_and_claim() {
    let right = format!(
        "{STORE}\nface a@5 tl=1\nclaim b@7 tl=2\nlease mine epoch=7 sync=a/b\nguard armed=7\npg standby tl=1\nme b\npolicy sync=on"
    );
    refused(
        Action::Run(Job::Promote { epoch: Epoch(7), timeline: Timeline(2) }),
        &right,
        &[
            ("lease mine epoch=7 until=-1", "lease"),
            ("lease unknown", "lease"),
            ("lease mine epoch=8", "another epoch"),
            ("guard unarmed", "armed"),
            ("guard armed=6", "armed"),
            ("guard armed=7 until=-1", "armed"),
            ("lease mine epoch=7 sync=a/c", "/sync"),
            ("face a@7 tl=1", "shown already"),
            ("pg stopped", "forbids"),
            ("pg standby id=6666", "another cluster"),
        ],
    );
    let unclaimed = Action::Run(Job::Promote { epoch: Epoch(7), timeline: Timeline(3) });
    assert!(opinion(&right, &unclaimed).is_err_and(|answer| answer.contains("not claimed")));
    refused(
        Action::Run(Job::Start(StartAs::Primary { epoch: Epoch(7) })),
        &format!("{STORE}\nlease mine epoch=7\nguard armed=7 fence=complete\npg stopped unclean was-primary"),
        &[
            ("guard fence=open", "gone"),
            ("guard unarmed", "armed"),
            ("lease theirs holder=b epoch=8", "lease"),
            ("pg primary", "forbids"),
            ("replaced", "was replaced"),
        ],
    );
}

#[test]
fn only_the_newest_leader_is_followed_and_only_dead_data_are_replaced() {
    let endpoint = Endpoint { host: "b".to_owned(), port: 5432 };
    let upstream = Upstream { name: "b".into(), endpoint, epoch: Epoch(9) };
    refused(
        Action::Run(Job::Follow(upstream.clone())),
        &format!("{STORE}\nface b@9 tl=1\nlease theirs holder=b epoch=9\npg standby"),
        &[
            ("lease theirs holder=c epoch=10", "older epoch"),
            ("face c@10 tl=1", "older epoch"),
            ("promised 9 to=c", "older epoch"),
            ("me b", "itself"),
            ("pg primary", "forbids"),
        ],
    );
    refused(
        Action::Run(Job::Clone { from: upstream.clone() }),
        &format!("{STORE}\npolicy sync=on\nface b@9 tl=1\nlease theirs holder=b epoch=9\npg stopped"),
        &[
            ("pg standby", "forbids"),
            ("pg stopped unclean", "gone"),
            ("pg stopped id=6666", "another cluster"),
            ("sync a/b", "/sync names this node"),
            ("lease theirs holder=b epoch=10", "older epoch"),
        ],
    );
    refused(
        Action::Run(Job::Rewind { from: upstream }),
        &format!("{STORE}\npolicy sync=on\nface b@9 tl=1\nlease theirs holder=b epoch=9\npg stopped"),
        &[
            ("pg standby", "forbids"),
            ("pg halfmade", "forbids"),
            ("pg stopped unclean\nguard fence=complete", "forbids"),
            ("pg stopped id=6666", "another cluster"),
            ("sync a/b", "/sync names this node"),
            ("face b@8 tl=1", "older epoch"),
            ("lease theirs holder=b epoch=10", "older epoch"),
        ],
    );
    refused(
        Action::Run(Job::Bootstrap),
        "store read\npg nodata\nlease mine epoch=7",
        &[("initialize 7000", "forbids"), ("pg stopped", "forbids"), ("lease unknown", "lease")],
    );
}

#[test]
fn nobody_is_pointed_at_a_leader_that_lacks_some_of_its_wal() {
    let endpoint = Endpoint { host: "b".to_owned(), port: 5432 };
    let upstream = Upstream { name: "b".into(), endpoint, epoch: Epoch(9) };
    let scene = format!("{STORE}\nface b@9 tl=3\nclaim b@9 tl=3 begin=880 parent=1\nlease theirs holder=b epoch=9");
    refused(
        Action::Run(Job::Follow(upstream.clone())),
        &format!("{scene}\npg standby tl=1 lsn=880"),
        &[
            ("pg standby tl=1 position-unknown", "end of its own WAL"),
            ("pg standby tl=1 lsn=881", "no part of"),
            ("pg standby tl=2 lsn=800", "no part of"),
            ("pg standby tl=3 lsn=900 by=8", "no part of"),
            ("pg standby tl=4 lsn=900", "no part of"),
        ],
    );
    refused(
        Action::Run(Job::Start(StartAs::Standby(Some(upstream)))),
        &format!("{scene}\npg stopped was-primary tl=1 lsn=880"),
        &[
            ("pg stopped was-primary tl=1 lsn=881", "no part of"),
            ("pg stopped tl=1 lsn=800", "end of its own WAL"),
            ("pg stopped was-primary unclean tl=1 lsn=800\nguard fence=complete", "end of its own WAL"),
            ("pg stopped rewound tl=3 lsn=900 by=8", "no part of"),
        ],
    );
    opinion(
        &format!("{scene}\npg stopped rewound unclean tl=3 lsn=900\nguard fence=complete"),
        &Action::Run(Job::Start(StartAs::Standby(None))),
    )
    .unwrap();
}

#[test]
fn only_a_proved_primary_is_shown() {
    let endpoint = Endpoint { host: "a".to_owned(), port: 5432 };
    let face = Face { epoch: Epoch(7), name: "a".into(), endpoint, timeline: Timeline(2) };
    refused(
        Action::PublishPrimary(face),
        &format!("{STORE}\nface b@5 tl=1\nlease mine epoch=7\nguard armed=7\npg primary tl=2 proof=7"),
        &[
            ("pg primary tl=2", "not proved"),
            ("pg primary tl=2 proof=6", "not proved"),
            ("pg primary tl=3 proof=7", "not proved"),
            ("face b@8 tl=1", "shown already"),
            ("lease mine epoch=8", "another epoch"),
            ("guard unarmed", "armed"),
        ],
    );
    let told = Emission { callback: Callback::OnRoleChange, role: Role::Primary, previous: Role::Replica, epoch: Epoch(7) };
    refused(
        Action::Emit(told),
        "face a@7 tl=1\nlease mine epoch=7",
        &[("face a@6 tl=1", "not proved"), ("lease unknown", "lease")],
    );
    refused(
        Action::ClaimTimeline { timeline: Timeline(2), epoch: Epoch(7), parent: None },
        "claim a@5 tl=1\nlease mine epoch=7",
        &[("claim c@6 tl=2", "claimed already"), ("lease mine epoch=8", "another epoch")],
    );
}

#[test]
fn promises_are_kept_and_counted() {
    let right = format!(
        "{STORE}\nme b\npolicy sync=quorum\nclaim a@3 tl=1\nclaim b@7 tl=2\nlease mine epoch=7 sync=a/b,c,d/1\nguard armed=7\n\
         promised 7\npg standby tl=1 by=3 lsn=100\npromise c@7 tl=1 lsn=100"
    );
    refused(
        Action::Run(Job::Promote { epoch: Epoch(7), timeline: Timeline(2) }),
        &right,
        &[
            ("promise c@6 tl=1 lsn=100", "enough"),
            ("promise c@7", "enough"),
            ("promise c@7 tl=1 lsn=101", "enough"),
            ("promised 7 uncut", "enough"),
            ("promised 6", "enough"),
            ("promised 7 to=c", "shown already"),
            ("pg standby tl=1 by=3 lsn=100 up=a@5", "enough"),
            ("pg standby position-unknown", "enough"),
            ("lease mine epoch=7 sync=a/b,c,d/2", "enough"),
            ("lease mine epoch=7 sync=a/c,d/1", "/sync"),
            ("replaced", "replaced"),
        ],
    );
    let theirs = format!("{STORE}\nlease theirs holder=b epoch=9\npromised 9\npg standby tl=1 lsn=100");
    let position = Position { opened_by: Epoch(0), timeline: Timeline(1), lsn: Lsn(100) };
    refused(
        Action::WritePromise { epoch: Epoch(9), position: Some(position), revision: Revision(0) },
        &theirs,
        &[
            ("promised 9 uncut", "does not keep"),
            ("promised 8", "does not keep"),
            ("pg standby tl=1 lsn=100 up=a@7", "does not keep"),
            ("pg standby tl=1 lsn=110", "does not keep"),
            ("pg standby position-unknown", "does not keep"),
            ("pg primary", "does not keep"),
            ("replaced", "does not keep"),
            ("promise a@5", "revision"),
        ],
    );
    refused(
        Action::Run(Job::Promise { epoch: Epoch(9), to: Some("b".into()) }),
        &theirs,
        &[
            ("promised 10", "does not keep"),
            ("promised 9 to=c", "does not keep"),
            ("lease theirs holder=c epoch=9\npromised 8", "does not keep"),
            ("lease theirs holder=b epoch=10\npromised 8", "does not keep"),
            ("pg primary", "does not keep"),
        ],
    );
    refused(Action::AdoptDirectory, "policy sync=on\nsync b/c", &[("sync b/a", "/sync names"), ("sync a/b", "/sync names")]);
}

#[test]
fn several_standbys_and_electing_sets_never_miss_each_other() {
    let right = format!("{STORE}\npolicy sync=quorum\nlease mine epoch=7\nguard armed=7");
    let scene = |sync: &str, names: &str| {
        format!("{right}\nsync {sync}\npg primary lsn=100 names={names} standbys=b:100,c:90,d:90\nprobed +0")
    };
    let standbys = |names: &[&str]| names.iter().map(|name| MemberName::from(*name)).collect();
    refused(
        Action::SetSyncNames(SyncNames::AnyOf { count: 1, standbys: standbys(&["b", "c"]) }),
        &scene("a/b,c/1", "reserved"),
        &[("sync a/b,c/0", "nobody named"), ("sync a/b,c,d/1", "nobody named"), ("sync x/b,c/1", "nobody named")],
    );
    let state = SyncState { revision: Revision(1), leader: Some("a".into()), standbys: standbys(&["b", "c"]), quorum: 1 };
    let data = |revision| {
        let mark = |name: &str, revision| DataMark { name: name.into(), revision: Revision(revision) };
        vec![mark("b", revision), mark("c", 0)]
    };
    let write = |revision| Action::WriteSync { state: state.clone(), data: data(revision) };
    refused(
        write(0),
        &scene("a/", "any:1:b,c"),
        &[
            ("pg primary lsn=100 names=any:1:b,c,d standbys=b:100,c:100,d:100", "may miss"),
            ("pg primary lsn=100 names=any:1:b,c standbys=b:90,c:90", "may miss"),
            ("data b revision=5", "replaced"),
        ],
    );
    // Marked, and known to be before the flush position was read.
    let known = format!("{}\ndata b revision=5", scene("a/", "any:1:b,c"));
    assert!(opinion(&known, &write(5)).is_err_and(|answer| answer.contains("replaced")), "nobody remembers since when");
    // The same once more only ends other writes; not when one of those named has given up its data since.
    refused(write(0), &scene("a/b,c/1", "reserved"), &[("data b revision=5", "replaced")]);
}

#[test]
fn sync_and_names_never_part() {
    let names = |names: SyncNames| Action::SetSyncNames(names);
    let sync = |standby: Option<&str>| {
        let standbys = standby.into_iter().map(MemberName::from).collect();
        let state = SyncState { revision: Revision(1), leader: Some("a".into()), standbys, quorum: 0 };
        let data = standby.into_iter().map(|name| DataMark { name: name.into(), revision: Revision(0) }).collect();
        Action::WriteSync { state, data }
    };
    let right = format!("{STORE}\npolicy sync=on\nlease mine epoch=7\nguard armed=7");
    let scene = |sync: &str, names: &str| format!("{right}\nsync {sync}\npg primary lsn=100 names={names} standbys=b:100,c:90");
    // Loosen: /sync first, then names.
    refused(
        names(SyncNames::Nobody),
        &scene("a/", "b"),
        &[("sync a/b", "nobody named"), ("policy sync=strict", "nobody named"), ("sync-asked 1", "nobody named")],
    );
    refused(names(first_of("b")), &scene("a/b", "reserved"), &[("sync a/c", "nobody named"), ("sync x/a", "nobody named")]);
    // Tighten: names first, in force and with everything, then /sync.
    let in_force = scene("a/", "b");
    refused(
        sync(Some("b")),
        &in_force,
        &[
            ("pg primary lsn=100 names=nobody standbys=b:100", "may miss"),
            ("pg primary lsn=100 names=pending standbys=b:100", "may miss"),
            ("pg primary lsn=100 names=c standbys=b:100", "may miss"),
            ("pg primary lsn=100 names=b standbys=b:90", "may miss"),
            ("pg primary lsn=100 names=b standbys=c:100", "may miss"),
            ("sync a/", "revision"),
            ("policy sync=off", "may miss"),
        ],
    );
    refused(sync(None), &scene("a/b", "b"), &[("policy sync=strict", "strict")]);
}

#[test]
fn failsafe_mode_binds_whoever_agreed_and_whoever_is_not_named() {
    refused(
        Action::Acquire { record: Revision(7) },
        &format!("{STORE}\npg standby\nlease vacant epoch=7\nfailsafe waits=b@7:-0.001"),
        &[("failsafe barred", "others were named"), ("failsafe waits=b@7:+0.001", "agreed to wait")],
    );
    let members = Some([("a".into(), "http://a:8008".to_owned()), ("b".into(), "http://b:8008".to_owned())].into());
    refused(
        Action::NameFailsafe { members },
        &format!("{STORE}\nmember b\nlease mine epoch=7"),
        &[("me c", "not itself"), ("member p patroni", "bound by nothing"), ("lease theirs holder=b epoch=8", "lease")],
    );
    let right = format!("{STORE}\npg primary\nlease mine epoch=7\nguard armed=7\nfailsafe voters=b");
    let wrong = [
        ("guard unarmed", "armed"),
        ("guard armed=8", "armed"),
        ("guard fence=complete", "by permission"),
        ("pg standby", "by permission"),
        ("lease theirs holder=b epoch=8", "by permission"),
        ("lease mine epoch=7 until=+0", "by permission"),
        ("failsafe named=a,b", "who may take over"),
    ];
    refused(Action::AskToWait { epoch: Epoch(7) }, &right, &wrong);
    let restarted = format!("{right}\nlease unknown\nfailsafe voters=b agreed=-1");
    refused(
        Action::Prove { epoch: Epoch(7) },
        &restarted,
        &[("failsafe voters=b", "lease"), ("guard armed=8", "armed"), ("lease vacant epoch=7", "lease")],
    );
    assert_eq!(opinion(&format!("{right}\nlease unknown"), &Action::AskToWait { epoch: Epoch(7) }), Ok(()), "after a restart");
}

/// Synchronous mode was switched off while the answer to a write of `/sync` had not come, and PostgreSQL is started again as a primary:
/// until the write is written over its commits wait (found by the simulator, 250166677/1243e).
#[test]
fn a_primary_is_started_with_names_that_an_open_write_of_sync_allows() {
    let Scene { policy, memory, seen, .. } = Scene::default();
    let primary = Job::Start(StartAs::Primary { epoch: Epoch(7) });
    let names = |job: &Job, memory: &Memory| SyncNames::for_job(job, &policy, &seen.store, memory);
    assert_eq!(names(&primary, &memory), SyncNames::Nobody, "asynchronous, nothing is open");
    let asked = Memory { sync_asked: Some(seen.store.sync_revision()), ..memory.clone() };
    let found = Memory { sync_clear: false, ..memory };
    for open in [asked, found] {
        assert_eq!(names(&primary, &open), SyncNames::Reserved, "{open:?}");
        assert_eq!(names(&Job::Start(StartAs::Standby(None)), &open), SyncNames::Nobody);
    }
}
