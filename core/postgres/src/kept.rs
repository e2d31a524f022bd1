//! The last lines of the generated `postgresql.conf`: whom the server follows and whom its commits wait for.
//!
//! They change with the leadership, and everything above them with the operator's wishes. Whoever changes the one leaves the other as it
//! is: these lines are read back from the file as text and are never made anew from what somebody remembers.

use std::fmt;

/// Before them, with the role for which they were written.
pub(crate) const MARK: &str = "# Follows the leadership";
const CONNINFO: &str = "primary_conninfo";
const SLOT: &str = "primary_slot_name";
const NAMES: &str = "synchronous_standby_names";

/// The lines' values, quoted as they stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Written for a standby.
    pub(crate) standby: bool,
    pub(crate) conninfo: String,
    /// The replication slot at whom it follows; empty where it streams without one.
    pub(crate) slot: String,
    /// `None`: no line, the names are the operator's.
    pub(crate) names: Option<String>,
}

impl Kept {
    /// Reads them; `None`: the file is not ours, or an older release wrote it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, lines) = text.rsplit_once(MARK)?;
        let standby = match lines.lines().next()? {
            ", of a standby:" => true,
            ", of a primary:" => false,
            _ => return None,
        };
        let value = |key: &str| lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).map(str::to_owned);
        Some(Self { standby, conninfo: value(CONNINFO)?, slot: value(SLOT)?, names: value(NAMES) })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { standby, conninfo, slot, names } = self;
        let role = if *standby { "standby" } else { "primary" };
        writeln!(f, "{MARK}, of a {role}:\n{CONNINFO} = {conninfo}\n{SLOT} = {slot}")?;
        match names {
            Some(names) => writeln!(f, "{NAMES} = {names}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let kept = Kept {
            standby: true,
            conninfo: "'host=a port=1'".into(),
            slot: "'b'".into(),
            names: Some("'FIRST 1 (\"b\")'".into()),
        };
        let text = format!("work_mem = '# Follows the leadership, of a primary:'\n{kept}");
        assert_eq!(Kept::read(&text), Some(kept));
        let alone = Kept { standby: false, conninfo: "''".into(), slot: "''".into(), names: None };
        assert_eq!(Kept::read(&alone.to_string()), Some(alone));
        assert_eq!(Kept::read("primary_conninfo = ''\n"), None);
        assert_eq!(Kept::read(&format!("{MARK}, of a standby:\n")), None, "torn");
    }
}
