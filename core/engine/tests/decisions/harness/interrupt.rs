//! Interrupts a scenario after a step and decides again: still safe, whatever was forgotten or lost meanwhile.

use super::Scene;
use std::time::Duration;
use tanist_engine::*;

/// The agent restarts; asks twice; loses the store; loses the lease; is frozen past the end of everything; is asked to stop.
pub fn after(scene: &Scene, decision: &Decision) {
    let (policy, seen, now) = (&scene.policy, &scene.seen, scene.now);
    let check = |what: &str, memory: &Memory, seen: &Observation, now: Moment| {
        let again = decide(policy, memory, seen, now);
        safe(policy, seen, &again, now).unwrap_or_else(|broken| panic!("{what}: {broken}\n{again:#?}\n{seen:#?}"));
    };
    check("first time", &scene.memory, seen, now);
    check("agent restarted", &Memory::default(), seen, now);
    check("asked twice", &decision.memory, seen, now);
    check("store lost", &decision.memory, &Observation { lease: Lease::Unknown, ..seen.clone() }, now);
    check("frozen", &decision.memory, seen, now + Duration::from_secs(3600));
    check("asked to stop", &decision.memory, &Observation { stopping: true, ..seen.clone() }, now);
    check("guard fencing", &decision.memory, &with_fence(seen, FenceState::Running), now);
    check("guard fenced", &decision.memory, &with_fence(seen, FenceState::Complete), now);
    if let Lease::Mine(held) = &seen.lease {
        let over = Lease::Mine(Held { until: now, ..held.clone() });
        check("lease over", &decision.memory, &Observation { lease: over, ..seen.clone() }, now);
        let theirs =
            Theirs { holder: "usurper".into(), epoch: Epoch(held.epoch.0 + 1), vacant_at: now + policy.ttl, twin: false };
        check("lease taken", &decision.memory, &Observation { lease: Lease::Theirs(theirs), ..seen.clone() }, now);
    }
}

fn with_fence(seen: &Observation, fence: FenceState) -> Observation {
    Observation { guard: Guard { fence, ..seen.guard }, ..seen.clone() }
}

/// The audit is content, and I1 and I3 hold, in words that neither `decide` nor `audit` uses.
pub fn safe(policy: &Policy, seen: &Observation, decision: &Decision, now: Moment) -> Result<(), String> {
    audit(policy, seen, decision, now).map_err(|violation| format!("audit: {violation}"))?;
    let mine = matches!(&seen.lease, Lease::Mine(held) if held.until > now);
    let asks = |which: &dyn Fn(&Action) -> bool| decision.actions.iter().any(which);
    if asks(&|action| matches!(action, Action::Run(job) if job.makes_primary())) && !mine {
        return Err("I3: opens a primary without a lease".to_owned());
    }
    if asks(&|action| matches!(action, Action::Acquire { .. })) && !matches!(seen.lease, Lease::Vacant { .. }) {
        return Err("I3: takes a lease that is not vacant".to_owned());
    }
    let primary = matches!(&seen.postgres, Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }));
    let taken = matches!(seen.lease, Lease::Theirs(_)) || matches!(&seen.lease, Lease::Mine(held) if held.until <= now);
    if primary && taken && seen.guard.fence == FenceState::Open && !asks(&|action| matches!(action, Action::Fence)) {
        return Err("I1: leaves a primary running whose lease is over".to_owned());
    }
    Ok(())
}
