//! Every AWS managed policy, from the built-in catalogue by way of a store to answers.

use std::collections::HashMap;
use std::fmt::Write as _;

use iamd::access::{AccessRequest, Decision, Detail, RawRequest};
use iamd::catalogue;
use iamd::directory::{Entity, Loader, StoreOptions};
use iamd::evaluate::{self, SessionPolicies};

use super::scene::loaded;

const ASKED: [(&str, &str); 4] = [
    ("s3:GetObject", "arn:aws:s3:::bucket/object"),
    ("ec2:DescribeInstances", "*"),
    ("logs:CreateLogGroup", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/f"),
    ("iam:PassRole", "arn:aws:iam::123456789012:role/r"),
];

#[test]
fn every_aws_managed_policy_loads_and_answers() {
    let arns: Vec<&str> = catalogue::managed_policy_arns().collect();
    assert_eq!(arns.len(), 1582);
    let mut loader = Loader::new(&StoreOptions::default());
    for (n, arn) in arns.iter().enumerate() {
        let attached = format!(r#""AttachedManagedPolicies": [{{"PolicyArn": "{arn}"}}]"#);
        loader.file(&format!("123456789012/u{n}.json"), &format!(r#"{{"UserName": "u{n}", {attached}}}"#));
    }
    let (directory, _) = loader.finish().unwrap_or_else(|findings| {
        let text = findings.iter().fold(String::new(), |mut text, finding| {
            let _ = writeln!(text, "{finding}");
            text
        });
        panic!("{text}");
    });
    assert_eq!(directory.users.len(), arns.len());
    let statements = |user: Entity<'_>| user.each_policy().map(|policy| policy.statements.len()).collect::<Vec<_>>();
    assert!(directory.users.iter().all(|user| matches!(statements(user)[..], [count] if count > 0)));
    let snapshot = loaded(directory).into_snapshot(1);
    let mut counts: HashMap<(&str, Decision), usize> = HashMap::new();
    for (n, arn) in arns.iter().enumerate() {
        let principal = format!("arn:aws:iam::123456789012:user/u{n}");
        for (action, resource) in ASKED {
            let raw = RawRequest { principal: &principal, action, resource, ..RawRequest::default() };
            let request = AccessRequest::new(&raw).expect("a request");
            let decide = |detail| {
                evaluate::decide(&snapshot, &request, &SessionPolicies::default(), &|| snapshot.loaded_at, detail)
                    .outcome
            };
            let (plain, explained) = (decide(Detail::Decision), decide(Detail::Statements));
            assert_eq!((plain.decision, plain.decided_by), (explained.decision, explained.decided_by), "{arn}");
            *counts.entry((action, plain.decision)).or_default() += 1;
        }
    }
    for (action, _) in ASKED {
        let allowed = counts.get(&(action, Decision::Allow)).copied().unwrap_or_default();
        assert!(allowed >= 10, "{action} is allowed by {allowed} policies");
    }
}
