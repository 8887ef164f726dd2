//! One decision, and what stands around it: `cargo bench --bench evaluate`.
//!
//! The request is an ordinary one: a user with five policies of four statements each, half of them with conditions, asks
//! for an object that one statement near the end allows.

#![expect(clippy::expect_used, reason = "a bench may end early")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use iamd::access::{Decision, Detail};
use iamd::config::RequestLimits;
use iamd::directory::{Loader, StoreOptions};
use iamd::engine::{Active, CacheStatus, Engine};
use iamd::evaluate::{self, SessionPolicies};
use iamd::proto::v1;
use iamd::server::convert;
use iamd::snapshot::{Loaded, Revision};

const POLICIES: usize = 5;

/// Four statements on a bucket of this number.
fn policy(n: usize) -> String {
    format!(
        r#"{{"PolicyName": "p{n}", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
          {{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::bucket-{n}"}},
          {{"Effect": "Allow", "Action": ["s3:GetObject*", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket-{n}/${{aws:username}}/*",
            "Condition": {{"StringEquals": {{"aws:PrincipalTag/Team": ["blue", "green"]}}}}}},
          {{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}},
          {{"Effect": "Deny", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket-{n}", "arn:aws:s3:::bucket-{n}/*"],
            "Condition": {{"NotIpAddress": {{"aws:SourceIp": ["203.0.113.0/24", "198.51.100.0/24"]}}}}}}
        ]}}}}"#
    )
}

fn active(cache_bytes: usize) -> Arc<Active> {
    let mut policies = String::new();
    for n in 0..POLICIES {
        let _ = write!(policies, "{}{}", if n == 0 { "" } else { ", " }, policy(n));
    }
    let user = format!(
        r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice",
            "Tags": [{{"Key": "Team", "Value": "blue"}}], "UserPolicyList": [{policies}]}}"#
    );
    let mut loader = Loader::new(&StoreOptions::default());
    loader.file("alice.json", &user);
    let (directory, _) = loader.finish().expect("a store");
    assert_eq!(directory.policy_count, POLICIES);
    let loaded = Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
    Engine::new(loaded, cache_bytes).load_full()
}

fn message() -> v1::IsAuthorizedRequest {
    let one = |value: &str| v1::ContextValues { values: vec![value.to_owned()] };
    v1::IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::bucket-4/alice/report.pdf".to_owned(),
        context: HashMap::from([
            ("aws:SourceIp".to_owned(), one("203.0.113.7")),
            ("aws:SecureTransport".to_owned(), one("true")),
        ]),
        ..v1::IsAuthorizedRequest::default()
    }
}

fn decisions(criterion: &mut Criterion) {
    let (limits, message) = (RequestLimits::default(), message());
    let request = convert::access_request(&message, &limits).expect("a request");
    let active = active(64 << 20);
    let decide = |detail| {
        let now = active.snapshot.loaded_at;
        evaluate::decide(&active.snapshot, &request, &SessionPolicies::default(), now, detail).outcome
    };
    assert_eq!(decide(Detail::Decision).decision, Decision::Allow);
    criterion.bench_function("decide, 5 policies of 4 statements", |bencher| {
        bencher.iter(|| black_box(decide(black_box(Detail::Decision))));
    });
    criterion.bench_function("decide and explain", |bencher| {
        bencher.iter(|| black_box(decide(black_box(Detail::Statements))));
    });
    let ask = || active.is_authorized(black_box(&request), Detail::Decision).expect("an answer");
    assert_eq!((ask().cache, ask().cache), (CacheStatus::Miss, CacheStatus::Hit));
    criterion.bench_function("cache hit, its key included", |bencher| bencher.iter(|| black_box(ask())));
    criterion.bench_function("request from its message", |bencher| {
        bencher.iter(|| black_box(convert::access_request(black_box(&message), &limits).is_ok()));
    });
    criterion.bench_function("request from its message, then cache hit", |bencher| {
        bencher.iter(|| {
            let request = convert::access_request(black_box(&message), &limits).expect("a request");
            black_box(active.is_authorized(&request, Detail::Decision).is_ok())
        });
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
