//! Answers that looked at the clock are not remembered; answers to requests that bring their own time are.

use std::sync::Arc;

use iamd::access::{AccessRequest, Decision, Detail, RawRequest};
use iamd::directory::{Loader, StoreOptions};
use iamd::engine::{Active, CacheStatus, Engine};

use super::ask::ask;
use super::scene::loaded;

const USER: &str = r#"{
  "UserName": "alice",
  "Arn": "arn:aws:iam::123456789012:user/alice",
  "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
    "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}}}]
}"#;

/// Each statement that asks for the time comes after one that has decided.
const DECIDED: &str = r#"[
  {
    "UserName": "alice",
    "Arn": "arn:aws:iam::123456789012:user/alice",
    "PermissionsBoundary": {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary"},
    "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
      {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
       "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}},
      {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"},
      {"Effect": "*ANOTHER*", "Action": "s3:PutObject", "Resource": "*",
       "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}]}}]
  },
  {
    "PolicyName": "boundary",
    "Arn": "arn:aws:iam::123456789012:policy/boundary",
    "PolicyDocument": {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "*", "Resource": "*"},
      {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*",
       "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}}]}
  }
]"#;

fn active(store: &str) -> Arc<Active> {
    let mut loader = Loader::new(&StoreOptions::default());
    loader.file("store.json", store);
    Engine::new(loaded(loader.finish().expect("a store").0), 1 << 20).load_full()
}

fn asked(active: &Active, time: Option<&str>, action: &str, detail: Detail) -> (Decision, CacheStatus) {
    let values: Vec<String> = time.into_iter().map(str::to_owned).collect();
    let context = if values.is_empty() { Vec::new() } else { vec![("aws:CurrentTime", values.as_slice())] };
    let (principal, resource) = ("arn:aws:iam::123456789012:user/alice", "arn:aws:s3:::b/o");
    let raw = RawRequest { principal, action, resource, context, ..RawRequest::default() };
    let answer = ask(active, &AccessRequest::new(&raw).expect("a request"), detail).expect("an answer");
    (answer.outcome.decision, answer.cache)
}

#[test]
fn the_clock_is_not_remembered_but_a_given_time_is() {
    let active = active(USER);
    let ask = |time, action| asked(&active, time, action, Detail::Decision);
    let read = |time| ask(time, "s3:GetObject");
    assert_eq!(read(None), (Decision::Allow, CacheStatus::Bypass));
    assert_eq!(read(None), (Decision::Allow, CacheStatus::Bypass));
    let given = Some("2026-11-22T06:00:00Z");
    assert_eq!(read(given), (Decision::Allow, CacheStatus::Miss));
    assert_eq!(read(given), (Decision::Allow, CacheStatus::Hit));
    let early = Some("2019-12-31T23:59:59Z");
    assert_eq!(read(early), (Decision::ImplicitDeny, CacheStatus::Miss));
    assert_eq!(read(early), (Decision::ImplicitDeny, CacheStatus::Hit));
    assert_eq!(read(None), (Decision::Allow, CacheStatus::Bypass));
    // The statement is about another action: nobody asks for the time.
    assert_eq!(ask(None, "s3:PutObject"), (Decision::ImplicitDeny, CacheStatus::Miss));
    assert_eq!(ask(None, "s3:PutObject"), (Decision::ImplicitDeny, CacheStatus::Hit));
}

/// Where only the decision matters, what cannot change it is not asked, so that the answer can be remembered: in the
/// policies of a layer, and in the layers after it.
#[test]
fn the_clock_is_not_read_in_vain() {
    for another in ["Allow", "Deny"] {
        let active = active(&DECIDED.replace("*ANOTHER*", another));
        for (action, decision) in [("s3:GetObject", Decision::Allow), ("s3:PutObject", Decision::ExplicitDeny)] {
            assert_eq!(asked(&active, None, action, Detail::Decision), (decision, CacheStatus::Miss), "{action}");
            assert_eq!(asked(&active, None, action, Detail::Decision), (decision, CacheStatus::Hit), "{action}");
            assert_eq!(asked(&active, None, action, Detail::Statements), (decision, CacheStatus::Bypass), "{action}");
        }
    }
}
