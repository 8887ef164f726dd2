//! However large a document is, checking it takes moments.

use std::time::{Duration, Instant};

use super::findings;

/// A second or two, where debug builds are slow and machines shared. What is not bounded takes minutes.
const ENOUGH: Duration = Duration::from_secs(60);

fn check(name: &str, text: &str) {
    assert!(text.len() < 1 << 20, "{name}: {} bytes are refused", text.len());
    let start = Instant::now();
    let found = findings("123456789012/P.json", text);
    assert!(start.elapsed() < ENOUGH, "{name}: {:?} for {} findings", start.elapsed(), found.len());
}

fn policy(statements: &[String]) -> String {
    format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{}]}}", statements.join(","))
}

fn list(entry: impl Fn(usize) -> String, count: usize) -> String {
    format!("[{}]", (0..count).map(|n| format!("\"{}\"", entry(n))).collect::<Vec<_>>().join(","))
}

#[test]
fn thousands_of_statements() {
    let statement = |n: usize| {
        format!("{{\"Effect\":\"Allow\",\"Action\":\"s3:Get*\",\"Resource\":\"arn:aws:s3:::b{n}/*x*y*z*{n}*\"}}")
    };
    check("statements", &policy(&(0..9_000).map(statement).collect::<Vec<_>>()));
}

#[test]
fn thousands_of_actions() {
    let actions = list(|n| format!("ec2:*a*e*{n}*"), 40_000);
    check("actions", &policy(&[format!("{{\"Effect\":\"Allow\",\"Action\":{actions},\"Resource\":\"*\"}}")]));
    let actions = list(|n| format!("ec2:Describee{n}"), 40_000);
    check("unknown actions", &policy(&[format!("{{\"Effect\":\"Allow\",\"Action\":{actions},\"Resource\":\"*\"}}")]));
}

#[test]
fn thousands_of_resources() {
    let resources = list(|n| format!("arn:aws:ec2:*:*:*a*b*c*{n}/*"), 20_000);
    check("resources", &policy(&[format!("{{\"Effect\":\"Allow\",\"Action\":\"ec2:*\",\"Resource\":{resources}}}")]));
}

#[test]
fn thousands_of_values_and_conditions() {
    let values = list(|n| format!("*a*b*c*{n}*"), 40_000);
    let condition = format!("{{\"StringLike\":{{\"aws:PrincipalArn\":{values}}}}}");
    check(
        "values",
        &policy(&[format!(
            "{{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\",\"Condition\":{condition}}}"
        )]),
    );
    let keys: Vec<_> = (0..30_000).map(|n| format!("\"aws:RequestTag/{n}\":\"a\"")).collect();
    let condition = format!("{{\"StringNotEquals\":{{{}}}}}", keys.join(","));
    check(
        "keys",
        &policy(&[format!(
            "{{\"Effect\":\"Allow\",\"Action\":\"s3:*\",\"Resource\":\"*\",\"Condition\":{condition}}}"
        )]),
    );
}
