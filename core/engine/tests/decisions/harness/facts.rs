//! Commands that state a fact. Words are `key`, `key=value`, or a bare value in its place; times are seconds, `+` from now.

use super::Scene;
use std::time::Duration;
use tanist_engine::*;

/// What a holder counts on after a renewal.
const TERM: Duration = Duration::from_millis(4_950);

/// Words of one command.
struct Words<'a>(&'a [&'a str]);

impl<'a> Words<'a> {
    fn has(&self, key: &str) -> bool {
        self.0.contains(&key)
    }
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).map(|value| value.parse().unwrap_or_else(|_| panic!("{key}={value} is no number")))
    }
    fn moment(&self, key: &str, now: Moment) -> Option<Moment> {
        self.get(key).map(|value| moment(value, now))
    }
    fn first(&self) -> &'a str {
        self.0.first().copied().expect("a word is missing")
    }
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap_or_else(|_| panic!("{text} are no seconds")))
}

fn moment(text: &str, now: Moment) -> Moment {
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(later), _) => now + seconds(later),
        (_, Some(earlier)) => now.minus(seconds(earlier)),
        _ => Moment::ZERO + seconds(text),
    }
}

/// `name@epoch`.
fn at_epoch(text: &str) -> (MemberName, Epoch) {
    let (name, epoch) = text.split_once('@').unwrap_or_else(|| panic!("{text} is not name@epoch"));
    (name.into(), Epoch(epoch.parse().expect("an epoch")))
}

pub fn endpoint(name: &MemberName) -> Endpoint {
    Endpoint { host: name.to_string(), port: 5432 }
}

/// Applies one command.
pub fn apply(scene: &mut Scene, command: &str, words: &[&str]) {
    let words = Words(words);
    let now = scene.now;
    match command {
        "policy" => policy(scene, &words),
        "me" => scene.seen.me = words.first().into(),
        "at" => scene.now = moment(words.first(), now),
        "lease" => scene.seen.lease = lease(&words, now),
        "pg" => {
            (scene.seen.postgres, scene.seen.probed) = (postgres(&words, now), now);
            scene.seen.unreadable = words.has("unreadable").then_some(now);
        }
        "guard" => guard(scene, &words),
        "restart" => scene.seen.restart = (!words.has("done")).then_some(now),
        "stopping" => scene.seen.stopping = true,
        "wal-gone" => {
            let (name, epoch) = at_epoch(words.first());
            scene.seen.wal_gone = Some(Upstream { endpoint: endpoint(&name), name, epoch });
        }
        "peer" => peer(scene, &words),
        "probed" => scene.seen.probed = moment(words.first(), now),
        // A write of /sync over that revision was asked for.
        "sync-asked" => scene.memory.sync_asked = Some(Revision(words.first().parse().expect("a revision"))),
        "promised" => {
            let epoch = words.first().parse().expect("an epoch");
            let to = words.get("to").map(MemberName::from);
            scene.seen.promised = Some(Promised { epoch: Epoch(epoch), to, cut: !words.has("uncut") });
        }
        "failsafe" => failsafe(scene, &words),
        "replaced" => (scene.seen.directory_replaced, scene.seen.directory) = (true, scene.seen.directory + 1),
        "storage" => {
            let state = storage(&words);
            let why = match state {
                Storage::Good => String::new(),
                Storage::Full => "2 MB are left".to_owned(),
                Storage::Broken => "a write has not returned for 10 s".to_owned(),
            };
            scene.seen.storage = StorageSeen { state, since: now, why };
        }
        _ => store(scene, command, &words),
    }
}

fn policy(scene: &mut Scene, words: &Words<'_>) {
    let policy = &mut scene.policy;
    let node_count = words.number("count").map_or(1, |count| u32::try_from(count).expect("a count"));
    policy.synchronous = match words.get("sync") {
        Some("on") => SyncMode::On { strict: false, node_count },
        Some("strict") => SyncMode::On { strict: true, node_count },
        Some("quorum") => SyncMode::Quorum { strict: false, node_count },
        Some("strict-quorum") => SyncMode::Quorum { strict: true, node_count },
        Some("off") => SyncMode::Off,
        _ => policy.synchronous,
    };
    policy.ttl = words.get("ttl").map_or(policy.ttl, seconds);
    policy.primary_start_timeout = words.get("start").map(seconds).or(policy.primary_start_timeout);
    policy.primary_stop_timeout = words.get("stop").map_or(policy.primary_stop_timeout, seconds);
    policy.diverged.rewind |= words.has("rewind");
    policy.diverged.copy &= !words.has("keep-diverged");
    policy.diverged.copy_after_failure &= !words.has("keep-on-failure");
    policy.failsafe = words.get("failsafe").map_or(policy.failsafe, |word| word == "on");
    policy.tags = tags(words);
}

/// `a,b`, each at the address that its member key has.
fn named(list: &str) -> Named {
    let names = list.split(',').filter(|name| !name.is_empty());
    names.map(|name| (MemberName::from(name), format!("http://{name}:8008"))).collect()
}

fn failsafe(scene: &mut Scene, words: &Words<'_>) {
    let now = scene.now;
    scene.seen.failsafe = Failsafe {
        named: words.get("named").map(named),
        tidy: !words.has("untidy"),
        voters: words.get("voters").map(|list| named(list).into_keys().collect()),
        asking: words.has("asking"),
        asked: words.moment("asked", now),
        agreed: words.moment("agreed", now),
        refused: words.get("refused").map(|member| (member.into(), "no answer".to_owned())),
        waits: words.get("waits").map(|text| {
            let (leader, until) = text.split_once(':').expect("leader@epoch:until");
            let (leader, epoch) = at_epoch(leader);
            (leader, epoch, moment(until, now))
        }),
        barred: words.has("barred"),
    };
    if let Some(list) = words.get("named") {
        scene.seen.store.failsafe = (!words.has("key-missing")).then(|| named(list));
    }
}

fn tags(words: &Words<'_>) -> Tags {
    let failover_priority = words.number("priority").map(|priority| i32::try_from(priority).expect("a small priority"));
    Tags { nofailover: words.has("nofailover"), nosync: words.has("nosync"), failover_priority }
}

/// `a/b`: leader and standby; `a/`: the leader alone; `-`: nobody; `a/b,c/1`: with a quorum.
fn sync_state(text: &str, revision: u64) -> SyncState {
    let (leader, rest) = text.split_once('/').unwrap_or(("", ""));
    let (standbys, quorum) = rest.split_once('/').unwrap_or((rest, "0"));
    let quorum = quorum.parse().expect("a quorum");
    let leader = (!leader.is_empty()).then(|| leader.into());
    let standbys = standbys.split(',').filter(|name| !name.is_empty()).map(MemberName::from).collect();
    SyncState { revision: Revision(revision), leader, standbys, quorum }
}

fn lease(words: &Words<'_>, now: Moment) -> Lease {
    let epoch = Epoch(words.number("epoch").unwrap_or(0));
    match words.first() {
        "unknown" => Lease::Unknown,
        "vacant" => Lease::Vacant {
            since: words.moment("since", now).unwrap_or(now),
            record: Revision(words.number("record").unwrap_or(epoch.0)),
            last_holder: words.get("by").map(MemberName::from),
            last_epoch: epoch,
            released: words.has("released"),
        },
        "mine" => Lease::Mine(Held {
            epoch,
            acquisition: Revision(epoch.0),
            until: words.moment("until", now).unwrap_or(now + TERM),
            renewed: words.moment("renewed", now).unwrap_or(words.moment("until", now).unwrap_or(now + TERM).minus(TERM)),
            attempted: words.moment("attempted", now).unwrap_or(now),
            in_flight: words.has("in-flight"),
            sync_at_acquisition: words.get("sync").map(|text| sync_state(text, 1)),
        }),
        "theirs" => Lease::Theirs(Theirs {
            holder: words.get("holder").expect("holder=").into(),
            epoch,
            vacant_at: words.moment("vacant", now).unwrap_or(now + Duration::from_secs(5)),
            twin: words.has("twin"),
        }),
        other => panic!("lease {other}"),
    }
}

fn parent(words: &Words<'_>) -> Option<Timeline> {
    words.number("parent").map(|parent| Timeline(u32::try_from(parent).expect("a timeline")))
}

fn position(words: &Words<'_>) -> Position {
    Position {
        opened_by: Epoch(words.number("by").unwrap_or(0)),
        timeline: Timeline(u32::try_from(words.number("tl").unwrap_or(1)).expect("a timeline")),
        lsn: Lsn(words.number("lsn").unwrap_or(0)),
    }
}

fn postgres(words: &Words<'_>, now: Moment) -> Postgres {
    let system_id = words.get("id").unwrap_or("7000").to_owned();
    let running = |role| Postgres::Running(Running { role, system_id: system_id.clone(), version: 150_018 });
    let since = words.moment("since", now).unwrap_or(now);
    match words.first() {
        "unknown" => Postgres::Unknown,
        "nodata" => Postgres::NoData,
        "halfmade" => Postgres::HalfMade,
        "unresponsive" => Postgres::Unresponsive { since },
        "starting" => Postgres::Starting { since, as_primary: words.has("as-primary") },
        "stopped" => Postgres::Stopped(Stopped {
            clean: !words.has("unclean"),
            was_primary: words.has("was-primary"),
            position: position(words),
            end_known: words.has("was-primary") && !words.has("unclean") || words.has("rewound"),
            rewindable: !words.has("unclean") && !words.has("no-hints"),
            system_id,
        }),
        "standby" => running(ServerRole::Standby {
            position: (!words.has("position-unknown")).then(|| position(words)),
            replayed: position(words).lsn,
            upstream: words.get("up").map(|text| {
                let (name, epoch) = at_epoch(text);
                Upstream { endpoint: endpoint(&name), name, epoch }
            }),
            streaming: words.has("streaming"),
            slot_differs: words.has("other-slot"),
        }),
        "primary" => running(ServerRole::Primary {
            position: position(words),
            timeline_begin: words.number("begin").map(Lsn),
            timeline_parent: parent(words),
            proof: words.number("proof").map(|epoch| WriteProof {
                epoch: Epoch(epoch),
                timeline: position(words).timeline,
                at: now,
            }),
            standbys: words.get("standbys").map(|list| list.split(',').map(standby).collect()).unwrap_or_default(),
            names_in_force: names(words.get("names").unwrap_or("nobody")),
            checkpointed: !words.has("no-checkpoint"),
        }),
        other => panic!("pg {other}"),
    }
}

/// `b:100` streams and has flushed 100; `b:100#7`: over the connection with that number.
fn standby(text: &str) -> StandbySeen {
    let (name, rest) = text.split_once(':').expect("name:flushed");
    let (flushed, pid) = rest.split_once('#').unwrap_or((rest, "0"));
    let connection = Connection { pid: pid.parse().expect("a process number"), began: 0 };
    let flushed = Lsn(flushed.parse().expect("a position"));
    StandbySeen { name: name.into(), streaming: true, flushed, sync: false, connection }
}

fn names(text: &str) -> Option<SyncNames> {
    Some(match text {
        "pending" => return None,
        "nobody" => SyncNames::Nobody,
        "reserved" => SyncNames::Reserved,
        list => match (list.strip_prefix("any:"), list.strip_prefix("first:")) {
            (Some(rest), _) => counted(rest, |count, standbys| SyncNames::AnyOf { count, standbys }),
            (_, Some(rest)) => counted(rest, |count, standbys| SyncNames::FirstOf { count, standbys }),
            _ => SyncNames::FirstOf { count: 1, standbys: list.split(',').map(MemberName::from).collect() },
        },
    })
}

/// `2:b,c`.
fn counted(text: &str, make: impl Fn(u32, std::collections::BTreeSet<MemberName>) -> SyncNames) -> SyncNames {
    let (count, standbys) = text.split_once(':').expect("count:names");
    make(count.parse().expect("a count"), standbys.split(',').map(MemberName::from).collect())
}

fn guard(scene: &mut Scene, words: &Words<'_>) {
    let guard = &mut scene.seen.guard;
    guard.armed = match words.number("armed") {
        Some(epoch) => Some(Armed {
            epoch: Epoch(epoch),
            until: words.moment("until", scene.now).unwrap_or(scene.now + Duration::from_millis(4950)),
        }),
        None if words.has("unarmed") => None,
        None => guard.armed,
    };
    let newest = words.number("newest").or_else(|| words.number("armed"));
    guard.newest = newest.map_or(guard.newest, Epoch);
    guard.fence = match words.get("fence") {
        Some("open") => FenceState::Open,
        Some("running") => FenceState::Running,
        Some("complete") => FenceState::Complete,
        _ => guard.fence,
    };
}

fn state(words: &Words<'_>) -> (MemberState, Role) {
    let role = if words.has("primary") { Role::Primary } else { Role::Replica };
    match (words.has("stopped"), words.has("empty"), role) {
        (true, _, _) => (MemberState::Stopped, role),
        (_, true, _) => (MemberState::Stopped, Role::Uninitialized),
        (_, _, Role::Primary) => (MemberState::Running, role),
        _ => (MemberState::Streaming, role),
    }
}

fn storage(words: &Words<'_>) -> Storage {
    match (words.has("full"), words.has("broken")) {
        (true, _) => Storage::Full,
        (_, true) => Storage::Broken,
        _ => Storage::Good,
    }
}

fn peer(scene: &mut Scene, words: &Words<'_>) {
    let name = MemberName::from(words.first());
    let (state, role) = state(words);
    let position = words.number("lsn").map(|_| position(words));
    let answer = PeerAnswer { state, role, position, tags: tags(words), storage: storage(words), barred: words.has("barred") };
    scene.seen.peers.retain(|peer| peer.name != name);
    let asked = words.moment("asked", scene.now).unwrap_or(scene.now);
    scene.seen.peers.push(Peer { name, asked, answer: (!words.has("silent")).then_some(answer) });
}

fn store(scene: &mut Scene, command: &str, words: &Words<'_>) {
    let store = &mut scene.seen.store;
    store.as_of = Some(scene.now);
    let revision = store.sync.as_ref().map_or(1, |sync| sync.revision.0 + 1);
    let first = words.first();
    let none = first == "none";
    match command {
        "store" => {}
        "initialize" => store.initialize = (!none).then(|| first.to_owned()),
        "sync" => store.sync = (!none).then(|| sync_state(first, revision)),
        "optime" => store.optime = Some(Lsn(first.parse().expect("a position"))),
        "face" => {
            store.primary = (!none).then(|| {
                let (name, epoch) = at_epoch(first);
                Face { epoch, endpoint: endpoint(&name), name, timeline: position(words).timeline }
            });
        }
        "handoff" => {
            let (to, epoch) = at_epoch(first);
            store.handoff = Some(Handoff { to, epoch });
        }
        "claim" => store.timelines.push(TimelineClaim {
            timeline: position(words).timeline,
            epoch: at_epoch(first).1,
            begin: words.number("begin").map(Lsn),
            parent: parent(words),
        }),
        "promise" => {
            let (name, epoch) = at_epoch(first);
            let revision = Revision(words.number("revision").unwrap_or(1));
            let position = words.number("lsn").map(|_| position(words));
            store.promises.retain(|promise| promise.name != name);
            store.promises.push(Promise { name, revision, epoch, position });
        }
        "data" => {
            let name = MemberName::from(first);
            store.data.retain(|mark| mark.name != name);
            store.data.push(DataMark { name, revision: Revision(words.number("revision").expect("revision=")) });
        }
        "switchover" => {
            let leader = words.get("leader").map(MemberName::from);
            let candidate = words.get("to").map(MemberName::from);
            store.switchover = (!none).then_some(Switchover { revision: Revision(revision + 100), leader, candidate });
        }
        "member" => {
            let name = MemberName::from(first);
            store.members.retain(|member| member.name != name);
            let (state, role) = state(words);
            let (timeline, lsn) = (words.number("tl").map(|_| position(words).timeline), words.number("lsn").map(Lsn));
            let api_url = (!words.has("mute")).then(|| format!("http://{name}:8008"));
            if !words.has("gone") {
                let postgres = Some(endpoint(&name));
                let tags = tags(words);
                store.members.push(Member {
                    name,
                    postgres,
                    api_url,
                    state,
                    role,
                    timeline,
                    lsn,
                    checkpointed: words.has("checkpointed"),
                    tags,
                    tanist: !words.has("patroni"),
                    storage: storage(words),
                    // Unless it is said otherwise: whoever leads.
                    follows: words.number("follows").map(Epoch).or(Some(Epoch(1_000_000))),
                });
            }
        }
        other => panic!("unknown command {other}"),
    }
}
