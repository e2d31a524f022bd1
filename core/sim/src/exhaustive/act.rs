//! A turn of a node: the shipped `decide` and `audit`, and the beginning of what was decided.

use super::{
    eyes,
    moves::Fate,
    scope::Scope,
    state::{Call, Claim, DEADLINE, Node, Server, State, Write},
};
use tanist_engine::{Action, Decision, audit, decide};

/// Turns in a row that change nothing but the node itself are one move: nobody else can tell them apart.
const IN_A_ROW: usize = 8;

/// The calls that were made in a move: of the lease, and by a leader.
pub(super) type Made = (bool, bool);

impl State {
    /// Turns, until one asks for something outside of the node, or for nothing. Nothing: it would open an epoch beyond the scope. An
    /// error: the audit rejects a decision.
    pub(super) fn turns(&mut self, place: u8, fate: Fate, scope: &Scope) -> Result<Option<Made>, String> {
        for _ in 0..IN_A_ROW {
            let before = self.nodes[usize::from(place)].clone();
            let Some(made) = self.turn(place, fate, scope)? else { return Ok(None) };
            let node = &self.nodes[usize::from(place)];
            let began = node.work.is_some() && before.work.is_none();
            if made.0 || made.1 || began || *node == before {
                return Ok(Some(made));
            }
        }
        Ok(Some((false, false)))
    }

    fn decided(&self, place: u8, scope: &Scope) -> Result<Decision, String> {
        let policy = eyes::policy(scope.synchronous);
        let seen = eyes::observation(self, place, scope);
        let decision = decide(&policy, &eyes::memory(&self.nodes[usize::from(place)]), &seen, eyes::NOW);
        audit(&policy, &seen, &decision, eyes::NOW)
            .map_err(|violation| format!("audit: {}: {violation} {:?}", decision.reason, decision.actions))?;
        Ok(decision)
    }

    /// One turn: the calls that it made. Nothing: one would leave the scope.
    fn turn(&mut self, place: u8, fate: Fate, scope: &Scope) -> Result<Option<Made>, String> {
        let decision = self.decided(place, scope)?;
        self.nodes[usize::from(place)].mind = eyes::mind(&decision.memory);
        let mut made = (false, false);
        for action in &decision.actions {
            if let Some(write) = self.begin(place, action) {
                let lease = write.is_lease();
                match self.send(place, write, fate, scope)? {
                    None => return Ok(None),
                    Some(sent) if lease => made.0 |= sent,
                    Some(sent) => made.1 |= sent,
                }
            }
        }
        Ok(Some(made))
    }

    /// What a node would say it does.
    pub(super) fn reason(&self, place: u8, scope: &Scope) -> String {
        self.decided(place, scope).map_or_else(|rejected| rejected, |decision| decision.reason.to_string())
    }

    /// Begins an effect; a call is handed back.
    fn begin(&mut self, place: u8, action: &Action) -> Option<Write> {
        let node = &mut self.nodes[usize::from(place)];
        match action {
            Action::Acquire { .. } | Action::Renew | Action::Release { .. } => return lease_call(node, action),
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
            action => return self.leader_write(place, action),
        }
        None
    }

    /// Sends a call, unless one of its kind waits for an answer that does not come; whether it was sent. Nothing: it would leave the scope.
    fn send(&mut self, place: u8, write: Write, fate: Fate, scope: &Scope) -> Result<Option<bool>, String> {
        let node = &mut self.nodes[usize::from(place)];
        let lease = write.is_lease();
        if if lease { node.waits.0 } else { node.waits.1 } {
            return Ok(Some(false));
        }
        node.tried |= lease;
        let call = Call { node: place, life: node.life, write, age: 0 };
        let late = node.cut || fate == Fate::Late && lease || fate == Fate::LateWrite && !lease;
        let unanswered = fate == Fate::Unanswered && lease;
        if late || unanswered {
            *(if lease { &mut node.waits.0 } else { &mut node.waits.1 }) = true;
        }
        if late {
            // Of one call sent again and again the newest is the most dangerous.
            self.calls.retain(|known| (known.node, known.life, &known.write) != (call.node, call.life, &call.write));
            self.calls.push(call);
            return Ok(Some(true));
        }
        let Some(held) = self.land(&call, scope)? else { return Ok(None) };
        if lease && !unanswered {
            self.answer(&call, held);
        }
        Ok(Some(true))
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

fn lease_call(node: &Node, action: &Action) -> Option<Write> {
    let keys = node.view.as_ref()?;
    Some(match (action, node.own.as_ref()) {
        (Action::Acquire { .. }, None) => Write::Acquire { record: keys.record.version, sync: keys.sync.version },
        (Action::Renew, Some(own)) => Write::Renew { record: own.version, epoch: own.epoch },
        (Action::Release { handoff, .. }, Some(own)) => {
            Write::Release { record: own.version, epoch: own.epoch, handoff: handoff.as_ref().map(eyes::node_of) }
        }
        _ => return None,
    })
}
