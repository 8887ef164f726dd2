//! Runs suites: what came, and whether that is what was expected.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer;
use super::suite::{Case, Expect, StoreSource, Suite};
use crate::access::StatementRef;
use crate::cli::input;
use crate::cli::report::{self, Tally, statement};
use crate::cli::request::to_json;
use crate::cli::store::{self, Store};
use crate::directory::StoreOptions;
use crate::finding::Finding;
use crate::proto::v1::IsAuthorizedRequest;

/// What came of a suite.
pub(super) struct JudgedSuite {
    /// Its path, for people.
    pub(super) file: Arc<str>,
    /// What is wrong with its store, if a test failed for that.
    pub(super) store_findings: Vec<Finding>,
    /// Its tests.
    pub(super) cases: Vec<JudgedCase>,
}

impl JudgedSuite {
    /// How many of its tests failed.
    pub(super) fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_some()).count()
    }
}

/// What came of a test.
pub(super) struct JudgedCase {
    /// What it is called.
    pub(super) name: String,
    /// Why it failed; None if it passed.
    pub(super) failure: Option<Failure>,
    /// How long it took, its store's loading aside.
    pub(super) took: Duration,
}

/// Everything that is needed to understand a failure.
pub(super) struct Failure {
    /// The request, as JSON on one line; None if the test has none.
    pub(super) request: Option<String>,
    /// What should have come.
    pub(super) expected: String,
    /// What came.
    pub(super) came: String,
    /// Why that should have come, in the suite's words.
    pub(super) why: Option<String>,
    /// The statements that decided.
    pub(super) statements: Vec<StatementRef>,
}

/// The stores in directories, each loaded once.
pub(super) struct Stores<'o> {
    options: &'o StoreOptions,
    loaded: HashMap<PathBuf, Rc<Store>>,
}

impl<'o> Stores<'o> {
    /// None loaded yet.
    pub(super) fn new(options: &'o StoreOptions) -> Self {
        Self { options, loaded: HashMap::new() }
    }

    fn get(&mut self, directory: &Path) -> Rc<Store> {
        let key = input::canonical(directory).unwrap_or_else(|| directory.to_owned());
        let load = || Rc::new(store::load(directory, self.options));
        Rc::clone(self.loaded.entry(key).or_insert_with(load))
    }
}

/// Runs every test of a suite.
pub(super) fn judge(suite: Suite, stores: &mut Stores<'_>) -> JudgedSuite {
    let Suite { file, store, cases } = suite;
    let (directory, store) = match store {
        StoreSource::Directory(directory) => (Some(directory.clone()), stores.get(&directory)),
        StoreSource::Inline(store) => (None, Rc::new(*store)),
    };
    let cases: Vec<_> = cases.into_iter().map(|case| judge_case(case, &file, &store)).collect();
    let store_findings = match store.as_ref() {
        Err(findings) if cases.iter().any(|case| case.failure.is_some()) => match directory {
            Some(directory) => findings.iter().map(|finding| report::seen_from_here(finding, &directory)).collect(),
            None => findings.clone(),
        },
        Ok(_) | Err(_) => Vec::new(),
    };
    JudgedSuite { file, store_findings, cases }
}

fn judge_case(case: Case, file: &str, store: &Store) -> JudgedCase {
    let started = Instant::now();
    let mismatch = match (&case.expect, store) {
        (Expect::LoadError(text), store) => judge_load_error(text, file, store),
        (Expect::Answer(expected), Err(findings)) => Some(Mismatch {
            expected: answer::describe_expected(expected),
            came: format!("the store does not load: {}", Tally::of(findings)),
            statements: Vec::new(),
        }),
        (Expect::Answer(expected), Ok(snapshot)) => answer::judge(&case.request, expected, snapshot),
    };
    let took = started.elapsed();
    let failure = mismatch.map(|Mismatch { expected, came, statements }| {
        let given = case.request != IsAuthorizedRequest::default();
        let request = given.then(|| to_json(&case.request).to_string());
        Failure { request, expected, came, statements, why: case.why }
    });
    JudgedCase { name: case.name, failure, took }
}

/// What should have come, and what came instead.
pub(super) struct Mismatch {
    /// What should have come.
    pub(super) expected: String,
    /// What came.
    pub(super) came: String,
    /// The statements that decided.
    pub(super) statements: Vec<StatementRef>,
}

// --- a store that must not load -------------------------------------------------------------------------------------

fn judge_load_error(text: &str, file: &str, store: &Store) -> Option<Mismatch> {
    let came = match store {
        Ok(_) => "the store loads".to_owned(),
        Err(findings) if findings.iter().any(|finding| reports(finding, file, text)) => return None,
        Err(findings) => format!("other errors: {}", Tally::of(findings)),
    };
    Some(Mismatch { expected: format!("a load error with `{text}`"), came, statements: Vec::new() })
}

/// Whether a finding says the text, in its place, its message or its hint; in any case of letters. The name of the
/// suite itself, where an inline store's findings are, does not count: it is what the test is called, not what came.
fn reports(finding: &Finding, suite: &str, text: &str) -> bool {
    let said = finding.to_string();
    let said = if *finding.file == *suite { said.strip_prefix(suite).unwrap_or(&said) } else { &said };
    said.to_lowercase().contains(&text.to_lowercase())
}

impl Failure {
    /// The failure as lines of `label: text`, and the statements.
    pub(super) fn lines(&self) -> Vec<String> {
        let fields = [
            ("request: ", self.request.as_deref()),
            ("expected:", Some(self.expected.as_str())),
            ("came:    ", Some(self.came.as_str())),
            ("why:     ", self.why.as_deref()),
        ];
        let given = fields.iter().filter_map(|(label, text)| Some(format!("{label} {}", report::printable((*text)?))));
        let heading = (!self.statements.is_empty()).then(|| "statements:".to_owned());
        let statements = self.statements.iter().map(|it| format!("  {}", statement(it)));
        given.chain(heading).chain(statements).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_suite_is_not_what_its_store_reports() {
        let mut findings = crate::finding::Findings::new();
        let at = crate::finding::Position { line: 3, column: 9 };
        findings.error(&"t/effect.json".into(), at, "code", "`allow` is unknown").hint("did you mean `Allow`?");
        let finding = &findings.into_sorted()[0];
        for text in ["3:9: `ALLOW` is", "did you mean"] {
            assert!(reports(finding, "t/effect.json", text), "{text}");
        }
        assert!(!reports(finding, "t/effect.json", "effect"));
        assert!(reports(finding, "t/other.json", "effect"), "a file of a store");
    }

    #[test]
    fn a_store_is_loaded_once_however_it_is_named() {
        let directory = tempfile::TempDir::new().unwrap();
        let options = StoreOptions::default();
        let mut stores = Stores::new(&options);
        let first = stores.get(directory.path());
        assert!(Rc::ptr_eq(&first, &stores.get(&directory.path().join("."))));
        assert!(!Rc::ptr_eq(&first, &stores.get(&directory.path().join("other"))));
    }
}
