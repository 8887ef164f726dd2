//! Peers that mean no good: each is refused or bounded, and the service goes on answering.
//!
//! How much memory a thing costs is asserted with room to spare: it tells bounded from not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use http::Request;
use iamd::proto::v1;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use prost::Message;
use prost::bytes::{Buf, BufMut, Bytes, BytesMut};
use tonic::Code;

use crate::program::Program;
use crate::service::{eventually, request, streamed};

const MIB: u64 = 1 << 20;

type Sender = h2::client::SendRequest<Bytes>;

/// An HTTP/2 connection without any library's good manners.
async fn raw(program: &Program, window: u32) -> Sender {
    let socket = tokio::net::TcpStream::connect(&program.grpc[0]).await.unwrap();
    let (sender, connection) = h2::client::Builder::new().initial_window_size(window).handshake(socket).await.unwrap();
    tokio::spawn(async { drop(connection.await) });
    sender.ready().await.unwrap()
}

fn post(method: &str) -> Request<()> {
    let uri = format!("http://iamd/iamd.v1.AuthorizationService/{method}");
    Request::post(uri).header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

/// A gRPC message around these bytes.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// Sends a body to a method and reads the status of the answer.
async fn ask(program: &Program, method: &str, body: Bytes) -> (Code, String) {
    let (_, status) = exchange(program, method, body).await;
    (status.code(), status.message().to_owned())
}

/// Sends a body to a method and reads all of the answer.
async fn exchange(program: &Program, method: &str, body: Bytes) -> (BytesMut, tonic::Status) {
    let mut sender = raw(program, 1 << 20).await;
    let (response, mut stream) = sender.send_request(post(method), false).unwrap();
    stream.send_data(body, true).unwrap();
    let response = response.await.unwrap();
    let of_head = tonic::Status::from_header_map(response.headers());
    let (mut body, mut read) = (response.into_body(), BytesMut::new());
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        read.put(data);
    }
    let status = match of_head {
        Some(status) => status,
        None => tonic::Status::from_header_map(&body.trailers().await.unwrap().unwrap()).unwrap(),
    };
    (read, status)
}

/// It still decides.
async fn answers(program: &Program) {
    let mut client = Client::connect(format!("http://{}", program.grpc[0])).await.unwrap();
    let answer = client.is_authorized(request()).await.unwrap().into_inner();
    assert_eq!(answer.decision(), v1::Decision::ImplicitDeny);
}

async fn is_idle(program: &Program) {
    eventually("no call is in flight", || program.get("/metrics").1.contains("iamd_requests_in_flight 0\n")).await;
}

#[tokio::test]
async fn a_connection_is_told_how_many_calls_it_may_have_at_a_time() {
    let program = Program::start(&["--max-streams-per-connection", "3"]);
    let sender = raw(&program, 1 << 20).await;
    eventually("the settings have come", || sender.current_max_send_streams() == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none() {
    let program = Program::start(&[]);
    let whole = framed(&request().encode_to_vec());
    let cases: [(Bytes, Code, &str); 6] = [
        (Bytes::new(), Code::Internal, "Missing request message."),
        (whole.slice(..20), Code::Internal, "Unexpected EOF decoding stream."),
        (
            Bytes::from_static(&[0, 255, 255, 255, 255, 1]),
            Code::InvalidArgument,
            "larger than the limit of 1048576 bytes",
        ),
        (Bytes::from_static(&[1, 0, 0, 0, 1, 9]), Code::Internal, "compressed-flag but no grpc-encoding"),
        (framed(&[0xff; 100]), Code::Internal, "failed to decode Protobuf message"),
        (framed(&[0x0a, 2, 0xc3, 0x28]), Code::Internal, "failed to decode Protobuf message"),
    ];
    for (body, code, message) in cases {
        for method in ["IsAuthorized", "BatchIsAuthorized", "StreamIsAuthorized"] {
            if method == "StreamIsAuthorized" && body.is_empty() {
                // A stream of nothing is answered with nothing.
                continue;
            }
            let answer = ask(&program, method, body.clone()).await;
            assert!(answer.0 == code && answer.1.contains(message), "{method}: {answer:?}");
        }
    }
    answers(&program).await;
    is_idle(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_empty_fields_does_not_unfold() {
    let program = Program::start(&[]);
    answers(&program).await;
    let before = program.peak_memory_bytes();
    // A list, two bytes for each of its items: requests of a batch, session policies, context, session tags.
    let hollow = "524280 fields in a message of 1048560 bytes: most of them are empty, or close to it";
    let many = "requests: 524280 requests are more than the limit of 1000 (--max-batch)";
    for (method, tag, expected) in [
        ("BatchIsAuthorized", 0x0a, many),
        ("IsAuthorized", 0x32, hollow),
        ("IsAuthorized", 0x22, hollow),
        ("IsAuthorized", 0x3a, hollow),
    ] {
        let (code, message) = ask(&program, method, framed(&[tag, 0].repeat(524_280))).await;
        assert_eq!((code, message.as_str()), (Code::InvalidArgument, expected));
    }
    // What stands behind a group is counted, too.
    let behind_a_group = |tag: u8| framed(&[vec![0x7b, 0x7c], [tag, 0].repeat(524_279)].concat());
    let (code, message) = ask(&program, "BatchIsAuthorized", behind_a_group(0x0a)).await;
    let many = "requests: 524279 requests are more than the limit of 1000 (--max-batch)";
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, many));
    assert_eq!(ask(&program, "IsAuthorized", behind_a_group(0x32)).await, (Code::InvalidArgument, hollow.to_owned()));
    let values = v1::ContextValues { values: vec![String::new(); 524_000] };
    let request = v1::IsAuthorizedRequest { context: [("a:b".to_owned(), values)].into(), ..request() };
    let (code, message) = ask(&program, "IsAuthorized", framed(&request.encode_to_vec())).await;
    let expected = "context: 524000 values are more than the limit of 1024 (--max-context-values)";
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, expected));
    let took = program.peak_memory_bytes() - before;
    assert!(took < 64 * MIB, "{} MiB", took / MIB);
    answers(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_do_not_fill_the_memory_by_way_of_the_cache() {
    let program = Program::start(&["--cache-size", "4MiB"]);
    let mut client = Client::connect(format!("http://{}", program.grpc[0])).await.unwrap();
    let before = program.peak_memory_bytes();
    for n in 0..100 {
        let values = v1::ContextValues { values: vec![format!("{n}{}", "0".repeat(1_000_000))] };
        let large = v1::IsAuthorizedRequest { context: [("aws:UserAgent".to_owned(), values)].into(), ..request() };
        client.is_authorized(large).await.unwrap();
    }
    let took = program.peak_memory_bytes() - before;
    assert!(took < 40 * MIB, "{} MiB of 100 that were asked", took / MIB);
}

/// More than is answered in a turn, and longer answers than are handed over at once; then the same again, which is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_together_is_answered_in_order_before_what_ends_it() {
    let program = Program::start(&[]);
    let wrong = v1::IsAuthorizedRequest { principal: "\u{1}".repeat(128), ..request() };
    let allowed =
        v1::IsAuthorizedRequest { action: "sts:GetCallerIdentity".to_owned(), resource: "*".to_owned(), ..request() };
    let kinds = [Some(wrong.clone()), Some(request()), Some(allowed), None, Some(wrong)];
    let expected = [None, Some(v1::Decision::ImplicitDeny), Some(v1::Decision::Allow), None, None];
    let asked = |id: usize| v1::StreamIsAuthorizedRequest { id: id as u64, request: kinds[id % kinds.len()].clone() };
    let sent: BytesMut =
        (1..=300).flat_map(|id| framed(&asked(id).encode_to_vec())).chain(framed(&[0xff; 100])).collect();
    for _ in 0..2 {
        let (mut answers, status) = exchange(&program, "StreamIsAuthorized", sent.clone().freeze()).await;
        assert!(answers.len() > 64 * 300, "{} bytes", answers.len());
        for id in 1..=300 {
            assert_eq!(answers.get_u8(), 0);
            let length = answers.get_u32() as usize;
            let answer = v1::StreamIsAuthorizedResponse::decode(answers.split_to(length)).unwrap();
            let decision = match &answer.result {
                Some(v1::stream_is_authorized_response::Result::Response(response)) => Some(response.decision()),
                _ => None,
            };
            assert_eq!((answer.id, decision), (id as u64, expected[id % kinds.len()]));
        }
        assert_eq!((answers.len(), status.code()), (0, Code::Internal));
        assert!(status.message().contains("failed to decode Protobuf message"), "{}", status.message());
    }
}

/// Sends messages on a stream whose answers nobody takes, until the service takes no more of them: how many it took.
async fn send_until_refused(stream: &mut h2::SendStream<Bytes>) -> usize {
    let message = framed(&streamed(1).encode_to_vec());
    for sent in 0..100_000 {
        stream.reserve_capacity(message.len());
        while stream.capacity() < message.len() {
            let more = std::future::poll_fn(|context| stream.poll_capacity(context));
            match tokio::time::timeout(Duration::from_millis(300), more).await {
                Ok(Some(Ok(_))) => {}
                // The connection was given up, or nothing more is read from it.
                Ok(_) | Err(_) => return sent,
            }
        }
        if stream.send_data(message.clone(), false).is_err() {
            return sent;
        }
    }
    panic!("it takes any number of requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes() {
    let program = Program::start(&[]);
    let before = program.peak_memory_bytes();
    let mut sender = raw(&program, 0).await;
    let (_answers, mut stream) = sender.send_request(post("StreamIsAuthorized"), false).unwrap();
    let sent = send_until_refused(&mut stream).await;
    assert!(sent > 100, "only {sent} were taken");
    let took = program.peak_memory_bytes() - before;
    assert!(took < 20 * MIB, "{} MiB", took / MIB);
    drop((stream, sender));
    answers(&program).await;
    is_idle(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once() {
    let program = Program::start(&[]);
    let before = program.peak_memory_bytes();
    for _ in 0..5 {
        let mut sender = raw(&program, 1 << 16).await;
        // The connection is given up after some of them.
        for _ in 0..5_000 {
            let Ok(ready) = sender.ready().await else { break };
            sender = ready;
            let Ok((_, mut stream)) = sender.send_request(post("StreamIsAuthorized"), false) else { break };
            stream.send_reset(h2::Reason::CANCEL);
        }
    }
    answers(&program).await;
    is_idle(&program).await;
    let took = program.peak_memory_bytes() - before;
    assert!(took < 40 * MIB, "{} MiB", took / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_streams() {
    let program = Program::start(&["--max-streams-per-connection", "1024"]);
    let before = program.peak_memory_bytes();
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut sender = raw(&program, 1 << 16).await;
        for _ in 0..1_000 {
            let stream = sender.send_request(post("StreamIsAuthorized"), false).unwrap();
            sender = sender.ready().await.unwrap();
            held.push((stream, sender.clone()));
        }
    }
    eventually("full", || program.get("/metrics").1.contains("iamd_requests_in_flight 4096\n")).await;
    let took = program.peak_memory_bytes() - before;
    assert!(took < 150 * MIB, "{} MiB", took / MIB);
    drop(held);
    is_idle(&program).await;
    answers(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_protocol_is_sent_away() {
    let program = Program::start(&[]);
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        // The start of a TLS handshake.
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0xff; 1000],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for bytes in garbage {
        for port in [&program.grpc[0], &program.admin] {
            let mut socket = TcpStream::connect(port).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            drop(socket.write_all(bytes));
            // The end may come as a reset: not all that was sent was read.
            let end = socket.read_to_end(&mut Vec::new());
            let waited = end.is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionReset);
            assert!(!waited, "{port} keeps {:?}", String::from_utf8_lossy(bytes));
        }
    }
    answers(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_are_taken() {
    let program = Program::start(&["--max-connections", "64"]);
    let before = program.peak_memory_bytes();
    let held: Vec<_> = (0..400).map(|_| TcpStream::connect(&program.grpc[0]).unwrap()).collect();
    let shed = "iamd_requests_shed_total{reason=\"connections\"} 336\n";
    eventually("the others are closed", || program.get("/metrics").1.contains(shed)).await;
    let took = program.peak_memory_bytes() - before;
    assert!(took < 20 * MIB, "{} MiB", took / MIB);
    drop(held);
    eventually("there is room again", || program.get("/metrics").1.contains("iamd_connections 0\n")).await;
    answers(&program).await;
}
