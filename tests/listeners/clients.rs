//! Who gets in.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use crate::authority::{Authority, Files};
use crate::caller::{Caller, ask, eventually, handshakes, metric, start};
use crate::program::Program;

#[tokio::test(flavor = "multi_thread")]
async fn tls_without_client_certificates() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let program = start(&files.flags("tls", false), &[]);
    let address = &program.grpc[0];
    Caller::new(&authority.pem, None).asks(address).await.unwrap();
    let mut client = Caller::new(&authority.pem, None).connect(address).await.unwrap();
    for _ in 0..100 {
        ask(&mut client).await.unwrap();
    }
    let stranger = Authority::new();
    let error = Caller::new(&stranger.pem, None).asks(address).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    // Who speaks another protocol is told so.
    let error = Caller::new(&authority.pem, None).alpn("http/1.1").tls(address).await.unwrap_err();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    handshakes(&program, "grpc", "ok", 2.0).await;
    handshakes(&program, "grpc", "failed", 2.0).await;

    // Plaintext: the connection is closed, with an alert of TLS at most.
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let closed = plain.read_to_end(&mut answer);
    assert!(closed.is_err() || answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    handshakes(&program, "grpc", "failed", 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_need_a_certificate_of_the_right_authority() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &authority.pem);
    let program = start(&files.flags("tls", true), &[]);
    let address = &program.grpc[0];
    let ca = authority.pem.as_str();
    let known = authority.issue("cart", &["cart.example"]);
    Caller::new(ca, Some(&known)).asks(address).await.unwrap();
    handshakes(&program, "grpc", "ok", 1.0).await;
    Caller::new(ca, None).asks(address).await.unwrap_err();
    Caller::new(ca, Some(&stranger.issue("cart", &["cart.example"]))).asks(address).await.unwrap_err();
    Caller::new(ca, Some(&authority.issue_until("cart", &["cart.example"], 2020))).asks(address).await.unwrap_err();
    handshakes(&program, "grpc", "failed", 3.0).await;
    handshakes(&program, "grpc", "ok", 1.0).await;
    handshakes(&program, "grpc", "refused", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_need_an_allowed_name() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let allowed = "spiffe://acme/ns/shop/*,spiffe://acme/ns/ops/sa/one,cart.example,ops@acme.example,192.0.2.7";
    let mut program = start(&files.flags("tls", true), &["--tls-allowed-san", allowed]);
    let address = program.grpc[0].clone();
    let (mut ok, mut refused) = (0.0, 0.0);
    for (names, expected) in [
        (vec!["spiffe://acme/ns/shop/sa/cart"], true),
        (vec!["spiffe://acme/ns/ops/sa/one"], true),
        (vec!["spiffe://acme/ns/ops/sa/two"], false),
        (vec!["spiffe://acme/ns/shopping/sa/cart"], false),
        (vec!["spiffe://evil/ns/shop/sa/cart"], false),
        (vec!["cart.example"], true),
        (vec!["other.example", "cart.example"], true),
        (vec!["other.example"], false),
        (vec!["*.example"], false),
        (vec!["ops@acme.example"], true),
        (vec!["192.0.2.7"], true),
        // Two SPIFFE ids say of nobody who it is; another name does.
        (vec!["spiffe://acme/ns/shop/sa/cart", "spiffe://evil/sa"], false),
        (vec!["https://evil.example", "spiffe://acme/ns/shop/sa/cart"], false),
        (vec!["spiffe://acme/ns/shop/sa/cart", "other.example"], true),
        (vec!["spiffe://acme/sa", "spiffe://evil/sa", "cart.example"], true),
        (vec!["192.0.2.8"], false),
        (vec![], false),
    ] {
        // A subject is not a name that counts.
        let client = authority.issue("cart.example", &names);
        let answer = Caller::new(&authority.pem, Some(&client)).asks(&address).await;
        assert_eq!(answer.is_ok(), expected, "{names:?}: {answer:?}");
        *(if expected { &mut ok } else { &mut refused }) += 1.0;
        handshakes(&program, "grpc", "ok", ok).await;
        handshakes(&program, "grpc", "refused", refused).await;
    }
    handshakes(&program, "grpc", "failed", 0.0).await;
    let logged = program.logged("a client was refused: its certificate has none of the allowed names");
    assert_eq!((&logged["client"], &logged["listener"]), (&"spiffe://acme/ns/ops/sa/two".into(), &"grpc".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let old = Caller::speaking(&authority.pem, None, &[&TLS12]);
    let new = Caller::speaking(&authority.pem, None, &[&TLS13]);
    let program = start(&files.flags("tls", false), &[]);
    old.asks(&program.grpc[0]).await.unwrap();
    new.asks(&program.grpc[0]).await.unwrap();
    let program = start(&files.flags("tls", false), &["--tls-min-version", "1.3"]);
    let error = old.asks(&program.grpc[0]).await.unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    new.asks(&program.grpc[0]).await.unwrap();
    handshakes(&program, "grpc", "failed", 1.0).await;
}

/// Says the first bytes of a handshake, and no more.
fn half_a_handshake(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_finished_handshake_holds_a_place_and_does_not_outlive_the_drain() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let mut program = start(&files.flags("tls", false), &["--drain-delay", "0s", "--drain-timeout", "1h"]);
    let mut half = half_a_handshake(&program.grpc[0]);
    let held = async || (metric(&program, "iamd_connections") == Some(1.0)).then_some(());
    eventually("it has its place", held).await;
    // Others need not wait for it.
    Caller::new(&authority.pem, None).asks(&program.grpc[0]).await.unwrap();
    program.signal("TERM");
    program.logged("stopped: every call has been answered");
    assert_eq!(program.ended().0, 0);
    assert!(matches!(half.read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_peers_are_told_so() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let mut program = start(&files.flags("tls", false), &["--drain-delay", "0s", "--drain-timeout", "1h"]);
    let caller = Caller::new(&authority.pem, None);
    let stream = caller.tls(&program.grpc[0]).await.unwrap();
    let (_sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = caller.connect(&program.grpc[0]).await.unwrap();
    ask(&mut client).await.unwrap();
    program.signal("TERM");
    program.logged("stopped: every call has been answered");
    assert_eq!(program.ended().0, 0);
    // Not cut off: a connection that ends without TLS's own goodbye would be another error. (The client may still be about
    // to say its own when the service has gone.)
    if let Err(error) = connection.await.unwrap() {
        let kind = error.get_io().map(std::io::Error::kind);
        assert!(matches!(kind, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_takes_too_long_is_ended() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority.pem);
    let program: Program = start(&files.flags("tls", false), &[]);
    let mut half = half_a_handshake(&program.grpc[0]);
    half.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let started = Instant::now();
    assert!(matches!(half.read(&mut [0; 8]), Ok(0)));
    assert!(started.elapsed() > Duration::from_secs(5), "{:?}", started.elapsed());
    handshakes(&program, "grpc", "timeout", 1.0).await;
}
