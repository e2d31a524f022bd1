//! Where the leader's tablespaces will be on this node. They lie outside of the data directory, and a copy makes their directories
//! before it makes the links to them: after one that was interrupted nothing in the data directory says what it has left there. So the
//! leader is asked before.

use crate::{
    Settings,
    leader::{self, LeaderError},
};
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tanist_engine::Upstream;

const SQL: &str = "SELECT pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace";

/// Asks the leader for the locations.
pub async fn of_leader(settings: &Settings, from: &Upstream, limit: Duration) -> Result<Vec<PathBuf>, LeaderError> {
    let answer = leader::ask(settings, from, SQL, limit).await?;
    let locations = answer.split(|byte| *byte == 0).map(|bytes| PathBuf::from(OsString::from_vec(bytes.to_vec())));
    // One in place has a relative path, the two that are always there have none. A line break has no place in a mark.
    let outside = |path: &PathBuf| path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&b'\n');
    Ok(locations.filter(outside).map(|path| mapped(&settings.basebackup_options, path)).collect())
}

/// Where `tablespace-mapping=OLD=NEW` puts it; `\=` is no separator.
fn mapped(options: &[String], path: PathBuf) -> PathBuf {
    let mappings = options.iter().filter_map(|option| option.strip_prefix("tablespace-mapping="));
    let mut pairs = mappings.filter_map(|mapping| {
        let at = mapping.match_indices('=').map(|(at, _)| at).find(|at| !mapping[..*at].ends_with('\\'))?;
        Some((mapping[..at].replace("\\=", "="), mapping[at + 1..].replace("\\=", "=")))
    });
    pairs.find(|(old, _)| Path::new(old) == path).map_or(path, |(_, new)| new.into())
}

/// The directories that servers have made in the location of a tablespace: `PG_15_202209061`. `major`: those of this version only. What
/// else is there belongs to nobody that is known.
pub(crate) fn within(location: &Path, major: Option<u32>) -> Vec<PathBuf> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_servers = |name: &str| {
        let Some((version, catalog)) = name.strip_prefix("PG_").and_then(|rest| rest.split_once('_')) else { return false };
        is_number(version) && is_number(catalog) && major.is_none_or(|major| version.parse() == Ok(major))
    };
    let entries = fs::read_dir(location).into_iter().flatten().flatten();
    let ours = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_servers) && entry.file_type().is_ok_and(|kind| kind.is_dir()));
    ours.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_followed() {
        let options = ["no-sync", "tablespace-mapping=/a=/b", "tablespace-mapping=/c\\=d=/e\\=f"].map(str::to_owned);
        for (old, new) in [("/a", "/b"), ("/c=d", "/e=f"), ("/x", "/x")] {
            assert_eq!(mapped(&options, old.into()), PathBuf::from(new));
        }
    }

    #[test]
    fn only_what_a_server_made_is_found() {
        let root = tempfile::tempdir().unwrap();
        for name in ["PG_15_202209061", "PG_14_202107181", "PG_15_x", "PG_15_", "PG__1", "other"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("PG_15_1"), "").unwrap();
        assert_eq!(within(root.path(), Some(15)), [root.path().join("PG_15_202209061")]);
        assert_eq!(within(root.path(), None).len(), 2);
        assert!(within(&root.path().join("no"), None).is_empty());
    }
}
