//! The only reader of policy files: whoever visits a directory is told what is in it, and gets a digest of all of it.
//!
//! What did not change since it was read need not be read again, if the visitor knows what became of it.
//!
//! Whatever cannot be read is a finding, part of the digest, and refuses the store: a policy that is silently left out
//! may be the one that denies.
#![expect(clippy::disallowed_methods, reason = "the one place that reads policy files")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::directory::Digest;
use crate::finding::{Finding, Position, Severity, WHOLE_STORE, io_words};
use crate::snapshot::Revision;

mod changes;
mod reach;
mod stamp;
mod walk;

pub use changes::Changes;
pub use reach::Reach;
use stamp::Stamp;
use walk::{Entry, Found, Tree};

/// How much is read at most. Each limit is far above what a real store needs, and there so that a wrong directory
/// (`/`, a log folder, a link to a device) ends in a message instead of in all the memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of one file. The dump of a very large account (10,000 roles with ten policies of 2 KiB) has 200 MiB.
    pub file_bytes: u64,
    /// Size of all files together.
    pub store_bytes: u64,
    /// Number of `*.json` files, and of folders.
    pub files: usize,
    /// Folders in folders.
    pub depth: usize,
}

impl Limits {
    /// The limits that hold.
    pub const DEFAULT: Self = Self { file_bytes: 256 << 20, store_bytes: 1 << 30, files: 100_000, depth: 32 };
}

/// How long a file is taken for unchanged because size, times and place on the disk are. Then its content is read all the same:
/// there are file systems whose word is not to be relied on.
const LONGEST_TRUST: Duration = Duration::from_secs(60);

/// A file that was written within this time before it was looked at may be written again, and have the same times: some file
/// systems count in steps of two seconds.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// A policy store's directory, and what is known of its files since they were read.
#[derive(Debug)]
pub struct Source {
    directory: PathBuf,
    limits: Limits,
    /// As it was found last; None before the first time.
    tree: Option<Tree>,
    /// Sorted by path.
    known: Vec<Known>,
    /// The paths of files that came, went, became others or were not to be read since [`Source::mark`]; None before the first
    /// mark. What is not among them is known as it was then.
    changed: Option<BTreeSet<Arc<str>>>,
    /// What time it is for the file system; tests have their own.
    now: fn() -> SystemTime,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct Known {
    path: Arc<str>,
    stamp: Stamp,
    /// Of its content.
    digest: Digest,
    /// Of its path and that: its part of the revision, in a row with those of others.
    leaf: Digest,
    /// Its size.
    bytes: u64,
    read_at: Instant,
}

/// How far a file that looks unchanged is taken for unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Its content is read.
    Nothing,
    /// Size, times and place on the disk suffice for a minute, unless it was written just before it was read.
    Stamps,
    /// They suffice, and if the file system has told of some files, only these are looked at.
    Events,
}

/// Who is told what a policy store contains, file by file in the order of paths.
pub trait Visitor {
    /// Whether it suffices to know the digest of this file's content.
    fn knows(&mut self, path: &str, digest: &Digest) -> bool;
    /// What is in a file of which it does not.
    fn text(&mut self, path: &Arc<str>, digest: Digest, text: &str);
    /// Something that could not be read.
    fn unreadable(&mut self, finding: Finding);
}

/// What a store contains, without the content.
#[derive(Debug)]
pub struct Fingerprint {
    /// Digest of every path with its content or with the reason why it could not be read: SHA-256 over a digest for each.
    pub revision: Revision,
    /// Total size of the files that could be read.
    pub bytes: u64,
    /// Where a change may show.
    pub reach: Arc<Reach>,
    /// Whether all files were looked at.
    pub walked: bool,
}

impl Source {
    /// A directory of which nothing is known yet.
    pub fn new(directory: &Path) -> Self {
        Self::within(directory, Limits::DEFAULT)
    }

    fn within(directory: &Path, limits: Limits) -> Self {
        let (tree, known, changed) = (None, Vec::new(), None);
        Self { directory: directory.to_owned(), limits, tree, known, changed, now: SystemTime::now }
    }

    /// Visits every `*.json` under the directory, with the content of one file at a time in memory. Names that start with `.`
    /// are skipped, links are followed.
    pub fn read(&mut self, trust: Trust, visitor: &mut dyn Visitor) -> Fingerprint {
        self.read_told(trust, None, visitor)
    }

    /// As [`Source::read`]; `told`: everything of which the file system has told since the last reading, if that is known.
    pub fn read_told(
        &mut self,
        trust: Trust,
        told: Option<&BTreeSet<PathBuf>>,
        visitor: &mut dyn Visitor,
    ) -> Fingerprint {
        let (tree, walked) = self.look(told.filter(|_| trust == Trust::Events));
        let (entries, reach) = (tree.entries.as_slice(), Arc::clone(&tree.reach));
        // Both at once: were this not to return, nothing would be known, and nothing counted from.
        let (known, changed) = (std::mem::take(&mut self.known), self.changed.take());
        let is_empty = entries.is_empty();
        let mut reading = Reading {
            visitor,
            trust,
            limits: self.limits,
            bytes: 0,
            digest: Sha256::new(),
            before: known.into_iter().peekable(),
            known: Vec::with_capacity(entries.len()),
            changed,
        };
        for entry in entries {
            if !reading.entry(entry) {
                break;
            }
        }
        reading.known_up_to(None);
        let Reading { visitor, bytes, digest, known, changed, .. } = reading;
        (self.known, self.changed, self.tree) = (known, changed, Some(tree));
        if is_empty {
            visitor.unreadable(empty(&self.directory).at(WHOLE_STORE));
        }
        Fingerprint { revision: Revision(digest.finalize().into()), bytes, reach, walked }
    }

    /// The tree as it is now, and whether all of it was looked at.
    fn look(&mut self, told: Option<&BTreeSet<PathBuf>>) -> (Tree, bool) {
        let now = (self.now)();
        if let (Some(told), Some(mut tree)) = (told, self.tree.take())
            && tree.look_at(told, &self.directory, self.limits, now).is_some()
        {
            return (tree, false);
        }
        (Tree::walk(&self.directory, self.limits, now), true)
    }

    /// What the store contains.
    pub fn fingerprint(&mut self, trust: Trust) -> Fingerprint {
        self.read(trust, &mut Nobody)
    }
}

/// Whom a digest suffices.
struct Nobody;

impl Visitor for Nobody {
    fn knows(&mut self, _: &str, _: &Digest) -> bool {
        true
    }
    fn text(&mut self, _: &Arc<str>, _: Digest, _: &str) {}
    fn unreadable(&mut self, _: Finding) {}
}

/// The content of a policy store at one moment: for whoever wants all of it at once.
#[derive(Debug, Default)]
pub struct SourceFiles {
    /// The files that could be read, sorted by path.
    pub files: Vec<SourceFile>,
    /// What could not be read, sorted; all of it errors.
    pub findings: Vec<Finding>,
}

/// One file.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the store, with `/`.
    pub path: Arc<str>,
    /// Its content.
    pub text: String,
}

impl SourceFiles {
    /// Reads every `*.json` under a directory, as [`Source::read`] does.
    pub fn read(directory: &Path) -> Self {
        Self::of(&mut Source::new(directory))
    }

    fn of(source: &mut Source) -> Self {
        let mut files = Self::default();
        source.read(Trust::Nothing, &mut files);
        files.findings.sort();
        files
    }
}

impl Visitor for SourceFiles {
    fn knows(&mut self, _: &str, _: &Digest) -> bool {
        false
    }
    fn text(&mut self, path: &Arc<str>, _: Digest, text: &str) {
        self.files.push(SourceFile { path: Arc::clone(path), text: text.to_owned() });
    }
    fn unreadable(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

/// Why something cannot be read.
#[derive(Clone, Debug)]
struct Problem {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Problem {
    fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: Some(hint.into()) }
    }

    /// Something that the operating system refuses.
    fn refused(what: &str, error: &io::Error) -> Self {
        let is = |kind| error.kind() == kind;
        let hint = if is(ErrorKind::PermissionDenied) {
            Some("let the user that the service runs as read it")
        } else if is(ErrorKind::NotFound) {
            Some("restore it, or remove what refers to it")
        } else {
            None
        };
        let message = format!("cannot read {what}: {}", io_words(error));
        Self { code: "unreadable-file", message, hint: hint.map(str::to_owned) }
    }

    fn at(self, path: &str) -> Finding {
        let Self { code, message, hint } = self;
        Finding { file: path.into(), position: Position::START, severity: Severity::Error, code, message, hint }
    }
}

/// A store that is being read.
struct Reading<'v> {
    visitor: &'v mut dyn Visitor,
    trust: Trust,
    limits: Limits,
    bytes: u64,
    digest: Sha256,
    /// What was known before, from the current path on.
    before: Peekable<std::vec::IntoIter<Known>>,
    /// What is known now, up to the current path.
    known: Vec<Known>,
    /// Takes in what came, went, became another or is not known now.
    changed: Option<BTreeSet<Arc<str>>>,
}

impl Reading<'_> {
    /// Whether to go on.
    fn entry(&mut self, Entry { path, file }: &Entry) -> bool {
        let before = self.known_before(path);
        let digest_before = before.as_ref().map(|known| known.digest);
        let read = match file {
            Ok(found) => self.file(path, found, before),
            Err(problem) => Err(problem.clone()),
        };
        match read {
            Ok(known) if self.bytes.saturating_add(known.bytes) > self.limits.store_bytes => {
                self.note(path);
                self.problem(WHOLE_STORE, store_too_large(self.limits));
                return false;
            }
            Ok(known) => {
                if digest_before != Some(known.digest) {
                    self.note(path);
                }
                self.bytes += known.bytes;
                self.digest.update(known.leaf);
                self.known.push(known);
            }
            Err(problem) => {
                self.note(path);
                self.problem(path, problem);
            }
        }
        true
    }

    fn problem(&mut self, path: &str, problem: Problem) {
        self.digest.update(leaf(path, Err(&problem)));
        self.visitor.unreadable(problem.at(path));
    }

    fn known_before(&mut self, path: &str) -> Option<Known> {
        self.known_up_to(Some(path));
        self.before.next_if(|known| *known.path == *path)
    }

    /// Goes past all that was known before this path, or past all: that is gone.
    fn known_up_to(&mut self, path: Option<&str>) {
        while let Some(gone) = self.before.next_if(|known| path.is_none_or(|path| *known.path < *path)) {
            self.note(&gone.path);
        }
    }

    fn note(&mut self, path: &Arc<str>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(Arc::clone(path));
        }
    }

    /// Reads a file, unless it is known and the visitor needs no more.
    fn file(&mut self, path: &Arc<str>, found: &Found, before: Option<Known>) -> Result<Known, Problem> {
        let trusted = before.filter(|known| known.is_still(&found.stamp, self.trust));
        if let Some(known) = trusted.filter(|known| self.visitor.knows(path, &known.digest)) {
            return Ok(known);
        }
        let bytes = read_file(&found.at, self.limits.file_bytes)?;
        let known = Known::new(path, found, &bytes);
        if !self.visitor.knows(path, &known.digest) {
            self.content(path, &known, &bytes);
        }
        Ok(known)
    }

    fn content(&mut self, path: &Arc<str>, known: &Known, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            // Past the limit it is the whole store that is reported.
            Ok(_) if self.bytes.saturating_add(known.bytes) > self.limits.store_bytes => {}
            Ok(text) => self.visitor.text(path, known.digest, text),
            Err(error) => self.visitor.unreadable(not_utf8(error).at(path)),
        }
    }
}

impl Known {
    fn new(path: &Arc<str>, found: &Found, bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes).into();
        Self {
            path: Arc::clone(path),
            stamp: found.stamp.clone(),
            digest,
            leaf: leaf(path, Ok(&digest)),
            bytes: length(bytes.len()),
            read_at: Instant::now(),
        }
    }

    /// Whether the file that looks so now is surely the same.
    fn is_still(&self, stamp: &Stamp, trust: Trust) -> bool {
        let trusted = match trust {
            Trust::Nothing => false,
            Trust::Stamps => self.read_at.elapsed() < LONGEST_TRUST,
            Trust::Events => true,
        };
        trusted && self.stamp.rested && self.stamp.same_as(stamp)
    }
}

/// Every part with its length before it, so that no two stores run together to the same bytes.
fn leaf(path: &str, content: Result<&Digest, &Problem>) -> Digest {
    let mut digest = Sha256::new();
    let (kind, bytes) = match content {
        Ok(digest) => (0_u8, digest.as_slice()),
        Err(problem) => (1, problem.message.as_bytes()),
    };
    digest.update(length(path.len()).to_le_bytes());
    digest.update(path);
    digest.update([kind]);
    digest.update(length(bytes.len()).to_le_bytes());
    digest.update(bytes);
    digest.finalize().into()
}

fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Problem> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| Problem::refused("the file", &error))?;
    if length(bytes.len()) <= limit {
        return Ok(bytes);
    }
    let message = format!("the file is larger than {}", shown_size(limit));
    Err(Problem::new("too-large", message, "split it: every `*.json` of the store is read"))
}

fn not_utf8(error: Utf8Error) -> Problem {
    let at = error.valid_up_to();
    Problem::new("unreadable-file", format!("the file is not UTF-8: byte {at} is wrong"), "save it as UTF-8")
}

/// Whether there is a directory, before anything in it is read; if not, what there is.
pub fn is_directory(path: &Path) -> Result<(), String> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err("it is no directory".to_owned()),
        Err(error) => Err(io_words(&error)),
    }
}

fn empty(directory: &Path) -> Problem {
    Problem::new(
        "empty-store",
        format!("no `*.json` files under `{}`, expected the policy store", directory.display()),
        "is the volume mounted, and are the names such as `users.json`?",
    )
}

fn store_too_large(limits: Limits) -> Problem {
    let message = format!("the files together are larger than {}", shown_size(limits.store_bytes));
    Problem::new("too-large", message, "is this the policy store's directory?")
}

fn shown_size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
