//! What is in spans, and which calls have one.

use std::os::unix::fs::MetadataExt;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::proto::v1::{BatchIsAuthorizedRequest, IsAuthorizedRequest, StreamIsAuthorizedRequest};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use super::{PARENT, TRACE, ask, child, hex, start, traced};
use crate::collector::{Collector, texts};
use crate::decisions::{decisions, lines};
use crate::operator::{alice_reads, client, quickstart, serve, status, threads};
use crate::program::{Program, iamd, unix};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_in_the_trace_of_its_caller() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_SERVICE_NAME", "shop-iamd"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=shop-1,service.version=7"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let (program, mut client) = traced(&collector.url(), &variables).await;
    let mut request = child(alice_reads(), "01");
    request.metadata_mut().insert("tracestate", "vendor=x".parse().unwrap());
    let answer = client.is_authorized(request).await.unwrap();

    let span = collector.wait_for(1).await.remove(0);
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!((span.name.as_str(), span.kind()), ("iamd.v1.AuthorizationService/IsAuthorized", SpanKind::Server));
    assert_eq!(span.trace_state, "vendor=x");
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    assert_eq!(span.status.clone().unwrap_or_default().code(), StatusCode::Unset);
    let revision = status(&program)["snapshot"]["revision"].as_str().unwrap().to_owned();
    let expected = [
        "iamd.cache=miss",
        "iamd.decided_by=IDENTITY",
        "iamd.decision=ALLOW",
        &format!("iamd.snapshot.revision={revision}"),
        "iamd.snapshot.version=1",
        "rpc.grpc.status_code=0",
        "rpc.method=IsAuthorized",
        "rpc.service=iamd.v1.AuthorizationService",
        "rpc.system=grpc",
    ];
    assert_eq!(texts(&span.attributes), expected);
    // The caller is told where it is found.
    let told = answer.metadata().get("traceresponse").unwrap();
    assert_eq!(told, &format!("00-{TRACE}-{}-01", hex(&span.span_id)));

    let resource = collector.resources().remove(0);
    let common = texts(&resource.resource.unwrap().attributes);
    for expected in ["k8s.pod.name=shop-1", "service.name=shop-iamd", "service.version=7"] {
        assert!(common.contains(&expected.to_owned()), "{common:?}");
    }
    let scope = resource.scope_spans[0].scope.clone().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("iamd", env!("CARGO_PKG_VERSION")));
    assert_eq!(collector.metadata().get("authorization").unwrap(), "Bearer secret");
    assert_eq!(collector.metadata().get("grpc-encoding").unwrap(), "gzip");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_a_stream_are_one_span_each_with_counts() {
    let collector = Collector::start().await;
    let (_program, mut client) = traced(&collector.url(), &[]).await;
    let denied = IsAuthorizedRequest { action: "s3:DeleteObject".to_owned(), ..alice_reads() };
    let wrong = IsAuthorizedRequest { action: "nothing".to_owned(), ..alice_reads() };
    let requests = vec![alice_reads(), alice_reads(), denied, wrong];
    let batch = BatchIsAuthorizedRequest { requests: requests.clone() };
    client.batch_is_authorized(child(batch, "01")).await.unwrap();
    let batch = collector.wait_for(1).await.remove(0);

    let nothing = StreamIsAuthorizedRequest { id: 9, request: None };
    let streamed = (1..).zip(requests).map(|(id, request)| StreamIsAuthorizedRequest { id, request: Some(request) });
    let messages: Vec<_> = streamed.chain([nothing]).collect();
    let stream = client.stream_is_authorized(child(tokio_stream::iter(messages), "01")).await.unwrap();
    assert!(stream.metadata().contains_key("traceresponse"));
    let mut answers = stream.into_inner();
    while answers.message().await.unwrap().is_some() {}
    let stream = collector.wait_for(2).await.remove(1);

    // All requests of the batch were looked up before the first was decided.
    for (span, method, hits, refused) in [(batch, "Batch", 0, 1), (stream, "Stream", 3, 2)] {
        assert_eq!(span.name, format!("iamd.v1.AuthorizationService/{method}IsAuthorized"));
        assert_eq!(hex(&span.trace_id), TRACE);
        let mut attributes = texts(&span.attributes);
        attributes.retain(|text| text.starts_with("iamd.") && !text.starts_with("iamd.snapshot"));
        let expected = [
            "iamd.allowed=2".to_owned(),
            format!("iamd.cache_hits={hits}"),
            "iamd.denied=1".to_owned(),
            format!("iamd.refused={refused}"),
            format!("iamd.requests={}", 3 + refused),
        ];
        assert_eq!(attributes, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_says_how() {
    let collector = Collector::start().await;
    let (_program, mut client) = traced(&collector.url(), &[]).await;
    let wrong = IsAuthorizedRequest { principal: "nobody".to_owned(), ..alice_reads() };
    let refused = client.is_authorized(child(wrong, "01")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.metadata().contains_key("traceresponse"));
    let span = collector.wait_for(1).await.remove(0);
    let attributes = texts(&span.attributes);
    assert!(attributes.contains(&"rpc.grpc.status_code=3".to_owned()), "{attributes:?}");
    assert!(!attributes.iter().any(|text| text.starts_with("iamd.decision")), "{attributes:?}");
    // It is the caller's fault, not the service's.
    assert_eq!(span.status.unwrap_or_default().code(), StatusCode::Unset);

    let mut encoded = child(alice_reads(), "01");
    encoded.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    client.is_authorized(encoded).await.unwrap_err();
    let span = collector.wait_for(2).await.remove(1);
    assert!(texts(&span.attributes).contains(&"rpc.grpc.status_code=12".to_owned()));
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_decide_and_the_sampler_where_they_do_not() {
    for (sampler, expected) in
        [("parentbased_always_on", [true, true, false]), ("parentbased_always_off", [false, true, false])]
    {
        let collector = Collector::start().await;
        let (_program, mut client) = traced(&collector.url(), &[("OTEL_TRACES_SAMPLER", sampler)]).await;
        let mut told = Vec::new();
        for flags in [None, Some("01"), Some("00")] {
            told.push(ask(&mut client, flags).await);
        }
        assert_eq!(told.iter().map(Option::is_some).collect::<Vec<_>>(), expected, "{sampler}");
        let spans = collector.wait_for(expected.iter().filter(|traced| **traced).count()).await;
        let mut heard: Vec<_> =
            spans.iter().map(|span| format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))).collect();
        let mut told: Vec<_> = told.into_iter().flatten().collect();
        heard.sort();
        told.sort();
        assert_eq!(heard, told, "{sampler}");
        let roots = spans.iter().filter(|span| span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE).count();
        assert_eq!(roots, usize::from(expected[0]), "{sampler}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_not_believed_where_so_it_is_set() {
    let collector = Collector::start().await;
    let variables = [("OTEL_PROPAGATORS", "none"), ("OTEL_TRACES_SAMPLER", "always_on")];
    let (_program, mut client) = traced(&collector.url(), &variables).await;
    ask(&mut client, Some("00")).await;
    let span = collector.wait_for(1).await.remove(0);
    assert_ne!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_log_names_the_same_trace() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("decisions.log");
    let (mut program, mut client) = traced(&collector.url(), &[("IAMD_DECISION_LOG", log.to_str().unwrap())]).await;
    ask(&mut client, Some("01")).await;
    let root = ask(&mut client, None).await.unwrap();
    drop(client);
    program.signal("TERM");
    assert_eq!(program.ended().0, 0);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let context = |line: serde_json::Value| format!("00-{}-{}-01", text(&line["trace_id"]), text(&line["span_id"]));
    let lines = decisions(lines(&std::fs::read_to_string(&log).unwrap()));
    let contexts: Vec<String> = lines.into_iter().map(context).collect();
    assert_eq!(contexts, [format!("00-{TRACE}-{PARENT}-01"), root]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_known_is_named() {
    let collector = Collector::start().await;
    let (store, folder) = (quickstart(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("iamd.sock");
    let mut command = iamd(&serve(store.path(), &["--listen", &unix(&socket)]));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let _program = Program::spawn(command, store);
    let url = format!("unix://{}", socket.display());
    ask(&mut AuthorizationServiceClient::connect(url).await.unwrap(), None).await;
    let span = collector.wait_for(1).await.remove(0);
    let own = std::fs::metadata(folder.path()).unwrap().uid();
    assert!(texts(&span.attributes).contains(&format!("iamd.peer=uid={own}")), "{span:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_are_left_out() {
    let collector = Collector::start().await;
    let (program, mut client) = traced(&collector.url(), &[]).await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", program.grpc[0])).unwrap();
    let channel = channel.connect().await.unwrap();
    let health = child(HealthCheckRequest::default(), "01");
    let answer = HealthClient::new(channel.clone()).check(health).await.unwrap();
    assert_eq!(answer.metadata().get("traceresponse"), None);
    let request = ServerReflectionRequest { host: String::new(), message_request: None };
    let mut reflection = ServerReflectionClient::new(channel);
    let asked = reflection.server_reflection_info(child(tokio_stream::iter([request]), "01")).await;
    drop(asked.unwrap().into_inner().message().await);
    ask(&mut client, Some("01")).await;
    let span = collector.wait_for(1).await.remove(0);
    assert_eq!(span.name, "iamd.v1.AuthorizationService/IsAuthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_where_no_collector_is_named_or_none_is_wanted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    for variables in [
        vec![("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")],
        vec![endpoint, ("OTEL_SDK_DISABLED", "true")],
        vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")],
    ] {
        let program = start(&variables);
        assert_eq!(ask(&mut client(&program).await, Some("01")).await, None, "{variables:?}");
        let threads = threads(&program);
        assert!(threads.contains(&"iamd-0".to_owned()), "{threads:?}");
        assert!(!threads.iter().any(|name| name == "iamd-traces" || name.starts_with("OpenTele")), "{threads:?}");
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}
