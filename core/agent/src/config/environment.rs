//! `PATRONI_*` variables, which win over the file, as in Patroni.

use super::{
    Environment,
    report::Report,
    spec::{AuthenticationSpec, EtcdSpec, List, LogSpec, PostgresqlSpec, RestapiSpec, Spec, Text, UserSpec},
};

/// Lays the variables over the file. One that is not read is reported; an empty one counts as not set.
pub(super) fn apply(environment: &Environment, spec: &mut Spec, report: &mut Report) {
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix("PATRONI_").filter(|_| !value.is_empty()) else { continue };
        match set(name, value, spec) {
            Some(key) => report.overridden(key, variable),
            None => {
                report.variable_warning(variable, "is not supported by this version of tanist and has no effect; use the file")
            }
        }
    }
}

/// Sets the value, and returns the key that has it now.
fn set(name: &str, value: &str, spec: &mut Spec) -> Option<&'static str> {
    let text = Some(Text(value.to_owned()));
    let key = match name {
        "NAME" => put(&mut spec.name, text, "name"),
        "SCOPE" => put(&mut spec.scope, text, "scope"),
        "NAMESPACE" => put(&mut spec.namespace, text, "namespace"),
        "LOG_LEVEL" => put(&mut spec.log.get_or_insert_with(LogSpec::default).level, text, "log.level"),
        _ => {
            let (section, option) = name.split_once('_')?;
            match section {
                "RESTAPI" => return restapi(option, text, spec.restapi.get_or_insert_with(RestapiSpec::default)),
                "ETCD3" => return etcd3(option, value, spec),
                "POSTGRESQL" => return postgresql(option, text, spec.postgresql.get_or_insert_with(PostgresqlSpec::default)),
                "SUPERUSER" | "REPLICATION" | "REWIND" => return user(section, option, text, spec),
                _ => return None,
            }
        }
    };
    Some(key)
}

fn put<T>(field: &mut Option<T>, value: Option<T>, key: &'static str) -> &'static str {
    *field = value;
    key
}

fn restapi(option: &str, text: Option<Text>, section: &mut RestapiSpec) -> Option<&'static str> {
    let key = match option {
        "LISTEN" => put(&mut section.listen, text, "restapi.listen"),
        "CONNECT_ADDRESS" => put(&mut section.connect_address, text, "restapi.connect_address"),
        "USERNAME" => put(&mut authentication(section).username, text, "restapi.authentication.username"),
        "PASSWORD" => put(&mut authentication(section).password, text, "restapi.authentication.password"),
        _ => return None,
    };
    Some(key)
}

fn authentication(section: &mut RestapiSpec) -> &mut UserSpec {
    section.authentication.get_or_insert_with(UserSpec::default)
}

fn etcd3(option: &str, value: &str, spec: &mut Spec) -> Option<&'static str> {
    let text = Some(Text(value.to_owned()));
    const OPTIONS: [&str; 9] = ["HOST", "HOSTS", "URL", "PROTOCOL", "CACERT", "CERT", "KEY", "USERNAME", "PASSWORD"];
    if !OPTIONS.contains(&option) {
        return None;
    }
    let fields = spec.etcd3.get_or_insert_with(EtcdSpec::default);
    let key = match option {
        "HOST" => put(&mut fields.host, text, "etcd3.host"),
        "HOSTS" => put(&mut fields.hosts, Some(List::of(value)), "etcd3.hosts"),
        "URL" => put(&mut fields.url, text, "etcd3.url"),
        "PROTOCOL" => put(&mut fields.protocol, text, "etcd3.protocol"),
        "CACERT" => put(&mut fields.cacert, text, "etcd3.cacert"),
        "CERT" => put(&mut fields.cert, text, "etcd3.cert"),
        "KEY" => put(&mut fields.key, text, "etcd3.key"),
        "USERNAME" => put(&mut fields.username, text, "etcd3.username"),
        _ => put(&mut fields.password, text, "etcd3.password"),
    };
    Some(key)
}

fn postgresql(option: &str, text: Option<Text>, section: &mut PostgresqlSpec) -> Option<&'static str> {
    let key = match option {
        "LISTEN" => put(&mut section.listen, text, "postgresql.listen"),
        "CONNECT_ADDRESS" => put(&mut section.connect_address, text, "postgresql.connect_address"),
        "DATA_DIR" => put(&mut section.data_dir, text, "postgresql.data_dir"),
        "BIN_DIR" => put(&mut section.bin_dir, text, "postgresql.bin_dir"),
        "CONFIG_DIR" => put(&mut section.config_dir, text, "postgresql.config_dir"),
        "PGPASS" => put(&mut section.pgpass, text, "postgresql.pgpass"),
        _ => return None,
    };
    Some(key)
}

fn user(who: &str, option: &str, text: Option<Text>, spec: &mut Spec) -> Option<&'static str> {
    let section = spec.postgresql.get_or_insert_with(PostgresqlSpec::default);
    // Users in Patroni's old place move to the new one, so that half of a user may come from here.
    let (superuser, replication) = (section.superuser.take(), section.replication.take());
    let users = section.authentication.get_or_insert(AuthenticationSpec { superuser, replication, rewind: None });
    let (user, keys) = match who {
        "SUPERUSER" => (
            &mut users.superuser,
            ["postgresql.authentication.superuser.username", "postgresql.authentication.superuser.password"],
        ),
        "REPLICATION" => (
            &mut users.replication,
            ["postgresql.authentication.replication.username", "postgresql.authentication.replication.password"],
        ),
        _ => (&mut users.rewind, ["postgresql.authentication.rewind.username", "postgresql.authentication.rewind.password"]),
    };
    let user = user.get_or_insert_with(UserSpec::default);
    match option {
        "USERNAME" => Some(put(&mut user.username, text, keys[0])),
        "PASSWORD" => Some(put(&mut user.password, text, keys[1])),
        _ => None,
    }
}
