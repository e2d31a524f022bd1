//! The demo's output: lines of the story, and below them a table that is drawn anew in place. Where the output is not a terminal, the
//! table becomes one line whenever it changes. An output that nobody reads any more does not stop the demo.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Where the story is told.
#[derive(Debug)]
pub struct Screen {
    begun: Instant,
    terminal: bool,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    /// The table as it stands at the bottom of the terminal.
    table: Vec<String>,
    /// The newest line of the table where there is no terminal.
    line: String,
}

impl Screen {
    /// For this process's standard output.
    pub fn new() -> Self {
        Self { begun: Instant::now(), terminal: io::stdout().is_terminal(), drawn: Mutex::default() }
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thing that happens, with the time since the beginning.
    pub fn say(&self, text: &str) {
        self.tell(&format!("{:6.1} s  {text}", self.begun.elapsed().as_secs_f64()));
    }

    /// Lines as they are.
    pub fn tell(&self, text: &str) {
        let mut drawn = self.drawn();
        let table = std::mem::take(&mut drawn.table);
        put(&format!("{}{text}\n", erase(table.len())));
        if self.terminal {
            put(&lines(&table));
            drawn.table = table;
        }
    }

    /// The table; `line` says the same in one line.
    pub fn table(&self, table: Vec<String>, line: &str) {
        let mut drawn = self.drawn();
        if self.terminal {
            if drawn.table != table {
                put(&format!("{}{}", erase(drawn.table.len()), lines(&table)));
                drawn.table = table;
            }
        } else if drawn.line != line {
            put(&format!("{:6.1} s    {line}\n", self.begun.elapsed().as_secs_f64()));
            line.clone_into(&mut drawn.line);
        }
    }
}

fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

fn lines(table: &[String]) -> String {
    table.iter().map(|line| format!("{line}\n")).collect()
}

fn put(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads it any more: the cluster matters, not the words.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
