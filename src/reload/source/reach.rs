//! Where a change of the store may show: more folders than the store's own, because of links.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows in one path; more is a loop, and reading it has failed already.
const MAX_LINKS: usize = 40;

/// Real folders and names in them that matter. Paths are absolute, without links in their folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whatever happens in these matters.
    folders: BTreeSet<PathBuf>,
    /// What happens to these matters: links on the way, and what they end at.
    names: BTreeSet<PathBuf>,
}

impl Reach {
    /// The real folders to be told about.
    pub fn watched(&self) -> BTreeSet<&Path> {
        let around = self.names.iter().filter_map(|name| name.parent());
        self.folders.iter().map(PathBuf::as_path).chain(around).collect()
    }

    /// Whether a change of this path can be a change of the store.
    pub fn concerns(&self, path: &Path) -> bool {
        let inside = path.parent().is_some_and(|folder| self.folders.contains(folder));
        inside || self.folders.contains(path) || self.names.contains(path)
    }

    /// Whether this is a folder of the store, a link, or what one leads to: if it is another one now, the store may be.
    pub(super) fn is_on_the_way(&self, path: &Path) -> bool {
        self.folders.contains(path) || self.names.contains(path)
    }

    /// Everything in a real folder matters.
    pub(super) fn watch(&mut self, real: &Path) {
        self.folders.insert(real.to_owned());
    }

    /// Walks a path as the system does, one name at a time, and notes each link and what the path ends at. Where a
    /// name does not exist, that one is noted: it may come.
    pub(super) fn follow(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        let mut left = steps(&path);
        let mut real = PathBuf::from("/");
        let mut links = 0;
        while let Some(step) = left.pop() {
            let Step::Into(name) = step else {
                real = step.apply(real);
                continue;
            };
            let at = real.join(name);
            match fs::symlink_metadata(&at) {
                Ok(kind) if kind.is_symlink() && links < MAX_LINKS => {
                    links += 1;
                    left.extend(fs::read_link(&at).map(|target| steps(&target)).unwrap_or_default());
                    self.names.insert(at);
                }
                Ok(_) => real = at,
                Err(_) => {
                    self.names.insert(at);
                    return;
                }
            }
        }
        self.names.insert(real);
    }
}

/// One part of a path.
enum Step {
    Root,
    Up,
    Into(OsString),
}

impl Step {
    fn apply(self, mut real: PathBuf) -> PathBuf {
        match self {
            Self::Root => PathBuf::from("/"),
            Self::Up => {
                real.pop();
                real
            }
            Self::Into(name) => real.join(name),
        }
    }
}

/// The parts of a path, the last first: to be taken from the end.
fn steps(path: &Path) -> Vec<Step> {
    let step = |part: Component<'_>| match part {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}
