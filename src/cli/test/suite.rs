//! A policy test suite, as written: test-suite.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::access::{Decision, PolicyType, shown};
use crate::cli::input::Reader;
use crate::cli::request;
use crate::cli::store::{self, Store};
use crate::directory::StoreOptions;
use crate::finding::near_miss;
use crate::json::{Member, Node, Value};
use crate::proto::v1::IsAuthorizedRequest;

/// What makes an object a suite.
const MARKS: [&str; 3] = ["tests", "load_error", "expect"];
const SUITE_KEYS: [&str; 5] = ["description", "policies", "tests", "load_error", "expect"];
const CASE_KEYS: [&str; 4] = ["name", "request", "expect", "why"];
const EXPECT_KEYS: [&str; 5] = ["decision", "decided_by", "statements", "missing_context_keys", "load_error"];

/// The tests of one file, and the store that they ask.
pub(super) struct Suite {
    /// Its path, for people.
    pub(super) file: Arc<str>,
    /// Where its store is.
    pub(super) store: StoreSource,
    /// Its tests, at least one.
    pub(super) cases: Vec<Case>,
}

/// Where a suite's store is.
pub(super) enum StoreSource {
    /// In a directory, which other suites may name too.
    Directory(PathBuf),
    /// In the suite.
    Inline(Box<Store>),
}

/// One test.
pub(super) struct Case {
    /// What it is called.
    pub(super) name: String,
    /// What it asks; empty if it only expects that the store does not load.
    pub(super) request: IsAuthorizedRequest,
    /// What should come.
    pub(super) expect: Expect,
    /// Why that should come.
    pub(super) why: Option<String>,
}

/// What should come.
pub(super) enum Expect {
    /// The store does not load, and says this.
    LoadError(String),
    /// An answer.
    Answer(ExpectedAnswer),
}

/// What of an answer the test looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExpectedAnswer {
    /// The decision; None if the request is INVALID.
    pub(super) decision: Option<Decision>,
    /// What decided.
    pub(super) decided_by: Option<PolicyType>,
    /// The statements that decided: Sids, or `POLICY#INDEX`.
    pub(super) statements: Option<Vec<String>>,
    /// The context keys that were missing, in any case.
    pub(super) missing_context_keys: Option<Vec<String>>,
}

/// Whether this is a suite, and not a file of a store.
pub(super) fn is_suite(node: &Node<'_>) -> bool {
    MARKS.iter().any(|mark| node.get(mark).is_some())
}

/// Says why this is not a suite.
pub(super) fn explain_not_a_suite(node: &Node<'_>, reader: &mut Reader<'_>) {
    let message = format!("expected a policy test suite, an object with `tests`, found {}", described(node));
    let finding = reader.error(node.position, "not-a-suite", message);
    let members = node.as_object().unwrap_or_default();
    match members.iter().find(|member| near_miss(&member.key, MARKS).is_some()) {
        Some(member) => finding.hint_near_miss(&member.key, MARKS),
        None => finding.hint("only a directory that a suite names in `policies` may hold other JSON files"),
    };
}

fn described(node: &Node<'_>) -> String {
    match node.as_object().and_then(<[_]>::first) {
        Some(member) => format!("an object with `{}`", shown(&member.key)),
        None => node.kind().to_owned(),
    }
}

/// The directory that a suite names as its store; relative to the suite's own directory.
pub(super) fn store_directory(node: &Node<'_>, path: &Path) -> Option<PathBuf> {
    let named = node.get("policies")?.as_str()?;
    Some(path.parent().unwrap_or(Path::new("")).join(named))
}

/// What surrounds a suite.
pub(super) struct Surroundings<'s> {
    /// Its path.
    pub(super) path: &'s Path,
    /// The store of suites that name none.
    pub(super) default_store: Option<&'s Path>,
    /// How stores are read.
    pub(super) options: &'s StoreOptions,
}

/// Reads a suite; None if there is no store or no test to run. Even one with findings is not to be trusted.
pub(super) fn read(node: &Node<'_>, around: &Surroundings<'_>, reader: &mut Reader<'_>) -> Option<Suite> {
    for member in reader.object(node, "a suite") {
        if !SUITE_KEYS.contains(&member.key.as_ref()) {
            reader.unknown_key(member, "a suite", &SUITE_KEYS);
        }
    }
    if let Some(description) = node.get("description") {
        reader.string(description, "`description`");
    }
    let cases = read_cases(node, reader);
    let store = read_store(node, around, reader)?;
    (!cases.is_empty()).then(|| Suite { file: Arc::clone(reader.file), store, cases })
}

fn read_store(node: &Node<'_>, around: &Surroundings<'_>, reader: &mut Reader<'_>) -> Option<StoreSource> {
    let Some(policies) = node.get("policies") else {
        let Some(directory) = around.default_store else {
            reader
                .error(node.position, "no-store", "the suite names no policy store")
                .hint("give `policies` (a directory relative to this file, or the store itself), or `--policies DIR`");
            return None;
        };
        return Some(StoreSource::Directory(directory.to_owned()));
    };
    match &policies.value {
        Value::String(_) => store_directory(node, around.path).map(StoreSource::Directory),
        Value::Object(_) | Value::Array(_) => {
            let store = store::load_inline(reader.file, policies, around.options);
            Some(StoreSource::Inline(Box::new(store)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let message = format!("`policies` must be a directory or the store itself, found {}", policies.kind());
            reader.error(policies.position, "wrong-type", message);
            None
        }
    }
}

// --- tests ----------------------------------------------------------------------------------------------------------

/// The tests, or the one thing that is expected of the whole suite.
fn read_cases(node: &Node<'_>, reader: &mut Reader<'_>) -> Vec<Case> {
    let given: Vec<_> =
        node.as_object().unwrap_or_default().iter().filter(|member| MARKS.contains(&member.key.as_ref())).collect();
    if let [first, second, ..] = given.as_slice() {
        let message = format!("`{}` stands beside `{}`", second.key, first.key);
        reader.error(second.position, "contradiction", message).hint("a suite has `tests`, or `load_error` instead");
    }
    match given.first() {
        Some(member) if member.key == "tests" => read_tests(&member.node, reader),
        Some(member) => vec![read_suite_wide(member, reader)],
        None => Vec::new(),
    }
}

fn read_tests(node: &Node<'_>, reader: &mut Reader<'_>) -> Vec<Case> {
    let tests = reader.list(node, "`tests`");
    if node.as_array().is_some_and(<[_]>::is_empty) {
        reader.error(node.position, "no-tests", "the suite has no tests");
    }
    tests.iter().enumerate().map(|(index, test)| read_case(index, test, reader)).collect()
}

fn read_suite_wide(member: &Member<'_>, reader: &mut Reader<'_>) -> Case {
    let expect = if member.key == "expect" {
        read_expect(&member.node, reader)
    } else {
        Expect::LoadError(read_load_error(&member.node, reader))
    };
    if matches!(expect, Expect::Answer(_)) {
        let message = "only `load_error` can be expected of a whole suite";
        reader.error(member.position, "no-request", message).hint("put the request and `expect` into `tests`");
    }
    Case { name: "load_error".to_owned(), request: IsAuthorizedRequest::default(), expect, why: None }
}

fn read_case(index: usize, node: &Node<'_>, reader: &mut Reader<'_>) -> Case {
    for member in reader.object(node, "a test") {
        if !CASE_KEYS.contains(&member.key.as_ref()) {
            reader.unknown_key(member, "a test", &CASE_KEYS);
        }
    }
    let text = |key: &str, reader: &mut Reader<'_>| node.get(key).map(|n| reader.string(n, &format!("`{key}`")));
    let name = text("name", reader).unwrap_or_else(|| format!("tests[{index}]"));
    let why = text("why", reader);
    let request = node.get("request").map(|request| request::read(request, reader));
    let expect = match node.get("expect") {
        Some(expect) => read_expect(expect, reader),
        None => {
            missing(node, "expect", "a test", reader);
            Expect::LoadError(String::new())
        }
    };
    if request.is_none() && matches!(expect, Expect::Answer(_)) {
        missing(node, "request", "a test", reader);
    }
    Case { name, request: request.unwrap_or_default(), expect, why }
}

fn missing(node: &Node<'_>, key: &str, what: &str, reader: &mut Reader<'_>) {
    if node.as_object().is_some() {
        reader.error(node.position, "missing-key", format!("{what} needs `{key}`"));
    }
}

// --- what is expected -----------------------------------------------------------------------------------------------

fn read_expect(node: &Node<'_>, reader: &mut Reader<'_>) -> Expect {
    for member in reader.object(node, "`expect`") {
        if !EXPECT_KEYS.contains(&member.key.as_ref()) {
            reader.unknown_key(member, "`expect`", &EXPECT_KEYS);
        }
    }
    if let Some(load_error) = node.get("load_error") {
        if node.as_object().is_some_and(|members| members.len() > 1) {
            let message = "`load_error` stands beside an expected answer";
            reader.error(node.position, "contradiction", message).hint("a store that does not load decides nothing");
        }
        return Expect::LoadError(read_load_error(load_error, reader));
    }
    if node.get("decision").is_none() {
        missing(node, "decision", "`expect`", reader);
    }
    let answer = ExpectedAnswer {
        decision: node.get("decision").and_then(|decision| read_decision(decision, reader)),
        decided_by: node.get("decided_by").and_then(|decided_by| read_policy_type(decided_by, reader)),
        statements: node.get("statements").map(|list| reader.strings(list, "`statements`")),
        missing_context_keys: node.get("missing_context_keys").map(|l| reader.strings(l, "`missing_context_keys`")),
    };
    let invalid = node.get("decision").and_then(Node::as_str) == Some("INVALID");
    if invalid && node.as_object().is_some_and(|members| members.len() > 1) {
        let message = "an INVALID request has a `decision` only";
        reader.error(node.position, "contradiction", message);
    }
    Expect::Answer(answer)
}

fn read_load_error(node: &Node<'_>, reader: &mut Reader<'_>) -> String {
    let text = reader.string(node, "`load_error`");
    if node.as_str() == Some("") {
        reader.error(node.position, "empty-load-error", "`load_error` is empty: every error contains it");
    }
    text
}

fn read_decision(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Decision> {
    let known = Decision::ALL.iter().map(|decision| (decision.as_str(), Some(*decision)));
    read_word(node, "decision", &known.chain([("INVALID", None)]).collect::<Vec<_>>(), reader).flatten()
}

fn read_policy_type(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<PolicyType> {
    let known: Vec<_> = PolicyType::ALL.iter().map(|policy_type| (policy_type.as_str(), *policy_type)).collect();
    read_word(node, "decided_by", &known, reader)
}

fn read_word<T: Copy>(node: &Node<'_>, key: &str, known: &[(&str, T)], reader: &mut Reader<'_>) -> Option<T> {
    let written = reader.string(node, &format!("`{key}`"));
    let found = known.iter().find(|(word, _)| *word == written).map(|(_, meant)| *meant);
    if found.is_none() && node.as_str().is_some() {
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        let message = format!("`{}` is not a `{key}`", shown(&written));
        let finding = reader.error(node.position, "unknown-word", message);
        finding.hint(format!("it is one of {}", words.join(", ")));
        finding.hint_near_miss(&written, words);
    }
    found
}
