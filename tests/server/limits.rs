//! What the service takes in at most, and what its metrics say of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use iamd::engine::Engine;
use iamd::proto::v1;
use iamd::server::calls::Calls;
use iamd::server::grpc::Authorization;
use iamd::server::incoming::{Incoming, Listener, StdSocket};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::service::{HeldStream, Service, config, empty_snapshot, request, slow_call, state, streamed};

const HANDLED: &str = "grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=";

#[tokio::test]
async fn calls_past_the_limit_are_shed_at_once_but_health_is_not() {
    let service = Service::start(&["--max-in-flight", "2"]).await;
    let mut client = service.client().await;
    let mut first = HeldStream::open(&mut client).await.unwrap();
    let mut second = HeldStream::open(&mut client).await.unwrap();
    first.ask(1).await;
    second.ask(2).await;
    service.metric("iamd_requests_in_flight 2").await;

    let status = client.is_authorized(request()).await.unwrap_err();
    let expected = "2 calls are in flight, which is the limit (--max-in-flight); try again later";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
    let delay = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_millis(100)));
    HealthClient::new(service.channel().await).check(HealthCheckRequest::default()).await.unwrap();

    service.metric("iamd_requests_shed_total{reason=\"in_flight\"} 1").await;
    service.metric(&format!("{HANDLED}\"IsAuthorized\",grpc_code=\"RESOURCE_EXHAUSTED\"}} 1")).await;
    drop(first);
    service.metric("iamd_requests_in_flight 1").await;
    client.is_authorized(request()).await.unwrap();
}

#[tokio::test]
async fn connections_past_the_limit_are_closed_at_once() {
    let service = Service::start(&["--max-connections", "1"]).await;
    let channel = service.channel().await;
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    service.metric("iamd_connections 1").await;

    let mut refused = TcpStream::connect(&service.address).await.unwrap();
    assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or(0), 0);
    service.metric("iamd_requests_shed_total{reason=\"connections\"} 1").await;

    drop(channel);
    service.metric("iamd_connections 0").await;
    service.client().await.is_authorized(request()).await.unwrap();
}

#[tokio::test]
async fn listeners_take_turns() {
    let config = config(&[]);
    let (mut listeners, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let listener = Listener::bind(&config.listen[0], &config.unix_socket).await.unwrap();
        let address = listener.address();
        waiting.extend((0..4).map(|_| std::net::TcpStream::connect(&address).unwrap()));
        listeners.push(listener);
    }
    let addresses: Vec<String> = listeners.iter().map(Listener::address).collect();
    let mut incoming = Incoming::new(listeners, state(&config));
    let mut order = Vec::new();
    for _ in 0..waiting.len() {
        let StdSocket::Tcp(socket) = incoming.next().await.socket else { panic!("not TCP") };
        order.push(socket.local_addr().unwrap().to_string());
    }
    for round in order.chunks_mut(addresses.len()) {
        round.sort();
        let mut expected = addresses.clone();
        expected.sort();
        assert_eq!(round, expected, "one of each listener");
    }
}

#[tokio::test]
async fn a_unary_call_ends_at_the_services_timeout() {
    let service = Service::start(&["--request-timeout", "50ms"]).await;
    let (_held, messages) = mpsc::channel(1);
    let status = slow_call(service.channel().await, messages).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "not answered within 50ms"));
    service.metric(&format!("{HANDLED}\"IsAuthorized\",grpc_code=\"DEADLINE_EXCEEDED\"}} 1")).await;
    service.metric("iamd_requests_in_flight 0").await;
}

/// A request's body that never comes.
struct Silence;

impl http_body::Body for Silence {
    type Data = prost::bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_sooner_deadline_of_the_client_counts() {
    // Without a connection: a client's library would hang up before the service can answer.
    let config = config(&["--request-timeout", "1h"]);
    let state = state(&config);
    let engine = Arc::new(Engine::new(empty_snapshot(), 0));
    let authorization = Authorization::new(engine, Arc::clone(&state), config.limits.request);
    let calls = Calls::new(authorization, Routes::default(), Arc::clone(&state));
    let request = http::Request::post("/iamd.v1.AuthorizationService/IsAuthorized")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(Silence)
        .unwrap();
    let response = calls.call(request).await.unwrap();
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "not answered within 50ms"));
    let text = state.metrics.render(&state.readings());
    assert!(text.contains(&format!("{HANDLED}\"IsAuthorized\",grpc_code=\"DEADLINE_EXCEEDED\"}} 1\n")), "{text}");
    assert_eq!(state.in_flight.held(), 0);
}

#[tokio::test]
async fn a_stream_outlives_the_services_timeout_but_not_the_clients() {
    let service = Service::start(&["--request-timeout", "1ms"]).await;
    let mut client = service.client().await;
    let (requests, receiver) = mpsc::channel(1);
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let mut answers = client.stream_is_authorized(request).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_millis(20)).await;
    requests.send(streamed(1)).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().id, 1);
    let status = answers.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "not answered within 300ms"));
    service.metric(&format!("{HANDLED}\"StreamIsAuthorized\",grpc_code=\"DEADLINE_EXCEEDED\"}} 1")).await;
}

#[tokio::test]
async fn metrics_count_calls_and_every_decision_in_them() {
    let service = Service::start(&[]).await;
    let mut client = service.client().await;
    client.is_authorized(request()).await.unwrap();
    let wrong = v1::IsAuthorizedRequest { action: "wrong".to_owned(), ..request() };
    client.is_authorized(wrong.clone()).await.unwrap_err();
    let batch = v1::BatchIsAuthorizedRequest { requests: vec![request(), wrong, request()] };
    client.batch_is_authorized(batch).await.unwrap();
    let mut stream = HeldStream::open(&mut client).await.unwrap();
    stream.ask(1).await;
    drop(stream);

    let decisions = |text: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with("iamd_decisions_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!(decisions(&service.metrics()), 4);
    service.metric(&format!("{HANDLED}\"IsAuthorized\",grpc_code=\"OK\"}} 1")).await;
    service.metric(&format!("{HANDLED}\"IsAuthorized\",grpc_code=\"INVALID_ARGUMENT\"}} 1")).await;
    service.metric(&format!("{HANDLED}\"BatchIsAuthorized\",grpc_code=\"OK\"}} 1")).await;
    service.metric(&format!("{HANDLED}\"StreamIsAuthorized\",grpc_code=\"CANCELLED\"}} 1")).await;
    let seconds = "grpc_server_handling_seconds_count{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=";
    service.metric(&format!("{seconds}\"IsAuthorized\"}} 2")).await;
}

#[tokio::test]
async fn callers_cannot_invent_labels() {
    let service = Service::start(&[]).await;
    let mut grpc = tonic::client::Grpc::new(service.channel().await);
    for path in ["/iamd.v1.AuthorizationService/Invented", "/invented.Service/Method", "/"] {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = grpc.unary(Request::new(()), path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
    let unknown = "grpc_server_handled_total{grpc_service=\"unknown\",grpc_method=\"unknown\"";
    service.metric(&format!("{unknown},grpc_code=\"UNIMPLEMENTED\"}} 3")).await;
    assert!(!service.metrics().to_lowercase().contains("invented"));
}
