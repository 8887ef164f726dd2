//! Unix sockets: their files appear at once, with the permissions that they are to have.
#![expect(clippy::disallowed_methods, reason = "opens sockets, and looks at their files")]

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::{UnixListener, UnixStream};

use super::BindError;
use crate::config::{ListenAddress, SocketOptions};

/// The file of a socket that this process made; removed when it is dropped, unless it is somebody else's by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path) == self.identity {
            // Nobody is left who could be told; a file that stays is replaced by the next start.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Of a longer path nobody could make an address: it has 108, with a zero at the end.
const MOST_BYTES: usize = 107;

/// Replaces the file of a socket that nobody listens on; anything else at the path is left alone.
pub(super) async fn bind(
    path: &Path,
    address: &ListenAddress,
    options: &SocketOptions,
) -> Result<(UnixListener, SocketFile), BindError> {
    let refused = |reason: &str, hint| BindError { address: address.to_string(), reason: reason.to_owned(), hint };
    let too_long = || refused("the path is too long for a socket", "choose a path of 90 bytes at most");
    if path.as_os_str().len() > MOST_BYTES {
        return Err(too_long());
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(refused("the file exists and is not a socket", "choose another path, or remove the file"));
        }
        match UnixStream::connect(path).await {
            // Its listener is gone. Only then: a full queue, or a socket that we may not connect to, is somebody's.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => return Err(BindError::new(address, &io::ErrorKind::AddrInUse.into())),
        }
    }
    let nursery = Nursery::new(path).map_err(|error| BindError::new(address, &error))?;
    let born = nursery.0.join("s");
    let listener = UnixListener::bind(&born).map_err(|error| match error.kind() == io::ErrorKind::InvalidInput {
        true => too_long(),
        false => BindError::new(address, &error),
    })?;
    fs::set_permissions(&born, Permissions::from_mode(options.mode))
        .map_err(|error| BindError::new(address, &error))?;
    if let Some((user, group)) = options.owner {
        chown(&born, Some(user), group).map_err(|_| {
            let hint = "only root can give files to other users, and to groups that it is not in; run as that user \
                        instead, and leave --unix-socket-owner out";
            refused("the socket cannot be given to --unix-socket-owner", hint)
        })?;
    }
    fs::rename(&born, path).map_err(|error| BindError::new(address, &error))?;
    Ok((listener, SocketFile::new(path)))
}

/// A folder of its own beside the socket, in which nobody else can connect before permissions and owner are set. (To
/// create it with the right ones would need the umask, which is that of all threads.)
struct Nursery(PathBuf);

impl Nursery {
    fn new(path: &Path) -> io::Result<Self> {
        // As short as can be, for it is part of an address, too. Not by number of process, which is 1 in every container.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let folder = path.with_file_name(format!(".{:x}", now.subsec_nanos()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        drop(fs::remove_file(self.0.join("s")));
        drop(fs::remove_dir(&self.0));
    }
}
