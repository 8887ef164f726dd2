//! Regular files, of which alone it is certain that reading them ends: opening a pipe waits until somebody writes.

use std::fs::{File, FileType};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// What to do about what is none.
pub const HINT: &str =
    "name a regular file, or a link to one: nothing else can be read again, or without waiting for others";

/// Opens a regular file to read it. The error of what is none says what it is, see [`is_other`].
#[expect(clippy::disallowed_methods, reason = "whoever reads files that flags name opens them here")]
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, which a device may notice.
    check(std::fs::metadata(path)?.file_type())?;
    let file = File::options().read(true).custom_flags(WITHOUT_WAITING).open(path)?;
    // And of what was opened: it may have been replaced.
    check(file.metadata()?.file_type())?;
    Ok(file)
}

/// Whether there is something, but no regular file.
pub fn is_other(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

#[cfg(target_os = "linux")]
const WITHOUT_WAITING: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// The look before has to do.
#[cfg(not(target_os = "linux"))]
const WITHOUT_WAITING: i32 = 0;

fn check(kind: FileType) -> io::Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test of sockets makes its own")]
    #[test]
    fn nothing_but_regular_files_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _listener = UnixListener::bind(at("socket")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        for name in ["pipe", "socket", "file"] {
            std::os::unix::fs::symlink(at(name), at(&format!("link-to-{name}"))).unwrap();
        }
        let said = |path: &Path| open(path).map(drop).map_err(|error| (error.to_string(), is_other(&error)));
        for (name, what) in [("pipe", "it is a pipe"), ("socket", "it is a socket"), (".", "it is a folder")] {
            assert_eq!(said(&at(name)), Err((what.to_owned(), true)));
        }
        assert_eq!(said(&at("link-to-pipe")), Err(("it is a pipe".to_owned(), true)));
        assert_eq!(said(Path::new("/dev/null")), Err(("it is a device".to_owned(), true)));
        assert!(!said(&at("missing")).unwrap_err().1);
        assert_eq!((said(&at("file")), said(&at("link-to-file"))), (Ok(()), Ok(())));
    }
}
