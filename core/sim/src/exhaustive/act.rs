//! A turn of a node: the shipped `decide` and `audit`, and the beginning of what was decided.

use super::{
    eyes,
    scope::Scope,
    state::{Call, Claim, DEADLINE, Server, State, Write},
};
use tanist_engine::{Action, audit, decide};

impl State {
    /// One turn. An error: the audit rejects it.
    pub fn turn(&mut self, place: u8, scope: &Scope) -> Result<(), String> {
        let policy = eyes::policy(scope.synchronous);
        let seen = eyes::observation(self, place);
        let node = &mut self.nodes[usize::from(place)];
        let decision = decide(&policy, &eyes::memory(node), &seen, eyes::NOW);
        audit(&policy, &seen, &decision, eyes::NOW)
            .map_err(|violation| format!("audit: {}: {violation} {:?}", decision.reason, decision.actions))?;
        node.mind = eyes::mind(&decision.memory);
        for action in &decision.actions {
            self.begin(place, action);
        }
        Ok(())
    }

    /// What a node would say it does.
    pub fn reason(&self, place: u8, scope: &Scope) -> String {
        let node = &self.nodes[usize::from(place)];
        let seen = eyes::observation(self, place);
        decide(&eyes::policy(scope.synchronous), &eyes::memory(node), &seen, eyes::NOW).reason.to_string()
    }

    fn begin(&mut self, place: u8, action: &Action) {
        let node = &mut self.nodes[usize::from(place)];
        match action {
            Action::Acquire { .. } | Action::Renew | Action::Release { .. } => self.begin_lease(place, action),
            Action::Arm { epoch, .. } => {
                let age = node.own.as_ref().map_or(DEADLINE, |own| own.age);
                if age < DEADLINE && node.armed.is_none_or(|(known, _)| known <= epoch.0 as u8) {
                    node.armed = Some((epoch.0 as u8, age));
                }
            }
            Action::Disarm if !matches!(node.server, Server::Primary | Server::Opening { .. }) => node.armed = None,
            Action::Fence => self.fence(place),
            Action::Run(job) if node.work.is_none() => node.work = eyes::work(job),
            Action::SetSyncNames(names) => {
                let names = eyes::names_of(names);
                if node.server == Server::Primary && node.names.1.is_none() && node.names.0 != names {
                    node.names.1 = Some(names);
                }
            }
            Action::AskPeers => node.asked = true,
            Action::Prove { epoch } if node.server == Server::Primary => node.proof = Some(epoch.0 as u8),
            action => {
                if let Some(write) = self.leader_write(place, action) {
                    self.send(place, write);
                }
            }
        }
    }

    fn begin_lease(&mut self, place: u8, action: &Action) {
        let node = &mut self.nodes[usize::from(place)];
        let Some(keys) = &node.view else { return };
        let own = node.own.as_ref();
        let write = match (action, own) {
            (Action::Acquire { .. }, None) => Write::Acquire { record: keys.record.version, sync: keys.sync.version },
            (Action::Renew, Some(own)) => Write::Renew { record: own.version, epoch: own.epoch },
            (Action::Release { handoff, .. }, Some(own)) => {
                Write::Release { record: own.version, epoch: own.epoch, handoff: handoff.as_ref().map(eyes::node_of) }
            }
            _ => return,
        };
        if self.send(place, write) {
            self.nodes[usize::from(place)].tried = true;
        }
    }

    /// Sends a call, unless one of its kind is on its way.
    fn send(&mut self, place: u8, write: Write) -> bool {
        let life = self.nodes[usize::from(place)].life;
        let busy = self.calls.iter().any(|call| call.node == place && call.waited && call.write.is_lease() == write.is_lease());
        if !busy {
            self.calls.push(Call { node: place, life, write, age: 0, waited: true, landed: None });
        }
        !busy
    }

    fn leader_write(&self, place: u8, action: &Action) -> Option<Write> {
        let node = &self.nodes[usize::from(place)];
        let (own, keys) = (node.own.as_ref()?, node.view.as_ref()?);
        let (epoch, compared) = (own.epoch, keys.claims_version);
        let claim = |timeline: u8, epoch: u8| {
            let mut claims: Vec<Claim> = keys.claims.iter().copied().filter(|claim| claim.timeline != timeline).collect();
            claims.push(Claim { timeline, epoch });
            claims.sort_unstable_by_key(|claim| claim.timeline);
            claims
        };
        Some(match action {
            Action::WriteSync { state, .. } => Write::Sync {
                epoch,
                compared: state.revision.0 as u8,
                leader: state.leader.as_ref().map(eyes::node_of),
                standby: state.standbys.first().map(eyes::node_of),
            },
            Action::ClaimTimeline { timeline, epoch: number, .. } => {
                Write::Claims { epoch, compared, claims: claim(timeline.0 as u8, number.0 as u8) }
            }
            Action::PublishPrimary(face) => Write::Face { epoch: face.epoch.0 as u8, timeline: face.timeline.0 as u8 },
            _ => return None,
        })
    }
}
