//! Calls as they are answered, without HTTP.

use proptest::collection::vec;
use proptest::prelude::*;
use tonic::Code;

use super::*;
use crate::access::InvalidField;
use crate::config::Limits;
use crate::directory::{Loader, StoreOptions};
use crate::metrics::Metrics;
use crate::proto::v1;
use crate::server::messages::tests::Pieces;
use crate::snapshot::{Loaded, Revision};

/// A store in which alice may do everything, or nothing.
fn store(effect: &str) -> Loaded {
    store_of(&format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Action": "*", "Resource": "*"}}}}"#
    ))
}

/// A store in which alice has a policy.
fn store_of(policy: &str) -> Loaded {
    let mut loader = Loader::new(&StoreOptions::default());
    loader.file("alice.json", &format!(
        r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice", "UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": {policy}}}]}}"#
    ));
    let directory = loader.finish().unwrap().0;
    Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() }
}

fn service(store: Loaded, cache_bytes: usize) -> Arc<Authorization> {
    let limits = Limits::of_a_test();
    let state = Arc::new(State::new(&limits, Arc::new(Metrics::new())));
    Arc::new(Authorization::new(Arc::new(Engine::new(store, cache_bytes)), state, limits.request))
}

fn authorization() -> Arc<Authorization> {
    service(store("Allow"), 1 << 20)
}

fn message(resource: &str) -> Vec<u8> {
    let request = v1::IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: format!("arn:aws:s3:::{resource}"),
        ..v1::IsAuthorizedRequest::default()
    };
    request.encode_to_vec()
}

fn read(authorization: &Arc<Authorization>, message: &[u8]) -> Unary<Pieces> {
    Unary::new(Arc::clone(authorization), Pieces::of(message), Hearers::default())
}

fn try_answer(mut call: Unary<Pieces>) -> Result<v1::IsAuthorizedResponse, Status> {
    let Poll::Ready(answer) = call.poll(&mut Context::from_waker(Waker::noop()), || Ok(())) else { panic!("waits") };
    answer.map(|answer| v1::IsAuthorizedResponse::decode(&answer[HEAD_BYTES..]).unwrap())
}

fn answer(call: Unary<Pieces>) -> v1::IsAuthorizedResponse {
    try_answer(call).unwrap()
}

fn places() -> Vec<CachePlace> {
    READ.with_borrow(|places| places.to_vec())
}

#[test]
fn what_calls_look_at_is_known_when_they_are_read_and_fetched_once() {
    let authorization = authorization();
    let messages = ["a", "b", "c"].map(message);
    let calls = messages.each_ref().map(|message| read(&authorization, message));
    let expected = messages.each_ref().map(|message| authorization.place(message));
    assert_eq!(places(), expected);
    authorization.fetch();
    assert_eq!(places(), []);
    for call in calls {
        assert_eq!(answer(call).decision(), v1::Decision::Allow);
    }
    // One alone is not fetched, and not kept.
    let call = read(&authorization, &messages[0]);
    authorization.fetch();
    assert_eq!((places(), answer(call).decision()), (vec![], v1::Decision::Allow));
    // Nor is a long one hashed before its turn.
    let long = message(&"a".repeat(FETCHED_BYTES));
    let call = read(&authorization, &long);
    assert_eq!((places(), call.place, answer(call).decision()), (vec![], None, v1::Decision::Allow));
    // More than there is room for are answered all the same.
    let calls: Vec<_> = (0..=FETCHED).map(|n| read(&authorization, &message(&n.to_string()))).collect();
    assert_eq!(places().len(), FETCHED);
    assert!(calls.into_iter().all(|call| answer(call).decision() == v1::Decision::Allow));
    authorization.fetch();
    assert_eq!(places(), []);
}

#[test]
fn a_call_that_was_read_before_a_swap_is_answered_by_what_is_active_after_it() {
    let authorization = authorization();
    let message = message("a");
    assert_eq!(answer(read(&authorization, &message)).decision(), v1::Decision::Allow);
    let call = read(&authorization, &message);
    let active = authorization.engine.install(store("Deny"));
    let answer = answer(call);
    assert_eq!((answer.decision(), answer.snapshot_version), (v1::Decision::ExplicitDeny, 2));
    // And is remembered in the place where others look for it.
    assert!(active.cache.get(&active.cache.key(&message)).is_some());
}

#[test]
fn a_panic_is_the_answer_to_one_request() {
    let refusal = guarded(|| -> Result<(), _> { panic!("a fault, on purpose") }).unwrap_err();
    let status = refusal.status();
    let expected = "a fault in the service, not in the request; its log says more";
    assert_eq!((status.code(), status.message()), (Code::Internal, expected));
    let invalid = || InvalidField::new("action", "is wrong");
    let refusal = guarded(|| -> Result<(), _> { Err(Refusal::Invalid(invalid())) }).unwrap_err();
    assert_eq!(refusal.status().code(), Code::InvalidArgument);
    assert!(guarded(|| Ok(())).is_ok());
}

/// A store in which alice may do something, and is denied something else.
fn varied() -> Loaded {
    let policy = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*", "Condition": {"StringNotEquals": {"s3:prefix": "x"}}},
        {"Effect": "Deny", "Action": "*", "Resource": "arn:aws:s3:::secret/*"}]}"#;
    store_of(policy)
}

/// Requests of which some are answered differently, some are wrong, and some have the caller or the context of others.
fn pool() -> Vec<Vec<u8>> {
    let request = |user: &str, action: &str, resource: &str, prefix: &str| {
        let values = v1::ContextValues { values: vec![prefix.to_owned()] };
        v1::IsAuthorizedRequest {
            principal: format!("arn:aws:iam::123456789012:user/{user}"),
            action: action.to_owned(),
            resource: format!("arn:aws:s3:::{resource}"),
            context: [("s3:prefix".to_owned(), values)].into(),
            ..v1::IsAuthorizedRequest::default()
        }
        .encode_to_vec()
    };
    // What is no message ends a call whatever else is in it.
    let mut pool = vec![Vec::new()];
    for user in ["alice", "nobody", ""] {
        for (action, resource) in
            [("s3:GetObject", "a/1"), ("s3:GetObject", "secret/1"), ("S3:PutObject", "a/1"), ("s3", "é")]
        {
            pool.extend(["x", "y"].map(|prefix| request(user, action, resource, prefix)));
        }
    }
    pool
}

/// What is said of a request: the decision and what decided, or what is wrong with it.
type Said = Result<(i32, i32), (i32, String)>;

fn said(response: &v1::IsAuthorizedResponse) -> Said {
    Ok((response.decision, response.decided_by))
}

fn alone(authorization: &Arc<Authorization>, message: &[u8]) -> Said {
    let answer = try_answer(read(authorization, message));
    said(&answer.map_err(|status| (i32::from(status.code()), status.message().to_owned()))?)
}

/// The messages in the frames of answers.
fn framed(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let (message, rest) = rest.split_at(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize);
        messages.push(message);
        bytes = rest;
    }
    messages
}

fn in_a_batch(authorization: &Arc<Authorization>, messages: &[&Vec<u8>]) -> Vec<Said> {
    let mut batch = Vec::new();
    for message in messages {
        prost::encoding::bytes::encode(1, *message, &mut batch);
    }
    let mut call = Batch::new(Arc::clone(authorization), Pieces::of(&batch), Hearers::default());
    let answer = loop {
        match call.poll(&mut Context::from_waker(Waker::noop()), || Ok(())) {
            Poll::Ready(answer) => break answer.unwrap(),
            Poll::Pending => {}
        }
    };
    let [answer] = framed(&answer)[..] else { panic!("one message") };
    let results = v1::BatchIsAuthorizedResponse::decode(answer).unwrap().results;
    let told = |result: v1::BatchResult| match result.result.unwrap() {
        v1::batch_result::Result::Response(response) => said(&response),
        v1::batch_result::Result::Error(error) => Err((error.code, error.message)),
    };
    results.into_iter().map(told).collect()
}

/// What a stream says, until it ends.
fn in_a_stream(authorization: &Arc<Authorization>, messages: &[&Vec<u8>]) -> Vec<Said> {
    let framed_request = |(id, message): (u64, &&Vec<u8>)| {
        let mut request = Vec::new();
        prost::encoding::uint64::encode(1, &id, &mut request);
        prost::encoding::bytes::encode(2, *message, &mut request);
        request
    };
    let body = Pieces::of_each((0..).zip(messages).map(framed_request));
    let mut call = Answers::new(Arc::clone(authorization), body, None, Hearers::default());
    let mut all = Vec::new();
    loop {
        match call.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(answers)) => all.extend_from_slice(&answers),
            Poll::Ready(Err(end)) => break assert_eq!(end.code(), Code::Ok, "{end:?}"),
            Poll::Pending => {}
        }
    }
    let told = |(number, answer): (u64, &[u8])| {
        let answer = v1::StreamIsAuthorizedResponse::decode(answer).unwrap();
        assert_eq!(answer.id, number);
        match answer.result.unwrap() {
            v1::stream_is_authorized_response::Result::Response(response) => said(&response),
            v1::stream_is_authorized_response::Result::Error(error) => Err((error.code, error.message)),
        }
    };
    (0..).zip(framed(&all)).map(told).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// In batches and streams of more than a turn each, some of them known already, some twice, some wrong.
    #[test]
    fn requests_that_come_together_are_answered_as_each_is_alone(
        known in vec(any::<prop::sample::Index>(), 0..20),
        asked in vec(any::<prop::sample::Index>(), 1..150),
        cache_bytes in prop_oneof![Just(0), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let pool = pool();
        let uncached = service(varied(), 0);
        let expected: Vec<Said> = pool.iter().map(|message| alone(&uncached, message)).collect();
        let asked: Vec<usize> = asked.iter().map(|index| index.index(pool.len())).collect();
        let messages: Vec<_> = asked.iter().map(|index| &pool[*index]).collect();
        let expected: Vec<Said> = asked.iter().map(|index| expected[*index].clone()).collect();
        for together in [in_a_batch, in_a_stream] {
            let authorization = service(varied(), cache_bytes);
            for index in &known {
                let index = index.index(pool.len());
                prop_assert_eq!(alone(&authorization, &pool[index]), alone(&uncached, &pool[index]));
            }
            prop_assert_eq!(&together(&authorization, &messages), &expected);
            prop_assert_eq!(&together(&authorization, &messages), &expected, "once more");
        }
    }
}
