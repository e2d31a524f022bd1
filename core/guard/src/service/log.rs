//! One line to standard error, from a fixed buffer, dropped rather than waited for: a full log pipe must not stop the guard.

use crate::sys::file;
use std::fmt::{self, Write};

struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte is the newline's.
        let room = &mut self.bytes[self.len..511];
        let take = text.len().min(room.len());
        room[..take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}

/// Write the line. Too long: cut.
pub(super) fn line(text: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; 512], len: 0 };
    // `Line` never fails.
    let _ = write!(line, "tanist-guard: {text}");
    line.bytes[line.len] = b'\n';
    file::write_if_ready(2, &line.bytes[..=line.len]);
}
