//! Where lines go: standard output, or a file that is rotated.
#![expect(clippy::disallowed_methods, reason = "the files of the decision log are not the policy store")]

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::reserve::Reserve;
use super::{lock, rotate};
use crate::config::{LogTarget, Rotation};
use crate::finding::io_words;

/// A file that could not be moved aside grows on; so long after, it is tried again.
const ROTATION_PAUSE: Duration = Duration::from_secs(60);

/// So often it is asked whether the path still leads to the file: often enough for people, and a call of the system that costs nothing
/// beside what is written in that time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What is written to.
#[derive(Debug)]
pub(super) struct Sink {
    target: LogTarget,
    rotation: Rotation,
    opened: Opened,
    /// No rotation is tried before.
    not_before: Option<Instant>,
    /// When the path last led to the file.
    found_at: Option<Instant>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    /// Which one it is; None of what is no file on a disk, which nobody moves away.
    identity: Option<Identity>,
    /// Its size; None of what is no file on a disk, and is not rotated.
    size: Option<u64>,
    /// How old it was when it was opened, and when that was: by a clock that nobody sets.
    age: Duration,
    since: Instant,
    /// Whether it ends within a line: whoever wrote it was interrupted.
    torn: bool,
    reserve: Reserve,
}

/// Device and number on it.
type Identity = (u64, u64);

impl Sink {
    /// Opens what is to be written to. The error is for people.
    pub(super) fn open(target: &LogTarget, rotation: Rotation) -> Result<Self, String> {
        let opened = open_locked(target).map_err(|error| refused(target, &error))?;
        Ok(Self { target: target.clone(), rotation, opened, not_before: None, found_at: None })
    }

    /// Opens it anew; the old one stays in use if that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let opened = open(&self.target)?;
        // A file that is opened twice is locked against its own process, too.
        if opened.identity == self.opened.identity {
            self.opened.unlock();
        }
        match opened.lock() {
            Ok(()) => self.opened = opened,
            Err(error) => {
                drop(self.opened.lock());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Opens the file anew if the path does not lead to it any more: what is written to a file that was deleted is lost. Whether it
    /// was so. With an error, nothing is to be written.
    pub(super) fn find_again(&mut self) -> io::Result<bool> {
        if self.found_at.is_some_and(|time| time.elapsed() < LOOK_INTERVAL) {
            return Ok(false);
        }
        let is_astray = self.is_astray();
        if is_astray {
            self.reopen()?;
            tracing::warn!("the file of the decision log was moved away or deleted: it was opened anew");
        }
        self.found_at = Some(Instant::now());
        Ok(is_astray)
    }

    fn is_astray(&self) -> bool {
        let (LogTarget::File(path), Some(_)) = (&self.target, self.opened.identity) else { return false };
        match std::fs::metadata(path) {
            Ok(found) => identity(&found) != self.opened.identity,
            // Whoever may not look, or cannot at the moment, does not know; writing says what there is to say.
            Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Whether it ends within a line. To be asked before anything is written.
    pub(super) fn is_torn(&self) -> bool {
        self.opened.torn
    }

    /// Begins a new file if it is time to, before these lines are written; says how many of their bytes belong in the file that there
    /// is then, which ends at a line.
    pub(super) fn make_ready(&mut self, lines: &[u8]) -> usize {
        let first = memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1);
        if self.is_due(first) && !self.grows_on() {
            self.rotate();
        }
        let Some(room) = self.room().filter(|room| *room < lines.len()) else { return lines.len() };
        if self.grows_on() {
            return lines.len();
        }
        let fitting = lines.get(..room).and_then(|fitting| memchr::memrchr(b'\n', fitting));
        fitting.map_or(first, |end| end + 1)
    }

    /// Whether it could not be moved aside, a moment ago.
    fn grows_on(&self) -> bool {
        self.not_before.is_some_and(|time| Instant::now() < time)
    }

    fn rotate(&mut self) {
        let LogTarget::File(path) = &self.target else { return };
        match if self.is_astray() { open_locked(&self.target) } else { begin_anew(path) } {
            Ok(opened) => {
                self.opened = opened;
                self.not_before = None;
                if let Some(Err(error)) = self.rotation.max_files.map(|files| rotate::keep(path, files)) {
                    tracing::warn!(error = io_words(&error), "cannot remove old files of the decision log");
                }
            }
            Err(error) => {
                self.not_before = Some(Instant::now() + ROTATION_PAUSE);
                tracing::warn!(error = io_words(&error), "cannot begin a new file of the decision log: it grows on");
            }
        }
    }

    /// Whether a line of so many bytes is to be the first of a new file.
    fn is_due(&self, bytes: usize) -> bool {
        let has_lines = self.opened.size.is_some_and(|size| size > 0);
        let too_large = self.room().is_some_and(|room| room < bytes);
        let age = self.opened.age.saturating_add(self.opened.since.elapsed());
        has_lines && (too_large || self.rotation.max_age.is_some_and(|most| age >= most))
    }

    /// How many bytes it may grow by, if there is an end to it; a line that was begun is closed first.
    fn room(&self) -> Option<usize> {
        let taken = self.opened.size?.saturating_add(u64::from(self.opened.torn));
        usize::try_from(self.rotation.max_bytes?.saturating_sub(taken)).ok()
    }

    /// Writes some of these bytes, and says how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len());
        let written = self.opened.file.write(bytes)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.opened.torn = false;
        if let Some(size) = &mut self.opened.size {
            *size = size.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        }
        Ok(written)
    }

    /// Sets room aside on the disk, for no more than the file may hold.
    fn reserve(&mut self, bytes: usize) {
        if self.opened.size.is_some() {
            let [bytes, room] = [bytes, self.room().unwrap_or(usize::MAX)].map(|bytes| bytes as u64);
            self.opened.reserve.prepare(&self.opened.file, bytes, room);
        }
    }
}

impl Opened {
    /// Nobody else is to write to the same file.
    fn lock(&self) -> io::Result<()> {
        self.identity.map_or(Ok(()), |_| lock::take(&self.file))
    }

    fn unlock(&self) {
        if self.identity.is_some() {
            lock::give_back(&self.file);
        }
    }
}

fn open_locked(target: &LogTarget) -> io::Result<Opened> {
    let opened = open(target)?;
    opened.lock()?;
    Ok(opened)
}

fn open(target: &LogTarget) -> io::Result<Opened> {
    let file = match target {
        // Past the buffer of the program's own stdout: what was written has to be known.
        LogTarget::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        LogTarget::File(path) => open_file(path)?,
    };
    let found = file.metadata()?;
    let size = (found.is_file() && *target != LogTarget::Stdout).then_some(found.len());
    let created = size.filter(|size| *size > 0).and_then(|_| found.created().ok());
    let age = created.and_then(|created| created.elapsed().ok()).unwrap_or_default();
    let torn = size.is_some_and(|size| ends_within_a_line(&file, size));
    let identity = size.and_then(|_| identity(&found));
    Ok(Opened { file, identity, size, age, since: Instant::now(), torn, reserve: Reserve::default() })
}

fn identity(found: &Metadata) -> Option<Identity> {
    found.is_file().then(|| (found.dev(), found.ino()))
}

fn open_file(path: &Path) -> io::Result<File> {
    let is_pipe = |found: Metadata| found.file_type().is_fifo();
    if std::fs::metadata(path).is_ok_and(is_pipe) {
        // For writing alone, opening would wait until somebody reads.
        return File::options().read(true).write(true).open(path);
    }
    // It says who asked for what: not for everybody to read.
    let append = |read: bool| File::options().read(read).append(true).create(true).mode(0o640).open(path);
    // Reading is for the last byte only.
    append(true).or_else(|_| append(false))
}

fn ends_within_a_line(file: &File, size: u64) -> bool {
    let mut last = [0];
    size > 0 && file.read_exact_at(&mut last, size - 1).is_ok() && last != *b"\n"
}

/// Moves a file aside and makes another one; what fails halfway is undone.
fn begin_anew(path: &Path) -> io::Result<Opened> {
    let aside = rotate::aside(path, jiff::Timestamp::now())?;
    std::fs::rename(path, &aside)?;
    open_locked(&LogTarget::File(path.to_owned())).inspect_err(|_| {
        // What is there by now is somebody else's.
        if std::fs::symlink_metadata(path).is_err() {
            drop(std::fs::rename(&aside, path));
        }
    })
}

fn refused(target: &LogTarget, error: &io::Error) -> String {
    let LogTarget::File(path) = target else {
        return format!("cannot write the decision log to stdout: {}", io_words(error));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "there are many kinds, and a hint for some")]
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "create its directory first",
        io::ErrorKind::IsADirectory => "write the path of a file, such as `decisions.log` in this directory",
        io::ErrorKind::PermissionDenied => "let the user that the service runs as write there, or choose another path",
        io::ErrorKind::ResourceBusy => "give each process a file of its own",
        io::ErrorKind::ReadOnlyFilesystem => "choose a path on a volume that can be written",
        _ => "choose another path",
    };
    format!("cannot open the decision log `{}`: {}; hint: {hint}", path.display(), io_words(error))
}

#[cfg(test)]
mod tests;
