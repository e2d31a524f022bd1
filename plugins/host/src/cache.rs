//! Compiled components on disk, and the one place where machine code is loaded.
//!
//! An entry is named by the digest of the component and the fingerprint of the engine, and begins with the digest of what follows:
//! a truncated or damaged file is compiled anew. The directory must belong to us alone, because whoever can write there can run
//! code in this process.

use crate::engine::Sandbox;
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tanist_broker::protocol::Digest;
use wasmtime::component::Component;

const DIGEST: usize = 32;

/// A directory of compiled components; none: nothing is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    directory: Option<PathBuf>,
}

impl Cache {
    /// Creates the directory (0700) if it is absent. Refuses one that others can write to.
    pub(crate) fn open(directory: Option<PathBuf>) -> io::Result<Self> {
        if let Some(directory) = &directory {
            if !directory.exists() {
                fs::create_dir_all(directory)?;
                fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
            }
            let found = fs::metadata(directory)?;
            if found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
                let text = format!(
                    "{}: the cache of compiled plugins must belong to this user, writable by nobody else",
                    directory.display()
                );
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
        }
        Ok(Self { directory })
    }

    /// The compiled form of a component, if it is there and whole.
    pub(crate) fn find(&self, component: Digest, sandbox: &Sandbox) -> Option<Component> {
        let entry = fs::read(self.entry(component, sandbox)?).ok()?;
        let (digest, compiled) = entry.split_at_checked(DIGEST)?;
        if Sha256::digest(compiled).as_slice() != digest {
            return None;
        }
        load(sandbox, compiled).ok()
    }

    /// Keeps the compiled form of a component: written beside, then renamed. Not being able to is no failure of the load.
    pub(crate) fn keep(&self, component: Digest, sandbox: &Sandbox, compiled: &[u8]) -> io::Result<()> {
        let Some(entry) = self.entry(component, sandbox) else { return Ok(()) };
        let beside = entry.with_extension(format!("{}.tmp", std::process::id()));
        let content = [Sha256::digest(compiled).as_slice(), compiled].concat();
        fs::write(&beside, content).and_then(|()| fs::rename(&beside, &entry)).inspect_err(|_| {
            // Half a file is of no use to anybody; that it cannot be removed changes nothing.
            let _ = fs::remove_file(&beside);
        })
    }

    fn entry(&self, component: Digest, sandbox: &Sandbox) -> Option<PathBuf> {
        let name = format!("{component}-{}.cwasm", sandbox.fingerprint());
        self.directory.as_deref().map(|directory: &Path| directory.join(name))
    }
}

/// Machine code from our own compiler, made executable.
#[expect(unsafe_code, reason = "the only way to load compiled code; it comes from our compiler, directly or digest-checked")]
pub(crate) fn load(sandbox: &Sandbox, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `compiled` is the output of our own compiler child, either just received over its pipe or read from a file that this
    // program wrote into a directory only this user can write to, with its digest verified.
    unsafe { Component::deserialize(sandbox.engine(), compiled) }
}

/// The digest of a component.
pub(crate) fn digest(component: &[u8]) -> Digest {
    Digest(Sha256::digest(component).into())
}
