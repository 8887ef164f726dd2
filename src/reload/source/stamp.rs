//! What the file system says of a file besides its content: equal stamps are, nearly always, equal files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::COARSEST_CLOCK;

/// Size, times and place of a file. Whoever writes a file sets its `ctime`, and cannot set it to another time.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    device: u64,
    /// Whether the file had been left alone for longer than any clock's step when it was looked at: then another write shows.
    pub(super) rested: bool,
}

impl Stamp {
    pub(super) fn new(metadata: &Metadata, looked_at: SystemTime) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let rested = [modified, changed].into_iter().all(|time| is_before(time, looked_at, COARSEST_CLOCK));
        let (size, inode, device) = (metadata.size(), metadata.ino(), metadata.dev());
        Self { size, modified, changed, inode, device, rested }
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        let times = |stamp: &Self| (stamp.modified, stamp.changed);
        let place = |stamp: &Self| (stamp.size, stamp.inode, stamp.device);
        times(self) == times(other) && place(self) == place(other)
    }
}

/// Whether a time of a file is earlier than `looked_at` by more than `by`. A time to come is not.
fn is_before((seconds, _): (i64, i64), looked_at: SystemTime, by: Duration) -> bool {
    let Ok(now) = looked_at.duration_since(UNIX_EPOCH) else { return false };
    // Whole seconds suffice: rounded so that what is in doubt counts as fresh.
    i64::try_from(now.saturating_sub(by).as_secs()).is_ok_and(|limit| seconds < limit)
}
