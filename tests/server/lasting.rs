//! How long connections last: idle ones, old ones, and those whose peer does not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use prost::bytes::Bytes;
use tokio::task::JoinHandle;

use crate::service::{HeldStream, Service, eventually, request, streamed};

type Sender = h2::client::SendRequest<Bytes>;

/// A connection, and how it ends.
async fn connect(service: &Service, window: u32) -> (Sender, JoinHandle<Result<(), h2::Error>>) {
    let socket = tokio::net::TcpStream::connect(&service.address).await.unwrap();
    let (sender, connection) = h2::client::Builder::new().initial_window_size(window).handshake(socket).await.unwrap();
    (sender.ready().await.unwrap(), tokio::spawn(connection))
}

/// Asks for health: a call without a message, which is an error, and an answer.
async fn ask(sender: Sender) -> Result<Sender, h2::Error> {
    let mut sender = sender.ready().await?;
    let request = http::Request::post("http://iamd/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true)?;
    assert!(answer.await?.headers().contains_key("grpc-status"));
    Ok(sender)
}

/// How many such calls the service has ended, in whatever way.
fn asked(service: &Service) -> u64 {
    const HANDLED: &str = "grpc_server_handled_total{grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\"";
    let metrics = service.metrics();
    let counts = metrics.lines().filter_map(|line| line.strip_prefix(HANDLED)?.rsplit(' ').next());
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

async fn ends<T>(ending: JoinHandle<T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), ending).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let service = Service::start(&["--idle-timeout", "100ms"]).await;
    let (sender, ending) = connect(&service, 1 << 16).await;
    let _sender = ask(sender).await.unwrap();
    ends(ending).await.unwrap();
    service.metric("iamd_connections 0").await;
}

#[tokio::test]
async fn a_connection_with_a_call_is_not_idle() {
    let service = Service::start(&["--idle-timeout", "50ms"]).await;
    let mut client = service.client().await;
    let mut stream = HeldStream::open(&mut client).await.unwrap();
    stream.ask(1).await;
    tokio::time::timeout(Duration::from_millis(300), stream.answers.message()).await.expect_err("it is held");
    stream.ask(2).await;
}

#[tokio::test]
async fn an_old_connection_takes_no_more_calls_and_finishes_those_it_has() {
    let flags = ["--max-connection-age", "200ms", "--max-connection-age-grace", "3s"];
    let service = Service::start(&flags).await;
    let (mut sender, ending) = connect(&service, 1 << 16).await;
    let mut stream = {
        let mut client = service.client().await;
        HeldStream::open(&mut client).await.unwrap()
    };
    let mut answered = 0;
    let refused = async {
        loop {
            sender = match ask(sender).await {
                Ok(sender) => sender,
                Err(error) => return error,
            };
            answered += 1;
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it takes no more calls");
    assert!(told.is_go_away() || told.is_io(), "{told}");
    ends(ending).await.unwrap();
    // The last one was not sent any more: what came here was answered.
    eventually("every call that was taken was answered", || asked(&service) == answered).await;
    // The stream, of a connection as old: it may go on for the grace.
    stream.ask(1).await;
    tokio::time::timeout(Duration::from_secs(10), stream.answers.message()).await.unwrap().unwrap_err();
    service.metric("iamd_connections 0").await;
}

#[tokio::test]
async fn calls_go_on_while_connections_come_and_go() {
    let service = Service::start(&["--max-connection-age", "50ms"]).await;
    let mut client = service.client().await;
    let end = tokio::time::Instant::now() + Duration::from_millis(500);
    while tokio::time::Instant::now() < end {
        // A connection may close under a call that was not sent yet: gRPC's libraries send it again, tonic leaves that to us.
        let asked = match client.is_authorized(request()).await {
            Err(unsent) if unsent.code() == tonic::Code::Cancelled => client.is_authorized(request()).await,
            asked => asked,
        };
        asked.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let service = Service::start(&["--write-timeout", "100ms"]).await;
    // No byte of an answer's body may be sent.
    let (mut sender, _ending) = connect(&service, 0).await;
    let uri = "http://iamd/iamd.v1.AuthorizationService/IsAuthorized";
    let head = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let (answer, mut body) = sender.send_request(head.body(()).unwrap(), false).unwrap();
    let message = prost::Message::encode_to_vec(&request());
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    body.send_data([&[0][..], &length, &message].concat().into(), true).unwrap();
    let answer = answer.await.unwrap();
    service.metric("iamd_requests_in_flight 1").await;
    let mut answer = answer.into_body();
    let end = tokio::time::timeout(Duration::from_secs(10), answer.data()).await.expect("it is given up");
    assert!(end.unwrap().unwrap_err().is_reset());
    service.metric("iamd_requests_in_flight 0").await;
    let cancelled = "grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",\
                     grpc_method=\"IsAuthorized\",grpc_code=\"CANCELLED\"} 1";
    service.metric(cancelled).await;
    ask(sender).await.unwrap();
}

#[tokio::test]
async fn a_stream_may_be_silent_but_not_in_the_middle_of_a_request() {
    let service = Service::start(&["--request-timeout", "100ms"]).await;
    let (mut sender, _ending) = connect(&service, 1 << 16).await;
    let uri = "http://iamd/iamd.v1.AuthorizationService/StreamIsAuthorized";
    let head = http::Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let (answer, mut body) = sender.send_request(head.body(()).unwrap(), false).unwrap();
    let message = prost::Message::encode_to_vec(&streamed(1));
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame: Bytes = [&[0][..], &length, &message].concat().into();
    let mut answers = answer.await.unwrap().into_body();
    tokio::time::timeout(Duration::from_millis(300), answers.data()).await.expect_err("silence is allowed");
    body.send_data([&frame[..], &frame[..20]].concat().into(), false).unwrap();
    answers.data().await.unwrap().unwrap();
    let end = tokio::time::timeout(Duration::from_secs(10), answers.trailers()).await.expect("it ends");
    let status = tonic::Status::from_header_map(&end.unwrap().unwrap()).unwrap();
    let expected = "the rest of a request has not come within 100ms (--request-timeout)";
    assert_eq!((status.code(), status.message()), (tonic::Code::DeadlineExceeded, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_reads_nothing_is_sent_away() {
    let service = Service::start(&["--write-timeout", "200ms"]).await;
    let address = service.address.clone();
    let flood = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let pings = b"\0\0\x08\x06\0\0\0\0\0pingpong".repeat(1_000);
        // Each is to be answered, and no answer is read.
        loop {
            if let Err(error) = socket.write_all(&pings) {
                return (error.kind(), socket.read(&mut [0; 1]).is_ok());
            }
        }
    });
    service.metric("iamd_connections 1").await;
    service.metric("iamd_connections 0").await;
    let (kind, _) = flood.join().unwrap();
    assert!(matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{kind}");
    let mut client = Client::connect(format!("http://{}", service.address)).await.unwrap();
    client.is_authorized(request()).await.unwrap();
}

#[tokio::test]
async fn nothing_becomes_a_tunnel() {
    let service = Service::start(&[]).await;
    let (mut sender, _ending) = connect(&service, 1 << 16).await;
    let tunnel = http::Request::connect("example.com:443").body(()).unwrap();
    let (answer, _body) = sender.send_request(tunnel, false).unwrap();
    assert_eq!(answer.await.unwrap().status(), http::StatusCode::METHOD_NOT_ALLOWED);
    service.metric("iamd_requests_in_flight 0").await;
    ask(sender).await.unwrap();
}
