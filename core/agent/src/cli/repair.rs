//! `tanist repair`: mending what no node may mend by itself.

mod sync;

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
    /// Synchronous mode: let the nodes that are left take over when the leader and every synchronous standby are lost for good
    Sync {
        #[command(flatten)]
        remote: remote::Arguments,
        /// Commits that only the lost nodes have may be lost; without this nothing is changed, and the exit code is 2
        #[arg(long)]
        accept_loss: bool,
    },
}

/// Mends it.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Epoch { remote, above } => epoch(remote, *above),
        Command::Failsafe { remote, leader_is_gone: _ } => failsafe(remote),
        Command::Sync { remote, accept_loss } => sync::sync(remote, *accept_loss),
    }
}

/// Takes the names out of the lease record. Whoever wants to take over waits for a whole ttl from there. Written also where it names
/// nobody: a member that knows names from before the store was restored goes by them until the record is written.
fn failsafe(remote: &remote::Arguments) -> Result<(), Failure> {
    let read = remote::Remote::read(remote)?;
    let key = read.keys.lease();
    let Some(present) = read.snapshot.get(&key) else {
        println!(
            "there is no lease record: anybody may take the lease; an agent that says otherwise knows names from before the store was \
             replaced, restart it"
        );
        return Ok(());
    };
    let revision = present.kv.mod_revision;
    let record = Record::decode(&present.kv.value).map_err(Failure::failed)?;
    let epoch = record.epoch_at(revision);
    let open = Record { failsafe: None, epoch, ..record.clone() };
    if !commit(&read, vec![Compare::ModRevision(key.clone(), revision)], Op::put(key, open.encode()))? {
        return Err(Failure::failed("the lease record has changed meanwhile: its holder is alive; nothing was written"));
    }
    let named = match &record.failsafe {
        Some(named) => named.keys().map(|name| name.0.as_str()).collect::<Vec<_>>().join(", "),
        None => "nobody".to_owned(),
    };
    println!("the lease record of {} named {named}; from now on anybody may take over, one ttl from now", record.holder);
    Ok(())
}

/// Writes one key if nothing of this has changed.
fn commit(read: &remote::Remote, compares: Vec<Compare>, op: Op) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    let written = runtime.block_on(async {
        let store = cluster::open(&read.settings.store).map_err(Failure::config)?;
        let txn = Txn { compares, then: vec![op], otherwise: Vec::new() };
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
    let Known { epoch: known, source } = highest(&read, Epoch(above));
    if known.0 >= HIGHEST {
        return Err(Failure::failed(format!(
            "the highest epoch is {known}, in {source}: next to none is left above it; if nobody ever led under it, correct or \
             delete {source} and repeat this"
        )));
    }
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
        println!("the base of the epochs is {base}, and no higher epoch than {known} ({source}) is known: nothing to do");
        return Ok(());
    }
    if !commit(&read, vec![Compare::ModRevision(key.clone(), revision)], Op::put(key, encode_base(known)))? {
        return Err(Failure::failed("the base of the epochs was changed meanwhile; look again and repeat this"));
    }
    println!("the base of the epochs is {known} now (it was {base}), as high as the highest known, in {source}");
    println!("the next leader's epoch is above it");
    Ok(())
}

/// A base from here on leaves a store too few epochs.
const HIGHEST: u64 = Epoch::LIMIT / 2;

/// An epoch, and who or what says so.
struct Known {
    epoch: Epoch,
    source: String,
}

/// The highest epoch that the store, the members' agents or the operator know.
fn highest(read: &remote::Remote, above: Epoch) -> Known {
    let known = stored(read).into_iter().chain(told(read)).chain([Known { epoch: above, source: "--above".to_owned() }]);
    known.max_by_key(|known| known.epoch).unwrap_or_else(|| Known { epoch: Epoch::NONE, source: "the store".to_owned() })
}

/// The epochs in the store. A promise forbids every lower one to lead, also that of a member that is gone.
fn stored(read: &remote::Remote) -> Vec<Known> {
    let (keys, view) = (&read.keys, &read.view);
    let face = view.primary.iter().map(|face| Known { epoch: face.epoch, source: keys.primary() });
    let claims = view.timelines.iter().map(|claim| Known { epoch: claim.epoch, source: keys.timelines() });
    let promises = view.promises.iter().map(|promise| Known { epoch: promise.epoch, source: keys.promise(&promise.name) });
    let record = read.snapshot.get(&keys.lease()).and_then(|mirrored| {
        let record = Record::decode(&mirrored.kv.value).ok()?;
        record.epoch_at(mirrored.kv.mod_revision)
    });
    let record = record.into_iter().map(|epoch| Known { epoch, source: keys.lease() });
    face.chain(claims).chain(promises).chain(record).collect()
}

/// The highest epochs that the members' agents remember: a store that was restored has forgotten them.
fn told(read: &remote::Remote) -> Vec<Known> {
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
        Some(Known { epoch: Epoch(known?), source: format!("the memory of {}", member.name) })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSettings, LogLevel, LogSettings, StoreSettings};
    use std::{collections::BTreeMap, sync::Arc};
    use tanist_dcs::{KeyValue, Keys, Mirrored, Snapshot};
    use tanist_engine::Reading;

    /// A cluster whose store shows this and whose members are gone.
    fn shown(pairs: &[(&str, &str)]) -> remote::Remote {
        let keys = Keys::new("service", "demo");
        let kv = |(name, value): &(&str, &str)| {
            let (key, value) = (format!("/service/demo/{name}"), value.as_bytes().to_vec());
            let kv = KeyValue { key: key.clone(), value, create_revision: Revision(5), mod_revision: Revision(5), expiry: None };
            (key, Arc::new(Mirrored { kv, received: Reading::default() }))
        };
        let keys_now: BTreeMap<String, Arc<Mirrored>> = pairs.iter().map(kv).collect();
        let snapshot = Snapshot { revision: Revision(5), as_of: Some(Reading::default()), keys: keys_now, ..Snapshot::default() };
        let view = cluster::ViewReader::new(keys.clone()).read(&snapshot);
        let settings = ClusterSettings {
            scope: "demo".to_owned(),
            namespace: "service".to_owned(),
            log: LogSettings { level: LogLevel::Info, json: false },
            store: StoreSettings::Local { socket: "/nowhere".into() },
            rest_credentials: None,
            dns: None,
        };
        remote::Remote { settings, keys, snapshot: Arc::new(snapshot), view }
    }

    #[test]
    fn a_promise_counts_and_the_highest_key_is_named() {
        let claims = r#"{"claims":[{"timeline":2,"epoch":7,"parent":1}]}"#;
        let gone = ("tanist/promise/x", r#"{"epoch":999999999,"position_known":false}"#);
        let read = shown(&[("tanist/timelines", claims), gone, ("tanist/promise/y", r#"{"epoch":8,"position_known":false}"#)]);
        let Known { epoch, source } = highest(&read, Epoch(9));
        assert_eq!((epoch, source.as_str()), (Epoch(999_999_999), "/service/demo/tanist/promise/x"));
        let Known { epoch, source } = highest(&shown(&[]), Epoch(9));
        assert_eq!((epoch, source.as_str()), (Epoch(9), "--above"));
    }

    #[test]
    fn a_raised_base_is_read_back_as_it_was_written() {
        assert_eq!(decode_base(Some(&encode_base(Epoch(4_711)))).unwrap(), Epoch(4_711));
        assert_eq!(decode_base(None).unwrap(), Epoch::NONE);
    }
}
