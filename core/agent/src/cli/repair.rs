//! `tanist repair`: mending what no node may mend by itself.

use super::{Failure, http, remote};
use crate::cluster;
use clap::Subcommand;
use hyper::Method;
use std::time::Duration;
use tanist_dcs::{
    Compare, Op, Txn,
    lease::{Record, decode_base, encode_base},
};
use tanist_engine::{Epoch, Revision};

/// How long the store may take.
const LIMIT: Duration = Duration::from_secs(5);

/// An agent that takes longer to answer says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// What can be mended.
#[derive(Subcommand)]
pub enum Command {
    /// After the store was restored from a backup or replaced: raise the base of the epochs above every epoch the cluster has shown
    Epoch {
        #[command(flatten)]
        remote: remote::Arguments,
        /// An epoch seen elsewhere (in a plugin's record, in a log); the base is raised above it, too
        #[arg(long, value_name = "EPOCH", default_value_t = 0)]
        above: u64,
    },
    /// Failsafe mode: let every member take over from a leader that named others, when none of those will come back
    Failsafe {
        #[command(flatten)]
        remote: remote::Arguments,
        /// You have made sure that the PostgreSQL of the last leader does not run, and cannot be reached by clients
        #[arg(long, required = true)]
        leader_is_gone: bool,
    },
}

/// Mends it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Epoch { remote, above } => epoch(remote, *above),
        Command::Failsafe { remote, leader_is_gone: _ } => failsafe(remote),
    }
}

/// Takes the names out of the lease record. Whoever wants to take over waits for a whole ttl from there.
fn failsafe(remote: &remote::Arguments) -> Result<(), Failure> {
    let read = remote::Remote::read(remote)?;
    let key = read.keys.lease();
    let Some(present) = read.snapshot.get(&key) else {
        println!("there is no lease record: anybody may take the lease");
        return Ok(());
    };
    let revision = present.kv.mod_revision;
    let record = Record::decode(&present.kv.value).map_err(Failure::failed)?;
    let Some(named) = &record.failsafe else {
        println!("the lease record of {} names nobody: anybody may take over", record.holder);
        return Ok(());
    };
    let names: Vec<&str> = named.keys().map(|name| name.0.as_str()).collect();
    let epoch = record.epoch_at(revision);
    let open = Record { failsafe: None, epoch, ..record.clone() };
    if !commit(&read, Compare::ModRevision(key.clone(), revision), Op::put(key, open.encode()))? {
        return Err(Failure::failed("the lease record has changed meanwhile: its holder is alive; nothing was written"));
    }
    println!(
        "the lease record of {} named {}; from now on anybody may take over, one ttl from now",
        record.holder,
        names.join(", ")
    );
    Ok(())
}

/// Writes one key if it has not changed.
fn commit(read: &remote::Remote, compare: Compare, op: Op) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let written = runtime.block_on(async {
        let store = cluster::open(&read.settings.store).map_err(Failure::config)?;
        let txn = Txn { compares: vec![compare], then: vec![op], otherwise: Vec::new() };
        store.txn(txn, LIMIT).await.map_err(|error| Failure::failed(format!("the store: {error}")))
    })?;
    Ok(written.succeeded)
}

fn epoch(remote: &remote::Arguments, above: u64) -> Result<(), Failure> {
    let read = remote::Remote::read(remote)?;
    let key = read.keys.epoch();
    let present = read.snapshot.get(&key);
    let revision = present.map_or(Revision(0), |mirrored| mirrored.kv.mod_revision);
    let read_base = decode_base(present.map(|mirrored| mirrored.kv.value.as_slice()));
    let known = highest(&read, Epoch(above));
    if let Err(error) = &read_base {
        if known == Epoch::NONE {
            return Err(Failure::failed(format!(
                "{error}; nothing in the store says which epochs were used, name one with --above"
            )));
        }
        println!("{key} is replaced: {error}");
    }
    let unreadable = read_base.is_err();
    let base = read_base.unwrap_or_default();
    if base >= known && !unreadable {
        println!("the base of the epochs is {base}, and no higher epoch than {known} is known: nothing to do");
        return Ok(());
    }
    if !commit(&read, Compare::ModRevision(key.clone(), revision), Op::put(key, encode_base(known)))? {
        return Err(Failure::failed("the base of the epochs was changed meanwhile; look again and repeat this"));
    }
    println!("the base of the epochs is {known} now (it was {base}); the next leader's epoch is above it");
    Ok(())
}

/// The highest epoch that the store, or the operator, knows.
fn highest(read: &remote::Remote, above: Epoch) -> Epoch {
    let face = read.view.primary.as_ref().map_or(Epoch::NONE, |face| face.epoch);
    let claims = read.view.timelines.iter().map(|claim| claim.epoch).max().unwrap_or_default();
    let record = read.snapshot.get(&read.keys.lease()).and_then(|mirrored| {
        let record = Record::decode(&mirrored.kv.value).ok()?;
        record.epoch_at(mirrored.kv.mod_revision)
    });
    [face, claims, record.unwrap_or_default(), above, told(read)].into_iter().max().unwrap_or_default()
}

/// The highest epoch that the members' agents remember: a store that was restored has forgotten it.
fn told(read: &remote::Remote) -> Epoch {
    let ask = |url: &str| {
        let (_, body) = http::request_within(PATIENCE, Method::GET, url, None, String::new()).ok()?;
        serde_json::from_str::<serde_json::Value>(&body).ok()?["tanist"]["known_epoch"].as_u64()
    };
    let urls = read.view.members.iter().filter_map(|member| member.api_url.as_ref().map(|url| (member, url)));
    let told = urls.filter_map(|(member, url)| {
        let known = ask(url);
        if known.is_none() {
            eprintln!(
                "tanist: warning: {} does not say which epochs it knows; name one with --above if it led last",
                member.name
            );
        }
        known
    });
    Epoch(told.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_base_is_read_back_as_it_was_written() {
        assert_eq!(decode_base(Some(&encode_base(Epoch(4_711)))).unwrap(), Epoch(4_711));
        assert_eq!(decode_base(None).unwrap(), Epoch::NONE);
    }
}
