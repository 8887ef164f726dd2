//! What stands in a line, and which decisions have one.

use std::process::Stdio;

use iamd::proto::v1::{ContextValues, Detail, IsAuthorizedRequest, StreamIsAuthorizedRequest};
use serde_json::{Value, json};
use tonic::Request;

use super::{alice_deletes, lines, logging, logging_to};
use crate::operator::alice_reads;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request with what may be secret.
fn session() -> IsAuthorizedRequest {
    let one = |value: &str| ContextValues { values: vec![value.to_owned()] };
    let context =
        [("aws:SourceIp", "203.0.113.7"), ("aws:RequestedRegion", "eu-west-1"), ("sts:ExternalId", "s3cret-id")];
    IsAuthorizedRequest {
        principal: "arn:aws:sts::123456789012:assumed-role/CiDeployer/build-7".to_owned(),
        context: context.map(|(key, value)| (key.to_owned(), one(value))).into(),
        session_tags: [("Team".to_owned(), "s3cret-team".to_owned())].into(),
        session_policies: vec![
            r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::s3cret-bucket"}}"#
                .to_owned(),
        ],
        resource_account: "123456789012".to_owned(),
        ..alice_reads()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_says_what_was_asked_and_decided() {
    let mut log = logging("").await;
    let mut call = Request::new(IsAuthorizedRequest { detail: Detail::Statements.into(), ..alice_reads() });
    call.metadata_mut().insert("x-request-id", "order-66".parse().unwrap());
    call.metadata_mut().insert("traceparent", TRACE.parse().unwrap());
    log.client.is_authorized(call).await.unwrap();
    let revision = crate::operator::status(&log.program)["snapshot"]["revision"].clone();
    let all = log.end();
    assert_eq!(all[0]["type"], "start");
    let [_, line, _] = &all[..] else { panic!("{all:#?}") };
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    let (time, took) = (fields.remove("time").unwrap(), fields.remove("duration_ns").unwrap());
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    assert!(time.duration_until(jiff::Timestamp::now()).as_secs().abs() < 60, "{time}");
    assert!((1..1_000_000_000).contains(&took.as_u64().unwrap()), "{took}");
    let expected = json!({
        "v": 1, "type": "decision", "request_id": "order-66",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "method": "IsAuthorized",
        "principal": "arn:aws:iam::123456789012:user/alice", "action": "s3:GetObject",
        "resource": "arn:aws:s3:::acme-reports/2026/q1.pdf", "decision": "ALLOW", "decided_by": "IDENTITY",
        "statements": [{
            "policy_type": "IDENTITY", "policy": "arn:aws:iam::123456789012:user/alice/inline/read-reports",
            "sid": "ReadReports", "index": 1, "line": 17, "column": 11, "file": "123456789012/users/alice.json",
        }],
        "missing_context_keys": ["aws:SecureTransport"], "cached": "miss", "snapshot": {"version": 1, "revision": revision},
    });
    assert_eq!(line, expected, "{line:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_batch_and_a_stream_has_a_line() {
    let mut log = logging("").await;
    log.client.is_authorized(alice_reads()).await.unwrap();
    log.batch(&alice_reads(), 3).await;
    let invalid = IsAuthorizedRequest { action: "nothing".to_owned(), ..alice_reads() };
    assert_eq!(log.batch(&invalid, 1).await, [Err(3)], "an error is no decision");
    let asked = [(41, alice_reads()), (7, alice_deletes())];
    let stream = asked.map(|(id, request)| StreamIsAuthorizedRequest { id, request: Some(request) });
    let answers = log.client.stream_is_authorized(tokio_stream::iter(stream)).await.unwrap();
    let mut answers = answers.into_inner();
    while answers.message().await.unwrap().is_some() {}
    let found = log.decisions();
    let picked = |line: &Value| {
        let fields = ["method", "batch_index", "stream_id", "decision", "cached"];
        fields.map(|name| line[name].clone())
    };
    let (batch, stream) = (json!("BatchIsAuthorized"), json!("StreamIsAuthorized"));
    let (allow, hit) = (json!("ALLOW"), json!("hit"));
    let expected = [
        [json!("IsAuthorized"), Value::Null, Value::Null, allow.clone(), json!("miss")],
        [batch.clone(), json!(0), Value::Null, allow.clone(), hit.clone()],
        [batch.clone(), json!(1), Value::Null, allow.clone(), hit.clone()],
        [batch, json!(2), Value::Null, allow.clone(), hit.clone()],
        [stream.clone(), Value::Null, json!(41), allow, hit],
        [stream, Value::Null, json!(7), json!("IMPLICIT_DENY"), json!("miss")],
    ];
    assert_eq!(found.iter().map(picked).collect::<Vec<_>>(), expected);
    let ids: Vec<_> = found.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert!(ids[1] == ids[2] && ids[2] == ids[3] && ids[4] == ids[5], "a call has one id: {ids:?}");
    assert!(ids[0] != ids[1] && ids[3] != ids[4], "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_no_secret_is_logged() {
    let mut log = logging("").await;
    log.client.is_authorized(session()).await.unwrap();
    let found = log.decisions();
    assert!(!found[0].to_string().contains("s3cret"), "{found:#?}");
    let expected = json!({
        "aws:SourceIp": {"dropped": 1}, "aws:RequestedRegion": ["eu-west-1"], "sts:ExternalId": {"dropped": 1},
    });
    assert_eq!(found[0]["context"], expected);
    assert_eq!(found[0]["session_tags"], json!({"Team": {"dropped": 1}}));
    assert_eq!(found[0]["session_policies"], json!({"dropped": 1}));
    assert_eq!((&found[0]["masked"], &found[0]["resource_account"]), (&json!(true), &json!("123456789012")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_up_to_the_operator() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "0123456789abcdef").unwrap();
    let flags = format!(
        "--decision-log-context full --decision-log-drop-key sts:* --decision-log-hash-key aws:principaltag/* \
         --decision-log-hash-key aws:sourceip --decision-log-hash-key-file {}",
        secret.path().display()
    );
    let mut log = logging(&flags).await;
    log.client.is_authorized(session()).await.unwrap();
    log.client.is_authorized(session()).await.unwrap();
    let found = log.decisions();
    let context = &found[0]["context"];
    assert_eq!(context["sts:ExternalId"], json!({"dropped": 1}));
    assert_eq!(context["aws:RequestedRegion"], json!(["eu-west-1"]));
    assert_eq!(context["aws:SourceIp"]["hashed"].as_array().unwrap().len(), 1);
    assert_ne!(context["aws:SourceIp"], found[0]["session_tags"]["Team"]);
    assert_eq!(found[0]["session_policies"], json!(session().session_policies));
    assert_eq!(context, &found[1]["context"], "equal values have equal hashes");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_pick_and_denials_are_never_sampled_away() {
    let mut log = logging("--decision-log-sample 0").await;
    log.batch(&alice_reads(), 100).await;
    log.batch(&alice_deletes(), 100).await;
    let found = log.decisions();
    assert_eq!(found.len(), 100);
    assert!(found.iter().all(|line| line["decision"] == "IMPLICIT_DENY"));

    let mut log = logging("--decision-log-only denials --decision-log-actions S3:Put*,s3:delete*").await;
    log.batch(&alice_reads(), 5).await;
    log.batch(&alice_deletes(), 2).await;
    log.batch(&IsAuthorizedRequest { action: "s3:ListBucket".to_owned(), ..alice_deletes() }, 5).await;
    assert_eq!(log.decisions().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_can_be_logged_of_all_and_told_to_who_asks() {
    let mut log = logging("--decision-log-statements").await;
    for _ in 0..2 {
        let answer = log.client.is_authorized(alice_reads()).await.unwrap().into_inner();
        assert!(answer.statements.is_empty());
    }
    let detail = IsAuthorizedRequest { detail: Detail::Statements.into(), ..alice_reads() };
    assert_eq!(log.client.is_authorized(detail).await.unwrap().into_inner().statements.len(), 1);
    let found = log.decisions();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|line| line["statements"][0]["sid"] == "ReadReports"), "{found:#?}");
    assert_eq!(found[1]["cached"], "hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dash_is_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("stdout");
    let stdout = Stdio::from(std::fs::File::create(&out).unwrap());
    let mut log = logging_to(folder, "-".as_ref(), "", stdout).await;
    log.client.is_authorized(alice_reads()).await.unwrap();
    log.program.signal("TERM");
    assert_eq!(log.program.ended().0, 0);
    let kinds: Vec<_> =
        lines(&std::fs::read_to_string(&out).unwrap()).iter().map(|line| line["type"].clone()).collect();
    assert_eq!(kinds, ["start", "decision", "stop"]);
}
