//! The output of `tanist check-config`.

use super::{ConfigError, Environment, Loaded, Note, Settings, load};
use std::path::Path;

/// Lines for people, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// One line each, errors first.
    pub lines: Vec<String>,
    /// 0: can be obeyed; 2: cannot.
    pub exit_code: u8,
}

/// Reads a configuration as the agent would, and tells everything about it.
pub fn check(path: &Path, environment: &Environment) -> CheckOutcome {
    outcome(&path.display().to_string(), load(path, environment))
}

pub(super) fn outcome(file: &str, loaded: Result<Loaded<Settings>, Vec<ConfigError>>) -> CheckOutcome {
    match loaded {
        Ok(Loaded { settings, notes }) => {
            let mut lines: Vec<String> = notes.iter().map(told).collect();
            let (scope, name) = (&settings.cluster.scope, &settings.name);
            lines.push(format!("{file}: ok; node {name} of cluster {scope}, {}", counted(notes.len())));
            CheckOutcome { lines, exit_code: 0 }
        }
        Err(errors) => {
            let mut lines: Vec<String> = errors.iter().map(|error| format!("error: {error}")).collect();
            lines.push(format!(
                "{file}: cannot be used; {} to correct",
                if errors.len() == 1 { "1 error".to_owned() } else { format!("{} errors", errors.len()) }
            ));
            CheckOutcome { lines, exit_code: 2 }
        }
    }
}

fn told(note: &Note) -> String {
    format!("{}: {note}", note.severity)
}

fn counted(notes: usize) -> String {
    match notes {
        0 => "nothing to remark".to_owned(),
        1 => "1 remark".to_owned(),
        notes => format!("{notes} remarks"),
    }
}
