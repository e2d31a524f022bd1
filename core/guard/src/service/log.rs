//! One line to standard error, from a fixed buffer, dropped rather than waited for: a full log pipe must not stop the guard.
//!
//! A file always says that it is ready, and then a write waits for its disk. So where standard error is a file, a child writes it,
//! and the guard writes to the child's pipe.

use crate::sys::{
    file,
    process::{self, Forked, child},
};
use std::{
    fmt::{self, Write},
    os::fd::IntoRawFd,
    sync::atomic::{AtomicI32, Ordering::Relaxed},
};

/// Where lines go.
static OUT: AtomicI32 = AtomicI32::new(2);

/// Keeps the guard's lines off the disk. To be called before anything is opened that must not live on in the child.
pub(super) fn keep_off_the_disk() {
    if !file::is_regular(2) {
        return;
    }
    let Ok((read, write)) = file::pipe() else { return };
    match process::fork() {
        Ok(Forked::Parent(_)) => OUT.store(write.into_raw_fd(), Relaxed),
        Ok(Forked::Child) => {
            child::detach();
            drop(write);
            file::copy(&read, 2);
            child::exit(0);
        }
        // Then the lines go where they went.
        Err(_) => {}
    }
}

/// In a child of the guard: to its own standard error, for which it may wait.
pub(super) fn in_child() {
    OUT.store(2, Relaxed);
}

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
    file::write_if_ready(OUT.load(Relaxed), &line.bytes[..=line.len]);
}
