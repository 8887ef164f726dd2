//! What deciding and indexing ask of the allocator.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "figures, for `--nocapture`")]

use std::alloc::System;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

#[path = "../benches/common/call.rs"]
#[expect(dead_code, reason = "benches need more of it")]
mod call;

use iamd::access::{AccessRequest, Decision, Detail, RawRequest};
use iamd::directory::{Directory, Loader, StoreOptions};
use iamd::engine::Engine;
use iamd::evaluate::{self, SessionPolicies};
use iamd::policy::PolicySet;
use iamd::proto::v1;
use iamd::server::grpc::Unary;
use iamd::server::logging::Hearers;
use iamd::server::messages::HEAD_BYTES;
use iamd::snapshot::{Loaded, Revision, Snapshot};
use prost::Message as _;
use prost::bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STORE: [(&str, &str); 4] = [
    (
        "users.json",
        r#"[{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice",
             "Tags": [{"Key": "Team", "Value": "blue"}], "GroupList": ["readers"],
             "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
             "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "arn:aws:s3:::home/${aws:username}/*",
                 "Condition": {
                    "StringEquals": {"aws:PrincipalTag/Team": ["blue", "green"], "aws:PrincipalAccount": "123456789012"},
                    "StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*", "s3:prefix": "${aws:PrincipalTag/Team}/*"},
                    "StringEqualsIgnoreCase": {"s3:authType": "rest-header"},
                    "StringNotEqualsIfExists": {"aws:ResourceAccount": "210987654321"},
                    "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/${aws:username}"},
                    "NumericLessThan": {"s3:max-keys": "1000"},
                    "DateGreaterThan": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"},
                    "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "stage"]},
                    "IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]},
                    "Bool": {"aws:SecureTransport": "true"}}},
                {"Effect": "Deny", "Action": "*", "NotResource": ["arn:aws:s3:::home/${aws:username}/*", "arn:aws:s3:::data*"]},
                {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}]}}]}]"#,
    ),
    (
        "groups.json",
        r#"[{"GroupName": "readers", "Arn": "arn:aws:iam::123456789012:group/readers",
             "AttachedManagedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]}]"#,
    ),
    (
        "bucket.json",
        r#"{"ResourceArn": "arn:aws:s3:::data", "AccountId": "123456789012", "ResourcePolicy": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"],
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}}"#,
    ),
    ("other.json", r#"{"ResourceArn": "arn:aws:s3:::other", "AccountId": "123456789012"}"#),
];

const CONTEXT: [(&str, &[&str]); 8] = [
    ("aws:SourceIp", &["203.0.113.7"]),
    ("aws:SecureTransport", &["true"]),
    ("aws:TokenIssueTime", &["2026-11-22T06:00:00Z"]),
    ("aws:TagKeys", &["team", "stage"]),
    ("s3:prefix", &["blue/x"]),
    ("s3:max-keys", &["100"]),
    ("s3:authType", &["rest-header"]),
    ("aws:RequestedRegion", &["eu-west-1"]),
];

fn load<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Directory {
    let mut loader = Loader::new(&StoreOptions::default());
    files.into_iter().for_each(|(path, text)| loader.file(path, text));
    loader.finish().expect("a store").0
}

fn decide(snapshot: &Snapshot, request: &AccessRequest<'_>) -> Decision {
    let sessions = SessionPolicies::default();
    evaluate::decide(snapshot, request, &sessions, &|| snapshot.loaded_at, Detail::Decision).outcome.decision
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn what_is_allocated() {
    an_ordinary_decision_allocates_nothing();
    a_call_takes_nothing_if_it_is_known_and_little_if_not();
    an_index_is_as_large_as_what_it_is_of();
}

fn an_ordinary_decision_allocates_nothing() {
    let loaded = Loaded { directory: load(STORE), revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
    let snapshot = loaded.into_snapshot(1);
    let context: HashMap<String, Vec<String>> = CONTEXT
        .into_iter()
        .map(|(key, values)| (key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
        .collect();
    let cases = [
        ("s3:GetObject", "arn:aws:s3:::home/alice/report.pdf", Decision::Allow),
        ("s3:GetObject", "arn:aws:s3:::data/report.pdf", Decision::Allow),
        ("s3:PutObject", "arn:aws:s3:::data/report.pdf", Decision::ImplicitDeny),
        ("s3:GetObject", "arn:aws:s3:::other/report.pdf", Decision::ExplicitDeny),
        ("ec2:DescribeInstances", "*", Decision::ExplicitDeny),
    ];
    for (action, resource, expected) in cases {
        let context = context.iter().map(|(key, values)| (key.as_str(), values.as_slice())).collect();
        let principal = "arn:aws:iam::123456789012:user/alice";
        let raw = RawRequest { principal, action, resource, context, ..RawRequest::default() };
        let request = AccessRequest::new(&raw).unwrap();
        assert_eq!(decide(&snapshot, &request), expected, "{action} on {resource}");
        let region = Region::new(ALLOCATOR);
        decide(&snapshot, &request);
        assert_eq!(region.change().allocations, 0, "{action} on {resource}");
    }
}

/// From the bytes of HTTP's body to those of the answer's. What is new takes its entry in the cache, and now and then the cache a
/// new part of its table.
fn a_call_takes_nothing_if_it_is_known_and_little_if_not() {
    let loaded = Loaded { directory: load(STORE), revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
    let authorization = call::authorization(Engine::new(loaded, 64 << 20));
    let values =
        |values: &[&str]| v1::ContextValues { values: values.iter().map(|value| (*value).to_owned()).collect() };
    let body = |n: usize| {
        let request = v1::IsAuthorizedRequest {
            principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
            action: "s3:GetObject".to_owned(),
            resource: format!("arn:aws:s3:::data/{n}.pdf"),
            context: CONTEXT.into_iter().take(6).map(|(key, list)| (key.to_owned(), values(list))).collect(),
            ..v1::IsAuthorizedRequest::default()
        };
        call::framed(&[request.encode_to_vec()])
    };
    let ask = |body: &Bytes| {
        let region = Region::new(ALLOCATOR);
        let body = call::Arrived(body.clone());
        let mut call = Unary::new(Arc::clone(&authorization), body, Hearers::default());
        let answer = call::done(|context| call.poll(context, || Ok(()))).unwrap();
        drop(call);
        let allocations = region.change().allocations;
        assert_eq!(
            v1::IsAuthorizedResponse::decode(answer.slice(HEAD_BYTES..)).unwrap().decision(),
            v1::Decision::Allow
        );
        allocations
    };
    // The first call makes the answer, too, that all of them get.
    ask(&body(100));
    let bodies: Vec<_> = (0..100).map(body).collect();
    let mut new: Vec<_> = bodies.iter().map(ask).collect();
    new.sort_unstable();
    assert!(new.first() > Some(&0) && new.iter().take(90).all(|allocations| *allocations <= 2), "{new:?}");
    assert!(bodies.iter().map(ask).all(|allocations| allocations == 0));
}

/// An index is linear in what it is of, and small beside it.
fn an_index_is_as_large_as_what_it_is_of() {
    let sizes = [1_000, 10_000].map(|statements| {
        let mut policies = Vec::new();
        for n in 0..statements / 100 {
            let mut text = String::new();
            for m in 0..100 {
                let comma = if m == 0 { "" } else { "," };
                let _ = write!(
                    text,
                    r#"{comma}{{"Effect": "Allow", "Action": ["s3:Get*", "s3:Put*"], "Resource": ["arn:aws:s3:::b-{n}-{m}", "arn:aws:s3:::b-{n}-{m}/*"]}}"#
                );
            }
            policies.push(format!(r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [{text}]}}}}"#));
        }
        let user = format!(
            r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice", "UserPolicyList": [{}]}}"#,
            policies.join(",")
        );
        let directory = load([("alice.json", user.as_str())]);
        let policies = directory.users.iter().next().unwrap().policies().next().unwrap().policies().to_vec();
        let region = Region::new(ALLOCATOR);
        let set = PolicySet::new(policies);
        let change = region.change();
        drop(set);
        (change.bytes_allocated - change.bytes_deallocated) / statements
    });
    println!("index: {sizes:?} bytes for each statement of two actions and two resources");
    assert!(sizes.iter().all(|bytes| *bytes <= 200), "{sizes:?} bytes for each statement");
}
