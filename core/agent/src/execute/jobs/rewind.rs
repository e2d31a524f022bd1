//! What the data directory has beyond the leader's history is taken back, and what changed since is fetched (pg_rewind).
//!
//! First it only looks: most of what can be wrong (WAL that is gone, a login that is refused, a directory that is not fit) shows then, and
//! leaves the directory as it was. From its first change on the directory is marked as unfinished until all of it is done, durably; a
//! crash in between leaves the mark, and a copy is made, never a start of what is there.

use super::{JobError, blocking};
use crate::execute::Tools;
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};
use tanist_engine::{SyncNames, Upstream};
use tanist_postgres::{OnDisk, ServerConfig, Work, configure, layout, plan};

/// How long the control file may take to read.
const LIMIT: Duration = Duration::from_secs(10);
/// More than it says when it only looks.
const LONGEST: u64 = 1 << 20;

impl Tools {
    pub(super) async fn rewind(&self, from: &Upstream, names: &SyncNames) -> Result<(), JobError> {
        let settings = self.slotted();
        let OnDisk::Cluster { major, .. } = layout::inspect(&settings, LIMIT).await? else {
            return Err(JobError::Other(format!("{} holds no cluster to rewind", settings.data_dir.display())));
        };
        let (kept, promise, asked, written) = (settings.clone(), self.promise.clone(), from.clone(), names.clone());
        blocking(move || {
            promise.permits(&asked)?;
            configure::write_pgpass(&kept, &asked.endpoint)?;
            configure::write_for(&kept, ServerConfig::Standby { upstream: Some(&asked) }, &written)?;
            Ok::<_, JobError>(())
        })
        .await??;

        let look = plan::rewind(&settings, from, major, true)?;
        let log = look.log_file.clone();
        let begun = length(&log);
        self.run_writer(look).await?;
        if blocking(move || says_nothing_to_do(&log, begun)).await? {
            let why = "pg_rewind finds nothing to take back, although WAL here goes beyond the leader's history";
            return Err(JobError::Other(why.to_owned()));
        }

        let marked = settings.clone();
        blocking(move || layout::begin_work(&marked, Work::Rewind)).await??;
        tracing::info!(from = %from.name, "rewinding the data directory");
        self.run_writer(plan::rewind(&settings, from, major, false)?).await?;
        blocking(move || layout::end_rewind(&settings)).await??;
        self.own_directory().await
    }
}

fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |found| found.len())
}

/// What was written to the log since says that nothing has to be rewound.
fn says_nothing_to_do(log: &Path, since: u64) -> bool {
    let mut text = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(since))?;
        file.take(LONGEST).read_to_end(&mut text)
    });
    read.is_ok() && String::from_utf8_lossy(&text).contains("no rewind required")
}
