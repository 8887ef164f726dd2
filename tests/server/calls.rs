//! The three methods, health and reflection.

use iamd::proto::v1;
use iamd::proto::v1::{batch_result, stream_is_authorized_response};
use tokio_stream::StreamExt;
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1 as reflection_v1, v1alpha as reflection_v1alpha};
use tonic_types::StatusExt;

use crate::service::{HeldStream, Service, request, streamed};

const IMPLICIT_DENY: i32 = v1::Decision::ImplicitDeny as i32;

fn values(values: &[&str]) -> v1::ContextValues {
    v1::ContextValues { values: values.iter().map(ToString::to_string).collect() }
}

fn context(pairs: &[(&str, &[&str])]) -> v1::IsAuthorizedRequest {
    let context = pairs.iter().map(|(key, list)| (key.to_string(), values(list))).collect();
    v1::IsAuthorizedRequest { context, ..request() }
}

fn role_session(change: impl FnOnce(&mut v1::IsAuthorizedRequest)) -> v1::IsAuthorizedRequest {
    let principal = "arn:aws:sts::123456789012:assumed-role/R/S".to_owned();
    let mut request = v1::IsAuthorizedRequest { principal, ..request() };
    change(&mut request);
    request
}

/// Every way in which a request can be wrong, and what is said of it.
fn wrong_requests() -> Vec<(v1::IsAuthorizedRequest, &'static str)> {
    vec![
        (
            v1::IsAuthorizedRequest { principal: "alice".to_owned(), ..request() },
            "principal: `alice` must be the ARN of an IAM user, role, assumed-role session, federated user or account \
             root, a service principal such as `ec2.amazonaws.com`, or `anonymous`",
        ),
        (
            v1::IsAuthorizedRequest { action: "s3:*".to_owned(), ..request() },
            "action: `s3:*` must be `service:Name`, such as `s3:GetObject`, without wildcards",
        ),
        (
            v1::IsAuthorizedRequest { resource: String::new(), ..request() },
            "resource: `` must be an ARN (`arn:partition:service:region:account:resource`), or `*` for an action \
             without resources",
        ),
        (
            v1::IsAuthorizedRequest { resource_account: "12".to_owned(), ..request() },
            "resource_account: `12` is not a 12-digit account id",
        ),
        (context(&[("", &["x"])]), "context: a key is empty"),
        (
            context(&[("aws:sourceip", &["x"]), ("aws:SourceIp", &["y"])]),
            "context: `aws:sourceip` is given twice: keys are case-insensitive",
        ),
        (
            context(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]),
            "context: 4 condition keys are more than the limit of 3 (--max-context-keys)",
        ),
        (
            context(&[("a", &["1", "2", "3"]), ("b", &["4", "5"])]),
            "context: 5 values are more than the limit of 4 (--max-context-values)",
        ),
        (
            role_session(|r| r.session_policies = vec!["{}".to_owned(); 3]),
            "session_policies: 3 session policies are more than the limit of 2 (--max-session-policies)",
        ),
        (
            role_session(|r| r.session_policies = vec![" ".repeat(40), " ".repeat(25)]),
            "session_policies: 65 bytes are more than the limit of 64 (--max-session-policy-bytes)",
        ),
        (
            role_session(|r| r.session_policies = vec!["{}".to_owned()]),
            "session_policies: the policy at index 0, line 1, column 1: a policy document needs `Statement`",
        ),
        (
            role_session(|r| r.session_policies = vec![r#"{"Statement": {"Effect": 1}}"#.to_owned()]),
            "session_policies: the policy at index 0, line 1, column 15: a statement needs `Action` or `NotAction`; \
             line 1, column 26: `Effect` takes a string, not a number",
        ),
        (
            role_session(|r| r.session_policies = vec!["{\"Statement\": [{},\n{}]}".to_owned()]),
            "session_policies: the policy at index 0, line 1, column 16: a statement needs `Action` or `NotAction`; \
             line 1, column 16: a statement needs `Effect`; line 2, column 1: a statement needs `Action` or `NotAction`; \
             and 1 more",
        ),
        (
            v1::IsAuthorizedRequest { session_tags: [("a".to_owned(), "b".to_owned())].into(), ..request() },
            "session_tags: only a session has them: a role, an assumed-role session or a federated user",
        ),
        (
            v1::IsAuthorizedRequest { federated_by: "bob".to_owned(), ..request() },
            "federated_by: `bob` must be the ARN of an IAM user in the account of the federated user that asks",
        ),
        (v1::IsAuthorizedRequest { detail: 7, ..request() }, "detail: `7` is not a detail of this version"),
    ]
}

const TIGHT: [&str; 8] = [
    "--max-context-keys",
    "3",
    "--max-context-values",
    "4",
    "--max-session-policies",
    "2",
    "--max-session-policy-bytes",
    "64",
];

#[test]
fn session_policies_that_are_wrong_are_told_by_their_index() {
    let valid = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let wrong = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "b"}}"#;
    let told = |documents: &[String]| iamd::evaluate::SessionPolicies::compile(documents).unwrap_err().to_string();
    assert_eq!(
        told(&[valid, valid, wrong, "{}"].map(str::to_owned)),
        "session_policies: the policy at index 2, line 1, column 62: the resource `b` is not an ARN or `*`"
    );
    // What stands in a header must stay short.
    let long = wrong.replace("\"b\"", &format!("[\"{0}\", \"{0}\"]", "a".repeat(2_000)));
    let told = told(&[long]);
    assert!(told.ends_with("; and 1 more") && told.len() < 1_200, "{told}");
}

#[tokio::test]
async fn a_wrong_request_is_named_alike_by_all_three_methods() {
    let service = Service::start(&TIGHT).await;
    let mut client = service.client().await;
    let (requests, expected): (Vec<_>, Vec<_>) = wrong_requests().into_iter().unzip();

    for (request, expected) in requests.iter().zip(&expected) {
        let status = client.is_authorized(request.clone()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, *expected));
        let details = status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(format!("{}: {}", violation.field, violation.description), *expected);
    }

    let batch = v1::BatchIsAuthorizedRequest { requests: requests.clone() };
    let results = client.batch_is_authorized(batch).await.unwrap().into_inner().results;
    let messages: Vec<_> = results.into_iter().map(|result| batch_error(result).unwrap()).collect();
    assert_eq!(messages, expected);

    let items: Vec<_> = requests
        .into_iter()
        .zip(0..)
        .map(|(request, id)| v1::StreamIsAuthorizedRequest { id, request: Some(request) })
        .collect();
    let mut answers = client.stream_is_authorized(tokio_stream::iter(items)).await.unwrap().into_inner();
    let mut messages = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.id, messages.len() as u64);
        messages.push(stream_error(answer).unwrap());
    }
    assert_eq!(messages, expected);
    // A stream of one without a request, too.
    let empty = v1::StreamIsAuthorizedRequest { id: 1, request: None };
    let mut answers = client.stream_is_authorized(tokio_stream::iter([empty])).await.unwrap().into_inner();
    stream_error(answers.message().await.unwrap().unwrap()).unwrap();
    let counted = 3 * expected.len() + 1;
    service.metric(&format!("iamd_request_errors_total{{grpc_code=\"INVALID_ARGUMENT\"}} {counted}")).await;
}

fn batch_error(result: v1::BatchResult) -> Option<String> {
    match result.result.unwrap() {
        batch_result::Result::Error(error) => {
            assert_eq!(error.code, Code::InvalidArgument as i32);
            Some(error.message)
        }
        batch_result::Result::Response(_) => None,
    }
}

fn stream_error(answer: v1::StreamIsAuthorizedResponse) -> Option<String> {
    match answer.result.unwrap() {
        stream_is_authorized_response::Result::Error(error) => {
            assert_eq!(error.code, Code::InvalidArgument as i32);
            Some(error.message)
        }
        stream_is_authorized_response::Result::Response(_) => None,
    }
}

#[tokio::test]
async fn one_request_one_decision() {
    let service = Service::start(&[]).await;
    let answer = service.client().await.is_authorized(request()).await.unwrap().into_inner();
    assert_eq!((answer.decision, answer.snapshot_version), (IMPLICIT_DENY, 1));
    assert_ne!(answer.decided_by, v1::PolicyType::Unspecified as i32);
}

#[tokio::test]
async fn a_batch_answers_in_order_and_keeps_errors_in_their_place() {
    let service = Service::start(&[]).await;
    // More than the service decides in one turn.
    let mut requests = vec![request(); 200];
    requests[0].action = "wrong".to_owned();
    requests[130].resource = "wrong".to_owned();
    let batch = v1::BatchIsAuthorizedRequest { requests };
    let answer = service.client().await.batch_is_authorized(batch).await.unwrap().into_inner();
    assert_eq!((answer.results.len(), answer.snapshot_version), (200, 1));
    for (index, result) in answer.results.into_iter().enumerate() {
        let error = batch_error(result);
        let field = error.as_deref().and_then(|message| message.split(':').next());
        let expected = match index {
            0 => Some("action"),
            130 => Some("resource"),
            _ => None,
        };
        assert_eq!(field, expected, "{index}");
    }
}

#[tokio::test]
async fn an_empty_batch_is_answered_and_a_large_one_is_not() {
    let service = Service::start(&["--max-batch", "2"]).await;
    let mut client = service.client().await;
    let empty = client.batch_is_authorized(v1::BatchIsAuthorizedRequest::default()).await.unwrap().into_inner();
    assert_eq!((empty.results.len(), empty.snapshot_version), (0, 1));

    let large = v1::BatchIsAuthorizedRequest { requests: vec![request(); 3] };
    let status = client.batch_is_authorized(large).await.unwrap_err();
    let expected = "requests: 3 requests are more than the limit of 2 (--max-batch)";
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
}

#[tokio::test]
async fn a_stream_answers_each_message_and_ends_with_its_client() {
    let service = Service::start(&[]).await;
    let mut stream = HeldStream::open(&mut service.client().await).await.unwrap();
    // Each answer comes while the stream is open, ids are the client's own.
    for id in [7, 7, 0, u64::MAX] {
        stream.ask(id).await;
    }
    let missing = v1::StreamIsAuthorizedRequest { id: 9, request: None };
    stream.requests.send(missing).await.unwrap();
    let answer = stream.answers.message().await.unwrap().unwrap();
    assert_eq!((answer.id, stream_error(answer).as_deref()), (9, Some("request: is missing")));

    stream.requests.send(streamed(10)).await.unwrap();
    drop(stream.requests);
    assert_eq!(stream.answers.message().await.unwrap().unwrap().id, 10);
    assert_eq!(stream.answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_message_over_the_limit_is_not_valid() {
    let service = Service::start(&["--max-request-bytes", "1KiB"]).await;
    let mut client = service.client().await;
    let large = v1::IsAuthorizedRequest { resource: format!("arn:aws:s3:::{}", "x".repeat(2_000)), ..request() };
    let batch = v1::BatchIsAuthorizedRequest { requests: vec![large.clone()] };
    let mut stream = HeldStream::open(&mut client).await.unwrap();
    stream.ask(1).await;
    stream.requests.send(v1::StreamIsAuthorizedRequest { id: 2, request: Some(large.clone()) }).await.unwrap();
    let refusals = [
        client.is_authorized(large).await.unwrap_err(),
        client.batch_is_authorized(batch).await.unwrap_err(),
        stream.answers.message().await.unwrap_err(),
    ];
    let expected = "request: the message is larger than the limit of 1024 bytes (--max-request-bytes)";
    for status in refusals {
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
    }
    for method in ["IsAuthorized", "BatchIsAuthorized", "StreamIsAuthorized"] {
        let labels = format!("grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=\"{method}\"");
        service.metric(&format!("grpc_server_handled_total{{{labels},grpc_code=\"INVALID_ARGUMENT\"}} 1")).await;
    }
}

#[tokio::test]
async fn health_knows_the_server_and_the_service() {
    let service = Service::start(&[]).await;
    let mut client = HealthClient::new(service.channel().await);
    for name in ["", "iamd.v1.AuthorizationService"] {
        let answer = client.check(HealthCheckRequest { service: name.to_owned() }).await.unwrap();
        assert_eq!(answer.into_inner(), HealthCheckResponse { status: ServingStatus::Serving as i32 }, "{name}");
    }
    let unknown = client.check(HealthCheckRequest { service: "nobody".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

/// What both versions of reflection list, besides themselves.
const SERVICES: [&str; 2] = ["grpc.health.v1.Health", "iamd.v1.AuthorizationService"];

#[tokio::test]
async fn reflection_v1_lists_and_describes_the_services() {
    use reflection_v1::server_reflection_client::ServerReflectionClient;
    use reflection_v1::server_reflection_request::MessageRequest;
    use reflection_v1::server_reflection_response::MessageResponse;
    use reflection_v1::{ServerReflectionRequest, ServerReflectionResponse};

    let service = Service::start(&[]).await;
    let mut client = ServerReflectionClient::new(service.channel().await);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = SERVICES.map(|name| ask(MessageRequest::FileContainingSymbol(name.to_owned())));
    let questions: Vec<_> = [ask(MessageRequest::ListServices(String::new()))].into_iter().chain(questions).collect();
    let answers = client.server_reflection_info(Request::new(tokio_stream::iter(questions))).await.unwrap();
    let answers: Vec<ServerReflectionResponse> = answers.into_inner().map(Result::unwrap).collect().await;
    assert_eq!(answers.len(), 3);
    let mut answers = answers.into_iter().map(|answer| answer.message_response.unwrap());
    let Some(MessageResponse::ListServicesResponse(list)) = answers.next() else { panic!("no list") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(SERVICES.iter().all(|name| names.contains(name)), "{names:?}");
    assert!(answers.all(|answer| matches!(answer, MessageResponse::FileDescriptorResponse(_))));
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_services() {
    use reflection_v1alpha::ServerReflectionRequest;
    use reflection_v1alpha::server_reflection_client::ServerReflectionClient;
    use reflection_v1alpha::server_reflection_request::MessageRequest;
    use reflection_v1alpha::server_reflection_response::MessageResponse;

    let service = Service::start(&[]).await;
    let mut client = ServerReflectionClient::new(service.channel().await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question = ServerReflectionRequest { host: String::new(), message_request };
    let answers = client.server_reflection_info(Request::new(tokio_stream::once(question))).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("no list") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(SERVICES.iter().all(|name| names.contains(name)), "{names:?}");
}
