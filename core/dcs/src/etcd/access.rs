//! How to get into an etcd cluster: where its members are, whom to trust, who we are.
//!
//! Certificates are named by path and read when a connection is made, so that renewed files are used without a restart.

use etcd_client::{Certificate, Identity, TlsOptions};
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Where systems keep the certificate authorities they trust: Debian, Red Hat, SUSE, Alpine.
const SYSTEM_AUTHORITIES: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];
/// Largest file of certificates that is read.
const MAX_FILE: u64 = 4 << 20;

/// The way into an etcd cluster.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// URLs of its members: `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// For `https`: whom to trust and who we are.
    pub tls: Tls,
    /// Whom to log in as.
    pub user: Option<User>,
}

/// Files of certificates, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that may have signed the servers' certificates; `None`: those that this system trusts.
    pub authorities: Option<PathBuf>,
    /// The own certificate and its key, which may be one file.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Password,
}

/// A password. `Debug` does not show it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the files held when they were read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem {
    authorities: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Reads the files. To be called where blocking does no harm.
    pub(super) fn read(&self) -> Result<Pem, String> {
        let authorities = match &self.authorities {
            Some(path) => file("etcd3.cacert", path)?,
            None => match SYSTEM_AUTHORITIES.iter().map(Path::new).find(|path| path.exists()) {
                Some(path) => file("etcd3.cacert is not set, and the system's", path)?,
                None => return Err("etcd3.cacert: is not set, and this system has no list of authorities; set it".to_owned()),
            },
        };
        if !has(&authorities, "CERTIFICATE-----") {
            let path = self.authorities.as_deref().unwrap_or(Path::new("the system's list")).display();
            return Err(format!("etcd3.cacert: {path}: holds no certificate in PEM form"));
        }
        let identity = match &self.identity {
            None => None,
            Some((cert, key)) => {
                let pair = (file("etcd3.cert", cert)?, file("etcd3.key", key)?);
                if !has(&pair.0, "CERTIFICATE-----") {
                    return Err(format!("etcd3.cert: {}: holds no certificate in PEM form", cert.display()));
                }
                if !has(&pair.1, "PRIVATE KEY-----") || has(&pair.1, "ENCRYPTED") {
                    let path = key.display();
                    return Err(format!("etcd3.key: {path}: holds no private key in PEM form without a passphrase"));
                }
                Some(pair)
            }
        };
        Ok(Pem { authorities, identity })
    }
}

impl Pem {
    /// For the library.
    pub(super) fn options(&self) -> TlsOptions {
        let options = TlsOptions::new().ca_certificate(Certificate::from_pem(&self.authorities));
        match &self.identity {
            Some((cert, key)) => options.identity(Identity::from_pem(cert, key)),
            None => options,
        }
    }
}

fn has(pem: &[u8], word: &str) -> bool {
    pem.windows(word.len()).any(|window| window == word.as_bytes())
}

fn file(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    use io::Read;
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| format!("{key}: {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let user = User { name: "tanist".into(), password: Password::new("hunter2") };
        let shown = format!("{user:?}");
        assert!(shown.contains("tanist") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_their_key() {
        let here = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = here.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ca = path("ca", "-----BEGIN CERTIFICATE-----\n");
        let sealed = path("sealed", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
        let absent = here.path().join("absent");
        let tls = |authorities: &Path, identity: Option<(&Path, &Path)>| Tls {
            authorities: Some(authorities.to_owned()),
            identity: identity.map(|(cert, key)| (cert.to_owned(), key.to_owned())),
        };
        for (tls, key) in [
            (tls(&absent, None), "etcd3.cacert"),
            (tls(&sealed, None), "etcd3.cacert"),
            (tls(&ca, Some((&absent, &ca))), "etcd3.cert"),
            (tls(&ca, Some((&sealed, &sealed))), "etcd3.cert"),
            (tls(&ca, Some((&ca, &absent))), "etcd3.key"),
            (tls(&ca, Some((&ca, &sealed))), "etcd3.key"),
        ] {
            let error = tls.read().err().unwrap();
            assert!(error.starts_with(&format!("{key}: ")), "{error}");
        }
        assert!(tls(&ca, None).read().is_ok());
    }
}
