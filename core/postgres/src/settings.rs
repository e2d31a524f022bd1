//! What the agent tells this crate about the local PostgreSQL. A plain value: it reads no file and no environment.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use tanist_engine::{Endpoint, MemberName};

/// Everything that is fixed while the agent runs. Dynamic configuration makes a new value.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where `postgres`, `initdb`, `pg_basebackup`, `pg_controldata` are.
    pub bin_dir: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where `postgresql.conf` and `pg_hba.conf` live; the data directory, except on Debian's layout.
    pub config_dir: PathBuf,
    /// The agent's own directory, outside of the data directory.
    pub state_dir: PathBuf,
    /// The Unix socket directory that probes use.
    pub socket_dir: PathBuf,
    /// The password file that libpq programs and walreceivers use; written by us.
    pub pgpass: PathBuf,
    /// `listen_addresses`, one element each; `*` for all.
    pub listen_addresses: Vec<String>,
    /// The TCP port, also part of the socket's name.
    pub port: u16,
    /// Where other nodes and clients reach this server.
    pub connect: Endpoint,
    /// The cluster's name, `cluster_name`.
    pub scope: String,
    /// This member's name, its `application_name` as a standby.
    pub name: MemberName,
    /// The superuser that probes, bootstrap and SQL use; made by initdb.
    pub superuser: Credentials,
    /// The user that walreceivers and pg_basebackup use.
    pub replication: Credentials,
    /// The user that pg_rewind uses; `None`: the superuser does.
    pub rewind: Option<Credentials>,
    /// Options of initdb, without the leading dashes: `data-checksums`, `encoding=UTF8`.
    pub initdb_options: Vec<String>,
    /// Further options of pg_basebackup, in the same form.
    pub basebackup_options: Vec<String>,
    /// Configuration parameters as the operator wants them.
    pub parameters: BTreeMap<String, String>,
    /// The replication slot of this member at its upstream; `None`: it streams without one.
    pub slot: Option<String>,
    /// Lines of `pg_hba.conf`; empty: the file is left alone.
    pub pg_hba: Vec<String>,
    /// Lines of `pg_ident.conf`; empty: the file is left alone.
    pub pg_ident: Vec<String>,
    /// Synchronous mode is on: standbys start with the reserved name (SAFETY §4.6), a crashed backend ends the whole server.
    pub synchronous: bool,
}

/// A database user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Its name.
    pub username: String,
    /// Its password; `None`: the host-based authentication needs none.
    pub password: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The name cannot be an `application_name` that PostgreSQL keeps as it is.
    #[error("name `{0}`: use 1 to 63 printable ASCII characters, and not the reserved name; PostgreSQL changes any other")]
    Name(String),
    /// A value has a character that no PostgreSQL configuration can carry.
    #[error("{key}: the value has a NUL character")]
    Nul {
        /// Which key.
        key: String,
    },
    /// The socket's path is longer than the system allows.
    #[error(
        "socket directory `{0}`: the path of the socket in it would exceed 107 bytes; choose a shorter unix_socket_directories"
    )]
    SocketPath(PathBuf),
    /// The operator's socket directories do not include the one for probes.
    #[error("unix_socket_directories = `{value}` does not name `{dir}`, where the agent connects")]
    SocketDir {
        /// The parameter.
        value: String,
        /// Ours.
        dir: PathBuf,
    },
    /// No listen address.
    #[error("listen: no address")]
    Listen,
    /// A parameter's name is none.
    #[error("parameter `{0}`: not a PostgreSQL parameter name")]
    Parameter(String),
    /// A line of `pg_hba` or `pg_ident` is more than one line.
    #[error("{0}: entry {1} has a line break")]
    Line(&'static str, usize),
}

impl Settings {
    /// Refuses what would not survive the way into PostgreSQL's files unchanged.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !crate::names::is_valid_member(&self.name) {
            return Err(SettingsError::Name(self.name.to_string()));
        }
        if self.listen_addresses.is_empty() {
            return Err(SettingsError::Listen);
        }
        if self.socket_path().as_os_str().len() > 107 {
            return Err(SettingsError::SocketPath(self.socket_dir.clone()));
        }
        if let Some(value) = self.parameters.get("unix_socket_directories")
            && !value.split(',').any(|dir| Path::new(dir.trim().trim_matches('"')) == self.socket_dir)
        {
            return Err(SettingsError::SocketDir { value: value.clone(), dir: self.socket_dir.clone() });
        }
        for (key, value) in &self.parameters {
            if !is_parameter_name(key) {
                return Err(SettingsError::Parameter(key.clone()));
            }
            if value.contains('\0') {
                return Err(SettingsError::Nul { key: key.clone() });
            }
        }
        for (key, lines) in [("pg_hba", &self.pg_hba), ("pg_ident", &self.pg_ident)] {
            if let Some(at) = lines.iter().position(|line| line.contains(['\n', '\r', '\0'])) {
                return Err(SettingsError::Line(key, at));
            }
        }
        for (key, user) in [("superuser", &self.superuser), ("replication", &self.replication)]
            .into_iter()
            .chain(self.rewind.as_ref().map(|user| ("rewind", user)))
        {
            let text = [Some(&user.username), user.password.as_ref()];
            if text.into_iter().flatten().any(|text| text.contains(['\0', '\n', '\r'])) {
                return Err(SettingsError::Nul { key: key.to_owned() });
            }
        }
        Ok(())
    }

    /// The server's Unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.port))
    }

    /// The main configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("postgresql.conf")
    }

    /// WAL may come from elsewhere than a leader.
    pub fn restores(&self) -> bool {
        self.parameters.get("restore_command").is_some_and(|command| !command.trim().is_empty())
    }

    /// A program of PostgreSQL.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// A GUC name, with an extension's prefix where there is one.
fn is_parameter_name(name: &str) -> bool {
    !name.is_empty()
        && name.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Settings {
        Settings {
            bin_dir: "/usr/lib/postgresql/15/bin".into(),
            data_dir: "/tmp/none/data".into(),
            config_dir: "/tmp/none/data".into(),
            state_dir: "/tmp/none/state".into(),
            socket_dir: "/tmp/none".into(),
            pgpass: "/tmp/none/state/pgpass".into(),
            listen_addresses: vec!["127.0.9.1".into(), "127.0.9.2".into()],
            port: 5433,
            connect: Endpoint { host: "127.0.9.1".into(), port: 5433 },
            scope: "it's".into(),
            name: "a".into(),
            superuser: Credentials { username: "postgres".into(), password: None },
            replication: Credentials { username: "repl".into(), password: Some("p:w\\".into()) },
            rewind: None,
            initdb_options: vec!["data-checksums".into(), "encoding=UTF8".into()],
            basebackup_options: Vec::new(),
            parameters: BTreeMap::new(),
            slot: None,
            pg_hba: Vec::new(),
            pg_ident: Vec::new(),
            synchronous: true,
        }
    }

    #[test]
    fn refuses_what_postgresql_would_change() {
        assert_eq!(sample().validate(), Ok(()));
        for name in ["", "имя", "*", crate::names::RESERVED, "a\nb", &"x".repeat(64)] {
            let settings = Settings { name: name.into(), ..sample() };
            assert_eq!(settings.validate(), Err(SettingsError::Name(name.to_owned())), "{name:?}");
        }
        let mut settings = sample();
        settings.parameters.insert("x = 1 #".into(), "1".into());
        assert_eq!(settings.validate(), Err(SettingsError::Parameter("x = 1 #".into())));
        let mut settings = sample();
        settings.pg_hba = vec!["local all all trust".into(), "host\nall".into()];
        assert_eq!(settings.validate(), Err(SettingsError::Line("pg_hba", 1)));
        let mut settings = sample();
        settings.parameters.insert("unix_socket_directories".into(), "/run, /var/tmp".into());
        assert!(matches!(settings.validate(), Err(SettingsError::SocketDir { .. })));
        settings.parameters.insert("unix_socket_directories".into(), "/run, /tmp/none".into());
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", sample().replication);
        assert!(shown.contains("repl") && !shown.contains("p:w"), "{shown}");
    }
}
