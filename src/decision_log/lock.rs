//! A file is written to by one process: two would rotate, and remove, each other's files.

use std::fs::File;
use std::io;

/// Takes the file for this process. An error if another one has it; where the file system knows no locks, nobody can have it.
///
/// The lock is of the open file: it ends with that, and so with the process, however it ends.
pub(super) fn take(file: &File) -> io::Result<()> {
    if is_taken(file) {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes to it"));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_taken(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    flock(file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Gives the file back.
#[cfg(target_os = "linux")]
pub(super) fn give_back(file: &File) {
    // What was not locked need not be unlocked.
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).ok();
}

#[cfg(not(target_os = "linux"))]
fn is_taken(_file: &File) -> bool {
    false
}

/// Gives the file back.
#[cfg(not(target_os = "linux"))]
pub(super) fn give_back(_file: &File) {}
