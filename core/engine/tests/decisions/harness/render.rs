//! Decisions as text.

use tanist_engine::*;

/// Reason, effects, and the next waking hour.
pub fn decision(decision: &Decision, now: Moment) -> String {
    let mut out = format!("= {}: {}\n", decision.reason.kind(), decision.reason);
    for action in &decision.actions {
        out.push_str(&format!("- {}\n", self::action(action)));
    }
    out.push_str(&format!("~ {:.3}\n", decision.wake_at.since(now).as_secs_f64()));
    out
}

fn list(names: &std::collections::BTreeSet<MemberName>) -> String {
    names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(",")
}

fn action(action: &Action) -> String {
    match action {
        Action::Acquire { record } => format!("acquire record {record}"),
        Action::Renew => "renew".to_owned(),
        Action::Release { handoff, clear_switchover } => {
            let to = handoff.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            format!("release{to}{}", if *clear_switchover { ", clear /failover" } else { "" })
        }
        Action::Arm { epoch, until } => format!("arm {epoch} until {until}"),
        Action::Disarm => "disarm".to_owned(),
        Action::Fence => "fence".to_owned(),
        Action::Run(job) => format!("run {}", self::job(job)),
        Action::SetSyncNames(names) => match names {
            SyncNames::Nobody => "names nobody".to_owned(),
            SyncNames::Reserved => "names reserved".to_owned(),
            SyncNames::FirstOf { count: 1, standbys } => format!("names first of {}", list(standbys)),
            SyncNames::FirstOf { count, standbys } => format!("names first {count} of {}", list(standbys)),
            SyncNames::AnyOf { count, standbys } => format!("names any {count} of {}", list(standbys)),
        },
        Action::WriteSync { state: SyncState { revision, leader, standbys, quorum }, data } => {
            let leader = leader.as_ref().map(|leader| leader.0.as_str()).unwrap_or("nobody");
            let quorum = if *quorum > 0 { format!(" quorum {quorum}") } else { String::new() };
            let raised = data.iter().filter(|mark| mark.revision != Revision(0));
            let raised: String = raised.map(|DataMark { name, revision }| format!(", data of {name} at {revision}")).collect();
            format!("/sync over {revision}: {leader}/{}{quorum}{raised}", list(standbys))
        }
        Action::WriteInitialize { system_id } => format!("/initialize {system_id}"),
        Action::ClaimTimeline { timeline, epoch, parent } => {
            let parent = parent.map(|parent| format!(" after {parent}")).unwrap_or_default();
            format!("claim timeline {timeline} for {epoch}{parent}")
        }
        Action::WritePromise { epoch, position, revision } => {
            let position = position.map_or("unknown".to_owned(), |at| format!("{}/{} of {}", at.timeline, at.lsn, at.opened_by));
            format!("promise {epoch} over {revision}, position {position}")
        }
        Action::EndConnections { name, connections } => {
            let pids: Vec<String> = connections.iter().map(|connection| connection.pid.to_string()).collect();
            format!("end the walsenders of {name}: {}", pids.join(", "))
        }
        Action::RaiseData { revision } => format!("raise data over {revision}"),
        Action::AdoptDirectory => "adopt directory".to_owned(),
        Action::RecordTimeline { timeline, epoch, begin, parent } => {
            let parent = parent.map(|parent| format!(", leaves {parent}")).unwrap_or_default();
            format!("timeline {timeline} of {epoch} begins at {begin}{parent}")
        }
        Action::Prove { epoch } => format!("prove {epoch}"),
        Action::PublishPrimary(face) => {
            format!("face {}@{} timeline {} at {}", face.name, face.epoch, face.timeline, face.endpoint.host)
        }
        Action::PublishMember(MemberFace { state, role, timeline, lsn, streaming: _, checkpointed: _, storage, follows: _ }) => {
            let timeline = timeline.map(|timeline| format!(" timeline {timeline}")).unwrap_or_default();
            let lsn = lsn.map(|lsn| format!(" at {lsn}")).unwrap_or_default();
            let storage = if *storage == Storage::Good { String::new() } else { format!(", storage {storage}") };
            format!("member {state}, {role}{timeline}{lsn}{storage}")
        }
        Action::PublishStatus { optime } => format!("/status {optime}"),
        Action::ClearSwitchover { revision } => format!("clear /failover {revision}"),
        Action::Emit(Emission { callback, role, previous, epoch }) => {
            format!("emit {callback} {role} (was {previous}) epoch {epoch}")
        }
        Action::Checkpoint => "checkpoint".to_owned(),
        Action::AskPeers => "ask peers".to_owned(),
        Action::NameFailsafe { members: Some(members) } => format!("name {}", list(&members.keys().cloned().collect())),
        Action::NameFailsafe { members: None } => "name nobody".to_owned(),
        Action::AskToWait { epoch } => format!("ask to wait under {epoch}"),
        Action::Exit => "exit".to_owned(),
    }
}

fn job(job: &Job) -> String {
    match job {
        Job::Clone { from } => format!("clone {}@{}", from.name, from.epoch),
        Job::Rewind { from } => format!("rewind {}@{}", from.name, from.epoch),
        Job::Start(StartAs::Standby(Some(from))) => format!("start standby of {}@{}", from.name, from.epoch),
        Job::Start(StartAs::Standby(None)) => "start standby of nobody".to_owned(),
        Job::Start(StartAs::Primary { epoch }) => format!("start primary {epoch}"),
        Job::Promote { epoch, timeline } => format!("promote {epoch} to timeline {timeline}"),
        Job::Stop(StopMode::Fast) => "stop fast".to_owned(),
        Job::Stop(StopMode::Immediate) => "stop immediate".to_owned(),
        Job::Promise { epoch, to: None } => format!("promise {epoch}"),
        Job::Promise { epoch, to: Some(to) } => format!("promise {epoch} to {to}"),
        Job::Follow(from) => format!("follow {}@{}", from.name, from.epoch),
        Job::Bootstrap | Job::Checkpoint | Job::PostBootstrap => job.name().to_owned(),
    }
}
