//! Promotion, by the guard, which is armed for the epoch. The job ends when the server has left recovery.
//!
//! PostgreSQL opens the lowest timeline that has no history file. It is made to open the claimed number by an empty history file for every
//! number that was skipped (SAFETY §4.3).

use super::{JobError, blocking};
use crate::execute::Tools;
use std::{fs::File, io, path::Path};
use tanist_engine::{Epoch, Observation, Postgres, ServerRole, Timeline};

impl Tools {
    pub(super) async fn promote(&self, epoch: Epoch, timeline: Timeline, seen: &Observation) -> Result<(), JobError> {
        let Some(present) = standby_timeline(seen) else {
            return Err(JobError::Other("the timeline of the standby is not known".into()));
        };
        let directory = self.postgres.settings().data_dir.join("pg_wal");
        blocking(move || skip_timelines(&directory, present, timeline)).await??;
        self.guard.promote(epoch.0).await?;
        let mut found = self.postgres.found();
        loop {
            match &*found.borrow_and_update() {
                Postgres::Running(running) if matches!(running.role, ServerRole::Primary { .. }) => return Ok(()),
                _ => {}
            }
            if self.guard.postmaster().is_none() {
                return Err(JobError::Other("PostgreSQL ended while it was being promoted".into()));
            }
            self.postgres.probe_now();
            if found.changed().await.is_err() {
                return Err(JobError::Other("nobody looks at PostgreSQL any more".into()));
            }
        }
    }
}

fn standby_timeline(seen: &Observation) -> Option<Timeline> {
    let Postgres::Running(running) = &seen.postgres else { return None };
    let ServerRole::Standby { position, .. } = &running.role else { return None };
    position.map(|position| position.timeline)
}

/// Puts an empty history file for every number between the present timeline and the claimed one.
fn skip_timelines(directory: &Path, present: Timeline, claimed: Timeline) -> Result<(), JobError> {
    let failed = |path: &Path, error: io::Error| JobError::File { path: path.display().to_string(), error };
    for number in present.0 + 1..claimed.0 {
        let path = directory.join(format!("{number:08X}.history"));
        match File::create_new(&path) {
            Ok(file) => file.sync_all().map_err(|error| failed(&path, error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| failed(directory, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_skipped_number_gets_an_empty_history_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("00000003.history"), "kept").unwrap();
        skip_timelines(directory.path(), Timeline(2), Timeline(6)).unwrap();
        let mut names: Vec<_> = directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["00000003.history", "00000004.history", "00000005.history"]);
        assert_eq!(std::fs::read_to_string(directory.path().join("00000003.history")).unwrap(), "kept");
        assert_eq!(std::fs::read_to_string(directory.path().join("00000004.history")).unwrap(), "");
        skip_timelines(directory.path(), Timeline(6), Timeline(7)).unwrap();
        assert_eq!(directory.path().read_dir().unwrap().count(), 3);
    }
}
