//! What the commands read besides the policy store: suites, requests, session policies.
#![expect(clippy::disallowed_methods, reason = "suites and requests are not the policy store")]

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::finding::{Findings, Position, io_words};
use crate::json::{self, Member, Node, Value};

/// Longest text that is read. A suite of 10,000 tests has about 4 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// The text of a file. The error completes "`FILE` ...".
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    read_text(file)
}

/// A file, or with `-` stdin, to be read line by line. The error completes "`FILE` ...".
pub(super) fn open(path: &Path) -> Result<Box<dyn BufRead>, String> {
    if path.to_str() == Some("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The text on stdin.
pub(super) fn read_stdin() -> Result<String, String> {
    read_text(io::stdin().lock())
}

fn read_text(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let length = source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if u64::try_from(length).is_ok_and(|length| length > MAX_BYTES) {
        return Err(format!("is longer than {} MiB", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

/// The entries of a directory, sorted. The error completes "`DIR` ...".
pub(super) fn read_directory(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(&error))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error))?;
    paths.sort();
    Ok(paths)
}

/// Whether this is a directory, or a link to one.
pub(super) fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

/// The one path of what may be named by many, links followed; None if there is nothing.
pub(super) fn canonical(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// Completes "`FILE` ...".
pub(super) fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {}", io_words(error))
}

/// Reads JSON of known shape; what is wrong with it becomes findings, and reading goes on.
pub(super) struct Reader<'r> {
    /// The file that is read.
    pub(super) file: &'r Arc<str>,
    /// What is wrong with it.
    pub(super) findings: &'r mut Findings,
}

impl Reader<'_> {
    /// Parses a text.
    pub(super) fn parse<'t>(&mut self, text: &'t str) -> Option<Node<'t>> {
        let errors = match json::parse(text) {
            Ok(node) => return Some(node),
            Err(errors) => errors,
        };
        for error in errors {
            self.error(error.position, error.code, error.message);
        }
        None
    }

    /// The members of an object.
    pub(super) fn object<'n, 't>(&mut self, node: &'n Node<'t>, what: &str) -> &'n [Member<'t>] {
        node.as_object().unwrap_or_else(|| {
            self.expected(node, what, "an object");
            &[]
        })
    }

    /// The elements of a list.
    pub(super) fn list<'n, 't>(&mut self, node: &'n Node<'t>, what: &str) -> &'n [Node<'t>] {
        node.as_array().unwrap_or_else(|| {
            self.expected(node, what, "a list");
            &[]
        })
    }

    /// A string.
    pub(super) fn string(&mut self, node: &Node<'_>, what: &str) -> String {
        if let Some(text) = node.as_str() {
            return text.to_owned();
        }
        let finding = self.expected(node, what, "a string");
        if matches!(node.value, Value::Number(_) | Value::Bool(_)) {
            finding.hint("put it in double quotes");
        }
        String::new()
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, node: &Node<'_>, what: &str) -> Vec<String> {
        self.list(node, what).iter().map(|element| self.string(element, &format!("each of {what}"))).collect()
    }

    /// A key that nobody knows.
    pub(super) fn unknown_key(&mut self, member: &Member<'_>, what: &str, known: &[&str]) {
        let message = format!("unknown key `{}` in {what}", crate::access::shown(&member.key));
        let finding = self.error(member.position, "unknown-key", message);
        finding.hint(format!("it may have {}", listed(known)));
        finding.hint_near_miss(&member.key, known.iter().copied());
    }

    /// An error at a place of the file.
    pub(super) fn error(&mut self, at: Position, code: &'static str, message: impl Into<String>) -> &mut Findings {
        self.findings.error(self.file, at, code, message)
    }

    fn expected(&mut self, node: &Node<'_>, what: &str, expected: &str) -> &mut Findings {
        self.error(node.position, "wrong-type", format!("{what} must be {expected}, found {}", node.kind()))
    }
}

/// `` `a`, `b` and `c` ``
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
