//! What happens when there is too much to do, and when the program has a fault.

use std::sync::Arc;
use std::time::Duration;

use iamd::engine::Engine;
use iamd::proto::v1;
use iamd::server::calls::Calls;
use iamd::server::grpc::Authorization;
use iamd::server::incoming::{Incoming, Listener};
use iamd::server::workers::{Serve, Workers};
use iamd::telemetry;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::service::{HeldStream, Service, config, empty_snapshot, request, state};

#[tokio::test]
async fn without_memory_calls_are_refused_but_health_is_not() {
    let service = Service::start(&["--memory-limit", "1MiB"]).await;
    let mut client = service.client().await;
    let batch = v1::BatchIsAuthorizedRequest { requests: vec![request()] };
    let expected = "the service has too little memory left for this call (--memory-limit); try again later";
    for status in [
        client.is_authorized(request()).await.unwrap_err(),
        client.batch_is_authorized(batch).await.unwrap_err(),
        HeldStream::open(&mut client).await.err().unwrap(),
    ] {
        assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
        let delay = status.get_error_details().retry_info().unwrap().retry_delay;
        assert_eq!(delay, Some(Duration::from_millis(100)));
    }
    HealthClient::new(service.channel().await).check(HealthCheckRequest::default()).await.unwrap();
    service.metric("iamd_requests_shed_total{reason=\"memory\"} 3").await;
    service.metric("iamd_requests_in_flight 0").await;
    service.metric("iamd_memory_limit_bytes 1048576").await;
}

#[tokio::test]
async fn with_enough_memory_none_is_refused() {
    let service = Service::start(&["--memory-limit", "100GiB"]).await;
    service.client().await.is_authorized(request()).await.unwrap();
    service.metric("iamd_memory_limit_bytes 107374182400").await;
    assert!(service.state.memory.used() > 1 << 20);
}

/// Calls a method that takes and gives nothing.
async fn call(channel: Channel, path: &'static str) -> Result<(), tonic::Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(Request::new(()), path.parse().unwrap(), codec).await.map(drop)
}

/// The service on one thread, with methods besides.
async fn with(methods: axum::Router, flags: &[&str]) -> Service {
    let config = config(flags);
    let state = state(&config);
    let engine = Arc::new(Engine::new(empty_snapshot(), 0));
    let authorization = Authorization::new(engine, Arc::clone(&state), config.limits.request);
    let calls = Calls::new(authorization, Routes::from(methods), Arc::clone(&state));
    let serve = Serve { calls, state: Arc::clone(&state), max_streams: 10, limits: config.limits.connection };
    let (workers, _ends) = Workers::start(1, &serve).unwrap();
    let listener = Listener::bind(&config.listen[0], &config.unix_socket).await.unwrap();
    let service = Service { address: listener.address(), state: Arc::clone(&state) };
    let mut incoming = Incoming::new(vec![listener], state);
    tokio::spawn(async move {
        loop {
            workers.serve(incoming.next().await);
        }
    });
    service
}

#[tokio::test]
async fn a_fault_costs_one_call_and_is_counted() {
    telemetry::init(&config(&[]).log);
    // What the service really runs is not known to panic: a method of ours does, now or when it was waited for.
    let faulty = axum::Router::new()
        .route("/test.Faulty/Now", axum::routing::any(async || -> &'static str { panic!("a fault, on purpose") }))
        .route(
            "/test.Faulty/Later",
            axum::routing::any(async || -> &'static str {
                tokio::time::sleep(Duration::from_millis(10)).await;
                panic!("a fault, on purpose")
            }),
        );
    let service = with(faulty, &[]).await;

    let channel = service.channel().await;
    let mut client = v1::authorization_service_client::AuthorizationServiceClient::new(channel.clone());
    let mut held = HeldStream::open(&mut client).await.unwrap();
    let before = telemetry::panics();
    for path in ["/test.Faulty/Now", "/test.Faulty/Later"] {
        call(channel.clone(), path).await.unwrap_err();
        // The same connection, and the call that was there before.
        client.is_authorized(request()).await.unwrap();
        held.ask(1).await;
    }
    assert_eq!(telemetry::panics() - before, 2);
    let handled = "grpc_server_handled_total{grpc_service=\"unknown\",grpc_method=\"unknown\"";
    service.metric(&format!("{handled},grpc_code=\"INTERNAL\"}} 2")).await;
    service.metric("iamd_requests_in_flight 1").await;
    service.metric("iamd_connections 1").await;
    service.metric(&format!("iamd_panics_total {}", telemetry::panics())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_too_long_are_refused_with_when_to_come_back() {
    // What takes time on the thread that serves, so that others wait.
    let slow = axum::routing::any(async || std::thread::sleep(Duration::from_millis(40)));
    let slow = axum::Router::new().route("/test.Slow/Now", slow);
    let service = with(slow, &["--max-queue-time", "20ms", "--request-timeout", "1h"]).await;
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let channel = service.channel().await;
        busy.spawn(async move {
            loop {
                drop(call(channel.clone(), "/test.Slow/Now").await);
            }
        });
    }
    let mut client = service.client().await;
    let refused = async {
        loop {
            if let Err(status) = client.is_authorized(request()).await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), refused).await.expect("it is refused");
    let expected = "calls wait for longer than --max-queue-time; try again later";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
    let delay = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_millis(100)));
    service.metric("iamd_requests_shed_total{reason=\"queue\"} 1").await;
    let handled =
        "grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=\"IsAuthorized\"";
    service.metric(&format!("{handled},grpc_code=\"RESOURCE_EXHAUSTED\"}} 1")).await;
    busy.shutdown().await;
    service.metric("iamd_requests_in_flight 0").await;
    client.is_authorized(request()).await.unwrap();
}
