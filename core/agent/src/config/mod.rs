//! The configuration: patroni.yml as it is, and tanist's own sections beside Patroni's.
//!
//! The way of a file: [`positions`] finds the line of every key (and keys given twice); [`spec`] is its typed form, as written;
//! [`environment`] lays `PATRONI_*` over it; [`convert`] checks the whole and turns it into [`Settings`], plain run-time types.
//! Whatever is not obeyed is reported by its dotted name and line: a key nobody knows is an error (a misspelt `synchronous_mode`
//! must not cost data), an option of Patroni that has no effect yet is a note.
//!
//! Deliberately absent: any connection, any change of the machine. Only the file and the directories of PostgreSQL's programs are
//! looked at.

mod address;
mod check;
mod convert;
mod environment;
mod known;
mod positions;
mod programs;
mod report;
mod secret;
mod settings;
mod spec;

pub use check::{CheckOutcome, check};
pub use programs::{OnDisk, Programs};
pub use report::{ConfigError, Note, Place, Severity};
pub use secret::Secret;
pub use settings::{
    BootstrapSettings, Callbacks, ClusterSettings, Credentials, DnsGrantSetting, DnsSettings, EtcdSettings, HttpGrantSetting,
    LogLevel, LogSettings, NameServerSetting, PluginGrants, PluginLimits, PluginSetting, PluginSource, PostgresSettings,
    RestSettings, Settings, SoaSettings, StorageSettings, StoreSettings, TsigKeySetting, WatchdogMode, WatchdogSettings,
};

use positions::Positions;
use report::Report;
use spec::Spec;
use std::{collections::BTreeMap, path::Path};

/// The environment, as far as it is read: variables by name.
pub type Environment = BTreeMap<String, String>;

/// Longest configuration file, in bytes.
const MAX_FILE: usize = 1 << 20;

/// A configuration that can be obeyed, and what its author should know about it.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// What is obeyed.
    pub settings: T,
    /// What is not, and other remarks, in the order of the file.
    pub notes: Vec<Note>,
}

/// Reads everything an agent needs.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded<Settings>, Vec<ConfigError>> {
    let text = read(path)?;
    load_text(&path.display().to_string(), &text, environment, &OnDisk)
}

/// Reads what the commands need that only look at a cluster (`list`, `switchover`, `dns`): name, store, REST and DNS. The rest of
/// the file is read but not required.
pub fn load_cluster(path: &Path, environment: &Environment) -> Result<Loaded<ClusterSettings>, Vec<ConfigError>> {
    let text = read(path)?;
    let (spec, mut report) = parse(&path.display().to_string(), &text, environment)?;
    let settings = convert::cluster(spec, &mut report);
    report.finish(settings)
}

/// As [`load`], from a text and with another view of the disk.
pub fn load_text(
    file: &str,
    text: &str,
    environment: &Environment,
    disk: &dyn Programs,
) -> Result<Loaded<Settings>, Vec<ConfigError>> {
    let (spec, mut report) = parse(file, text, environment)?;
    let settings = convert::settings(spec, &mut report, disk);
    report.finish(settings)
}

fn read(path: &Path) -> Result<String, Vec<ConfigError>> {
    let file = path.display().to_string();
    let unreadable = |problem: String| vec![ConfigError::of_file(&file, problem)];
    let remedy = "it must exist and be readable by the user that PostgreSQL runs as";
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}; {remedy}")))?;
    if bytes.len() > MAX_FILE {
        return Err(unreadable(format!("{} bytes are more than the {MAX_FILE} a configuration may have", bytes.len())));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

fn parse(file: &str, text: &str, environment: &Environment) -> Result<(Spec, Report), Vec<ConfigError>> {
    let positions = Positions::of(text).map_err(|(line, problem)| vec![ConfigError::at_line(file, line, problem)])?;
    let mut report = Report::new(file, positions);
    let mut spec = Spec::parse(text, &mut report).map_err(|error| vec![error])?;
    environment::apply(environment, &mut spec, &mut report);
    Ok((spec, report))
}

#[cfg(test)]
mod tests;
