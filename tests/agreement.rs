//! The service, `iamd test` and `iamd check` answer alike, to the line: decision, what decided, the statements with their
//! places, and the keys that were missing. Every case of every suite is asked all ways.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use iamd::directory::StoreOptions;
use iamd::proto::v1;
use serde_json::{Value, json};

#[path = "support/program.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod program;
#[path = "support/service.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod service;

use service::Service;

const SUITES: [&str; 3] = ["examples/quickstart/tests", "tests/suites", "tests/conformance"];

/// A store with what it is asked.
struct Suite {
    name: String,
    store: PathBuf,
    requests: Vec<Value>,
}

/// What every way of asking says; None: the request is not valid.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    decision: String,
    statements: Vec<String>,
    missing: Vec<String>,
}

// --- the suites -----------------------------------------------------------------------------------------------------

fn suites(scratch: &Path) -> Vec<Suite> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    SUITES.iter().for_each(|folder| gather(&root.join(folder), &mut files));
    files.sort();
    files.iter().enumerate().filter_map(|(n, file)| suite(file, &scratch.join(n.to_string()))).collect()
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

/// None if it asks nothing: a store that must not load, or a file of a store.
fn suite(file: &Path, scratch: &Path) -> Option<Suite> {
    let suite: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).ok()?;
    let requests: Vec<Value> = suite["tests"].as_array()?.iter().map(|test| test["request"].clone()).collect();
    let requests: Vec<Value> = requests.into_iter().filter(Value::is_object).collect();
    let store = if let Some(folder) = suite["policies"].as_str() {
        file.parent().unwrap().join(folder)
    } else {
        fs::create_dir(scratch).unwrap();
        fs::write(scratch.join("store.json"), suite["policies"].to_string()).unwrap();
        scratch.to_owned()
    };
    (!requests.is_empty()).then(|| Suite { name: file.display().to_string(), store, requests })
}

/// A request in protobuf's JSON form, whichever way its fields are spelled.
fn message(request: &Value) -> v1::IsAuthorizedRequest {
    let field = |camel: &str, snake: &str| [&request[camel], &request[snake]].into_iter().find(|it| !it.is_null());
    let text = |camel: &str, snake: &str| field(camel, snake).map_or("", |it| it.as_str().unwrap()).to_owned();
    let members = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let context = members(field("context", "context")).into_iter();
    let tags = members(field("sessionTags", "session_tags")).into_iter();
    v1::IsAuthorizedRequest {
        principal: text("principal", "principal"),
        action: text("action", "action"),
        resource: text("resource", "resource"),
        context: context.map(|(key, it)| (key, v1::ContextValues { values: texts(&it["values"]) })).collect(),
        resource_account: text("resourceAccount", "resource_account"),
        session_policies: field("sessionPolicies", "session_policies").map(texts).unwrap_or_default(),
        session_tags: tags.map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect::<HashMap<_, _>>(),
        detail: v1::Detail::Statements.into(),
        federated_by: text("federatedBy", "federated_by"),
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

// --- asking ---------------------------------------------------------------------------------------------------------

async fn by_service(suite: &Suite) -> Vec<Option<Answer>> {
    let loaded = iamd::reload::load_once(&suite.store, &StoreOptions::default());
    let service = Service::start_on(loaded.unwrap_or_else(|e| panic!("{}: {}", suite.name, e[0])), &[]).await;
    let requests = suite.requests.iter().map(message).collect();
    let batch = service.client().await.batch_is_authorized(v1::BatchIsAuthorizedRequest { requests }).await.unwrap();
    let results = batch.into_inner().results.into_iter().map(|result| result.result.unwrap());
    let answers = results.map(|result| match result {
        v1::batch_result::Result::Response(response) => Some(of_response(&response)),
        v1::batch_result::Result::Error(_) => None,
    });
    answers.collect()
}

fn of_response(response: &v1::IsAuthorizedResponse) -> Answer {
    let short = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().to_owned();
    let (decision, by) = (response.decision().as_str_name(), response.decided_by().as_str_name());
    let statement = |it: &v1::StatementRef| {
        let name = if it.sid.is_empty() { format!("#{}", it.index) } else { it.sid.clone() };
        let kind = short(it.policy_type().as_str_name(), "POLICY_TYPE_");
        printable(&format!("{kind} {} {name} {}:{}:{}", it.policy, it.file, it.line, it.column))
    };
    Answer {
        decision: format!("{}, decided by {}", short(decision, "DECISION_"), short(by, "POLICY_TYPE_")),
        statements: response.statements.iter().map(statement).collect(),
        missing: response.missing_context_keys.iter().map(|key| printable(key)).collect(),
    }
}

/// As the command line shows it: control characters could steer a terminal.
fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escaped).collect()
}

/// Expects of every case what it is not, to be told what it is.
fn by_test(suite: &Suite, scratch: &Path) -> Vec<Option<Answer>> {
    let mut answers: Vec<Option<Answer>> = suite.requests.iter().map(|_| None).collect();
    for wrong in ["ALLOW", "IMPLICIT_DENY"] {
        let expect = json!({"decision": wrong, "statements": [], "missing_context_keys": []});
        let case = |(n, request): (usize, &Value)| json!({"name": n.to_string(), "request": request, "expect": expect});
        let tests: Vec<Value> = suite.requests.iter().enumerate().map(case).collect();
        let file = scratch.join("suite.json");
        fs::write(&file, json!({"policies": suite.store, "tests": tests}).to_string()).unwrap();
        let output = program::iamd(&["test", file.to_str().unwrap()]).output().unwrap();
        for failure in String::from_utf8(output.stdout).unwrap().split("FAILED ").skip(1) {
            let number: usize = failure.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
            answers[number] = answers[number].take().or_else(|| of_failure(failure));
        }
    }
    answers
}

/// `came: DECISION, decided by TYPE, statements [...], missing context keys [...]`, and the statements with their places.
fn of_failure(failure: &str) -> Option<Answer> {
    let came = failure.lines().find_map(|line| line.trim_start().strip_prefix("came:"))?.trim();
    let (decision, rest) = came.split_once(", statements [")?;
    let (_, missing) = rest.rsplit_once("], missing context keys [")?;
    let missing = missing.strip_suffix(']')?.split(", ").filter(|key| !key.is_empty()).map(str::to_owned).collect();
    let places = failure.lines().skip_while(|line| *line != "  statements:").skip(1);
    let statements = places.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    Some(Answer { decision: decision.to_owned(), statements, missing })
}

fn by_check(suite: &Suite, request: &Value, scratch: &Path, explain: bool) -> Option<Answer> {
    let file = scratch.join("request.json");
    fs::write(&file, request.to_string()).unwrap();
    let mut command = program::iamd(&["check", "--request", file.to_str().unwrap(), "--policies"]);
    command.arg(&suite.store).args(explain.then_some("--explain"));
    let output = command.output().unwrap();
    (output.status.code() != Some(2)).then(|| of_text(&String::from_utf8(output.stdout).unwrap()))
}

/// What `check` prints for people; the layers of an explanation are not the answer.
fn of_text(printed: &str) -> Answer {
    let mut lines = printed.lines().take_while(|line| *line != "layers:" && !line.starts_with("so ALLOW"));
    let (decision, rest) = (lines.next().unwrap().to_owned(), lines.collect::<Vec<_>>());
    let below = |heading: &str| {
        let after = rest.iter().skip_while(|line| **line != heading).skip(1);
        after.map_while(|line| line.strip_prefix("  ")).map(str::to_owned).collect::<Vec<_>>()
    };
    Answer { decision, statements: below("statements:"), missing: below("missing context keys:") }
}

// --- comparing ------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_asking_gets_the_same_answer() {
    let scratch = tempfile::tempdir().unwrap();
    let (mut count, mut explained) = (0, 0);
    for suite in suites(scratch.path()) {
        let expected = by_service(&suite).await;
        let tested = by_test(&suite, scratch.path());
        for ((request, expected), tested) in suite.requests.iter().zip(&expected).zip(&tested) {
            assert_eq!(tested, expected, "{}: {request}", suite.name);
            count += 1;
            explained += usize::from(expected.as_ref().is_some_and(|answer| !answer.statements.is_empty()));
        }
        // A process for each case takes long.
        for (n, (request, expected)) in suite.requests.iter().zip(&expected).step_by(10).enumerate() {
            let checked = by_check(&suite, request, scratch.path(), n % 2 == 0);
            assert_eq!(&checked, expected, "{}: {request}", suite.name);
        }
    }
    assert!(count > 1_000 && explained > 300, "only {count} cases were asked, {explained} of them with statements");
}
