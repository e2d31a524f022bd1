//! `tanist.storage`.

use super::super::{
    StorageSettings,
    report::Report,
    spec::{Number, StorageSpec, Text},
};
use std::time::Duration;
use tanist_patroni::parse_bytes;

/// How long a small write may take: loaded disks take seconds for a flush, dead ones never return.
const TIMEOUT: u64 = 10;
/// Nobody means to wait longer.
const LONGEST: u64 = 3600;
/// Four segments of WAL: with less a server will stop in the middle of a write.
const MINIMUM_FREE: u64 = 64 << 20;

pub(super) fn storage(section: Option<StorageSpec>, report: &mut Report) -> Option<StorageSettings> {
    let StorageSpec { timeout, minimum_free } = section.unwrap_or_default();
    let timeout = match timeout.map_or(TIMEOUT, |Number(seconds)| seconds) {
        0 => Some(None),
        seconds if seconds <= LONGEST => Some(Some(Duration::from_secs(seconds))),
        _ => {
            report.error("tanist.storage.timeout", format!("must be 1 to {LONGEST} seconds, or 0 to wait for ever"));
            None
        }
    };
    let minimum_free = match minimum_free {
        None => Some(MINIMUM_FREE),
        Some(Text(text)) => parse_bytes(&text).or_else(|| {
            report.error("tanist.storage.minimum_free", format!("must be a size such as 64MB, not `{text}`"));
            None
        }),
    };
    Some(StorageSettings { timeout: timeout?, minimum_free: minimum_free? })
}
