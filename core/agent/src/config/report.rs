//! What is said about a configuration: errors, which keep the agent from starting, and notes, which do not.

use super::{Loaded, positions::Positions};
use std::{collections::BTreeMap, fmt};

/// Where something was configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a line of the file.
    Line(String, usize),
    /// In the file as a whole.
    File(String),
    /// In a variable of the environment.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A configuration that cannot be obeyed. Shown as one line: where, which key, what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{problem}", key_prefix(.key))]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// The key, as a dotted path; empty: the whole file.
    pub key: String,
    /// What is wrong, and the remedy.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn of_file(file: &str, problem: String) -> Self {
        Self { place: Place::File(file.to_owned()), key: String::new(), problem }
    }

    pub(super) fn at_line(file: &str, line: usize, problem: String) -> Self {
        Self { place: Place::Line(file.to_owned(), line), key: String::new(), problem }
    }
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is configured that does not happen, or is dangerous.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
        })
    }
}

/// A remark on a configuration that can be obeyed. Shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// The key, as a dotted path.
    pub key: String,
    /// The remark.
    pub remark: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, key_prefix(&self.key), self.remark)
    }
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}: ") }
}

/// Gathers what is said, so that one run tells everything.
pub(super) struct Report {
    file: String,
    positions: Positions,
    variables: BTreeMap<String, String>,
    errors: Vec<ConfigError>,
    notes: Vec<Note>,
}

impl Report {
    pub(super) fn new(file: &str, positions: Positions) -> Self {
        let (variables, errors, notes) = Default::default();
        Self { file: file.to_owned(), positions, variables, errors, notes }
    }

    /// From now on this key's value comes from a variable.
    pub(super) fn overridden(&mut self, key: &str, variable: &str) {
        self.variables.insert(key.to_owned(), variable.to_owned());
    }

    pub(super) fn positions(&self) -> &Positions {
        &self.positions
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn error(&mut self, key: &str, problem: impl Into<String>) {
        self.errors.push(ConfigError { place: self.place(key), key: key.to_owned(), problem: problem.into() });
    }

    pub(super) fn warning(&mut self, key: &str, remark: impl Into<String>) {
        self.notes.push(Note { severity: Severity::Warning, place: self.place(key), key: key.to_owned(), remark: remark.into() });
    }

    pub(super) fn info(&mut self, key: &str, remark: impl Into<String>) {
        self.notes.push(Note { severity: Severity::Info, place: self.place(key), key: key.to_owned(), remark: remark.into() });
    }

    pub(super) fn variable_warning(&mut self, variable: &str, remark: impl Into<String>) {
        let place = Place::Variable(variable.to_owned());
        self.notes.push(Note { severity: Severity::Warning, place, key: String::new(), remark: remark.into() });
    }

    /// The outcome: settings are only there when no error was found.
    pub(super) fn finish<T>(mut self, settings: Option<T>) -> Result<Loaded<T>, Vec<ConfigError>> {
        self.notes.sort_by(|a, b| a.place.cmp(&b.place));
        self.errors.sort_by(|a, b| a.place.cmp(&b.place));
        match settings {
            Some(settings) if self.errors.is_empty() => Ok(Loaded { settings, notes: self.notes }),
            Some(_) => Err(self.errors),
            // A conversion gives up only after it has said why; should it ever not have, that is said instead of an empty list.
            None if self.errors.is_empty() => Err(vec![ConfigError::of_file(&self.file, "is not complete".to_owned())]),
            None => Err(self.errors),
        }
    }

    fn place(&self, key: &str) -> Place {
        if let Some(variable) = self.variables.get(key) {
            return Place::Variable(variable.clone());
        }
        match self.positions.line_of(key) {
            Some(line) => Place::Line(self.file.clone(), line),
            None => Place::File(self.file.clone()),
        }
    }
}
