//! `postgresql.auto.conf`, which PostgreSQL reads after every other file: what in it would undo what the agent relies on.
//!
//! It is written by ALTER SYSTEM and by backup programs, and a copy brings the leader's along. Only a file that has such a line is written,
//! so that an ALTER SYSTEM of something else in the same instant is not lost. It is bytes: nobody says in which encoding.

use crate::{Settings, configure::is_ours, files};
use std::{fs, io, path::PathBuf};

/// Where it is. The same for every layout.
const FILE: &str = "postgresql.auto.conf";
/// Beside `postgresql.conf`: the `restore_command` that stood there, to be in force whenever it may.
pub(crate) const TAKEN_OVER: &str = "postgresql.restore.conf";
const RESTORE_COMMAND: &str = "restore_command";
/// Set where the agent connects; a change of it would take the socket away at the next start.
const SOCKETS: &str = "unix_socket_directories";

/// A file and what became of it.
type Failed = (PathBuf, io::Error);

/// Keeps the `restore_command` of the file in one of its own. To be called before [`clean`] takes it away.
pub(crate) fn keep_restore_command(settings: &Settings) -> Result<(), Failed> {
    let (_, text) = read(settings)?;
    let Some(line) = lines(&text).rfind(|line| name(line).eq_ignore_ascii_case(RESTORE_COMMAND.as_bytes())) else {
        return Ok(());
    };
    let mut content = format!("# Taken out of {FILE} by tanist, and included. Without the file it is gone.\n").into_bytes();
    content.extend(line);
    if !line.ends_with(b"\n") {
        content.push(b'\n');
    }
    let path = settings.config_dir.join(TAKEN_OVER);
    files::write_if_changed(&path, &content, 0o600).map(drop).map_err(|error| (path, error))
}

/// Takes out parameters that are the agent's, and `restore_command` from a server that takes from nobody. Whether there were any.
pub(crate) fn clean(settings: &Settings, takes_nothing: bool) -> Result<bool, Failed> {
    let (path, text) = read(settings)?;
    let stays = |line: &&[u8]| {
        let name = String::from_utf8_lossy(name(line)).to_ascii_lowercase();
        !is_ours(settings, &name) && name != SOCKETS && !(takes_nothing && name == RESTORE_COMMAND)
    };
    let kept: Vec<u8> = lines(&text).filter(stays).flatten().copied().collect();
    if kept == text {
        return Ok(false);
    }
    files::write_if_changed(&path, &kept, 0o600).map_err(|error| (path, error))
}

/// Its content; none if it is not there.
fn read(settings: &Settings) -> Result<(PathBuf, Vec<u8>), Failed> {
    let path = settings.data_dir.join(FILE);
    match fs::read(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, Vec::new())),
        Err(error) => Err((path, error)),
    }
}

fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// The parameter that a line sets.
fn name(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| *byte == b'=' || byte.is_ascii_whitespace());
    &line[..end.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::sample;

    #[test]
    fn what_the_agent_relies_on_is_taken_out_in_any_encoding() {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings { data_dir: root.path().to_owned(), config_dir: root.path().to_owned(), ..sample() };
        let file = root.path().join(FILE);
        assert!(!clean(&settings, true).unwrap() && !file.exists(), "none is none");
        let text: &[&[u8]] = &[
            b"# Do not edit\n",
            b"log_line_prefix = '\xe9'\n",
            b"unix_socket_directories = '/elsewhere'\n",
            b"Restore_Command = 'first'\n",
            b"restore_command='pgbackrest archive-get %f \"%p\" \xe9'",
        ];
        fs::write(&file, text.concat()).unwrap();
        keep_restore_command(&settings).unwrap();
        assert!(clean(&settings, false).unwrap());
        assert_eq!(fs::read(&file).unwrap(), [text[0], text[1], text[3], text[4]].concat(), "it may take from the archive");
        assert!(clean(&settings, true).unwrap() && !clean(&settings, true).unwrap());
        assert_eq!(fs::read(&file).unwrap(), [text[0], text[1]].concat());
        keep_restore_command(&settings).unwrap();
        let kept = fs::read(root.path().join(TAKEN_OVER)).unwrap();
        assert!(kept.ends_with(&[text[4], b"\n"].concat()), "the last one counts, and is not forgotten");
    }
}
