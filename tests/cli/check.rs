//! `iamd check`

use serde_json::{Value, json};

use super::program::{ALICE, Place, Run, USER};

const READ: [&str; 6] = ["--principal", ALICE, "--action", "s3:GetObject", "--resource", "arn:aws:s3:::home/a"];

fn place() -> Place {
    Place::new(&[
        ("store/alice.json", USER),
        ("broken/a.json", "{\"UserName\": 1, \"UserName\": 2}"),
        ("broken/b.json", "{"),
        (
            "request.json",
            r#"{"principal": "arn:aws:iam::123456789012:user/alice", "action": "s3:GetObject", "detail": "DETAIL_STATEMENTS",
                "resource": "arn:aws:s3:::home/a", "context": {"aws:SourceIp": {"values": ["203.0.113.7"]}}}"#,
        ),
        ("typo.json", "{\n \"principle\": \"x\", \"session_policies\": \"y\"}"),
        ("session.json", r#"{"Version": "2012-10-17", "Statement": []}"#),
    ])
}

fn check(more: &[&str]) -> Run {
    place().run(&[&["check", "--policies", "store"], more].concat())
}

#[test]
fn what_nothing_allows_is_denied() {
    let run = check(&READ);
    assert_eq!((run.code, run.err.as_str()), (3, ""));
    assert_eq!(run.out.lines().next(), Some("IMPLICIT_DENY, decided by IDENTITY"));
}

#[test]
fn a_caller_that_the_store_does_not_have_is_mentioned() {
    let arn = |name: &str| format!("arn:aws:{name}");
    let cases = [
        (arn("iam::123456789012:user/alic"), Some("user")),
        (arn("iam::123456789012:role/path/Gone"), Some("role")),
        (arn("sts::123456789012:assumed-role/Gone/session"), Some("role")),
        (arn("iam::123456789012:root"), None),
        ("ec2.amazonaws.com".to_owned(), None),
    ];
    for (principal, kind) in cases {
        let run = check(&["--principal", &principal, "--action", "s3:GetObject", "--resource", "arn:aws:s3:::home/a"]);
        let mention = |kind| format!("the policy store has no {kind} `{principal}`, so it has no identity policies\n");
        assert_eq!(run.err, kind.map(mention).unwrap_or_default());
    }
}

#[test]
fn json_is_the_answer_of_the_service() {
    let run = check(&[&READ[..], &["--format", "json"]].concat());
    assert_eq!(run.code, 3);
    let response: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(
        response,
        json!({
            "decision": "DECISION_IMPLICIT_DENY",
            "decidedBy": "POLICY_TYPE_IDENTITY",
            "snapshotVersion": "1",
            "statements": [],
            "missingContextKeys": [],
        })
    );
}

#[test]
fn a_request_comes_from_a_file_or_stdin_too() {
    let place = place();
    let by_file = place.run(&["check", "--policies", "store", "--request", "request.json"]);
    assert_eq!((by_file.code, by_file.err.as_str()), (3, ""));
    let stdin = place.read("request.json");
    let by_stdin = place.run_with(&["check", "--policies", "store", "--request", "-"], &[], &stdin);
    assert_eq!((by_stdin.code, &by_stdin.out), (3, &by_file.out));
    let environment = [("IAMD_POLICIES", "store"), ("IAMD_REQUEST", "request.json")];
    assert_eq!(place.run_with(&["check"], &environment, "").out, by_file.out);
}

#[test]
fn wrong_requests_are_usage_errors_that_name_the_flag() {
    let with = |more: &[&'static str]| [&READ[..], more].concat();
    let session = "arn:aws:sts::123456789012:assumed-role/r/s";
    for (arguments, expected) in [
        (
            vec!["--principal", "bob", "--action", "s3:GetObject", "--resource", "*"],
            "error: --principal: `bob` must be ",
        ),
        (vec!["--principal", ALICE, "--action", "s3:*", "--resource", "*"], "error: --action: `s3:*` must be "),
        (
            vec!["--principal", ALICE, "--action", "s3:GetObject", "--resource", "home"],
            "error: --resource: `home` must be ",
        ),
        (vec!["--principal", ALICE, "--action", "s3:GetObject"], "--resource <R>"),
        (with(&["--context", "aws:SourceIp"]), "must be KEY=VALUE"),
        (with(&["--context", "a:B=1", "--context", "A:b=2"]), "error: --context: `a:b` is given twice"),
        (with(&["--resource-account", "12"]), "error: --resource-account: `12` is not"),
        (with(&["--session-policy", "session.json"]), "error: --session-policy: only a session has them"),
        (
            with(&["--session-policy", "absent.json"]),
            "error: --session-policy: `absent.json` cannot be read: no such file",
        ),
        (with(&["--session-tag", "a=b"]), "error: --session-tag: only a session has them"),
        (with(&["--session-tag", "a=b", "--session-tag", "a=c"]), "error: --session-tag: `a` is given twice"),
        (with(&["--federated-by", ALICE]), "error: --federated-by: "),
        (with(&["--request", "request.json"]), "cannot be used with"),
        (vec!["--principal", session, "--request", "-"], "cannot be used with"),
        (vec!["--request", "absent.json"], "error: --request: `absent.json` cannot be read: no such file or directory"),
    ] {
        let run = check(&arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}: {}", run.err);
        assert!(run.err.contains(expected), "{arguments:?}: {}", run.err);
    }
}

#[test]
fn wrong_fields_of_a_request_file_have_their_places() {
    let run = check(&["--request", "typo.json"]);
    assert_eq!((run.code, run.out.as_str()), (2, ""));
    let expected = "typo.json:2:2: unknown key `principle` in a request\n  hint: did you mean `principal`?\n\
                    typo.json:2:40: `session_policies` must be a list, found a string\n\
                    error: 2 errors, no warnings in 1 file\n";
    assert_eq!(run.err, expected);
    let run = place().run_with(
        &["check", "--policies", "store", "--request", "-"],
        &[],
        "{\"principal\": \"bob\", \"action\": \"a:B\"}",
    );
    assert_eq!(run.code, 2);
    assert!(run.err.starts_with("error: --request: principal: `bob` must be "), "{}", run.err);
}

#[test]
fn values_may_be_empty_and_keys_repeat() {
    let more = ["--context", "aws:TagKeys=a=b", "--context", "aws:TagKeys=", "--context", "aws:RequestTag/x="];
    let run = check(&[&READ[..], &more].concat());
    assert_eq!((run.code, run.err.as_str()), (3, ""));
}

#[test]
fn sessions_bring_policies_and_tags() {
    let run = check(&[
        "--principal=arn:aws:sts::123456789012:federated-user/f",
        "--action=s3:GetObject",
        "--resource=arn:aws:s3:::home/a",
        "--session-tag=team=red",
        "--federated-by",
        ALICE,
        "--resource-account=123456789012",
    ]);
    assert_eq!((run.code, run.err.as_str()), (3, ""));
}

#[test]
fn a_store_that_does_not_load_decides_nothing() {
    let run = place().run(&[&["check", "--policies", "broken"], &READ[..]].concat());
    assert_eq!((run.code, run.out.as_str()), (1, ""));
    assert!(
        run.err.contains("broken/a.json:1:17: the key `UserName` is given twice, first on line 1\n"),
        "{}",
        run.err
    );
    assert!(run.err.contains("broken/b.json:1:2: "), "{}", run.err);
    assert!(
        run.err.ends_with("error: the policy store `broken` cannot be loaded: 2 errors, no warnings in 2 files\n"),
        "{}",
        run.err
    );
    let absent = place().run(&[&["check", "--policies", "absent"], &READ[..]].concat());
    let expected = "absent:1:1: cannot read `absent`, expected the policy store: no such file or directory\n  \
                    hint: is the path right, and the volume mounted?\n\
                    error: the policy store `absent` cannot be loaded: 1 error, no warnings in 1 file\n";
    assert_eq!((absent.code, absent.err.as_str()), (1, expected));
}

#[test]
fn a_partition_that_the_service_refuses_is_refused_here() {
    let run = place().run(&[&["check", "--policies", "broken", "--partition", "azure"], &READ[..]].concat());
    assert_eq!(run.code, 2, "{}", run.err);
    assert!(run.err.contains("'azure' for '--partition <NAME>': must be `aws`, `aws-cn`, "), "{}", run.err);
}

/// With the evaluator in place.
#[test]
fn the_statement_that_decides_is_shown() {
    let policy = r#"{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
  {"Sid": "NoDelete", "Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}]}"#;
    let user = format!(
        r#"{{"UserName": "alice", "Arn": "{ALICE}", "UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": {policy}}}]}}"#
    );
    let place = Place::new(&[("store/alice.json", &user)]);
    let ask = |action| {
        place.run(&[
            "check",
            "--policies",
            "store",
            "--principal",
            ALICE,
            "--resource",
            "arn:aws:s3:::b/k",
            "--action",
            action,
        ])
    };
    let allowed = ask("s3:GetObject");
    assert_eq!(allowed.code, 0, "{}", allowed.err);
    let expected = format!("ALLOW, decided by IDENTITY\nstatements:\n  IDENTITY {ALICE}/inline/p #0 alice.json:2:3\n");
    assert_eq!(allowed.out, expected);
    let denied = ask("s3:DeleteObject");
    assert_eq!(denied.code, 3, "{}", denied.err);
    let expected = format!(
        "EXPLICIT_DENY, decided by IDENTITY\nstatements:\n  IDENTITY {ALICE}/inline/p NoDelete alice.json:3:3\n"
    );
    assert_eq!(denied.out, expected);
}
