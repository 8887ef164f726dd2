//! The second evaluator passes the suites that the program passes: a disagreement elsewhere is then worth a look.

use std::path::{Path, PathBuf};

use iamd::reload::source::SourceFiles;
use serde_json::Value;

use super::decide::decide;
use super::question::Question;
use super::request::Request;
use super::store::{Store, strings};

const SUITES: [&str; 3] = ["examples/quickstart/tests", "tests/suites", "tests/conformance"];

#[test]
fn the_reference_passes_every_suite() {
    let (mut passed, mut failures) = (0, Vec::new());
    for folder in SUITES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for (path, suite) in json_files(&folder).into_iter().filter(|(_, json)| json.get("tests").is_some()) {
            let store = store(&folder.join(&path), &suite["policies"]);
            for test in suite["tests"].as_array().unwrap() {
                match check(&store, test) {
                    Ok(()) => passed += 1,
                    Err(failure) => failures.push(format!("{path}: {}: {failure}", test["name"])),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures, {passed} passed:\n{}", failures.len(), failures.join("\n"));
    assert!(passed > 1_000, "only {passed} cases were run");
}

fn json_files(folder: &Path) -> Vec<(String, Value)> {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_default();
    SourceFiles::read(folder).files.iter().map(|file| (file.path.to_string(), read(&file.text))).collect()
}

fn store(path: &Path, policies: &Value) -> Store {
    let Some(folder) = policies.as_str() else { return Store::read([("", policies)]) };
    let folder: PathBuf = path.parent().unwrap().join(folder);
    let files = json_files(&folder);
    Store::read(files.iter().map(|(path, value)| (path.as_str(), value)))
}

fn check(store: &Store, test: &Value) -> Result<(), String> {
    let expected = &test["expect"];
    // What is no request is not the reference's to say.
    if expected["decision"] == "INVALID" {
        return Ok(());
    }
    let request = Request::read(&test["request"]);
    let verdict = decide(&Question::new(store, &request, jiff::Timestamp::now().as_second()));
    let differs = |key: &str, is: &str| expected.get(key).is_some_and(|expected| expected != is);
    if differs("decision", verdict.decision.as_str()) || differs("decided_by", verdict.decided_by.as_str()) {
        return Err(format!("{expected}, but {verdict:?}"));
    }
    match expected.get("statements") {
        Some(expected) if strings(expected).len() != verdict.statements.len() => {
            Err(format!("{expected}, but {verdict:?}"))
        }
        _ => Ok(()),
    }
}
