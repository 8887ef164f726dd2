//! Seeds, expected decisions, and what iamd says about it.

use std::collections::HashSet;
use std::path::Path;

use clap::Parser;
use serde_json::Value;

use super::questions::Question;
use super::*;
use crate::load::answer::Decision;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: GenerateArgs,
}

fn args(directory: &Path, options: &str) -> GenerateArgs {
    let line = format!("generate {} {options}", directory.display());
    Line::parse_from(line.split_whitespace()).args
}

/// All files below, by name.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

const OPTIONS: [&str; 4] = [
    "--users 40 --groups 5 --groups-per-user 2 --policies-per-group 2 --policies 30 --policies-per-user 3 --requests 500",
    "--users 40 --policies 30 --policies-per-user 3 --requests 500 --kind actions --conditions 50",
    "--users 40 --policies 30 --policies-per-user 3 --requests 500 --kind worst --statements-per-policy 25",
    "--users 1 --policies 1 --policies-per-user 1 --statements-per-policy 1 --objects 1 --requests 50",
];

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let directory = tempfile::tempdir().unwrap();
    let of = |name: &str, seed: u64| {
        let path = directory.path().join(name);
        generate(&args(&path, &format!("{} --peers --seed {seed}", OPTIONS[0]))).unwrap();
        files(&path)
    };
    let (one, same, other) = (of("a", 7), of("b", 7), of("c", 8));
    assert!(one == same);
    assert_ne!(one, other);
    assert!(one.iter().any(|(name, _)| name == "store/111122223333/policies/00000.json"));
}

/// A second opinion, from the files alone: every statement of every policy of the user, by the words of the policy.
fn decide(store: &[Value], request: &Value) -> Decision {
    let list =
        |kind: &str| -> Vec<&Value> { store.iter().filter_map(|file| file[kind].as_array()).flatten().collect() };
    let attached = |entity: &Value| -> Vec<String> {
        let policies = entity["AttachedManagedPolicies"].as_array().unwrap();
        policies.iter().map(|policy| policy["PolicyArn"].as_str().unwrap().to_owned()).collect()
    };
    let user = list("UserDetailList").into_iter().find(|user| user["Arn"] == request["principal"]).unwrap();
    let mut arns = attached(user);
    for group in list("GroupDetailList") {
        if user["GroupList"].as_array().unwrap().contains(&group["GroupName"]) {
            arns.extend(attached(group));
        }
    }
    let policies =
        list("Policies").into_iter().filter(|policy| arns.contains(&policy["Arn"].as_str().unwrap().to_owned()));
    let statements =
        policies.flat_map(|policy| policy["PolicyVersionList"][0]["Document"]["Statement"].as_array().unwrap());
    let effects: HashSet<&str> = statements
        .filter(|statement| applies(statement, request))
        .map(|statement| statement["Effect"].as_str().unwrap())
        .collect();
    match (effects.contains("Deny"), effects.contains("Allow")) {
        (true, _) => Decision::ExplicitDeny,
        (false, true) => Decision::Allow,
        (false, false) => Decision::ImplicitDeny,
    }
}

fn applies(statement: &Value, request: &Value) -> bool {
    let like = |pattern: &Value, text: &Value| {
        let (pattern, text) = (pattern.as_str().unwrap(), text.as_str().unwrap_or("?"));
        match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            (Some(start), _) => text.starts_with(start),
            (None, Some(end)) => text.ends_with(end),
            (None, None) => pattern == text,
        }
    };
    let value = |key: &str| request["context"][key]["values"][0].clone();
    let condition = &statement["Condition"];
    let network = &condition["IpAddress"]["aws:SourceIp"];
    let tls = &condition["Bool"]["aws:SecureTransport"];
    let tag = &condition["StringLike"]["s3:ExistingObjectTag/app"];
    like(&statement["Action"], &request["action"])
        && like(&statement["Resource"], &request["resource"])
        && (network.is_null() || value("aws:SourceIp").as_str().unwrap().starts_with("203.0.113."))
        && (tls.is_null() || value("aws:SecureTransport") == *tls)
        && (tag.is_null() || like(tag, &value("s3:ExistingObjectTag/app")))
}

#[test]
fn every_request_is_different_and_gets_the_decision_that_is_promised() {
    for options in OPTIONS {
        let directory = tempfile::tempdir().unwrap();
        generate(&args(directory.path(), options)).unwrap();
        let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let store: Vec<Value> = files(&directory.path().join("store")).iter().map(|(_, bytes)| read(bytes)).collect();
        let requests = read(&std::fs::read(directory.path().join("requests.json")).unwrap());
        let requests = requests.as_array().unwrap();
        let letters = std::fs::read_to_string(directory.path().join("requests.decisions")).unwrap();
        let mut counts = [0; 4];
        for (request, letter) in requests.iter().zip(letters.lines()) {
            let decision = decide(&store, request);
            assert_eq!(decision.letter().to_string(), letter, "{options}: {request}");
            counts[decision as usize] += 1;
        }
        let different: HashSet<String> = requests.iter().map(ToString::to_string).collect();
        assert_eq!(different.len(), requests.len());
        assert!(counts[1] > requests.len() / 2, "{options}: {counts:?}");
    }
}

#[test]
fn while_a_file_changes_only_what_it_turns_round_may_change() {
    let directory = tempfile::tempdir().unwrap();
    generate(&args(directory.path(), &format!("{} --changed", OPTIONS[0]))).unwrap();
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    std::fs::copy(
        directory.path().join("changed/00000.json"),
        directory.path().join("store/111122223333/policies/00000.json"),
    )
    .unwrap();
    let store: Vec<Value> = files(&directory.path().join("store")).iter().map(|(_, bytes)| read(bytes)).collect();
    let requests = read(&std::fs::read(directory.path().join("requests.json")).unwrap());
    let either = std::fs::read_to_string(directory.path().join("changed.decisions")).unwrap();
    let before = std::fs::read_to_string(directory.path().join("requests.decisions")).unwrap();
    let mut turned = 0;
    for ((request, either), before) in requests.as_array().unwrap().iter().zip(either.lines()).zip(before.lines()) {
        let now = decide(&store, request).letter().to_string();
        assert!(either.contains(&now) && either.contains(before), "{request}");
        assert_eq!(either.len() == 2, now != before, "{request}");
        turned += usize::from(now != before);
    }
    assert!(turned > 20, "{turned}");
}

#[test]
fn options_that_fit_no_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |options: &str| generate(&args(directory.path(), options)).unwrap_err();
    assert_eq!(refused("--policies 5"), "more policies are attached than there are");
    assert_eq!(refused("--users 0"), "`--users` is at least 1");
    assert_eq!(refused("--groups-per-user 1"), "users are in more groups than there are");
    assert_eq!(refused("--allowed 95"), "shares are more than 100 %");
    assert_eq!(refused("--kind worst --peers"), "`--peers` is for `--kind resources`");
}

/// `IAMD=target/release/iamd cargo test -- --ignored`, or after `cargo build --release` in the root.
#[test]
#[ignore = "needs the iamd binary: build it first (cargo build --release), then run with --include-ignored"]
fn iamd_takes_the_store_and_decides_as_promised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let iamd = std::env::var_os("IAMD").map_or_else(|| root.join("target/release/iamd"), Into::into);
    for options in OPTIONS {
        let directory = tempfile::tempdir().unwrap();
        generate(&args(directory.path(), options)).unwrap();
        for (command, path) in [("validate", "store"), ("test", "tests.json")] {
            let output =
                std::process::Command::new(&iamd).arg(command).arg(directory.path().join(path)).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{options}: {text}");
            assert!(command == "test" || text.contains("no errors, no warnings"), "{options}: {text}");
        }
    }
}

#[test]
fn requests_in_a_row_are_of_one_caller_from_one_place() {
    let directory = tempfile::tempdir().unwrap();
    let args = args(directory.path(), &format!("{} --in-a-row 20", OPTIONS[0]));
    let asked = questions(&World::new(&args), &args).unwrap();
    let who = |question: &Question| (question.user, question.context["aws:SourceIp"].clone());
    let callers: HashSet<_> = asked.chunks(20).map(|row| who(&row[0])).collect();
    assert!(asked.chunks(20).all(|row| row.iter().all(|question| who(question) == who(&row[0]))));
    assert!(callers.len() > 10, "{callers:?}");
}
