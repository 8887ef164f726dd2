//! Stopping under load, and with peers that do not play along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use tokio::net::TcpStream;

use crate::operator::{alice_reads, client, metric, quickstart, serve};
use crate::program::{Program, iamd};

fn start(flags: &[&str]) -> Program {
    let store = quickstart();
    let words = serve(store.path(), &["--listen", "127.0.0.1:0"]);
    let mut command = iamd(&words);
    // A machine that runs other tests is slow, which is not what is tested.
    command.args(["--max-queue-time", "0s", "--request-timeout", "10s"]).args(flags);
    Program::spawn(command, store)
}

/// Calls until one fails: when that was, and how many were answered after the signal.
async fn call_until_it_fails(
    address: String,
    reconnect: bool,
    signalled: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Instant {
    use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
    let address = format!("http://{address}");
    let mut client = Client::connect(address.clone()).await.unwrap();
    loop {
        if reconnect {
            let Ok(fresh) = Client::connect(address.clone()).await else { return Instant::now() };
            client = fresh;
        }
        if client.is_authorized(alice_reads()).await.is_err() {
            return Instant::now();
        }
        if signalled.load(Ordering::SeqCst) {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_during_the_delay() {
    const DELAY: Duration = Duration::from_millis(700);
    let mut program = start(&["--drain-delay", "700ms", "--drain-timeout", "1h"]);
    let signalled = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = [false, false, false, true, true]
        .into_iter()
        .map(|reconnect| {
            let answered = Arc::new(AtomicU64::new(0));
            let address = program.grpc[0].clone();
            let ended = call_until_it_fails(address, reconnect, Arc::clone(&signalled), Arc::clone(&answered));
            (tokio::spawn(ended), answered)
        })
        .collect();
    while metric(&program, "iamd_connections") < 4.0 {
        tokio::task::yield_now().await;
    }

    // The service counts from when the signal arrives, which is after this.
    let sent = Instant::now();
    program.signal("TERM");
    signalled.store(true, Ordering::SeqCst);
    program.logged("stopped: every call has been answered");
    assert_eq!(program.ended().0, 0);
    for (caller, answered) in callers {
        let failed = caller.await.unwrap();
        assert!(failed >= sent + DELAY, "a call failed {:?} after the signal", failed - sent);
        assert!(answered.load(Ordering::Relaxed) > 0, "calls were answered after the signal");
    }
}

/// A peer that takes no byte of any answer.
async fn never_reads(address: &str) -> (h2::client::ResponseFuture, tokio::task::JoinHandle<()>) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, &[u8]>(socket).await.unwrap();
    let connection = tokio::spawn(async { drop(connection.await) });
    let request = http::Request::post(format!("http://{address}/iamd.v1.AuthorizationService/IsAuthorized"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    let message = alice_reads().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame: Vec<u8> = [0].into_iter().chain(length).chain(message).collect();
    body.send_data(frame.leak(), true).unwrap();
    (answer, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_does_not_hold_up_the_end() {
    let mut program = start(&["--drain-delay", "0s", "--drain-timeout", "500ms"]);
    let (answer, connection) = never_reads(&program.grpc[0]).await;
    let answer = answer.await.unwrap();
    assert!(answer.headers().get("grpc-status").is_none(), "{answer:?}");
    assert_eq!(answer.status(), 200);
    assert_eq!(metric(&program, "iamd_requests_in_flight"), 1.0);
    client(&program).await.is_authorized(alice_reads()).await.unwrap();
    program.signal("TERM");
    assert_eq!(program.logged("stopped at --drain-timeout: calls were cut off")["in_flight"], 1);
    program.ended_at(Duration::from_millis(500));
    connection.await.unwrap();
}

/// Peers that sent some of what they have to say, and wait.
fn half_way(address: &str) -> Vec<std::net::TcpStream> {
    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let head_of_a_frame = [GREETING, &[0, 0, 50, 1, 4, 0, 0, 0, 1]].concat();
    let said = [&[][..], &GREETING[..1], &GREETING[..23], GREETING, &head_of_a_frame];
    let speak = |said: &[u8]| {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut socket, said).unwrap();
        socket
    };
    said.into_iter().map(speak).collect()
}

/// A peer that asks, as often as it can, and reads nothing at all.
fn asks_and_never_reads(address: &str) -> std::thread::JoinHandle<()> {
    let mut socket = half_way(address).remove(3);
    std::thread::spawn(move || {
        let pings = b"\0\0\x08\x06\0\0\0\0\0pingpong".repeat(1_000);
        while std::io::Write::write_all(&mut socket, &pings).is_ok() {}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_are_half_way_do_not_hold_up_the_end() {
    let mut program = start(&["--drain-delay", "0s", "--drain-timeout", "700ms"]);
    let deaf = asks_and_never_reads(&program.grpc[0]);
    let _half_way = half_way(&program.grpc[0]);
    while metric(&program, "iamd_connections") < 6.0 {
        tokio::task::yield_now().await;
    }
    program.signal("TERM");
    program.logged("stopped at --drain-timeout: calls were cut off");
    program.ended_at(Duration::from_millis(700));
    deaf.join().unwrap();
}

/// Calls over one connection, many at a time, until it takes no more: how many were answered after the signal. Each call
/// is answered, or was not begun: whoever made it is told so, and makes it elsewhere.
async fn every_call_is_answered_or_not_begun(address: String, signalled: Arc<AtomicBool>) -> u64 {
    type Sender = h2::client::SendRequest<prost::bytes::Bytes>;
    async fn call(sender: &Sender, frame: prost::bytes::Bytes) -> Result<(), h2::Error> {
        let request = http::Request::post("http://iamd/iamd.v1.AuthorizationService/IsAuthorized")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let (answer, mut body) = sender.clone().ready().await?.send_request(request.body(()).unwrap(), false)?;
        body.send_data(frame, true)?;
        let mut answer = answer.await?.into_body();
        while let Some(data) = answer.data().await {
            answer.flow_control().release_capacity(data?.len())?;
        }
        let trailers = answer.trailers().await?.expect("how it ended");
        assert_eq!(trailers["grpc-status"], "0");
        Ok(())
    }
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let message = alice_reads().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame: prost::bytes::Bytes = [&[0][..], &length, &message].concat().into();
    let callers = (0..16).map(|_| {
        let (sender, frame, signalled) = (sender.clone(), frame.clone(), Arc::clone(&signalled));
        tokio::spawn(async move {
            let mut answered = 0;
            loop {
                match call(&sender, frame.clone()).await {
                    Ok(()) => answered += u64::from(signalled.load(Ordering::SeqCst)),
                    Err(error) => {
                        assert!(error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR), "{error:?}");
                        return answered;
                    }
                }
            }
        })
    });
    let mut answered = 0;
    for caller in callers.collect::<Vec<_>>() {
        answered += caller.await.unwrap();
    }
    drop(sender);
    connection.await.unwrap().expect("a connection that ends well");
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_was_begun_is_answered() {
    let mut program = start(&["--drain-delay", "200ms", "--drain-timeout", "1h"]);
    let signalled = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(every_call_is_answered_or_not_begun(program.grpc[0].clone(), Arc::clone(&signalled))))
        .collect();
    while metric(&program, "iamd_connections") < 4.0 {
        tokio::task::yield_now().await;
    }
    program.signal("TERM");
    signalled.store(true, Ordering::SeqCst);
    program.logged("stopped: every call has been answered");
    assert_eq!(program.ended().0, 0);
    for caller in callers {
        assert!(caller.await.unwrap() > 0, "calls were answered after the signal");
    }
}
