//! BIND, as somebody else's DNS server: a private copy of `named` with a zone of its own that accepts signed updates.
//!
//! A copy, because a security policy (AppArmor) may be bound to the path of the installed one and keep it out of our directory.

use super::{
    config::{BIND_ZONE, KEY, Secrets},
    place::{self, Place},
    reaper::Reaper,
};
use crate::cli::Failure;
use std::path::{Path, PathBuf};

/// Where distributions install it, besides the search path.
const USUAL: [&str; 2] = ["/usr/sbin/named", "/usr/bin/named"];

/// Starts it. It does not answer yet.
pub fn start(place: &Place, secrets: &Secrets, reaper: &Reaper) -> Result<(), Failure> {
    let installed = installed().ok_or_else(|| Failure::environment("BIND's named is missing: apt-get install bind9"))?;
    let directory = place.private("bind")?;
    let program = place.directory.join("tanist-demo-named");
    place::copy(&installed, &program)?;
    place.write(&directory.join("zone"), &zone(place))?;
    place.write(&directory.join("named.conf"), &configuration(place, &directory, secrets))?;
    let mut command = place.as_database_user(&program);
    command.args(["-g", "-n", "1", "-c"]).arg(directory.join("named.conf"));
    reaper.start("BIND", &directory.join("log"), command)?;
    Ok(())
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("named")).find(|path| path.is_file());
    found.or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn zone(place: &Place) -> String {
    format!("$TTL 1\n@ SOA ns root 1 60 60 600 1\n@ NS ns\nns A {}\n", place.named.ip())
}

fn configuration(place: &Place, directory: &Path, secrets: &Secrets) -> String {
    format!(
        "options {{ directory \"{directory}\"; listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; pid-file none; \
         lock-file none; session-keyfile none; recursion no; dnssec-validation no; notify no; allow-transfer {{ none; }}; }};\n\
         controls {{ }};\n\
         key \"{KEY}\" {{ algorithm hmac-sha256; secret \"{tsig}\"; }};\n\
         zone \"{BIND_ZONE}\" {{ type primary; file \"zone\"; allow-update {{ key \"{KEY}\"; }}; }};\n",
        directory = directory.display(),
        port = place.named.port(),
        ip = place.named.ip(),
        tsig = secrets.tsig,
    )
}
