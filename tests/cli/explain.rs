//! `iamd check --explain`: what it prints in telling situations, word for word, beside this in `tests/data/explain`.
//!
//! `UPDATE_EXPLAIN=1 cargo test --test cli` writes what the program prints now; read what changed.
#![expect(clippy::disallowed_methods, reason = "reads what is expected, not policies")]

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{Place, Run};

/// Name, store, and the request.
type Situation = (&'static str, &'static str, &'static [&'static str]);

const QUICKSTART: &str = "examples/quickstart/store";
/// With an organization, a boundary, a VPC endpoint; and a bucket that names a role.
const STORE: &str = "tests/data/explain/store";

const ALICE: &str = "--principal=arn:aws:iam::123456789012:user/alice";
const BOB: &str = "--principal=arn:aws:iam::123456789012:user/bob";
const SESSION: &str = "--principal=arn:aws:sts::123456789012:assumed-role/worker/s1";

const SITUATIONS: [Situation; 16] = [
    (
        "an-explicit-deny",
        QUICKSTART,
        &[
            BOB,
            "--action=ec2:TerminateInstances",
            "--resource=arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0",
        ],
    ),
    (
        "a-missing-key",
        QUICKSTART,
        &[ALICE, "--action=s3:GetObject", "--resource=arn:aws:s3:::acme-reports/2026/q1.csv"],
    ),
    (
        "another-account",
        QUICKSTART,
        &[
            "--principal=arn:aws:iam::123456789012:user/carol",
            "--action=sts:AssumeRole",
            "--resource=arn:aws:iam::210987654321:role/ProductionSupport",
        ],
    ),
    (
        "granted-directly",
        QUICKSTART,
        &[BOB, "--action=s3:GetObject", "--resource=arn:aws:s3:::acme-reports/shop/q1.csv"],
    ),
    (
        "a-service",
        QUICKSTART,
        &[
            "--principal=logging.s3.amazonaws.com",
            "--action=s3:PutObject",
            "--resource=arn:aws:s3:::acme-reports/access-logs/1",
            "--context=aws:SourceAccount=123456789012",
        ],
    ),
    (
        "a-key-without-policy",
        QUICKSTART,
        &[
            "--principal=arn:aws:iam::123456789012:user/grace",
            "--action=kms:Decrypt",
            "--resource=arn:aws:kms:eu-central-1:123456789012:key/unknown",
        ],
    ),
    (
        "a-key-that-trusts-its-account",
        QUICKSTART,
        &[
            "--principal=arn:aws:iam::123456789012:user/grace",
            "--action=kms:Decrypt",
            "--resource=arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        ],
    ),
    ("no-permission-needed", QUICKSTART, &[BOB, "--action=sts:GetCallerIdentity", "--resource=*"]),
    (
        "an-organization",
        STORE,
        &[
            ALICE,
            "--action=s3:PutObject",
            "--resource=arn:aws:s3:::mine/x",
            "--context=s3:max-keys=many",
            "--context=aws:RequestedRegion=us-east-1",
        ],
    ),
    (
        "a-variable",
        STORE,
        &[
            ALICE,
            "--action=s3:GetObject",
            "--resource=arn:aws:s3:::home/alice/public/okta",
            "--context=aws:FederatedProvider=okta",
        ],
    ),
    (
        "a-session",
        STORE,
        &[SESSION, "--action=s3:GetObject", "--resource=arn:aws:s3:::shared/x", "--session-policy=session.json"],
    ),
    (
        "an-endpoint",
        STORE,
        &[SESSION, "--action=s3:PutObject", "--resource=arn:aws:s3:::shared/x", "--context=aws:SourceVpce=vpce-1"],
    ),
    (
        "several-values",
        STORE,
        &[
            SESSION,
            "--action=s3:PutObjectTagging",
            "--resource=arn:aws:s3:::shared/x",
            "--context=aws:TagKeys=team",
            "--context=aws:TagKeys=cost",
        ],
    ),
    ("a-bucket-that-trusts-its-account", STORE, &[ALICE, "--action=s3:GetObject", "--resource=arn:aws:s3:::team/x"]),
    ("not-principal", STORE, &[ALICE, "--action=s3:DeleteObject", "--resource=arn:aws:s3:::shared/x"]),
    (
        "a-stranger",
        STORE,
        &[
            "--principal=arn:aws:iam::555555555555:user/eve",
            "--action=s3:GetObject",
            "--resource=arn:aws:s3:::shared/x",
        ],
    ),
];

const SESSION_POLICY: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Queues", "Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
  ]
}"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn check((_, store, request): Situation, more: &[&str]) -> Run {
    let store = root().join(store);
    let arguments = ["check", "--policies", store.to_str().unwrap()];
    Place::new(&[("session.json", SESSION_POLICY)]).run(&[&arguments[..], request, more].concat())
}

/// Compares with the file, or writes it.
fn expect(file: &str, printed: &str) {
    let path: PathBuf = root().join("tests/data/explain").join(file);
    if std::env::var_os("UPDATE_EXPLAIN").is_some() {
        std::fs::write(&path, printed).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(printed == expected, "{file}: UPDATE_EXPLAIN=1 cargo test --test cli\n{printed}");
}

/// A line for each layer, after one for the rest: whole documents are long.
fn by_layer(mut json: Value) -> String {
    let layers = json["explanation"]["layers"].take();
    let layers = layers.as_array().unwrap().iter().map(ToString::to_string);
    let lines = std::iter::once(json.to_string()).chain(layers);
    lines.map(|line| line + "\n").collect()
}

#[test]
fn explanations_are_readable() {
    for situation in SITUATIONS {
        let run = check(situation, &["--explain"]);
        assert!(!run.out.contains('\u{1b}'), "colours are for terminals");
        expect(&format!("{}.txt", situation.0), &run.out);
    }
}

#[test]
fn explanations_are_machine_readable() {
    for situation in SITUATIONS {
        let json: Value = check(situation, &["--explain", "--format=json"]).out.parse().unwrap();
        expect(&format!("{}.jsonl", situation.0), &by_layer(json));
    }
}

/// What is asked for besides changes nothing of the answer.
#[test]
fn an_explanation_is_added_to_the_answer() {
    for situation in SITUATIONS {
        let [brief, explained] = [&[][..], &["--explain"]].map(|more| check(situation, more));
        let added = explained.out.strip_prefix(&brief.out).unwrap_or_else(|| panic!("{}", situation.0));
        assert!(added.starts_with("layers:\n") || added.starts_with("so ALLOW"), "{added}");
        assert_eq!((brief.code, brief.err), (explained.code, explained.err));
        let json = |more: &[&str]| check(situation, more).out.parse::<Value>().unwrap();
        let (brief, mut explained) = (json(&["--format=json"]), json(&["--explain", "--format=json"]));
        let explanation = explained.as_object_mut().unwrap().remove("explanation").unwrap();
        assert_eq!(brief, explained, "{}", situation.0);
        assert!(added.ends_with(&format!(": {}\n", explanation["conclusion"].as_str().unwrap())), "{added}");
    }
}

/// Nothing is forgotten: for each layer what decides stands in both.
#[test]
fn text_and_json_have_the_same_layers() {
    for situation in SITUATIONS {
        let text = check(situation, &["--explain"]).out;
        let json: Value = check(situation, &["--explain", "--format=json"]).out.parse().unwrap();
        let layers = json["explanation"]["layers"].as_array().unwrap();
        for layer in layers {
            let name = layer["policyType"].as_str().unwrap().trim_start_matches("POLICY_TYPE_");
            let says = match layer["standing"].as_str().unwrap() {
                "DENIES" => "denies",
                "ALLOWS" => "allows",
                "DOES_NOT_ALLOW" => "does not allow: ",
                "NOT_NEEDED" => "need not allow: ",
                "NO_SAY" => "no say: ",
                other => panic!("{other}"),
            };
            let line = format!("  {name:<20}  {says}");
            assert!(text.lines().any(|it| it.starts_with(&line)), "{}: `{line}` in\n{text}", situation.0);
        }
        assert!(layers.len() == 7 || situation.0 == "no-permission-needed");
    }
}

#[test]
fn the_environment_can_ask_for_it() {
    let (_, store, request) = SITUATIONS[0];
    let store = root().join(store);
    let arguments = ["check", "--policies", store.to_str().unwrap()];
    let run = Place::new(&[]).run_with(&[&arguments[..], request].concat(), &[("IAMD_EXPLAIN", "yes")], "");
    assert!(run.out.contains("\nlayers:\n"), "{}", run.out);
}
