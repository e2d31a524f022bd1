//! Values exactly as Patroni writes them: each is read, and written again byte for byte.

use super::*;
use tanist_engine::{Lsn, MemberState, Role, Timeline};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../tests/goldens/", $name, ".json")).trim_end()
    };
}

#[test]
fn member_of_a_primary() {
    let text = golden!("member-primary");
    let key = MemberKey::decode(text.as_bytes()).unwrap();
    assert_eq!(key.encode(), text);
    let member = key.into_engine("a".into()).unwrap();
    assert_eq!((member.role, member.state, member.lsn), (Role::Primary, MemberState::Running, Some(Lsn(67_197_376))));
    assert!(!member.tanist);
}

#[test]
fn member_of_a_standby() {
    let text = golden!("member-standby");
    let key = MemberKey::decode(text.as_bytes()).unwrap();
    assert_eq!(key.encode(), text);
    let member = key.into_engine("b".into()).unwrap();
    assert_eq!((member.role, member.state, member.timeline), (Role::Replica, MemberState::Streaming, Some(Timeline(2))));
}

#[test]
fn member_of_ours() {
    let text = golden!("member-tanist");
    let key = MemberKey::decode(text.as_bytes()).unwrap();
    assert_eq!(key.encode(), text);
    assert!(key.into_engine("c".into()).unwrap().tanist);
}

#[test]
fn sync_with_and_without_standbys() {
    for text in [golden!("sync"), golden!("sync-nobody")] {
        assert_eq!(SyncKey::decode(text.as_bytes()).unwrap().encode(), text);
    }
    let names: Vec<String> =
        SyncKey::decode(golden!("sync").as_bytes()).unwrap().standbys.into_iter().map(|name| name.to_string()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn failover_now_and_later() {
    for text in [golden!("failover"), golden!("failover-scheduled")] {
        assert_eq!(FailoverKey::decode(text.as_bytes()).unwrap().encode(), text);
    }
}

#[test]
fn status_of_the_leader() {
    let text = golden!("status");
    let key = StatusKey::decode(text.as_bytes()).unwrap();
    assert_eq!(key.encode(), text);
    assert_eq!((key.optime, key.slots.get("b")), (Some(Lsn(67_197_376)), Some(&Lsn(67_197_000))));
}

#[test]
fn history_of_two_timelines() {
    let text = golden!("history");
    let key = HistoryKey::decode(text.as_bytes()).unwrap();
    assert_eq!(key.encode(), text);
    assert_eq!(key.lines.iter().map(|line| line.leader.as_deref()).collect::<Vec<_>>(), [None, Some("b")]);
}

#[test]
fn failsafe_members() {
    let text = golden!("failsafe");
    assert_eq!(FailsafeKey::decode(text.as_bytes()).unwrap().encode(), text);
}

#[test]
fn plain_texts() {
    assert_eq!(LeaderKey::decode(b"node-1").unwrap().encode(), "node-1");
    assert!(LeaderKey::decode(b"").is_err() && LeaderKey::decode(b"a/b").is_err() && LeaderKey::decode(&[0xff]).is_err());
    let done = InitializeKey::SystemId("7575000000000000001".to_owned());
    assert_eq!(InitializeKey::decode(b"7575000000000000001"), Ok(done.clone()));
    assert_eq!(done.encode(), "7575000000000000001");
    assert_eq!(InitializeKey::decode(b""), Ok(InitializeKey::Bootstrapping));
    assert!(InitializeKey::decode(b"no number").is_err());
}

#[test]
fn a_value_cut_off_anywhere_is_refused_and_never_panics() {
    let whole = golden!("member-standby");
    for end in 0..whole.len() {
        assert!(MemberKey::decode(&whole.as_bytes()[..end]).is_err(), "cut at {end}");
    }
    let texts = [golden!("sync"), golden!("status"), golden!("history"), golden!("failover"), golden!("failsafe")];
    for text in texts {
        // Empty is a value of its own for `sync`; everything else that is cut is no JSON.
        for end in 1..text.len() {
            let part = &text.as_bytes()[..end];
            let refused = [
                SyncKey::decode(part).is_err(),
                StatusKey::decode(part).is_err(),
                HistoryKey::decode(part).is_err(),
                FailoverKey::decode(part).is_err(),
                FailsafeKey::decode(part).is_err(),
            ];
            assert_eq!(refused, [true; 5], "{text} cut at {end}");
        }
    }
}
