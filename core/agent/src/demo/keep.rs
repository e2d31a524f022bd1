//! A cluster that outlives its demo: what people can do with it, and its end.

use super::{
    config::{BIND_NAME, own_name},
    place::{PARENT, PREFIX, Place},
    processes::{self, Process},
    remains::Remains,
    stage::Stage,
};
use crate::cli::Failure;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The file in the demo's directory that lists what was started.
pub const LIST: &str = "processes.json";
/// Killed processes are gone by then.
const END: Duration = Duration::from_secs(20);

/// How to connect, ask, break and end it.
pub fn instructions(stage: &Stage) -> String {
    let Stage { place, access, .. } = stage;
    let Place { directory, programs, postgres_port, named, .. } = place;
    let (directory, programs, own) = (directory.display(), programs.display(), own_name());
    let address = stage.own.now().and_then(|addresses| addresses.first().copied());
    let address = address.map_or_else(String::new, |address| address.to_string());
    let (dns, password) = (access.server, &access.password);
    let primary = stage.seen.borrow().primary().map_or(1, |(number, _)| number);
    let me = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tanist"));
    format!(
        "\n  The cluster runs on. Connect:\n    PGPASSWORD={password} psql \"host={own} hostaddr={address} port={postgres_port} \
         user=postgres dbname=postgres\"\n  \
         Ask where the primary is:\n    dig @{dns} -p {dns_port} +short {own}\n    dig @{named} -p {named_port} +short {BIND_NAME}\n  \
         Look at it:\n    {tanist} list --config {directory}/n1/patroni.yml\n    {tanist} explain --config {directory}/n1/patroni.yml\n  \
         Break it:\n    kill -9 $(head -1 {directory}/n{primary}/data/postmaster.pid)\n    \
         {tanist} switchover --config {directory}/n1/patroni.yml\n  \
         End it, and remove everything:\n    {me} demo --stop {directory}\n",
        dns = dns.ip(),
        dns_port = dns.port(),
        named = named.ip(),
        named_port = named.port(),
        tanist = format_args!("{programs}/tanist"),
        me = me.display(),
    )
}

/// Ends a demo that was kept or killed: its processes, their shared memory, its directory.
pub fn stop(directory: &Path) -> Result<(), Failure> {
    let directory = checked(directory)?;
    let text = fs::read_to_string(directory.join(LIST)).unwrap_or_else(|_| "[]".to_owned());
    let roots: Vec<Process> =
        serde_json::from_str(&text).map_err(|error| Failure::failed(format!("{}: {error}", directory.join(LIST).display())))?;
    let mut remains = Remains::default();
    let begun = Instant::now();
    loop {
        let victims = alive(&roots, &directory);
        if victims.is_empty() {
            break;
        }
        if begun.elapsed() > END {
            let pids: Vec<String> = victims.iter().map(|process| process.pid.to_string()).collect();
            return Err(Failure::failed(format!("processes that do not end: {}; nothing was removed", pids.join(", "))));
        }
        victims.iter().for_each(|process| remains.note(process.pid));
        processes::kill(&victims);
        std::thread::sleep(Duration::from_millis(5));
    }
    remains.remove();
    fs::remove_dir_all(&directory).map_err(|error| Failure::failed(format!("{}: {error}", directory.display())))?;
    println!("ended, and {} is removed", directory.display());
    Ok(())
}

/// What was started and still runs, everything below it, and what has lost its parent meanwhile or was started again by hand.
fn alive(roots: &[Process], directory: &Path) -> Vec<Process> {
    let mut found = BTreeMap::new();
    for root in roots.iter().filter(|root| root.is_alive()) {
        found.insert(root.pid, *root);
        let below = processes::below(root.pid);
        found.extend(below.iter().filter(|seen| !seen.zombie).map(|seen| (seen.process.pid, seen.process)));
    }
    let strays = processes::at_work_in(&directory.to_string_lossy());
    found.extend(strays.iter().map(|seen| (seen.process.pid, seen.process)));
    found.into_values().collect()
}

/// Only a directory that a demo of this user made is removed.
fn checked(directory: &Path) -> Result<PathBuf, Failure> {
    let wrong = |why: &str| Failure::config(format!("--stop {}: {why}", directory.display()));
    let path = fs::canonicalize(directory).map_err(|error| wrong(&error.to_string()))?;
    let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if path.parent() != Some(Path::new(PARENT)) || !named {
        return Err(wrong(&format!("is not the directory of a demo; those are called {PARENT}/{PREFIX}…")));
    }
    let owner = fs::metadata(&path).map_err(|error| wrong(&error.to_string()))?.uid();
    let me = rustix::process::geteuid();
    if owner != me.as_raw() && !me.is_root() {
        return Err(wrong("belongs to another user"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_demo_is_removed() {
        let other = tempfile::Builder::new().prefix("tanist-other-").tempdir_in("/tmp").unwrap();
        let error = checked(other.path()).unwrap_err().to_string();
        assert!(error.contains("is not the directory of a demo"), "{error}");
        let below = tempfile::Builder::new().prefix(PREFIX).tempdir_in(other.path()).unwrap();
        assert!(checked(below.path()).unwrap_err().to_string().contains("is not the directory of a demo"));
        assert!(checked(&other.path().join("no")).unwrap_err().to_string().contains("No such file"));
        let demo = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/tmp").unwrap();
        assert_eq!(checked(demo.path()).unwrap(), demo.path());
    }
}
