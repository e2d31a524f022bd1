//! The sections that only tanist has: `local`, `tanist`, `dns`, `plugins`.

use super::{Flag, HttpGrantSpec, List, Number, Text};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use std::{fmt, marker::PhantomData};

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct LocalSpec {
    pub(in crate::config) socket: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct TanistSpec {
    pub(in crate::config) state_dir: Option<Text>,
    pub(in crate::config) user: Option<Text>,
    pub(in crate::config) storage: Option<StorageSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with timeout and minimum_free")]
pub(in crate::config) struct StorageSpec {
    pub(in crate::config) timeout: Option<Number>,
    pub(in crate::config) minimum_free: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct DnsSpec {
    pub(in crate::config) listen: Option<List>,
    pub(in crate::config) zone: Option<Text>,
    pub(in crate::config) ttl: Option<Number>,
    pub(in crate::config) ns: Option<Vec<NameServerSpec>>,
    pub(in crate::config) soa: Option<SoaSpec>,
}

/// A name, or a name with its addresses.
#[derive(Debug, Default)]
pub(in crate::config) struct NameServerSpec {
    pub(in crate::config) name: Option<Text>,
    pub(in crate::config) addresses: Option<List>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct SoaSpec {
    pub(in crate::config) mailbox: Option<Text>,
    pub(in crate::config) refresh: Option<Number>,
    pub(in crate::config) retry: Option<Number>,
    pub(in crate::config) expire: Option<Number>,
    pub(in crate::config) minimum: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct PluginSpec {
    pub(in crate::config) name: Option<Text>,
    pub(in crate::config) component: Option<Text>,
    pub(in crate::config) sha256: Option<Text>,
    pub(in crate::config) config: Option<Value>,
    pub(in crate::config) grants: Option<GrantsSpec>,
    pub(in crate::config) limits: Option<LimitsSpec>,
    pub(in crate::config) dry_run: Option<Flag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct GrantsSpec {
    pub(in crate::config) leadership: Option<Flag>,
    pub(in crate::config) dns: Option<OneOrMany<DnsGrantSpec>>,
    pub(in crate::config) http: Option<OneOrMany<HttpGrantSpec>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct DnsGrantSpec {
    pub(in crate::config) server: Option<Text>,
    pub(in crate::config) zone: Option<Text>,
    pub(in crate::config) zones: Option<List>,
    pub(in crate::config) names: Option<List>,
    pub(in crate::config) addresses: Option<List>,
    pub(in crate::config) tsig_key: Option<TsigSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map with name, algorithm and secret or secret_file")]
pub(in crate::config) struct TsigSpec {
    pub(in crate::config) name: Option<Text>,
    pub(in crate::config) algorithm: Option<Text>,
    pub(in crate::config) secret: Option<Text>,
    pub(in crate::config) secret_file: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, expecting = "a map")]
pub(in crate::config) struct LimitsSpec {
    pub(in crate::config) memory: Option<Text>,
    pub(in crate::config) cpu: Option<Text>,
    pub(in crate::config) wall: Option<Text>,
    pub(in crate::config) log: Option<Text>,
}

/// A list of maps, or one map.
#[derive(Debug)]
pub(in crate::config) struct OneOrMany<T> {
    pub(in crate::config) items: Vec<T>,
    /// It was written as one map, so that keys inside have no index.
    pub(in crate::config) single: bool,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for EitherVisitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map or a list of maps")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany { items, single: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Ok(OneOrMany { items: vec![T::deserialize(MapAccessDeserializer::new(map))?], single: true })
            }
        }
        deserializer.deserialize_any(EitherVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for NameServerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, expecting = "a map with name and addresses")]
        struct Full {
            name: Option<Text>,
            addresses: Option<List>,
        }
        struct ServerVisitor;
        impl<'de> Visitor<'de> for ServerVisitor {
            type Value = NameServerSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map with name and addresses")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<NameServerSpec, E> {
                Ok(NameServerSpec { name: Some(Text(name.to_owned())), addresses: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NameServerSpec, A::Error> {
                let Full { name, addresses } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NameServerSpec { name, addresses })
            }
        }
        deserializer.deserialize_any(ServerVisitor)
    }
}
