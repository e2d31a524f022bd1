//! Certificate authorities and what they signed, by openssl.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// Files of authorities and of what they signed, in one directory.
#[derive(Clone, Debug)]
pub struct Authorities(PathBuf);

impl Authorities {
    /// In a directory that is there.
    pub fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").current_dir(&self.0).args(arguments).output().expect("openssl runs");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `name.crt` and `name.key` of an authority.
    pub fn authority(&self, name: &str) {
        let (subject, key, crt) = (format!("/CN={name}"), format!("{name}.key"), format!("{name}.crt"));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        self.openssl(&[&["req", "-x509", "-subj", &subject, "-keyout", &key, "-out", &crt][..], &curve].concat());
    }

    /// `name.crt` and `name.key`, signed by an authority, for an address, for `days`.
    pub fn sign(&self, name: &str, authority: &str, address: IpAddr, days: u32) {
        let [subject, key, csr, crt, ext] =
            [format!("/CN={name}"), format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"), format!("{name}.ext")];
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        self.openssl(&[&["req", "-subj", &subject, "-keyout", &key, "-out", &csr][..], &curve].concat());
        let extensions = format!("subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(self.path(&ext), extensions).expect("a file");
        let (ca, ca_key, days) = (format!("{authority}.crt"), format!("{authority}.key"), days.to_string());
        let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", &days, "-extfile", &ext];
        self.openssl(&[&["x509", "-req", "-in", &csr, "-out", &crt][..], &by].concat());
    }
}
