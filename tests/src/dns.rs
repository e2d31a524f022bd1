//! What a DNS server says: answers by `dig`, the client people use.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
};

/// The A records of `name` at `server`; empty for NODATA and NXDOMAIN alike.
pub fn addresses(server: SocketAddr, name: &str) -> Result<Vec<IpAddr>, String> {
    let text = dig(server, &["+short", name, "A"])?;
    Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
}

/// `dig` with these arguments, one try of one second.
pub fn dig(server: SocketAddr, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("dig")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string(), "+time=1", "+tries=1"])
        .args(arguments)
        .output()
        .map_err(|error| format!("dig: {error} (scripts/need dig)"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("dig: {text}")) }
}
