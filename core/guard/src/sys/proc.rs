//! /proc without allocation: which processes exist, whose children they are, where they work, what they run.

use super::{check, check_long, file};
use file::FileId;
use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub(crate) state: u8,
    /// The parent.
    pub(crate) parent: i32,
}

/// Call `each` for every process there is.
pub(crate) fn each_process(each: &mut dyn FnMut(i32)) -> io::Result<()> {
    let dir = file::directory(c"/proc")?;
    // Aligned for the records of getdents64.
    let mut buffer = [0_u64; 512];
    loop {
        // SAFETY: the kernel writes at most the given number of bytes into the buffer.
        let result = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), size_of_val(&buffer)) };
        let len = check_long(result)? as usize;
        if len == 0 {
            return Ok(());
        }
        // SAFETY: `len` bytes of the buffer were written; any bytes are valid u8.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), len.min(size_of_val(&buffer))) };
        let mut rest = bytes;
        // Record: inode 8, offset 8, length 2, type 1, name with NUL.
        while let Some(length) = rest.get(16..18).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]]))) {
            let Some((record, tail)) = rest.split_at_checked(length.max(19)) else { break };
            if let Some(pid) = number(&record[19..]) {
                each(pid);
            }
            rest = tail;
        }
    }
}

/// State and parent; `None`: no such process (any more).
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let mut buffer = [0_u8; 512];
    let len = read(Path::new(pid, b"/stat").as_c(), &mut buffer)?;
    // The name, in parentheses, may contain anything: go on after the last one.
    let text = buffer.get(..len)?;
    let after = text.iter().rposition(|byte| *byte == b')')? + 2;
    let state = *text.get(after)?;
    number(text.get(after + 2..)?).map(|parent| Stat { state, parent })
}

/// The working directory; `None`: gone, dead, or not ours to see.
pub(crate) fn cwd(pid: i32) -> Option<FileId> {
    file::id(Path::new(pid, b"/cwd").as_c()).ok()
}

/// Hand the executable's base name to `read`, as it was when it was started.
pub(crate) fn executable_name<T>(pid: i32, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let path = Path::new(pid, b"/exe");
    let mut buffer = [0_u8; 4096];
    // SAFETY: `path` is a C string, the kernel writes at most the given number of bytes.
    let len = super::check_len(unsafe { libc::readlink(path.as_c().as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }).ok()?;
    let target = buffer.get(..len)?;
    let target = target.strip_suffix(b" (deleted)").unwrap_or(target);
    Some(read(target.rsplit(|byte| *byte == b'/').next().unwrap_or(target)))
}

fn read(path: &CStr, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: `path` is a C string; the descriptor is ours; the kernel writes at most the buffer's length.
    unsafe {
        let fd = <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(
            check(libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)).ok()?,
        );
        super::check_len(libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())).ok()
    }
}

/// A leading decimal number that something else follows.
fn number(bytes: &[u8]) -> Option<i32> {
    let digits = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    if digits == 0 {
        return None;
    }
    bytes[..digits].iter().try_fold(0_i32, |sum, byte| sum.checked_mul(10)?.checked_add(i32::from(byte - b'0')))
}

/// `/proc/PID/…`, built in place.
struct Path {
    bytes: [u8; 32],
}

impl Path {
    fn new(pid: i32, entry: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let mut digits = [0_u8; 10];
        let mut at = digits.len();
        let mut rest = pid.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let parts: [&[u8]; 3] = [b"/proc/", &digits[at..], entry];
        for (room, byte) in bytes.iter_mut().take(31).zip(parts.into_iter().flatten()) {
            *room = *byte;
        }
        Self { bytes }
    }

    fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_see_ourselves() {
        let me = std::process::id() as i32;
        let mut found = 0;
        each_process(&mut |pid| found += i32::from(pid == me)).unwrap();
        assert_eq!(found, 1);
        let stat = stat(me).unwrap();
        assert_eq!(stat.parent, std::os::unix::process::parent_id() as i32);
        assert!(b"RSD".contains(&stat.state));
        assert_eq!(cwd(me), file::id(c".").ok());
        assert_eq!(executable_name(me, |name| name.starts_with(b"tanist_guard")), Some(true));
        assert!(super::stat(i32::MAX).is_none());
    }

    #[test]
    fn numbers_end_somewhere() {
        assert_eq!(number(b"123\0"), Some(123));
        assert_eq!(number(b"99999999999\0"), None);
        assert_eq!(number(b"self\0"), None);
        assert_eq!(number(b"12"), None);
    }
}
