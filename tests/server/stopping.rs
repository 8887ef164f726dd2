//! Stopping: in the promised order, and in time whatever peers do.

use std::net::TcpStream;
use std::time::Duration;

use iamd::proto::v1;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use tokio::sync::mpsc;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::program::{Program, run, unix};
use crate::service::{HeldStream, eventually, request, slow_call, streamed};

async fn channel(program: &Program) -> Channel {
    Channel::from_shared(format!("http://{}", program.grpc[0])).unwrap().connect().await.unwrap()
}

fn ended_soon(program: &mut Program) {
    let (code, took) = program.ended();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_during_the_delay_and_says_that_it_stops() {
    let mut program = Program::start(&["--drain-delay", "1h", "--drain-timeout", "2h"]);
    program.signal("TERM");
    program.logged("stopping: not ready for new calls");
    assert_eq!(program.get("/readyz"), (503, "draining: the service is stopping\n".to_owned()));
    assert_eq!(program.get("/livez").0, 200);

    // New connections and calls are still taken.
    let channel = channel(&program).await;
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::NotServing);
    AuthorizationServiceClient::new(channel).is_authorized(request()).await.unwrap();
    let expected = format!("error: {}: not serving\n", program.grpc[0]);
    assert_eq!(run(&["healthcheck", "--address", &program.grpc[0]]), (1, expected));

    program.signal("INT");
    program.logged("stopped at once by a second signal");
    ended_soon(&mut program);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_answered_told_and_ended() {
    let mut program = Program::start(&["--drain-delay", "0s", "--drain-timeout", "1h"]);
    let mut client = AuthorizationServiceClient::new(channel(&program).await);
    let mut stream = HeldStream::open(&mut client).await.unwrap();
    stream.ask(1).await;
    stream.requests.send(streamed(2)).await.unwrap();
    assert_eq!(stream.answers.message().await.unwrap().unwrap().id, 2);
    program.signal("TERM");
    let status = stream.answers.message().await.unwrap_err();
    let expected = "the service is stopping; connect again and resend what was not answered";
    assert_eq!((status.code(), status.message()), (Code::Unavailable, expected));
    ended_soon(&mut program);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_peers_do_not_hold_it_up() {
    let mut program = Program::start(&["--drain-delay", "0s", "--drain-timeout", "1h"]);
    let _silent = TcpStream::connect(&program.grpc[0]).unwrap();
    let idle = channel(&program).await;
    let mut watcher = HealthClient::new(idle.clone());
    let mut watched = watcher.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    program.signal("TERM");
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watched.message().await.unwrap(), None);
    ended_soon(&mut program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_is_finished() {
    let flags = ["--drain-delay", "0s", "--drain-timeout", "1h", "--request-timeout", "1h"];
    let mut program = Program::start(&flags);
    let (sender, messages) = mpsc::channel::<v1::IsAuthorizedRequest>(1);
    let channel = channel(&program).await;
    let call = tokio::spawn(slow_call(channel.clone(), messages));
    eventually("a call in flight", || program.get("/metrics").1.contains("iamd_requests_in_flight 1\n")).await;
    program.signal("TERM");
    assert_eq!(program.logged("no longer listening; finishing calls in flight")["in_flight"], 1);
    eventually("new connections are refused", || TcpStream::connect(&program.grpc[0]).is_err()).await;
    let mut client = AuthorizationServiceClient::new(channel);
    let refused = async { while client.is_authorized(request()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("new calls are refused");
    sender.send(request()).await.unwrap();
    drop(sender);
    let answer = call.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.decision, v1::Decision::ImplicitDeny as i32);
    program.logged("stopped: every call has been answered");
    ended_soon(&mut program);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_the_deadline_whatever_peers_do() {
    // The delay is a part of it: were it not, the end would come 1.2 s too late.
    let flags = ["--drain-delay", "1200ms", "--drain-timeout", "1300ms", "--request-timeout", "1h"];
    let mut program = Program::start(&flags);
    let (_held, messages) = mpsc::channel::<v1::IsAuthorizedRequest>(1);
    let call = tokio::spawn(slow_call(channel(&program).await, messages));
    eventually("a call in flight", || program.get("/metrics").1.contains("iamd_requests_in_flight 1\n")).await;
    program.signal("TERM");
    assert_eq!(program.logged("stopped at --drain-timeout: calls were cut off")["in_flight"], 1);
    program.ended_at(Duration::from_millis(1_300));
    call.await.unwrap().unwrap_err();
}

#[test]
fn a_second_signal_removes_the_socket_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("iamd.sock");
    let mut program = Program::start_on(&["--listen", &unix(&path)], &["--drain-delay", "1h", "--drain-timeout", "2h"]);
    program.signal("TERM");
    program.logged("stopping: not ready for new calls");
    assert!(path.exists());
    program.signal("TERM");
    ended_soon(&mut program);
    assert!(!path.exists());
}

#[test]
fn a_hangup_is_not_the_end() {
    let mut program = Program::start(&["--drain-delay", "0s"]);
    program.signal("HUP");
    program.logged("SIGHUP: reading the policy store again");
    assert_eq!(run(&["healthcheck", "--address", &program.grpc[0]]), (0, String::new()));
    program.signal("INT");
    ended_soon(&mut program);
}
