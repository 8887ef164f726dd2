//! The only reader of policy files: a directory becomes [`SourceFiles`], with a digest of all they say.
//!
//! Whatever cannot be read is a finding, part of the digest, and refuses the store: a policy that is silently left out
//! may be the one that denies.
#![expect(clippy::disallowed_methods, reason = "the one place that reads policy files")]

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::finding::{Finding, Position, Severity, WHOLE_STORE, io_words};
use crate::snapshot::Revision;

mod reach;
mod walk;

pub use reach::Reach;
use walk::{Entry, Tree};

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

/// The content of a policy store at one moment.
#[derive(Debug)]
pub struct SourceFiles {
    /// The files that could be read, sorted by path.
    pub files: Vec<SourceFile>,
    /// What could not be read, sorted; all of it errors.
    pub findings: Vec<Finding>,
    /// Digest of every path with its content or with the reason why it could not be read.
    pub revision: Revision,
    /// Total size of the files that could be read.
    pub bytes: u64,
    /// Where a change may show.
    pub reach: Reach,
}

/// One file.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the store, with `/`.
    pub path: Arc<str>,
    /// Its content.
    pub text: String,
}

/// What a store contains, without the content.
#[derive(Debug)]
pub struct Fingerprint {
    /// The revision that [`SourceFiles::read`] would have.
    pub revision: Revision,
    /// Where a change may show.
    pub reach: Reach,
}

impl SourceFiles {
    /// Reads every `*.json` under a directory. Names that start with `.` are skipped, links are followed.
    pub fn read(directory: &Path) -> Self {
        Self::read_within(directory, Limits::DEFAULT)
    }

    fn read_within(directory: &Path, limits: Limits) -> Self {
        let mut files = Vec::new();
        let mut findings = Vec::new();
        let Fingerprint { revision, reach } =
            scan(directory, limits, |path, content| match content.and_then(into_text) {
                Ok(text) => files.push(SourceFile { path: path.into(), text }),
                Err(problem) => findings.push(problem.at(path)),
            });
        if files.is_empty() && findings.is_empty() {
            findings.push(empty(directory).at(WHOLE_STORE));
        }
        findings.sort();
        let bytes = files.iter().map(|file| length(file.text.len())).sum();
        Self { files, findings, revision, bytes, reach }
    }

    /// The revision that [`SourceFiles::read`] would have, with one file at a time in memory.
    pub fn fingerprint(directory: &Path) -> Fingerprint {
        scan(directory, Limits::DEFAULT, |_, _| {})
    }
}

/// Why something cannot be read.
#[derive(Debug)]
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

/// Visits every file in the order of paths, and digests what is visited.
fn scan(directory: &Path, limits: Limits, mut visit: impl FnMut(&str, Result<Vec<u8>, Problem>)) -> Fingerprint {
    let Tree { entries, reach } = Tree::walk(directory, limits);
    let mut digest = Sha256::new();
    let mut left = limits.store_bytes;
    for Entry { path, file } in entries {
        let content = file.and_then(|file| read_file(&file, limits.file_bytes));
        let size = content.as_ref().map_or(0, |bytes| length(bytes.len()));
        let fits = left.checked_sub(size);
        left = fits.unwrap_or_default();
        let (path, content) = match fits {
            Some(_) => (path, content),
            None => (WHOLE_STORE.to_owned(), Err(store_too_large(limits))),
        };
        update(&mut digest, &path, &content);
        visit(&path, content);
        if fits.is_none() {
            break;
        }
    }
    Fingerprint { revision: Revision(digest.finalize().into()), reach }
}

/// Every part with its length before it, so that no two stores run together to the same bytes.
fn update(digest: &mut Sha256, path: &str, content: &Result<Vec<u8>, Problem>) {
    let (kind, bytes) = match content {
        Ok(bytes) => (0_u8, bytes.as_slice()),
        Err(problem) => (1, problem.message.as_bytes()),
    };
    digest.update(length(path.len()).to_le_bytes());
    digest.update(path);
    digest.update([kind]);
    digest.update(length(bytes.len()).to_le_bytes());
    digest.update(bytes);
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

fn into_text(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new("unreadable-file", format!("the file is not UTF-8: byte {at} is wrong"), "save it as UTF-8")
    })
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
