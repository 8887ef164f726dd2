//! Which files there are: the tree below the store's directory, links followed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Limits, Problem, Reach, Stamp};
use crate::finding::WHOLE_STORE;

/// Every file to be read, and everything on the way that could not be.
#[derive(Debug)]
pub(super) struct Tree {
    /// Sorted by path.
    pub(super) entries: Vec<Entry>,
    all_readable: bool,
    /// Where a change may show.
    pub(super) reach: Arc<Reach>,
    /// The real folders, each with its path in the store; None of one that links lead to once more.
    folders: HashMap<PathBuf, Option<String>>,
}

/// A file to be read, or a file or folder that cannot be.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Relative to the store, with `/`.
    pub(super) path: Arc<str>,
    /// What was found there.
    pub(super) file: Result<Found, Problem>,
}

/// A file to be read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where it is.
    pub(super) at: PathBuf,
    /// How it looked before it is read: what is written later, shows.
    pub(super) stamp: Stamp,
}

impl Tree {
    pub(super) fn walk(directory: &Path, limits: Limits, now: SystemTime) -> Self {
        let mut walk = Walk {
            limits,
            entries: Vec::new(),
            reach: Reach::default(),
            trail: Vec::new(),
            folders: 0,
            real_folders: HashMap::new(),
            now,
        };
        walk.reach.follow(directory);
        match metadata(directory) {
            Err(error) => walk.problem("", no_store(directory, &error)),
            Ok(metadata) if !metadata.is_dir() => walk.problem("", not_a_directory(directory)),
            Ok(_) => walk.folder(directory, ""),
        }
        walk.entries.sort_by(|a, b| a.path.cmp(&b.path));
        let all_readable = walk.entries.iter().all(|entry| entry.file.is_ok());
        Self { entries: walk.entries, all_readable, reach: Arc::new(walk.reach), folders: walk.real_folders }
    }

    /// Looks again at these alone, of which the file system has told: the paths in the store of those that may be others. None if
    /// more may have changed than these: then the tree is to be walked anew.
    pub(super) fn look_at(
        &mut self,
        told: &BTreeSet<PathBuf>,
        directory: &Path,
        limits: Limits,
        now: SystemTime,
    ) -> Option<Vec<String>> {
        if !self.all_readable {
            return None;
        }
        let looks = told.iter().map(|real| self.look_at_file(real, directory, limits, now));
        Some(looks.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The file at this path, if it can be read.
    pub(super) fn file(&self, path: &str) -> Option<&Found> {
        let place = self.entries.binary_search_by(|entry| (*entry.path).cmp(path)).ok()?;
        self.entries.get(place)?.file.as_ref().ok()
    }

    /// Its path, if the store reads it. None if it may be more than a file, or leads elsewhere.
    fn look_at_file(
        &mut self,
        real: &Path,
        directory: &Path,
        limits: Limits,
        now: SystemTime,
    ) -> Option<Option<String>> {
        if self.reach.is_on_the_way(real) {
            return None;
        }
        let Some(folder) = self.folders.get(real.parent()?) else { return Some(None) };
        let (folder, name) = (folder.as_ref()?, real.file_name()?.to_str()?);
        let looks = fs::symlink_metadata(real);
        if looks.as_ref().is_ok_and(|metadata| !metadata.is_file()) {
            return None;
        }
        if name.starts_with('.') || !name.ends_with(".json") {
            return Some(None);
        }
        let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let place = self.entries.binary_search_by(|entry| (*entry.path).cmp(&path));
        match (looks, place) {
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => return None,
            (Err(_), Ok(known)) => drop(self.entries.remove(known)),
            (Err(_), Err(_)) => {}
            (Ok(_), Err(_)) if self.entries.len() + 1 >= limits.files => return None,
            (Ok(metadata), place) => {
                let found = Found { at: directory.join(&path), stamp: Stamp::new(&metadata, now) };
                let entry = Entry { path: path.as_str().into(), file: Ok(found) };
                match place {
                    Ok(known) => *self.entries.get_mut(known)? = entry,
                    Err(free) => self.entries.insert(free, entry),
                }
            }
        }
        Some(Some(path))
    }
}

struct Walk {
    limits: Limits,
    entries: Vec<Entry>,
    reach: Reach,
    /// The real folders from the store down to the current one: meeting one of them again is a loop.
    trail: Vec<PathBuf>,
    folders: usize,
    real_folders: HashMap<PathBuf, Option<String>>,
    /// Now, and not later than anything that is looked at.
    now: SystemTime,
}

impl Walk {
    /// `path` is relative to the store; empty for the store itself.
    fn folder(&mut self, at: &Path, path: &str) {
        let real = match fs::canonicalize(at) {
            Ok(real) => real,
            Err(error) => return self.problem(path, Problem::refused("the folder", &error)),
        };
        if self.trail.contains(&real) {
            return self.problem(path, link_loop());
        }
        if self.trail.len() > self.limits.depth {
            return self.problem(path, too_deep(self.limits));
        }
        self.reach.watch(&real);
        let known_already = self.real_folders.contains_key(&real);
        self.real_folders.insert(real.clone(), (!known_already).then(|| path.to_owned()));
        self.folders += 1;
        self.trail.push(real);
        match names(at) {
            Ok(found) => found.into_iter().for_each(|entry| self.entry(entry, path)),
            Err(error) => self.problem(path, Problem::refused("the folder", &error)),
        }
        self.trail.pop();
    }

    fn entry(&mut self, entry: io::Result<DirEntry>, folder: &str) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return self.problem(folder, Problem::refused("the folder", &error)),
        };
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if shown.starts_with('.') || self.is_full() {
            return;
        }
        let path = if folder.is_empty() { shown.into_owned() } else { format!("{folder}/{shown}") };
        let at = entry.path();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link {
            self.reach.follow(&at);
        }
        let is_json = path.ends_with(".json");
        match metadata(&at) {
            Err(error) if is_link => self.problem(&path, broken_link(&at, &error)),
            Err(error) => self.problem(&path, Problem::refused("the file", &error)),
            Ok(kind) if (kind.is_dir() || is_json) && name.to_str().is_none() => self.problem(&path, unclear_name()),
            Ok(kind) if kind.is_dir() => self.folder(&at, &path),
            Ok(kind) if is_json && !kind.is_file() => self.problem(&path, not_a_file()),
            Ok(metadata) if is_json => {
                let stamp = Stamp::new(&metadata, self.now);
                self.entries.push(Entry { path: path.into(), file: Ok(Found { at, stamp }) });
            }
            Ok(_) => {}
        }
    }

    /// Stops at the limit, and says so once.
    fn is_full(&mut self) -> bool {
        let most = self.entries.len().max(self.folders);
        if most == self.limits.files {
            let message = format!("more than {} files or folders", self.limits.files);
            self.problem("", Problem::new("too-large", message, "is this the policy store's directory?"));
            // Past the limit: no second message.
            self.folders = self.limits.files + 1;
        }
        most >= self.limits.files
    }

    fn problem(&mut self, path: &str, problem: Problem) {
        let path = if path.is_empty() { WHOLE_STORE } else { path };
        self.entries.push(Entry { path: path.into(), file: Err(problem) });
    }
}

fn names(folder: &Path) -> io::Result<Vec<io::Result<DirEntry>>> {
    Ok(fs::read_dir(folder)?.collect())
}

/// Of what a link points to, never of the link: Kubernetes mounts every file as a link.
fn metadata(path: &Path) -> io::Result<fs::Metadata> {
    fs::metadata(path)
}

fn no_store(directory: &Path, error: &io::Error) -> Problem {
    let mut problem = Problem::refused(&format!("`{}`, expected the policy store", directory.display()), error);
    if error.kind() == io::ErrorKind::NotFound {
        problem.hint = Some("is the path right, and the volume mounted?".to_owned());
    }
    problem
}

fn not_a_directory(directory: &Path) -> Problem {
    let message = format!("`{}` is not a directory, expected the policy store", directory.display());
    Problem::new("unreadable-file", message, "name the directory that holds the files")
}

fn broken_link(link: &Path, error: &io::Error) -> Problem {
    let target = fs::read_link(link).unwrap_or_default();
    Problem::refused(&format!("`{}`, which this links to", target.display()), error)
}

fn link_loop() -> Problem {
    Problem::new("link-loop", "the link leads back to a folder that contains it", "remove the link")
}

fn too_deep(limits: Limits) -> Problem {
    let message = format!("folders are nested deeper than {} levels", limits.depth);
    Problem::new("too-deep", message, "is this the policy store's directory?")
}

fn unclear_name() -> Problem {
    Problem::new("unreadable-file", "the name is not UTF-8", "rename it")
}

fn not_a_file() -> Problem {
    Problem::new("unreadable-file", "this is neither a file nor a folder", "remove it, or give it another name")
}
