//! The section `postgresql`.

use super::{Options, Text};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct PostgresqlSpec {
    pub(in crate::config) listen: Option<Text>,
    pub(in crate::config) connect_address: Option<Text>,
    pub(in crate::config) data_dir: Option<Text>,
    pub(in crate::config) bin_dir: Option<Text>,
    pub(in crate::config) config_dir: Option<Text>,
    pub(in crate::config) pgpass: Option<Text>,
    pub(in crate::config) authentication: Option<AuthenticationSpec>,
    /// Users beside `authentication` are Patroni's old form.
    pub(in crate::config) superuser: Option<UserSpec>,
    pub(in crate::config) replication: Option<UserSpec>,
    pub(in crate::config) pg_rewind: Option<UserSpec>,
    pub(in crate::config) parameters: Option<Map<String, Value>>,
    pub(in crate::config) pg_hba: Option<Vec<Text>>,
    pub(in crate::config) callbacks: Option<CallbacksSpec>,
    pub(in crate::config) create_replica_methods: Option<Vec<Text>>,
    pub(in crate::config) create_replica_method: Option<Vec<Text>>,
    pub(in crate::config) basebackup: Option<Options>,
    pub(in crate::config) use_unix_socket: Option<super::Flag>,
    pub(in crate::config) use_pg_rewind: Option<super::Flag>,
    pub(in crate::config) remove_data_directory_on_rewind_failure: Option<super::Flag>,
    pub(in crate::config) remove_data_directory_on_diverged_timelines: Option<super::Flag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct AuthenticationSpec {
    pub(in crate::config) superuser: Option<UserSpec>,
    pub(in crate::config) replication: Option<UserSpec>,
    pub(in crate::config) rewind: Option<UserSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with username and password")]
pub(in crate::config) struct UserSpec {
    pub(in crate::config) username: Option<Text>,
    pub(in crate::config) password: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map of scripts")]
pub(in crate::config) struct CallbacksSpec {
    pub(in crate::config) on_start: Option<Text>,
    pub(in crate::config) on_stop: Option<Text>,
    pub(in crate::config) on_restart: Option<Text>,
    pub(in crate::config) on_reload: Option<Text>,
    pub(in crate::config) on_role_change: Option<Text>,
}
