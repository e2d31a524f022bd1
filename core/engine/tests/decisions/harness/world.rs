//! What a willing world makes of a decision.

use super::{Scene, facts::endpoint};
use std::time::Duration;
use tanist_engine::*;

/// Every effect of the last decision but jobs has happened and is seen.
pub fn lands(scene: &mut Scene) {
    let actions = scene.last.as_ref().map(|decision| decision.actions.clone()).unwrap_or_default();
    for action in actions {
        land(scene, action);
    }
}

fn land(scene: &mut Scene, action: Action) {
    let now = scene.now;
    let store = &mut scene.seen.store;
    match action {
        Action::Renew => renew(scene),
        Action::Release { handoff, clear_switchover } => {
            let Lease::Mine(held) = &scene.seen.lease else { panic!("released what is not held") };
            store.handoff = handoff.map(|to| Handoff { to, epoch: held.epoch });
            if clear_switchover {
                store.switchover = None;
            }
            scene.seen.lease = Lease::Vacant {
                since: now,
                record: Revision(held.epoch.0 + 1),
                last_holder: Some(scene.seen.me.clone()),
                last_epoch: held.epoch,
                released: true,
            };
        }
        Action::Arm { epoch, until } => scene.seen.guard.armed = Some(Armed { epoch, until }),
        Action::Disarm => scene.seen.guard.armed = None,
        Action::Fence => scene.seen.guard.fence = FenceState::Running,
        Action::SetSyncNames(next) => on_primary(scene, |_, names| *names = Some(next)),
        Action::WriteSync { state: next, data: _ } => {
            assert_eq!(next.revision, store.sync.as_ref().map(|sync| sync.revision).unwrap_or_default(), "compares what it read");
            store.sync = Some(SyncState { revision: Revision(next.revision.0 + 1), ..next });
        }
        Action::WriteInitialize { system_id } => store.initialize = Some(system_id),
        Action::ClaimTimeline { timeline, epoch, parent } => {
            store.timelines.push(TimelineClaim { timeline, epoch, begin: None, parent });
        }
        Action::RecordTimeline { timeline, epoch: _, begin, parent } => {
            let claim =
                store.timelines.iter_mut().find(|claim| claim.timeline == timeline).expect("recorded what nobody claimed");
            (claim.begin, claim.parent) = (Some(begin), parent);
        }
        Action::Prove { epoch } => on_primary(scene, |proof, _| proof.replace(epoch)),
        Action::PublishPrimary(face) => store.primary = Some(face),
        Action::PublishMember(face) => publish(scene, face),
        Action::PublishStatus { optime } => store.optime = Some(optime),
        Action::ClearSwitchover { .. } => store.switchover = None,
        Action::WritePromise { epoch, position, revision } => {
            let name = scene.seen.me.clone();
            let known = store.promises.iter().find(|promise| promise.name == name).map(|promise| promise.revision);
            assert_eq!(revision, known.unwrap_or_default(), "compares what it read");
            store.promises.retain(|promise| promise.name != name);
            store.promises.push(Promise { name, revision: Revision(revision.0 + 1), epoch, position });
        }
        Action::EndConnections { connections, .. } => {
            if let Postgres::Running(Running { role: ServerRole::Primary { standbys, .. }, .. }) = &mut scene.seen.postgres {
                standbys.retain(|standby| !connections.contains(&standby.connection));
            }
        }
        Action::RaiseData { revision } => {
            let name = scene.seen.me.clone();
            store.data.retain(|mark| mark.name != name);
            let newer = store.sync.as_ref().map_or(revision.0, |sync| sync.revision.0.max(revision.0));
            store.data.push(DataMark { name, revision: Revision(newer + 1) });
        }
        Action::AdoptDirectory => scene.seen.directory_replaced = false,
        Action::Checkpoint => {
            let Postgres::Running(running) = &mut scene.seen.postgres else { panic!("no server runs") };
            let ServerRole::Primary { checkpointed, .. } = &mut running.role else { panic!("no primary runs") };
            *checkpointed = true;
        }
        Action::NameFailsafe { members } => {
            store.failsafe.clone_from(&members);
            let me = scene.seen.me.clone();
            let here = &mut scene.seen.failsafe;
            here.voters = members.clone().map(|named| named.into_keys().filter(|name| *name != me).collect());
            (here.named, here.tidy) = (members, true);
        }
        Action::AskToWait { epoch: _ } => {
            let until = now + Duration::from_millis(4950);
            let here = &mut scene.seen.failsafe;
            (here.asked, here.agreed, here.refused) = (Some(now), Some(now), None);
            if let Lease::Mine(held) = &mut scene.seen.lease {
                held.until = until;
            }
            if let Some(armed) = &mut scene.seen.guard.armed {
                armed.until = until;
            }
        }
        Action::Acquire { .. } | Action::Run(_) | Action::Emit(_) | Action::AskPeers | Action::Exit => {}
    }
}

fn renew(scene: &mut Scene) {
    let until = scene.now + Duration::from_millis(4950);
    let Lease::Mine(held) = &mut scene.seen.lease else { panic!("renewed what is not held") };
    (held.until, held.renewed, held.attempted) = (until, scene.now, scene.now);
    if let Some(armed) = &mut scene.seen.guard.armed {
        armed.until = until;
    }
}

fn publish(scene: &mut Scene, face: MemberFace) {
    let name = scene.seen.me.clone();
    let members = &mut scene.seen.store.members;
    members.retain(|member| member.name != name);
    let MemberFace { state, role, timeline, lsn, streaming: _, checkpointed, storage, follows } = face;
    let (postgres, api_url) = (Some(endpoint(&name)), Some(format!("http://{name}:8008")));
    let (tags, tanist) = (scene.policy.tags, true);
    members.push(Member { name, postgres, api_url, state, role, timeline, lsn, checkpointed, tags, tanist, storage, follows });
}

/// Changes the running primary: its proof (by epoch) and its names in force.
fn on_primary<T>(scene: &mut Scene, change: impl FnOnce(&mut Option<Epoch>, &mut Option<SyncNames>) -> T) {
    let now = scene.now;
    let Postgres::Running(running) = &mut scene.seen.postgres else { panic!("no server runs") };
    let ServerRole::Primary { position, proof, names_in_force, .. } = &mut running.role else { panic!("no primary runs") };
    let mut proved = None;
    change(&mut proved, names_in_force);
    if let Some(epoch) = proved {
        *proof = Some(WriteProof { epoch, timeline: position.timeline, at: now });
    }
}

/// The job of the last decision runs now.
pub fn begins(scene: &mut Scene) {
    let actions = scene.last.iter().flat_map(|decision| &decision.actions);
    let job = actions.filter_map(|action| if let Action::Run(job) = action { Some(job.clone()) } else { None }).next();
    let job = job.expect("the last decision begins no job");
    if matches!(job, Job::Start(_)) {
        scene.seen.guard.fence = FenceState::Open;
    }
    scene.seen.job = Some(RunningJob { job, since: scene.now });
}

/// The running job has ended.
pub fn ends(scene: &mut Scene, outcome: JobOutcome) {
    let running = scene.seen.job.take().expect("no job runs");
    if let (Job::Promise { epoch, to }, JobOutcome::Done) = (&running.job, &outcome) {
        scene.seen.promised = Some(Promised { epoch: *epoch, to: to.clone(), cut: true });
    }
    scene.seen.last_job = Some(JobReport { job: running.job, outcome, at: scene.now });
}
