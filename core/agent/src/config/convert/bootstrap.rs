//! The section `bootstrap`: what a new cluster is made from.

use super::super::{
    BootstrapSettings,
    report::Report,
    spec::{BootstrapSpec, Options, Text},
};
use serde_json::{Map, Value};
use tanist_patroni::{
    DecodeError,
    dynamic::{DynamicConfig, DynamicNote},
};

pub(super) fn bootstrap(section: BootstrapSpec, report: &mut Report) -> Option<BootstrapSettings> {
    let BootstrapSpec { dcs, initdb, pg_hba, method } = section;
    if let Some(Text(method)) = method.filter(|Text(method)| method != "initdb") {
        report.error(
            "bootstrap.method",
            format!("`{method}`: custom methods are not supported by this version of tanist; use initdb"),
        );
    }
    let dcs = dcs.filter(|value| !value.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    let dynamic = dynamic(&dcs, report);
    let Options(initdb) = initdb.unwrap_or_default();
    for option in &initdb {
        let name = option.split('=').next().unwrap_or_default();
        let fixed = matches!(name, "pgdata" | "D" | "username" | "U" | "pwfile" | "pwprompt" | "W" | "A" | "auth");
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if fixed {
            report.error("bootstrap.initdb", format!("`{name}` is set by tanist; remove it"));
        } else if !plain || option.contains(['\0', '\n', '\r']) {
            report.error("bootstrap.initdb", format!("`{option}` is no option of initdb"));
        }
    }
    let pg_hba = pg_hba.unwrap_or_default().into_iter().map(|Text(line)| line).collect();
    Some(BootstrapSettings { dcs, dynamic: dynamic?, initdb, pg_hba })
}

fn dynamic(dcs: &Value, report: &mut Report) -> Option<DynamicConfig> {
    let at = |option: &str| if option.is_empty() { "bootstrap.dcs".to_owned() } else { format!("bootstrap.dcs.{option}") };
    match DynamicConfig::read(dcs.clone()) {
        Ok((config, notes)) => {
            for note in notes {
                let key = at(note.option());
                match &note {
                    DynamicNote::Unknown { .. } => report.error(&key, "unknown key; correct its name or remove it"),
                    // A cluster that shall follow another must not begin a life of its own.
                    DynamicNote::Unsupported { option, .. } if option == "standby_cluster" => {
                        report.error(
                            &key,
                            "a standby cluster is not supported by this version of tanist; remove the \
                         section to make a cluster of its own",
                        );
                    }
                    DynamicNote::Unsupported { .. } | DynamicNote::ShortTtl { .. } => report.warning(&key, note.remark()),
                    DynamicNote::Bent { .. } | DynamicNote::Replaced { .. } => report.info(&key, note.remark()),
                }
            }
            Some(config)
        }
        Err(DecodeError::Wrong { key: _, field, expected }) => {
            report.error(&at(&field), format!("must be {expected}"));
            None
        }
        Err(other) => {
            report.error("bootstrap.dcs", other.to_string());
            None
        }
    }
}
