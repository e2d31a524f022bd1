//! Points a DNS name at the primary.
//!
//! Acts on the proof that a server accepts writes (a role change to `primary`, a view with a proved primary), with one fenced
//! update. Does nothing for any other role: the name stays where it is until somebody else is proved, because a name that points
//! at a dead server is no worse than no name, and taking it away races with the next primary.
//!
//! The work is in [`job`]; this file connects it with the plugin interface. Keys, servers and zones stay with the agent.

pub mod job;

use job::{Proof, Settings, World};
use tanist_plugin::{Error, Event, Plugin, Role, View, config, dns, log};

/// The plugin.
#[derive(Debug)]
pub struct DnsUpdate;

impl Plugin for DnsUpdate {
    fn on_role_change(event: Event) -> Result<(), Error> {
        if event.role != Role::Primary {
            return Ok(());
        }
        let host = event.this_member().and_then(|member| member.host.clone());
        run(Proof { name: event.node, host, epoch: event.epoch, dry_run: event.dry_run })
    }

    fn reconcile(view: View) -> Result<(), Error> {
        let Some(primary) = view.primary else { return Ok(()) };
        run(Proof { name: primary.name, host: Some(primary.host), epoch: primary.epoch, dry_run: view.dry_run })
    }
}

tanist_plugin::export!(DnsUpdate);

fn run(proof: Proof) -> Result<(), Error> {
    let settings = Settings::read(config::get)?;
    job::point(&settings, &proof, &mut Agent)
}

/// The world as the agent offers it.
struct Agent;

impl World for Agent {
    fn point(&mut self, name: &str, addresses: &[String], ttl: u32, epoch: u64) -> Result<dns::Outcome, dns::DnsError> {
        dns::point(name, addresses, ttl, epoch)
    }

    fn say(&mut self, line: &str) {
        log::info(line);
    }
}
