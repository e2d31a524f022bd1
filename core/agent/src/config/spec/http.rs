//! The grants of HTTP requests in the section `plugins`.

use super::{List, Text};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with url")]
pub(in crate::config) struct HttpGrantSpec {
    pub(in crate::config) url: Option<Text>,
    pub(in crate::config) methods: Option<List>,
    pub(in crate::config) addresses: Option<List>,
    pub(in crate::config) ca_file: Option<Text>,
    pub(in crate::config) headers: Option<Map<String, Value>>,
    pub(in crate::config) bearer_file: Option<Text>,
    pub(in crate::config) basic: Option<BasicSpec>,
    pub(in crate::config) hmac_secret: Option<Text>,
    pub(in crate::config) hmac_secret_file: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with username and password or password_file")]
pub(in crate::config) struct BasicSpec {
    pub(in crate::config) username: Option<Text>,
    pub(in crate::config) password: Option<Text>,
    pub(in crate::config) password_file: Option<Text>,
}
