//! An immutable state of the policy store, ready to decide.

use std::fmt;

use crate::directory::Directory;
use crate::finding::Finding;

/// What requests are decided by: one state of all policies and of everyone they are attached to.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows with every reload that changed something, from 1.
    pub version: u64,
    /// Digest of the content.
    pub revision: Revision,
    /// When it became active.
    pub loaded_at: jiff::Timestamp,
    /// Total size of the files.
    pub bytes: u64,
    /// Who and what exists.
    pub directory: Directory,
    /// What loading had to say.
    pub warnings: Vec<Finding>,
}

impl Snapshot {
    /// How many users and roles it knows.
    pub fn principal_count(&self) -> usize {
        self.directory.users.len() + self.directory.roles.len()
    }
}

/// A state of the policy store that was read and built, before it is given a version and serves.
#[derive(Debug)]
pub struct Loaded {
    /// Who and what exists.
    pub directory: Directory,
    /// Digest of the content.
    pub revision: Revision,
    /// Total size of the files.
    pub bytes: u64,
    /// What loading had to say.
    pub warnings: Vec<Finding>,
}

impl Loaded {
    /// The snapshot of this version, active from now on.
    pub fn into_snapshot(self, version: u64) -> Snapshot {
        let Self { directory, revision, bytes, warnings } = self;
        Snapshot { version, revision, loaded_at: jiff::Timestamp::now(), bytes, directory, warnings }
    }
}

/// SHA-256 of the store's content: equal if and only if the files are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub [u8; 32]);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
