//! Messages, from their bytes to the answer and back, over a store in which every layer has a say.
#![no_main]

use iamd::access::{AccessRequest, Detail, InvalidField, Outcome};
use iamd::config::RequestLimits;
use iamd::engine::CacheStatus;
use iamd::evaluate::{self, SessionPolicies};
use iamd::proto::v1;
use iamd::proto::view::Fields;
use iamd::server::convert::{self, Refusal};
use iamd::server::decide::{self, Decider};
use iamd_fuzz::ask::{self, ACTIVE, FORGETFUL};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use prost::Message;

/// Refusals travel in a header; servers and clients refuse headers of more than 8 KiB.
const LONGEST_REFUSAL: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let limits = RequestLimits::default();
    let message = v1::IsAuthorizedRequest::decode(data);
    if let Ok(message) = &message {
        answer(message, &limits);
    }
    as_it_lies(data, message.ok().as_ref(), &limits);
    together(data, &limits);
    batch(data, &limits);
    if let Ok((_, request)) = convert::streamed(data) {
        match request {
            Ok(request) => as_it_lies(&request, v1::IsAuthorizedRequest::decode(&*request).ok().as_ref(), &limits),
            Err(refusal) => readable(&refusal),
        }
    }
});

/// A message that is read as it lies has the answer of one that is read by prost; None if that cannot. So has the same
/// message with its fields in another order, where that means the same.
fn as_it_lies(data: &[u8], message: Option<&v1::IsAuthorizedRequest>, limits: &RequestLimits) {
    let request = message.and_then(|message| convert::access_request(message, limits).ok());
    let detail = message.and_then(|message| convert::detail(message).ok());
    let read = request.zip(detail).and_then(|(request, detail)| past_the_cache(&request, detail));
    for bytes in [data, data, &turned(data)] {
        let same = v1::IsAuthorizedRequest::decode(bytes).ok();
        if same.as_ref() != message {
            continue;
        }
        let decided = decide::decide(&ACTIVE, limits, &ACTIVE.cache.key(bytes)).ok();
        assert_eq!(decided.is_some(), read.is_some());
        // What was decided by the clock may be decided otherwise now.
        let decided = decided.filter(|answer| answer.cache != CacheStatus::Bypass);
        if let (Some(decided), Some(read)) = (decided, &read) {
            assert_eq!(decided.outcome, *read);
        }
    }
}

/// Requests that come together are decided as each is alone: the message, others that begin or end like it, and what is left of it.
fn together(data: &[u8], limits: &RequestLimits) {
    let entry = [0x22, 3, 0x0a, 1, b'k'];
    let (half, _) = data.split_at(data.len() / 2);
    let messages = [data, &turned(data), data, &[data, &entry].concat(), half, &[&entry, data].concat(), data];
    let mut keys = FORGETFUL.cache.keys();
    let mut decider = Decider::new(&FORGETFUL, limits);
    for message in messages {
        let key = FORGETFUL.cache.key(message);
        let alone = decide::decide(&FORGETFUL, limits, &key).map(|answer| answer.outcome.decision);
        let together = decider.answer(&keys.of(message)).map(|answer| answer.outcome.decision);
        let told = |decided: Result<_, Refusal>| decided.map_err(|refusal| refusal.status().message().to_owned());
        assert_eq!(told(alone), told(together));
    }
}

/// The first field behind all others.
fn turned(data: &[u8]) -> Vec<u8> {
    let mut fields = Fields::of(data);
    let rest = fields.next().map_or(&[][..], |_| fields.rest());
    let (first, _) = data.split_at(data.len() - rest.len());
    [rest, first].concat()
}

fn past_the_cache(request: &AccessRequest<'_>, detail: Detail) -> Option<Outcome> {
    let session = SessionPolicies::compile(request.session_policies).ok()?;
    Some(evaluate::decide(&ACTIVE.snapshot, request, &session, &ask::now, detail).outcome)
}

fn batch(data: &[u8], limits: &RequestLimits) {
    let read = v1::BatchIsAuthorizedRequest::decode(data).map(|batch| batch.requests.len());
    match (convert::batch_size(data, limits), read) {
        (Ok(size), Ok(read)) => assert_eq!(size, read),
        (Err(Refusal::Invalid(refusal)), _) => readable(&refusal),
        (Err(refusal), Ok(_)) => panic!("{refusal:?}, but prost reads it"),
        // What is in a batch is not looked at yet.
        (_, Err(_)) => {}
    }
}

fn answer(message: &v1::IsAuthorizedRequest, limits: &RequestLimits) {
    let request = match convert::access_request(message, limits) {
        Ok(request) => request,
        Err(refusal) => return readable(&refusal),
    };
    match convert::detail(message) {
        Ok(detail) => authorize(&request, detail),
        Err(refusal) => readable(&refusal),
    }
}

fn authorize(request: &AccessRequest<'_>, detail: Detail) {
    let plain = ask::decide(&ACTIVE.snapshot, request);
    let outcome = past_the_cache(request, detail);
    assert_eq!(plain.is_some(), outcome.is_some());
    let Some((plain, outcome)) = plain.zip(outcome) else { return };
    assert_eq!((plain.decision, plain.decided_by), (outcome.decision, outcome.decided_by));
    let response = convert::response(&outcome, ACTIVE.snapshot.version);
    assert_eq!(v1::IsAuthorizedResponse::decode(response.encode_to_vec().as_slice()).as_ref(), Ok(&response));
}

fn readable(refusal: &InvalidField) {
    let text = refusal.to_string();
    assert!(text.len() <= LONGEST_REFUSAL && !text.chars().any(char::is_control), "{text:?}");
}

// --- mutation -------------------------------------------------------------------------------------------------------

// Bytes that are changed blindly seldom are a message: three times in four, a field is changed instead.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let message = v1::IsAuthorizedRequest::decode(&data[..size]);
    let Ok(mut message) = message.map_err(|_| ()).and_then(|m| if seed % 4 == 0 { Err(()) } else { Ok(m) }) else {
        return fuzzer_mutate(data, size, max_size);
    };
    change(&mut message, seed / 4);
    let bytes = message.encode_to_vec();
    if bytes.is_empty() || bytes.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
});

const PRINCIPALS: [&str; 12] = [
    "arn:aws:iam::123456789012:user/team/alice",
    "arn:aws:iam::123456789012:user/bob",
    "arn:aws:iam::123456789012:role/app/worker",
    "arn:aws:sts::123456789012:assumed-role/worker/s1",
    "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/linked",
    "arn:aws:sts::123456789012:federated-user/fay",
    "arn:aws:iam::123456789012:root",
    "arn:aws:iam::210987654321:user/carol",
    "arn:aws:iam::111111111111:user/manager",
    "s3.amazonaws.com",
    "accounts.google.com",
    "anonymous",
];
const ACTIONS: [&str; 8] = [
    "s3:GetObject",
    "S3:putobject",
    "kms:Decrypt",
    "sts:AssumeRole",
    "sts:AssumeRoleWithWebIdentity",
    "ec2:TerminateInstances",
    "sqs:SendMessage",
    "s3:PutBucketPolicy",
];
const RESOURCES: [&str; 8] = [
    "arn:aws:s3:::shared/alice/a.txt",
    "arn:aws:s3:::shared",
    "arn:aws:s3:::shared/secret/k",
    "arn:aws:kms:eu-west-1:123456789012:key/k1",
    "arn:aws:iam::123456789012:role/app/worker",
    "arn:aws:sqs:eu-west-1:210987654321:jobs",
    "arn:aws:ec2:eu-west-1:123456789012:instance/i-1",
    "*",
];
const KEYS: [(&str, &str); 12] = [
    ("aws:SourceIp", "203.0.113.7"),
    ("AWS:SOURCEVPCE", "vpce-0a1"),
    ("aws:SecureTransport", "false"),
    ("aws:MultiFactorAuthPresent", "true"),
    ("aws:CurrentTime", "2026-11-22T06:00:00Z"),
    ("aws:EpochTime", "1800000000"),
    ("aws:TagKeys", "team"),
    ("aws:RequestTag/team", "blue"),
    ("s3:prefix", "alice/"),
    ("s3:max-keys", "10"),
    ("accounts.google.com:aud", "app"),
    ("aws:ResourceTag/stage", "prod"),
];
const SESSION_POLICIES: [&str; 2] = [
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#,
    r#"{"Statement": [{"Effect": "Deny", "Action": "s3:Put*", "Resource": "*", "Condition": {"Null": {"s3:prefix": "true"}}}]}"#,
];

fn change(message: &mut v1::IsAuthorizedRequest, seed: u32) {
    let (field, pick) = (seed % 14, usize::try_from(seed / 14).unwrap_or_default());
    let one_of = |list: &[&str]| list[pick % list.len()].to_owned();
    match field {
        0 => message.principal = one_of(&PRINCIPALS),
        1 => message.action = one_of(&ACTIONS),
        2 => message.resource = one_of(&RESOURCES),
        3 | 4 => {
            let (key, value) = KEYS[pick % KEYS.len()];
            message.context.entry(key.to_owned()).or_default().values.push(value.to_owned());
        }
        5 => message.session_policies.push(one_of(&SESSION_POLICIES)),
        6 => drop(message.session_tags.insert("team".to_owned(), one_of(&["blue", "", "*"]))),
        7 => message.federated_by = one_of(&["", PRINCIPALS[0], PRINCIPALS[1], PRINCIPALS[7]]),
        8 => message.detail = i32::from(pick % 4 != 0),
        9 => message.resource_account = one_of(&["", "123456789012", "210987654321"]),
        10 => {
            let keys: Vec<String> = message.context.keys().cloned().collect();
            if let Some(key) = keys.get(pick % keys.len().max(1)) {
                message.context.remove(key);
            }
        }
        _ => change_a_text(message, pick),
    }
}

fn change_a_text(message: &mut v1::IsAuthorizedRequest, pick: usize) {
    let mut texts = vec![&mut message.principal, &mut message.action, &mut message.resource];
    texts.extend([&mut message.resource_account, &mut message.federated_by]);
    texts.extend(message.session_policies.iter_mut());
    texts.extend(message.session_tags.values_mut());
    texts.extend(message.context.values_mut().flat_map(|values| &mut values.values));
    let index = pick % texts.len();
    let text = &mut *texts[index];
    let mut bytes = text.clone().into_bytes();
    let length = bytes.len();
    let room = length + 32;
    bytes.resize(room, 0);
    let length = fuzzer_mutate(&mut bytes, length, room);
    *text = String::from_utf8_lossy(&bytes[..length]).into_owned();
}
