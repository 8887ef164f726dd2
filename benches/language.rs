//! The pieces of the policy language: `cargo bench --bench language`. Wildcards, each condition operator, and compiling.
//!
//! An operator is measured in a decision by one statement that has it as its condition; `decide: no condition` is what the
//! rest of such a decision takes.

#![expect(clippy::expect_used, reason = "a bench may end early")]

use std::hint::black_box;

#[path = "common/store.rs"]
mod store;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use iamd::access::{AccessRequest, Decision, Detail, RawRequest};
use iamd::evaluate::{self, SessionPolicies};
use iamd::wildcard::Wildcard;
use store::{directory, engine};

/// A name, a pattern, a text that it matches, and one that it does not.
const PATTERNS: [(&str, &str, &str, &str); 6] = [
    ("literal", "s3:getobject", "s3:getobject", "s3:putobject"),
    ("beginning", "bucket/alice/*", "bucket/alice/report.pdf", "bucket/bob/report.pdf"),
    ("end", "*.pdf", "bucket/alice/report.pdf", "bucket/alice/report.txt"),
    ("middle", "*/alice/*", "bucket/alice/report.pdf", "bucket/bob/report.pdf"),
    ("single letters", "report-????.pdf", "report-2026.pdf", "report-26.pdf"),
    ("many parts", "*a*b*c*d*.pdf", "xxaxxbxxcxxdxx.pdf", "xxaxxbxxcxxexx.pdf"),
];

fn wildcards(criterion: &mut Criterion) {
    let hard = ("a hundred parts", "*a".repeat(100), "a".repeat(1_000), "b".repeat(1_000));
    let owned = |(name, pattern, same, other): (_, &str, &str, &str)| {
        (name, pattern.to_owned(), same.to_owned(), other.to_owned())
    };
    for (name, pattern, same, other) in PATTERNS.map(owned).into_iter().chain([hard]) {
        let wildcard = Wildcard::new(&pattern);
        assert!(wildcard.matches(&same) && !wildcard.matches(&other), "{name}");
        for (which, text) in [("matches", &same), ("does not", &other)] {
            criterion.bench_function(&format!("wildcard: {name}, {which}"), |bencher| {
                bencher.iter(|| black_box(wildcard.matches(black_box(text))));
            });
        }
    }
}

/// An operator, a key, the policy's value and the request's, which it matches.
const OPERATORS: [(&str, &str, &str, &str); 30] = [
    ("StringEquals", "s3:authType", r#"["rest-header", "rest-query-string"]"#, "rest-query-string"),
    ("StringNotEquals", "s3:authType", r#""post""#, "rest-header"),
    ("StringEqualsIgnoreCase", "s3:authType", r#""REST-Header""#, "rest-header"),
    ("StringNotEqualsIgnoreCase", "s3:authType", r#""POST""#, "rest-header"),
    ("StringLike", "s3:prefix", r#""home/${aws:username}/*""#, "home/alice/report.pdf"),
    ("StringNotLike", "s3:prefix", r#""secret/*""#, "home/alice/report.pdf"),
    ("StringEqualsIfExists", "s3:authType", r#""rest-header""#, "rest-header"),
    ("ForAllValues:StringLike", "aws:TagKeys", r#"["team", "stage*"]"#, "stage-1"),
    ("ForAnyValue:StringEquals", "aws:TagKeys", r#"["team", "stage"]"#, "stage"),
    ("NumericEquals", "s3:max-keys", r#""100""#, "100"),
    ("NumericNotEquals", "s3:max-keys", r#""7""#, "100"),
    ("NumericLessThan", "s3:max-keys", r#""1000""#, "100"),
    ("NumericLessThanEquals", "s3:max-keys", r#""100""#, "100"),
    ("NumericGreaterThan", "s3:max-keys", r#""10""#, "100"),
    ("NumericGreaterThanEquals", "s3:max-keys", r#""10""#, "100"),
    ("DateEquals", "aws:TokenIssueTime", r#""2026-11-22T06:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("DateNotEquals", "aws:TokenIssueTime", r#""2026-01-01T00:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("DateLessThanEquals", "aws:TokenIssueTime", r#""2027-01-01T00:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("DateGreaterThanEquals", "aws:TokenIssueTime", r#""2026-01-01T00:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("DateLessThan", "aws:TokenIssueTime", r#""2027-01-01T00:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("DateGreaterThan", "aws:TokenIssueTime", r#""2026-01-01T00:00:00Z""#, "2026-11-22T06:00:00Z"),
    ("Bool", "aws:SecureTransport", r#""true""#, "true"),
    ("BinaryEquals", "s3:x-amz-server-side-encryption-context", r#""QmluYXJ5""#, "QmluYXJ5"),
    ("IpAddress", "aws:SourceIp", r#"["203.0.113.0/24", "2001:db8::/32"]"#, "203.0.113.7"),
    ("NotIpAddress", "aws:SourceIp", r#"["198.51.100.0/24", "2001:db8::/32"]"#, "203.0.113.7"),
    (
        "ArnEquals",
        "aws:SourceArn",
        r#""arn:aws:sns:*:123456789012:topic-*""#,
        "arn:aws:sns:eu-west-1:123456789012:topic-1",
    ),
    (
        "ArnLike",
        "aws:SourceArn",
        r#""arn:aws:sns:*:123456789012:topic-*""#,
        "arn:aws:sns:eu-west-1:123456789012:topic-1",
    ),
    ("ArnNotEquals", "aws:SourceArn", r#""arn:aws:sqs:*""#, "arn:aws:sns:eu-west-1:123456789012:topic-1"),
    ("ArnNotLike", "aws:SourceArn", r#""arn:aws:sqs:*""#, "arn:aws:sns:eu-west-1:123456789012:topic-1"),
    ("Null", "s3:authType", r#""false""#, "rest-header"),
];

fn operators(criterion: &mut Criterion) {
    decision(criterion, "no condition", "", ("s3:authType", "rest-header"));
    for (operator, key, value, given) in OPERATORS {
        let condition = format!(r#", "Condition": {{"{operator}": {{"{key}": {value}}}}}"#);
        decision(criterion, operator, &condition, (key, given));
    }
}

/// Decides by one statement with this condition, which has to hold.
fn decision(criterion: &mut Criterion, name: &str, condition: &str, (key, value): (&str, &str)) {
    let statement = format!(r#"{{"Effect": "Allow", "Action": "s3:*", "Resource": "*"{condition}}}"#);
    let active = engine(&[user(&statement)], 0).load_full();
    let values = [value.to_owned()];
    let raw = RawRequest {
        principal: "arn:aws:iam::123456789012:user/alice",
        action: "s3:GetObject",
        resource: "arn:aws:s3:::bucket/alice/report.pdf",
        context: vec![(key, &values)],
        ..RawRequest::default()
    };
    let request = AccessRequest::new(&raw).expect("a request");
    let sessions = SessionPolicies::default();
    let decide = || {
        let now = || active.snapshot.loaded_at;
        evaluate::decide(&active.snapshot, black_box(&request), &sessions, &now, Detail::Decision).outcome.decision
    };
    assert_eq!(decide(), Decision::Allow, "{name}");
    criterion.bench_function(&format!("decide: {name}"), |bencher| bencher.iter(|| black_box(decide())));
}

/// From text to compiled statements, with their index.
fn compiling(criterion: &mut Criterion) {
    let statement = |n| {
        format!(
            r#"{{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket-{n}/${{aws:username}}/*",
              "Condition": {{"StringEquals": {{"aws:PrincipalTag/Team": ["blue", "green"]}}}}}}"#
        )
    };
    let mut group = criterion.benchmark_group("compile");
    for count in [1_u32, 100, 1_000] {
        let statements: Vec<_> = (0..count).map(statement).collect();
        let user = user(&statements.join(", "));
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(format!("{count} statements"), |bencher| bencher.iter(|| black_box(directory(&[&user]))));
    }
}

fn user(statements: &str) -> String {
    format!(
        r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice", "UserPolicyList": [
            {{"PolicyName": "p", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [{statements}]}}}}]}}"#
    )
}

criterion_group!(benches, wildcards, operators, compiling);
criterion_main!(benches);
