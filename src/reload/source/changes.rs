//! What is another in a store since it was last said to be known: what it takes grows with what changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Fingerprint, Known, Source, read_file};
use crate::directory::ChangedFile;
use crate::snapshot::Revision;

/// More than this is read once, by whoever looks at all files.
const MOST_BYTES: u64 = 1 << 20;

/// The files that are others, and what the store is with them.
#[derive(Debug)]
pub struct Changes {
    /// Sorted by path. Each was there when the store was read last, though not of need when it was marked.
    pub files: Vec<ChangedFile>,
    /// Of the whole store.
    pub read: Fingerprint,
}

impl Source {
    /// Counts changes from here on: what was read last is known to whoever will ask for them.
    pub fn mark(&mut self) {
        self.changed = Some(BTreeSet::new());
    }

    /// What changed since the mark, if nothing else may have changed since the last reading than what was `told` of. None where
    /// that may be more than a few files that can be read: then the store is to be read.
    pub fn changes(&mut self, told: &BTreeSet<PathBuf>) -> Option<Changes> {
        let now = (self.now)();
        let mut looked_at = self.tree.as_mut()?.look_at(told, &self.directory, self.limits, now)?;
        // Of these another write might not show, were it not told of.
        looked_at.extend(self.known.iter().filter(|known| !known.stamp.rested).map(|known| known.path.to_string()));
        looked_at.iter().try_for_each(|path| self.look_again(path))?;
        let bytes = self.known.iter().map(|known| known.bytes).sum();
        if bytes > self.limits.store_bytes {
            return None;
        }
        let known = |path: &Arc<str>| self.known.get(self.place_of(path)?);
        let changed = self.changed.as_ref()?.iter().map(known).collect::<Option<Vec<_>>>()?;
        // Before any is read: all of them are in memory at a time.
        if changed.iter().map(|known| known.bytes).sum::<u64>() > MOST_BYTES {
            return None;
        }
        let files = changed.into_iter().map(|known| self.changed_file(known)).collect::<Option<Vec<_>>>()?;
        let reach = Arc::clone(&self.tree.as_ref()?.reach);
        let read = Fingerprint { revision: self.revision(), bytes, reach, walked: false };
        Some(Changes { files, read })
    }

    /// None if it is not there, was not there before, or cannot be read.
    fn look_again(&mut self, path: &str) -> Option<()> {
        let limit = self.limits.file_bytes.min(MOST_BYTES);
        let place = self.place_of(path)?;
        let known = self.known.get_mut(place)?;
        let found = self.tree.as_ref()?.file(path)?;
        let bytes = read_file(&found.at, limit).ok()?;
        let now = Known::new(&known.path, found, &bytes);
        if known.digest != now.digest {
            self.changed.as_mut()?.insert(Arc::clone(&known.path));
        }
        *known = now;
        Some(())
    }

    /// None if it is another already, or no text.
    fn changed_file(&self, known: &Known) -> Option<ChangedFile> {
        let bytes = read_file(&self.tree.as_ref()?.file(&known.path)?.at, MOST_BYTES).ok()?;
        let digest = Sha256::digest(&bytes).into();
        let text = String::from_utf8(bytes).ok().filter(|_| digest == known.digest)?;
        Some(ChangedFile { path: Arc::clone(&known.path), digest, text })
    }

    fn place_of(&self, path: &str) -> Option<usize> {
        self.known.binary_search_by(|known| (*known.path).cmp(path)).ok()
    }

    /// Of a store of which every file can be read.
    fn revision(&self) -> Revision {
        let mut digest = Sha256::new();
        self.known.iter().for_each(|known| digest.update(known.leaf));
        Revision(digest.finalize().into())
    }
}
