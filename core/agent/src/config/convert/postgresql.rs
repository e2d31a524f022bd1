//! The section `postgresql`.

use super::{
    super::{
        Callbacks, Credentials, PostgresSettings, Programs, address, programs,
        report::Report,
        spec::{AuthenticationSpec, CallbacksSpec, Flag, Options, PostgresqlSpec, Text, UserSpec},
    },
    absolute, users,
};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tanist_engine::Endpoint;
use tanist_patroni::dynamic::{DynamicPostgresql, is_cluster_wide, parameter_map};

const PORT: u16 = 5432;

/// What other sections said.
pub(super) struct Facts<'a> {
    pub(super) dynamic: Option<&'a DynamicPostgresql>,
    pub(super) state_dir: Option<&'a Path>,
    pub(super) data_dir: Option<PathBuf>,
}

/// The data directory, needed before the rest.
pub(super) fn data_dir(section: &PostgresqlSpec, report: &mut Report) -> Option<PathBuf> {
    let Some(Text(path)) = &section.data_dir else {
        report.error("postgresql.data_dir", "is missing; name the directory of PostgreSQL's data");
        return None;
    };
    let path = absolute(path, "postgresql.data_dir", report)?;
    if path.parent().is_none() {
        report.error("postgresql.data_dir", "must not be the root directory");
        return None;
    }
    Some(path)
}

pub(super) fn postgresql(
    section: PostgresqlSpec,
    facts: Facts<'_>,
    report: &mut Report,
    disk: &dyn Programs,
) -> Option<PostgresSettings> {
    let PostgresqlSpec {
        listen,
        connect_address,
        data_dir: _,
        bin_dir,
        config_dir,
        pgpass,
        authentication,
        superuser,
        replication,
        pg_rewind,
        parameters,
        pg_hba,
        pg_ident,
        callbacks,
        create_replica_methods,
        create_replica_method,
        basebackup,
        use_unix_socket,
        use_pg_rewind,
        remove_data_directory_on_rewind_failure,
        remove_data_directory_on_diverged_timelines,
    } = section;
    let Facts { dynamic, state_dir, data_dir } = facts;
    let addresses = addresses(listen, connect_address, report);
    let bin_dir = bin_directory(bin_dir, data_dir.as_deref(), report, disk);
    let path = |text: Option<Text>, key, report: &mut Report| text.map(|Text(path)| absolute(&path, key, report));
    let config_dir = path(config_dir, "postgresql.config_dir", report).unwrap_or_else(|| data_dir.clone());
    let pgpass = path(pgpass, "postgresql.pgpass", report);
    let users = accounts(authentication, superuser, replication, pg_rewind, report);
    let parameters = own_parameters(parameters.unwrap_or_default(), report);
    for (key, methods) in [("create_replica_methods", create_replica_methods), ("create_replica_method", create_replica_method)] {
        for Text(method) in methods.into_iter().flatten().filter(|Text(method)| method != "basebackup") {
            let remark = format!("`{method}` is not supported by this version of tanist: replicas are made by pg_basebackup");
            report.warning(&format!("postgresql.{key}"), remark);
        }
    }
    if use_unix_socket.is_some_and(|flag| !flag.0) {
        report.info("postgresql.use_unix_socket", "is not supported by this version of tanist: the Unix socket is always used");
    }
    let pg_hba = lines("pg_hba", pg_hba, report);
    let pg_ident = lines("pg_ident", pg_ident, report);
    let Options(basebackup) = basebackup.unwrap_or_default();
    let CallbacksSpec { on_start, on_stop, on_restart, on_reload, on_role_change } = callbacks.unwrap_or_default();
    let script = |text: Option<Text>| text.map(|Text(command)| command).filter(|command| !command.trim().is_empty());
    let callbacks = Callbacks {
        on_start: script(on_start),
        on_stop: script(on_stop),
        on_restart: script(on_restart),
        on_reload: script(on_reload),
        on_role_change: script(on_role_change),
    };
    let flag = |flag: Option<Flag>| flag.map(|Flag(on)| on);
    let parameters = parameters?;
    let socket_dir = socket_directory(&parameters, dynamic, state_dir);
    let (listen, port, connect) = addresses?;
    let (superuser, replication, rewind) = users?;
    Some(PostgresSettings {
        listen,
        port,
        connect,
        data_dir: data_dir?,
        bin_dir: bin_dir?,
        config_dir: config_dir?,
        pgpass: match pgpass {
            Some(path) => Some(path?),
            None => None,
        },
        socket_dir: socket_dir?,
        superuser,
        replication,
        rewind,
        parameters,
        pg_hba,
        pg_ident,
        basebackup,
        use_pg_rewind: flag(use_pg_rewind),
        remove_on_rewind_failure: flag(remove_data_directory_on_rewind_failure),
        remove_on_diverged_timelines: flag(remove_data_directory_on_diverged_timelines),
        callbacks,
    })
}

/// Lines of one of the files that PostgreSQL reads line by line.
fn lines(key: &str, lines: Option<Vec<Text>>, report: &mut Report) -> Vec<String> {
    let lines: Vec<String> = lines.unwrap_or_default().into_iter().map(|Text(line)| line).collect();
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(['\n', '\r', '\0'])) {
        report.error(&format!("postgresql.{key}[{index}]"), format!("must be one line of {key}.conf"));
    }
    lines
}

/// Where it listens and where others find it. Without a `connect_address` that is the first address it listens on.
fn addresses(listen: Option<Text>, connect: Option<Text>, report: &mut Report) -> Option<(Vec<String>, u16, Endpoint)> {
    let Some(Text(listen)) = listen else {
        report.error("postgresql.listen", "is missing; set it to ADDRESS:PORT, for example 0.0.0.0:5432");
        return None;
    };
    let (hosts, port) = address::listen(&listen, PORT).map_err(|problem| report.error("postgresql.listen", problem)).ok()?;
    let connect = match connect {
        Some(Text(text)) => {
            address::endpoint(&text, Some(port)).map_err(|problem| report.error("postgresql.connect_address", problem)).ok()?
        }
        None => match hosts.iter().find(|host| !address::is_wildcard(host)) {
            Some(host) => Endpoint { host: host.clone(), port },
            None => {
                report.error(
                    "postgresql.connect_address",
                    "is missing; postgresql.listen names no address that others could connect to",
                );
                return None;
            }
        },
    };
    if address::is_wildcard(&connect.host) {
        report.error("postgresql.connect_address", "must be an address that others can connect to");
        return None;
    }
    if matches!(connect.host.as_str(), "localhost" | "127.0.0.1" | "::1") {
        report.warning("postgresql.connect_address", format!("{} leads every other machine to itself", connect.host));
    }
    Some((hosts, port, connect))
}

fn bin_directory(configured: Option<Text>, data_dir: Option<&Path>, report: &mut Report, disk: &dyn Programs) -> Option<PathBuf> {
    let key = "postgresql.bin_dir";
    let Some(Text(path)) = configured.filter(|Text(path)| !path.is_empty()) else {
        return programs::find(disk, data_dir).map_err(|problem| report.error(key, problem)).ok();
    };
    let path = absolute(&path, key, report)?;
    let checked = programs::check(disk, &path).and_then(|()| programs::fits(disk, &path, data_dir));
    checked.map_err(|problem| report.error(key, problem)).ok()?;
    Some(path)
}

type Accounts = (Credentials, Credentials, Option<Credentials>);

/// The users, in Patroni's present form or its old one.
fn accounts(
    authentication: Option<AuthenticationSpec>,
    superuser: Option<UserSpec>,
    replication: Option<UserSpec>,
    pg_rewind: Option<UserSpec>,
    report: &mut Report,
) -> Option<Accounts> {
    let old = [("superuser", superuser.is_some()), ("replication", replication.is_some()), ("pg_rewind", pg_rewind.is_some())];
    let old: Vec<&str> = old.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    let (prefix, users) = match authentication {
        Some(users) => {
            for name in old {
                report.warning(&format!("postgresql.{name}"), "has no effect beside postgresql.authentication; remove it");
            }
            ("postgresql.authentication", users)
        }
        None => {
            for name in &old {
                report.info(
                    &format!("postgresql.{name}"),
                    "is an old form; it is read, but belongs under postgresql.authentication",
                );
            }
            // Without a superuser of its own the one for pg_rewind serves, as in Patroni.
            let superuser = superuser.or_else(|| pg_rewind.clone());
            ("postgresql", AuthenticationSpec { superuser, replication, rewind: pg_rewind })
        }
    };
    let AuthenticationSpec { superuser, replication, rewind } = users;
    let superuser = users::required(superuser, &format!("{prefix}.superuser"), report);
    let replication = users::required(replication, &format!("{prefix}.replication"), report);
    let rewind = match rewind {
        Some(user) => Some(users::required(Some(user), &format!("{prefix}.rewind"), report)?),
        None => None,
    };
    Some((superuser?, replication?, rewind))
}

/// This node's own parameters, without those that must be the same everywhere.
fn own_parameters(map: Map<String, Value>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let mut own = Map::new();
    for (name, value) in map {
        let key = format!("postgresql.parameters.{name}");
        if is_cluster_wide(&name) {
            report.warning(&key, "must be the same on all nodes, so it is taken from bootstrap.dcs.postgresql.parameters only");
        } else if matches!(name.as_str(), "listen_addresses" | "port" | "cluster_name" | "hot_standby") {
            report.info(&key, "is set by tanist; this value has no effect");
        } else {
            own.insert(name, value);
        }
    }
    let refused = |(name, expected): (String, &'static str)| {
        report.error(&format!("postgresql.parameters.{name}"), format!("must be {expected}"))
    };
    parameter_map(own).map_err(refused).ok()
}

/// Where the agent reaches the server: the first absolute socket directory that is configured, else the state directory.
fn socket_directory(
    own: &BTreeMap<String, String>,
    dynamic: Option<&DynamicPostgresql>,
    state_dir: Option<&Path>,
) -> Option<PathBuf> {
    let name = "unix_socket_directories";
    let configured = own.get(name).or_else(|| dynamic.and_then(|dynamic| dynamic.parameters.get(name)));
    let first = configured.and_then(|list| {
        list.split(',')
            .map(|part| Path::new(part.trim().trim_matches(['"', '\''])))
            .find(|part| part.is_absolute())
            .map(Path::to_owned)
    });
    first.or_else(|| state_dir.map(Path::to_owned))
}
