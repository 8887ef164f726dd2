//! AWS's own policies: what is found in them is looked at when it changes (docs/findings/managed-policies.md).
//! `cargo test --test findings managed -- --nocapture` lists all of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use iamd::catalogue;
use iamd::checks::Checks;
use iamd::finding::{Findings, Severity};
use iamd::json;
use iamd::policy::{self, PolicyKind, PolicyName};

use super::{compare, data};

#[test]
fn findings_in_the_policies_of_aws_are_counted() {
    let (mut checks, mut findings) = (Checks::new(), Findings::new());
    for arn in catalogue::managed_policy_arns() {
        let document = catalogue::managed_policy(arn).unwrap();
        let node = json::parse(&document).unwrap();
        let name = PolicyName { reference: arn.into(), file: Arc::from(arn) };
        assert!(policy::load(&node, PolicyKind::Identity, name.clone(), &mut findings).is_some(), "{arn}");
        checks.policy(&policy::written(&node, PolicyKind::Identity, name).unwrap());
    }
    let mut counts: BTreeMap<(Severity, &str), usize> = BTreeMap::new();
    for finding in findings.into_sorted().into_iter().chain(checks.into_sorted()) {
        assert!(finding.severity != Severity::Error, "{finding}");
        println!("{} [{}] {finding}", finding.severity.name(), finding.code);
        *counts.entry((finding.severity, finding.code)).or_default() += 1;
    }
    let lines = counts.iter().fold(String::new(), |mut lines, ((severity, code), count)| {
        writeln!(lines, "{} {code} {count}", severity.name()).unwrap();
        lines
    });
    compare(&data("aws-managed-policies.txt"), &lines);
}
