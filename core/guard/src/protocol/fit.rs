//! An environment that is too large for a message. In a pod of Kubernetes that is usually what it says about services: seven variables
//! or more for each one of the namespace, which no program of PostgreSQL's looks for.

use super::{MAX_MESSAGE, Program, wire::Writer};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

/// A message has this much besides its program, at most.
const HEAD: usize = 32;
/// What a service's host stands in; its name is in front of it.
const HOST: &[u8] = b"_SERVICE_HOST";
/// The way to Kubernetes itself stays: archive commands ask it for credentials.
const KEPT: &[u8] = b"KUBERNETES";

impl Program {
    /// Leaves out the variables of Kubernetes' services if the program does not fit into a message with them. How many.
    pub fn fit(&mut self) -> usize {
        if self.fits() {
            return 0;
        }
        let names: BTreeSet<Vec<u8>> = self.env.iter().filter_map(|(key, _)| service(key)).collect();
        let before = self.env.len();
        self.env.retain(|(key, _)| !belongs_to_service(key, &names));
        before - self.env.len()
    }

    fn fits(&self) -> bool {
        let mut buffer = vec![0; MAX_MESSAGE - HEAD];
        let mut writer = Writer::new(&mut buffer);
        self.encode(&mut writer).is_ok() && writer.finish().is_some()
    }
}

/// The service whose host this variable holds.
fn service(key: &OsStr) -> Option<Vec<u8>> {
    key.as_bytes().strip_suffix(HOST).filter(|name| *name != KEPT).map(<[u8]>::to_vec)
}

/// `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT`, `NAME_SERVICE_PORT_…`, `NAME_PORT` or `NAME_PORT_…` of one of these services.
fn belongs_to_service(key: &OsString, names: &BTreeSet<Vec<u8>>) -> bool {
    let key = key.as_bytes();
    let ends = (0..key.len()).filter(|at| key[*at] == b'_');
    ends.filter(|at| names.contains(&key[..*at])).any(|at| {
        let rest = &key[at..];
        let port = rest.strip_prefix(b"_SERVICE_PORT").or_else(|| rest.strip_prefix(b"_PORT"));
        rest == HOST || port.is_some_and(|port| port.is_empty() || port[0] == b'_')
    })
}
