//! Policy documents, of every kind and in every form; what compiles is asked. And JSON, beside `serde_json`.
#![no_main]

use std::sync::Arc;

use iamd::access::AccessRequest;
use iamd::finding::Findings;
use iamd::json;
use iamd::policy::{self, CompiledPolicy, PolicyKind, PolicyName};
use iamd_fuzz::{ask, place, store};
use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

const KINDS: [PolicyKind; 7] = [
    PolicyKind::Identity,
    PolicyKind::Resource,
    PolicyKind::Trust,
    PolicyKind::Session,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
    PolicyKind::VpcEndpoint,
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    iamd_fuzz::json::compare(text);
    for kind in KINDS {
        let plain = load_text(text, kind);
        let encoded = load_string(&utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(), kind);
        assert_eq!(encoded.is_some(), plain.is_some(), "percent-encoded, {kind:?}");
        if text.starts_with('{') {
            assert_eq!(load_string(text, kind).is_some(), plain.is_some(), "in a string, {kind:?}");
        }
        if plain.is_some() {
            question(text, kind);
        }
    }
});

fn name() -> PolicyName {
    PolicyName { reference: Arc::from("policy"), file: Arc::from("policy.json") }
}

fn load_text(text: &str, kind: PolicyKind) -> Option<CompiledPolicy> {
    let mut findings = Findings::new();
    let policy = policy::load_text(text, kind, name(), &mut findings);
    checked(policy, findings)
}

/// As a string of another JSON document.
fn load_string(text: &str, kind: PolicyKind) -> Option<CompiledPolicy> {
    let quoted = serde_json::to_string(text).expect("a string is JSON");
    let node = json::parse(&quoted).expect("a string that serde_json writes");
    assert_eq!(node.as_str(), Some(text));
    let mut findings = Findings::new();
    let policy = policy::load(&node, kind, name(), &mut findings);
    checked(policy, findings)
}

/// None comes with an error, and no error comes with a policy.
fn checked(policy: Option<CompiledPolicy>, findings: Findings) -> Option<CompiledPolicy> {
    assert_eq!(policy.is_none(), findings.error_count() > 0);
    for finding in findings.into_sorted() {
        assert!(store::is_readable(&finding), "{finding:?}");
    }
    policy
}

fn question(text: &str, kind: PolicyKind) {
    // A text may be a policy document, and too deep to stand in a file.
    let Some(directory) = place::directory(kind, text) else { return };
    let snapshot = ask::snapshot(directory);
    let sessions = if kind == PolicyKind::Session { vec![text.to_owned()] } else { Vec::new() };
    let list = |value: &str| vec![value.to_owned()];
    let (ip, time, endpoint, odd) = (list("203.0.113.7"), list("2026-11-22T00:00:00Z"), list("vpce-1"), list("*"));
    let tags = vec!["a".to_owned(), "*".to_owned()];
    let rich: [(&str, &[String]); 6] = [
        ("aws:SourceIp", &ip),
        ("aws:CurrentTime", &time),
        ("aws:SourceVpce", &endpoint),
        ("aws:TagKeys", &tags),
        ("s3:prefix", &odd),
        ("aws:SourceAccount", &odd),
    ];
    let session = "arn:aws:sts::123456789012:assumed-role/r/s";
    let cases = [
        (place::USER, "s3:GetObject", "arn:aws:s3:::bucket/a/b"),
        (session, "s3:GetObject", "arn:aws:s3:::bucket/a/b"),
        (session, "s3:ListBucket", place::BUCKET),
        (session, "sts:AssumeRole", place::ROLE),
        (place::ROLE, "ec2:DescribeInstances", "*"),
        (place::USER, "kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/k"),
        ("arn:aws:iam::123456789012:root", "s3:PutBucketPolicy", place::BUCKET),
        ("arn:aws:iam::210987654321:user/bob", "s3:GetObject", "arn:aws:s3:::bucket/*"),
        ("arn:aws:sts::123456789012:federated-user/f", "s3:GetObject", "arn:aws:s3:::bucket/a"),
        ("ec2.amazonaws.com", "sts:AssumeRole", place::ROLE),
        ("accounts.google.com", "sts:AssumeRoleWithWebIdentity", place::ROLE),
        ("anonymous", "s3:GetObject", "arn:aws:s3:::bucket/a"),
    ];
    for (principal, action, resource) in cases {
        for context in [Vec::new(), rich.to_vec()] {
            let mut raw = ask::raw(principal, action, resource);
            raw.context = context;
            if principal == session {
                raw.session_policies = &sessions;
            }
            let request = AccessRequest::new(&raw).expect("a request");
            assert!(ask::decide(&snapshot, &request).is_some());
        }
    }
}
