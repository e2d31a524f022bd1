//! Shared memory of PostgreSQL servers that were killed. The kernel keeps it when all its users are gone, so it is noted while they
//! live and removed at the end: files in /dev/shm, and the System V segments by which PostgreSQL guards a data directory.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

/// What may be left.
#[derive(Debug, Default)]
pub struct Remains {
    files: BTreeSet<PathBuf>,
    segments: BTreeSet<Segment>,
}

/// A System V segment; a number that was given away again comes with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    key: i32,
    id: i32,
}

impl Remains {
    /// Notes what a process has mapped.
    pub fn note(&mut self, pid: i32) {
        self.note_maps(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default());
    }

    fn note_maps(&mut self, maps: &str) {
        for line in maps.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(inode), Some(path)) = (fields.get(4), fields.get(5)) else { continue };
            let deleted = fields.get(6) == Some(&"(deleted)");
            if path.starts_with("/dev/shm/PostgreSQL.") && !deleted {
                self.files.insert(PathBuf::from(path));
            } else if let Some(key) = path.strip_prefix("/SYSV").and_then(|key| u32::from_str_radix(key, 16).ok())
                && let Ok(id) = inode.parse()
            {
                self.segments.insert(Segment { key: key.cast_signed(), id });
            }
        }
    }

    /// Removes what is still there and in nobody's use.
    pub fn remove(&self) {
        for file in &self.files {
            // A server that ended in order has removed it.
            let _ = fs::remove_file(file);
        }
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        for segment in unused(&table).filter(|segment| self.segments.contains(segment)) {
            let removed = Command::new("ipcrm").arg("-m").arg(segment.id.to_string()).status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("tanist: the shared memory segment {} is left; remove it with: ipcrm -m {}", segment.id, segment.id);
            }
        }
    }
}

/// Segments nobody has attached.
fn unused(table: &str) -> impl Iterator<Item = Segment> {
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (key, id, attached) = (fields.first()?.parse().ok()?, fields.get(1)?.parse().ok()?, fields.get(6)?);
        (*attached == "0").then_some(Segment { key, id })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_known_by_key_and_number_and_deleted_files_are_not_noted() {
        let mut remains = Remains::default();
        remains.note_maps(
            "7f0-7f1 rw-s 00000000 00:01 32771  /SYSV8052e2c1 (deleted)\n\
             7f1-7f2 rw-s 00000000 00:1a 12   /dev/shm/PostgreSQL.345\n\
             7f2-7f3 rw-s 00000000 00:1a 13   /dev/shm/PostgreSQL.346 (deleted)\n\
             7f3-7f4 rw-s 00000000 00:01 2049 /dev/zero (deleted)\n",
        );
        assert_eq!(remains.files, BTreeSet::from(["/dev/shm/PostgreSQL.345".into()]));
        let key = 0x8052_e2c1_u32.cast_signed();
        assert_eq!(remains.segments, BTreeSet::from([Segment { key, id: 32771 }]));
        let table = format!(
            "       key      shmid perms size cpid lpid nattch\n{key} 32771 600 56 1 1 0\n{key} 5 600 56 1 1 3\n1 6 600 56 1 1 0\n"
        );
        assert_eq!(unused(&table).collect::<Vec<_>>(), [Segment { key, id: 32771 }, Segment { key: 1, id: 6 }]);
    }
}
