//! The command line, and the user the children run as. Everything that allocates happens here, before the loop.
//!
//! Users are read from /etc/passwd and /etc/group directly: the guard is linked statically, where the C library cannot ask other
//! directories. A user that is only known elsewhere is given as `UID:GID`.

use std::{
    ffi::{CString, OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Why the command line cannot be obeyed.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// What the guard was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// PostgreSQL's data directory; need not exist yet.
    pub data_dir: PathBuf,
    /// Where the lock file lives.
    pub state_dir: PathBuf,
    /// Who the children become; `None`: whoever we are.
    pub user: Option<User>,
    /// The agent and its arguments, as for execve.
    pub agent: Vec<CString>,
}

/// A user with all groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

const USAGE: &str = "usage: tanist-guard --data-dir DIR --state-dir DIR [--user NAME|UID:GID] -- AGENT [ARGUMENT...]";

impl Options {
    /// Read the arguments (without the program's own name).
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let (mut data_dir, mut state_dir, mut user) = (None, None, None);
        let mut arguments = arguments;
        loop {
            let option = arguments.next().ok_or_else(|| UsageError(format!("no agent given after `--`; {USAGE}")))?;
            let place = match option.to_str() {
                Some("--") => break,
                Some("--data-dir") => &mut data_dir,
                Some("--state-dir") => &mut state_dir,
                Some("--user") => &mut user,
                _ => return Err(UsageError(format!("unknown option {}; {USAGE}", option.display()))),
            };
            let value = arguments.next().ok_or_else(|| UsageError(format!("{} needs a value; {USAGE}", option.display())))?;
            *place = Some(value);
        }
        let agent = arguments
            .map(|argument| {
                CString::new(argument.into_vec()).map_err(|_| UsageError("an argument of the agent contains a NUL byte".into()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !agent.first().is_some_and(|program| program.to_bytes().contains(&b'/')) {
            return Err(UsageError(format!("the agent must be a path with a `/`; {USAGE}")));
        }
        let user = user.map(|name| find_user(&name)).transpose()?;
        Ok(Self { data_dir: absolute("--data-dir", data_dir)?, state_dir: absolute("--state-dir", state_dir)?, user, agent })
    }
}

fn absolute(option: &str, value: Option<OsString>) -> Result<PathBuf, UsageError> {
    let path = value.map(PathBuf::from).ok_or_else(|| UsageError(format!("{option} is missing; {USAGE}")))?;
    if path.is_absolute() { Ok(path) } else { Err(UsageError(format!("{option} {} is not an absolute path", path.display()))) }
}

fn find_user(name: &OsStr) -> Result<User, UsageError> {
    if let Some((uid, gid)) = name.to_str().and_then(|text| text.split_once(':')) {
        return match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(User { uid, gid, groups: vec![gid] }),
            _ => Err(UsageError(format!("--user {} is neither a name nor UID:GID", name.display()))),
        };
    }
    let passwd = read(Path::new("/etc/passwd"))?;
    let unknown = || {
        UsageError(format!("--user {}: no such user in /etc/passwd; use UID:GID for one that is known elsewhere", name.display()))
    };
    let (uid, gid) = passwd
        .split(|byte| *byte == b'\n')
        .map(fields)
        .find(|user| user.first() == Some(&name.as_bytes()))
        .and_then(|user| Some((id(user.get(2)?)?, id(user.get(3)?)?)))
        .ok_or_else(unknown)?;
    let mut groups = vec![gid];
    for group in read(Path::new("/etc/group"))?.split(|byte| *byte == b'\n').map(fields) {
        let member =
            group.get(3).is_some_and(|members| members.split(|byte| *byte == b',').any(|member| member == name.as_bytes()));
        if let Some(gid) = group.get(2).and_then(id).filter(|gid| member && !groups.contains(gid)) {
            groups.push(gid);
        }
    }
    Ok(User { uid, gid, groups })
}

fn read(path: &Path) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path).map_err(|error| UsageError(format!("cannot read {}: {error}", path.display())))
}

fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.split(|byte| *byte == b':').collect()
}

fn id(field: &&[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_full_command_line() {
        let options = parse("--data-dir /d --state-dir /s --user 7:8 -- /bin/agent --user x").unwrap();
        assert_eq!((options.data_dir, options.state_dir), (PathBuf::from("/d"), PathBuf::from("/s")));
        assert_eq!(options.user, Some(User { uid: 7, gid: 8, groups: vec![8] }));
        assert_eq!(options.agent, [c"/bin/agent".to_owned(), c"--user".to_owned(), c"x".to_owned()]);
    }

    #[test]
    fn each_mistake_is_named() {
        for (line, what) in [
            ("--data-dir /d -- /a", "--state-dir is missing"),
            ("--data-dir d --state-dir /s -- /a", "--data-dir d is not an absolute path"),
            ("--data-dir /d --state-dir /s", "no agent given"),
            ("--data-dir /d --state-dir /s -- a", "must be a path"),
            ("--what", "unknown option --what"),
            ("--user", "--user needs a value"),
            ("--data-dir /d --state-dir /s --user nobody-of-that-name -- /a", "no such user"),
            ("--data-dir /d --state-dir /s --user 1:x -- /a", "neither a name nor"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(what), "{line}: {error}");
        }
    }

    #[test]
    fn root_is_known_by_name() {
        let user = find_user(OsStr::new("root")).unwrap();
        assert_eq!((user.uid, user.gid), (0, 0));
        assert!(user.groups.contains(&0));
    }
}
