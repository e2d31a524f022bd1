//! Settings of the file turned into what each part wants. Destructured, so that a new setting breaks the build until somebody thought
//! about it.

use crate::config::{BootstrapSettings, Credentials, PostgresSettings, Settings};
use tanist_patroni::dynamic::DynamicConfig;

/// PostgreSQL's settings: this node's over the cluster's.
pub fn postgres_settings(settings: &Settings, dynamic: &DynamicConfig) -> tanist_postgres::Settings {
    let postgres = &settings.postgres;
    let parameters = postgres.effective_parameters(&dynamic.postgresql);
    let pg_hba = postgres.effective_pg_hba(&dynamic.postgresql, &settings.bootstrap).to_vec();
    let BootstrapSettings { dcs: _, dynamic: _, initdb, pg_hba: _ } = &settings.bootstrap;
    let PostgresSettings {
        listen,
        port,
        connect,
        data_dir,
        bin_dir,
        config_dir,
        pgpass,
        socket_dir,
        superuser,
        replication,
        rewind,
        parameters: _,
        pg_hba: _,
        pg_ident: _,
        basebackup,
        use_pg_rewind: _,
        remove_on_rewind_failure: _,
        remove_on_diverged_timelines: _,
        callbacks: _,
    } = postgres;
    tanist_postgres::Settings {
        bin_dir: bin_dir.clone(),
        data_dir: data_dir.clone(),
        config_dir: config_dir.clone(),
        state_dir: settings.state_dir.clone(),
        socket_dir: socket_dir.clone(),
        pgpass: pgpass.clone().unwrap_or_else(|| settings.state_dir.join("pgpass")),
        listen_addresses: listen.clone(),
        port: *port,
        connect: connect.clone(),
        scope: settings.cluster.scope.clone(),
        name: settings.name.clone(),
        superuser: credentials(superuser),
        replication: credentials(replication),
        rewind: rewind.as_ref().map(credentials),
        initdb_options: initdb.clone(),
        basebackup_options: basebackup.clone(),
        parameters,
        slot: None,
        pg_hba,
        pg_ident: postgres.effective_pg_ident(&dynamic.postgresql).to_vec(),
        synchronous: dynamic.policy(settings.engine_tags).synchronous.is_on(),
    }
}

fn credentials(user: &Credentials) -> tanist_postgres::Credentials {
    let Credentials { username, password } = user;
    tanist_postgres::Credentials {
        username: username.clone(),
        password: password.as_ref().map(|secret| secret.expose().to_owned()),
    }
}
