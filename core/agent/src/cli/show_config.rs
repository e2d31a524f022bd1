//! `tanist show-config`: the dynamic configuration in the store.

use super::{
    Failure,
    remote::{Arguments, Format, Remote},
};
use serde_json::Value;

/// Prints it: JSON when that is asked for, else YAML as in a configuration file.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let remote = Remote::read(arguments)?;
    let Some(key) = remote.snapshot.get(&remote.keys.config()) else {
        return Err(Failure::failed("there is no configuration in the store"));
    };
    let config: Value =
        serde_json::from_slice(&key.kv.value).map_err(|error| Failure::failed(format!("/config is not JSON: {error}")))?;
    match arguments.format {
        Format::Json => println!("{config}"),
        Format::Pretty | Format::Tsv | Format::Yaml => print!("{}", serde_norway::to_string(&config).map_err(Failure::failed)?),
    }
    Ok(())
}
