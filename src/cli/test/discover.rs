//! Which files are suites.
//!
//! A directory of suites often holds the stores that they ask. So every file is looked at first; what is no suite is
//! forgiven if it lies in a store that some suite names, and an error otherwise: a suite that is passed over in
//! silence tests nothing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::suite::{self, Suite, Surroundings};
use crate::cli::input::{self, Reader};
use crate::cli::report;
use crate::directory::StoreOptions;
use crate::finding::{Finding, Findings, Position};
use crate::json::Node;

/// What is to be run, and what is wrong with the files.
pub(super) struct Discovered {
    /// The suites without faults, in the order of the arguments, below each by path.
    pub(super) suites: Vec<Suite>,
    /// What is wrong with the others; sorted.
    pub(super) findings: Vec<Finding>,
}

/// Finds the suites at and below the paths.
pub(super) fn discover(paths: &[PathBuf], default_store: Option<&Path>, options: &StoreOptions) -> Discovered {
    let mut search = Search::new(default_store, options);
    for path in paths {
        search.argument(path);
    }
    let Search { suites, mut findings, strangers, stores, .. } = search;
    for stranger in strangers {
        if !stores.iter().any(|store| stranger.canonical.starts_with(store)) {
            findings.append(stranger.findings);
        }
    }
    Discovered { suites, findings: findings.into_sorted() }
}

struct Search<'s> {
    default_store: Option<&'s Path>,
    options: &'s StoreOptions,
    suites: Vec<Suite>,
    /// How many suites were found, those with faults included.
    suite_count: usize,
    /// What is wrong with suites.
    findings: Findings,
    strangers: Vec<Stranger>,
    /// Directories that suites name as their stores; canonical.
    stores: HashSet<PathBuf>,
    /// Files and directories that were looked at; canonical, so that no link is followed for ever.
    seen: HashSet<PathBuf>,
}

/// A file that is no suite, or a directory without one, with what to say if it lies in no store either.
struct Stranger {
    canonical: PathBuf,
    findings: Findings,
}

impl<'s> Search<'s> {
    fn new(default_store: Option<&'s Path>, options: &'s StoreOptions) -> Self {
        Self {
            default_store,
            options,
            suites: Vec::new(),
            suite_count: 0,
            findings: Findings::new(),
            strangers: Vec::new(),
            stores: default_store.and_then(input::canonical).into_iter().collect(),
            seen: HashSet::new(),
        }
    }

    /// A path that the user names: a file must be a suite, a directory must hold one.
    fn argument(&mut self, path: &Path) {
        if !input::is_directory(path) {
            return self.file(path, true);
        }
        let before = (self.suite_count, self.strangers.len(), self.findings.error_count());
        if self.directory(path) && before == (self.suite_count, self.strangers.len(), self.findings.error_count()) {
            let mut findings = Findings::new();
            unreadable(&report::shown_path(path), "holds no policy test suite (`*.json`)", &mut findings);
            self.stranger(path, false, findings);
        }
    }

    /// Looks at everything below a directory; false if that was done before.
    fn directory(&mut self, path: &Path) -> bool {
        let new = self.is_new(path);
        if new {
            match input::read_directory(path) {
                Ok(entries) => entries.iter().for_each(|entry| self.entry(entry)),
                Err(why) => unreadable(&report::shown_path(path), &why, &mut self.findings),
            }
        }
        new
    }

    /// As in a policy store: hidden files are skipped, links are followed.
    fn entry(&mut self, path: &Path) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && input::is_directory(path) {
            self.directory(path);
        } else if !hidden && path.extension().is_some_and(|extension| extension == "json") {
            self.file(path, false);
        }
    }

    fn file(&mut self, path: &Path, named: bool) {
        if !self.is_new(path) {
            return;
        }
        let file = report::shown_path(path);
        let mut findings = Findings::new();
        let text = input::read_file(path).unwrap_or_else(|why| {
            unreadable(&file, &why, &mut findings);
            String::new()
        });
        if findings.error_count() == 0 {
            let mut reader = Reader { file: &file, findings: &mut findings };
            match reader.parse(&text) {
                Some(node) if suite::is_suite(&node) => return self.suite(path, &file, &node),
                Some(node) => suite::explain_not_a_suite(&node, &mut reader),
                None => {}
            }
        }
        self.stranger(path, named, findings);
    }

    fn suite(&mut self, path: &Path, file: &Arc<str>, node: &Node<'_>) {
        self.suite_count += 1;
        let directory = suite::store_directory(node, path);
        self.stores.extend(directory.as_deref().and_then(input::canonical));
        let mut findings = Findings::new();
        let around = Surroundings { path, default_store: self.default_store, options: self.options };
        let suite = suite::read(node, &around, &mut Reader { file, findings: &mut findings });
        self.suites.extend(suite.filter(|_| findings.error_count() == 0));
        self.findings.append(findings);
    }

    fn stranger(&mut self, path: &Path, named: bool, findings: Findings) {
        match input::canonical(path) {
            Some(canonical) if !named => self.strangers.push(Stranger { canonical, findings }),
            _ => self.findings.append(findings),
        }
    }

    /// Whether this was not looked at before. What cannot be resolved is left to its reader to complain about.
    fn is_new(&mut self, path: &Path) -> bool {
        input::canonical(path).is_none_or(|canonical| self.seen.insert(canonical))
    }
}

/// A finding about a path as a whole.
fn unreadable(file: &Arc<str>, why: &str, findings: &mut Findings) {
    findings.error(file, Position::START, "unreadable", why);
}
