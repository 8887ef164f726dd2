//! Whatever is written, checks neither fail nor say what nobody can read.

use iamd::finding::Severity;
use iamd::finding::codes;
use serde_json::{Value, json};

use super::findings;

const ACTIONS: [&str; 12] =
    ["*", "s3:*", "s3:?", "S3:GETOBJECT", "s3:", ":", "é:*", "s3:é*", "nope:*", "iam:Pass*", "**", "ec2:*?*?*"];

const RESOURCES: [&str; 16] = [
    "*",
    "**",
    "arn:*",
    "arn:aws:s3:::",
    "arn:::::",
    "arn:aws:s3:::${aws:username}",
    "arn:aws:s3:::${",
    "arn:aws:${aws:username}:::x",
    "arn:aws:s3:::é*é",
    "arn:aws:iam::*:role/?*",
    "arn:aws:ec2:*:*:*/*",
    "arn:aws:s3:::\u{1b}[31m\n",
    "arn:aws:*:*:*:*:*:*",
    " arn:aws:s3:::b ",
    "arn:aws:nope:us-1:1:x",
    "b",
];

const OPERATORS: [&str; 14] = [
    "StringEquals",
    "StringNotLikeIfExists",
    "ForAllValues:StringLike",
    "ForAnyValue:StringNotEquals",
    "Null",
    "Bool",
    "DateLessThan",
    "DateGreaterThanEquals",
    "NumericEquals",
    "NumericLessThan",
    "IpAddress",
    "NotIpAddress",
    "ArnNotLike",
    "Nope",
];

const KEYS: [&str; 11] = [
    "aws:SourceIp",
    "aws:TagKeys",
    "aws:RequestTag/é",
    "aws:MultiFactorAuthPresent",
    "aws:CurrentTime",
    "s3:prefix",
    "S3:Max-Keys",
    "iam:PassedToService",
    "aws:SourceVpc",
    "a.b:c",
    ":",
];

const VALUES: [&str; 14] = [
    "",
    "*",
    "true",
    "-1",
    "1e9",
    "2026-01-01",
    "9999-99-99",
    "10.0.0.1/0",
    "::ffff:0:0/96",
    "arn:aws:s3:::b",
    "${aws:username}",
    "${*}?é",
    "..amazonaws.com",
    "\u{0}\n",
];

fn check(kind: &str, statements: &[Value]) {
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    let file = match kind {
        "identity" => policy,
        "trust" => json!({"RoleName": "R", "AssumeRolePolicyDocument": policy}),
        _ => json!({"ResourceArn": "arn:aws:s3:::b", "ResourcePolicy": policy}),
    };
    for finding in findings("123456789012/P.json", &file.to_string()) {
        let code = codes::find(finding.code).unwrap_or_else(|| panic!("`{}` is in no table", finding.code));
        let text = [Some(finding.message.as_str()), finding.hint.as_deref()];
        for line in text.into_iter().flatten() {
            assert!(!line.is_empty() && line.chars().count() <= 2_000, "{finding:?}");
            assert!(!line.contains(char::is_control), "{finding:?}");
        }
        assert!(finding.severity == code.severity || finding.severity == Severity::Warning, "{finding:?}");
    }
}

#[test]
fn odd_actions_and_resources() {
    for kind in ["identity", "trust", "resource"] {
        for (element, other) in [("Action", "NotAction"), ("NotAction", "Action")] {
            for action in ACTIONS {
                let statement = |resource: &&str| {
                    let mut statement = json!({"Effect": "Allow", element: [action, other, "s3:Get*"]});
                    if kind != "trust" {
                        statement[if element == "Action" { "Resource" } else { "NotResource" }] =
                            json!([resource, "*"]);
                    }
                    if kind != "identity" {
                        statement["Principal"] = json!({"AWS": "*", "Service": resource, "Federated": "a.b"});
                    }
                    statement
                };
                check(kind, &RESOURCES.iter().map(statement).collect::<Vec<_>>());
                let alone = |resource: &&str| json!({"Effect": "Allow", element: action, "Resource": resource});
                check(kind, &RESOURCES.iter().map(alone).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn odd_conditions() {
    for effect in ["Allow", "Deny"] {
        for operator in OPERATORS {
            let mut statements = Vec::new();
            for (key, value) in KEYS.iter().flat_map(|key| VALUES.iter().map(move |value| (key, value))) {
                for beside in ["StringNotEquals", "DateGreaterThan"] {
                    let condition = json!({operator: {*key: [value, "1"]}, beside: {*key: value}});
                    statements.push(
                        json!({"Effect": effect, "Action": "s3:GetObject", "Resource": "*", "Condition": condition}),
                    );
                }
            }
            check("identity", &statements);
        }
    }
}
