//! A file is written to by one process: two would rotate, and remove, each other's files.

use std::fs::File;
use std::io;

/// Takes the file for this process. An error if another one has it; where locks are not to be had, nobody can have it.
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
    let is_elsewhere = rustix::fs::fstatfs(file).is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(is_remote));
    !is_elsewhere && flock(file, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Whether it is a file system of another machine, NFS or SMB, by its number in statfs(2). There a lock is the server's: it may be waited
/// for, it keeps readers out (SMB), and with the connection it is lost, and whatever is written after that (NFS).
#[cfg(target_os = "linux")]
fn is_remote(system: u64) -> bool {
    matches!(system, 0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42)
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
