//! A disagreement made small, and written as a suite.

use serde_json::{Value, json};

use super::compare::{Answers, Pair};
use super::request::Request;

/// One step into a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// Takes away whatever is not needed for the two to disagree, the largest pieces first.
pub(super) fn shrink(files: &[Value], request: &Value) -> (Vec<Value>, Value) {
    let mut case = json!({"files": files, "request": request});
    // Opened, so that documents in strings are made smaller, too: read as their text again, they are what they were.
    open(&mut case);
    loop {
        let before = case.to_string().len();
        for path in paths(&case) {
            let Some(smaller) = without(&case, &path) else { continue };
            if still_disagree(&smaller) {
                case = smaller;
            }
        }
        if case.to_string().len() == before {
            break;
        }
    }
    let session = case.pointer_mut("/request/sessionPolicies").and_then(Value::as_array_mut);
    for policy in session.into_iter().flatten() {
        *policy = policy.to_string().into();
    }
    (case["files"].as_array().unwrap().clone(), case["request"].clone())
}

fn open(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(document @ Value::Object(_)) = serde_json::from_str(text) {
                *value = document;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(open),
        Value::Object(map) => map.values_mut().for_each(open),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn still_disagree(case: &Value) -> bool {
    let Some(files) = case["files"].as_array() else { return false };
    let Ok(pair) = Pair::load(files) else { return false };
    let answers = pair.ask(&Request::read(&case["request"]));
    answers.real.is_some() && !answers.agree()
}

/// Every place of a value: those with the least steps first, and of a list the last first, so that taking one away
/// leaves the places of the others.
fn paths(value: &Value) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    walk(value, &[], &mut all);
    all.sort_by_key(Vec::len);
    all
}

fn walk(value: &Value, at: &[Step], all: &mut Vec<Vec<Step>>) {
    let steps: Vec<(Step, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect(),
        Value::Array(list) => list.iter().enumerate().rev().map(|(n, value)| (Step::Index(n), value)).collect(),
        _ => Vec::new(),
    };
    for (step, value) in steps {
        let mut path = at.to_vec();
        path.push(step);
        walk(value, &path, all);
        all.push(path);
    }
}

fn without(case: &Value, path: &[Step]) -> Option<Value> {
    let mut case = case.clone();
    let (last, above) = path.split_last()?;
    let mut place = &mut case;
    for step in above {
        place = match step {
            Step::Key(key) => place.get_mut(key)?,
            Step::Index(index) => place.get_mut(index)?,
        };
    }
    match (last, place) {
        (Step::Key(key), Value::Object(map)) => drop(map.remove(key)?),
        (Step::Index(index), Value::Array(list)) if *index < list.len() => drop(list.remove(*index)),
        _ => return None,
    }
    Some(case)
}

/// The case as a file of tests/suites/regressions, which expects what the reference says.
pub(super) fn suite(files: &[Value], request: &Value) -> String {
    let Answers { real, reference } = Pair::load(files).unwrap().ask(&Request::read(request));
    let expect = json!({
        "decision": reference.decision.as_str(),
        "decided_by": reference.decided_by.as_str(),
        "statements": reference.statements.iter().map(|(_, policy, index)| format!("{policy}#{index}")).collect::<Vec<_>>(),
    });
    let suite = json!({
        "description": "",
        "policies": files,
        "tests": [{"name": "", "request": request, "expect": expect, "why": "rule "}],
    });
    format!("{suite:#}\nthe program said {real:?}\nthe reference said {reference:?}")
}
