//! Session policies as callers send them: the text of one, twice, and beside one that allows everything.
#![no_main]

use iamd::access::{AccessRequest, Decision};
use iamd::config::RequestLimits;
use iamd::proto::v1;
use iamd::server::convert::{self, Refusal};
use iamd::server::decide;
use iamd_fuzz::ask::{self, ACTIVE};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

const CALLERS: [&str; 3] = [
    "arn:aws:sts::123456789012:assumed-role/worker/s1",
    "arn:aws:iam::123456789012:role/app/worker",
    "arn:aws:sts::123456789012:federated-user/fay",
];
const ASKED: [(&str, &str); 3] = [
    ("s3:GetObject", "arn:aws:s3:::shared/alice/a.txt"),
    ("kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/k1"),
    ("ec2:DescribeInstances", "*"),
];
const OPEN: &str = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for principal in CALLERS {
        for (action, resource) in ASKED {
            let decide = |policies: &[&str]| decided(principal, action, resource, policies);
            let [without, alone] = [decide(&[]), decide(&[text])];
            assert_eq!(alone, decide(&[text, text]), "a second time");
            let Some(alone) = alone else { continue };
            if !principal.contains("federated") {
                assert!(alone != Decision::Allow || without == Some(Decision::Allow), "a session policy widened");
            }
            let beside = decide(&[text, OPEN]).expect("both are readable");
            assert_eq!(alone == Decision::ExplicitDeny, beside == Decision::ExplicitDeny, "only a Deny denies");
        }
    }
});

/// What is decided, remembered or not; None if the session policies are refused.
fn decided(principal: &str, action: &str, resource: &str, session_policies: &[&str]) -> Option<Decision> {
    let message = v1::IsAuthorizedRequest {
        principal: principal.to_owned(),
        action: action.to_owned(),
        resource: resource.to_owned(),
        session_policies: session_policies.iter().map(|text| (*text).to_owned()).collect(),
        ..v1::IsAuthorizedRequest::default()
    };
    let limits = RequestLimits::default();
    let bytes: usize = session_policies.iter().map(|text| text.len()).sum();
    match convert::access_request(&message, &limits) {
        Ok(request) => answer(&message, &request),
        Err(refusal) => {
            assert!(bytes > limits.session_policy_bytes, "{refusal}");
            None
        }
    }
}

fn answer(message: &v1::IsAuthorizedRequest, request: &AccessRequest<'_>) -> Option<Decision> {
    let uncached = ask::decide(&ACTIVE.snapshot, request).map(|outcome| outcome.decision);
    let message = message.encode_to_vec();
    let answers = [(); 2].map(|()| decide::decide(&ACTIVE, &RequestLimits::default(), &ACTIVE.cache.key(&message)));
    let decisions = answers.map(|answer| answer.map(|answer| answer.outcome.decision));
    for decision in &decisions {
        match decision {
            // Where the clock was read, it is another one.
            Ok(_) => assert!(uncached.is_some()),
            Err(Refusal::Invalid(refusal)) => {
                assert!(uncached.is_none() && refusal.to_string().len() <= 4096, "{refusal}")
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
    let [first, _] = decisions;
    first.ok()
}
