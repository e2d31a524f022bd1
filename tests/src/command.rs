//! The `tanist` command as a person uses it: arguments in, exit code and text out.

use crate::place;
use std::process::{Command, Stdio};

/// What it printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code; -1: ended by a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `tanist` with these arguments to its end.
pub fn tanist<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Answer {
    finish(Command::new(place::programs().join("tanist")).args(arguments))
}

/// Runs a program to its end.
pub fn finish(command: &mut Command) -> Answer {
    let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Answer {
    /// It refused: a code that is not 0, and exactly one line, which has all of these words.
    pub fn refuses(&self, words: &[&str]) {
        assert!(self.code > 0, "exit code {}: {self:?}", self.code);
        let lines: Vec<&str> = self.err.lines().collect();
        assert_eq!(lines.len(), 1, "one line, not\n{}", self.err);
        for word in words {
            assert!(lines[0].contains(word), "`{word}` is missing in: {}", lines[0]);
        }
    }

    /// It did what it was asked; gives what it printed.
    pub fn output(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}
