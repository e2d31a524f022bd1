//! The postmaster's children, by what `/proc` says: statistics views do not show a process that has only just been forked.

use std::{fs, io};

/// What a child is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A walreceiver.
    Receiver,
    /// Just forked and without a title, or dead and not reaped: may be, or be followed by, a walreceiver.
    Unknown,
    /// Anything else.
    Other,
}

/// The children of this process.
pub(super) fn of(postmaster: i32) -> io::Result<Vec<(i32, Kind)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(kind(postmaster, pid).map(|kind| (pid, kind)));
    }
    Ok(found)
}

/// What this child is; `None`: not (any more) a child of this process.
pub(super) fn kind(postmaster: i32, pid: i32) -> Option<Kind> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may contain any character.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let (state, parent) = (words.next()?, words.next()?);
    if parent.parse() != Ok(postmaster) {
        return None;
    }
    if state == "Z" {
        return Some(Kind::Unknown);
    }
    let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(named(&String::from_utf8_lossy(&title)))
}

/// `postgres: <cluster_name>: walreceiver streaming 0/3000060`; before it has a title of its own a child shows its parent's. The
/// cluster's name may be shown otherwise than it was set, so it is not compared: a session of a user `walreceiver` is ended, too, which
/// is better than to overlook one.
fn named(title: &str) -> Kind {
    let Some(rest) = title.strip_prefix("postgres:") else { return Kind::Unknown };
    if rest.starts_with(" walreceiver") || rest.contains(": walreceiver") { Kind::Receiver } else { Kind::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        for (title, kind) in [
            ("postgres: it's: a: walreceiver streaming 0/3000060\0\0", Kind::Receiver),
            ("postgres: it's: a: walreceiver ", Kind::Receiver),
            ("postgres: walreceiver", Kind::Receiver),
            ("postgres: it's: a: startup recovering 000000010000000000000003", Kind::Other),
            ("postgres: it's: a: walreceive db [local] idle", Kind::Other),
            ("/usr/lib/postgresql/15/bin/postgres\0-D\0/x", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(named(title), kind, "{title}");
        }
    }

    #[test]
    fn only_children_are_found() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(of(me).unwrap().contains(&(pid, Kind::Unknown)));
        assert_eq!(kind(1, pid), None);
        child.kill().unwrap();
        assert_eq!(kind(me, pid), Some(Kind::Unknown), "dead, not reaped");
        child.wait().unwrap();
        assert_eq!(kind(me, pid), None);
    }
}
