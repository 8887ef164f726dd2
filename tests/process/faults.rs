//! Peers that mean harm and a machine that fails: everybody else is answered throughout, and memory stays bounded.
//!
//! Overload is the default one: who is told to ask again later does so, as every client should, and is seldom told so.
//!
//! Each attack lasts half a second; `IAMD_FAULT_SECONDS=60 cargo test --test process faults` makes a long run of them.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::frames::{
    ACK, CONTINUATION, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, read,
};
use crate::operator::{alice_reads, client, metric, quickstart, serve};
use crate::program::{Program, iamd, without_settings};

mod clock;
mod crowd;
mod descriptors;
mod killed;
mod memory;
mod unread;

const MIB: u64 = 1 << 20;

/// How long each attack lasts.
fn long() -> Duration {
    let seconds = std::env::var("IAMD_FAULT_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs_f64(seconds.unwrap_or(0.5))
}

/// A machine that runs other tests is slow, which is not what is tested. Limits against overload are the default ones.
const PATIENT: [&str; 2] = ["--request-timeout", "10s"];

fn start(flags: &[&str]) -> Program {
    let store = quickstart();
    let mut command = iamd(&serve(store.path(), &["--listen", "127.0.0.1:0"]));
    command.args(PATIENT).args(flags);
    Program::spawn(command, store)
}

/// Somebody who goes on asking: over a connection that was there before, where nothing may fail; and over new ones, which
/// are tried again as every client does.
struct Witness {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    asking: Vec<JoinHandle<()>>,
}

impl Witness {
    async fn of(program: &Program) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (answers, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut asking = Vec::new();
        for connects in [false, true] {
            let (stop, answers, refused) = (Arc::clone(&stop), Arc::clone(&answers), Arc::clone(&refused));
            let address = format!("http://{}", program.grpc[0]);
            // A connection that has made a call, before there are others.
            let mut client = connects_anew(&address).await;
            asking.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if connects {
                        client = connects_anew(&address).await;
                    } else {
                        refused.fetch_add(refusals_until_answered(&mut client).await, Ordering::Relaxed);
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        Self { stop, answers, refused, asking }
    }

    /// Nobody was cut off, there was somebody, and most were answered at once.
    async fn testifies(self) {
        let already = self.answers.load(Ordering::Relaxed);
        while self.answers.load(Ordering::Relaxed) < already + 10 && !self.asking.iter().any(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        for asking in self.asking {
            asking.await.unwrap();
        }
        let (answers, refused) = (self.answers.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed));
        assert!(refused < answers, "{refused} refusals for {answers} answers");
    }
}

/// Asks until it is answered, for at most five seconds: how often it was told to ask later. Nothing else may happen to it.
async fn refusals_until_answered(client: &mut Client<Channel>) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut refused = 0;
    while let Err(status) = answer(client).await {
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        assert!(Instant::now() < deadline, "{refused} times: {status}");
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused
}

async fn answer(client: &mut Client<Channel>) -> Result<(), tonic::Status> {
    let answer = tokio::time::timeout(Duration::from_secs(10), client.is_authorized(alice_reads()));
    answer.await.expect("in time").map(drop)
}

/// A connection that has been answered, within five seconds.
async fn connects_anew(address: &str) -> Client<Channel> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Ok(mut client) = Client::connect(address.to_owned()).await
            && answer(&mut client).await.is_ok()
        {
            return client;
        }
        assert!(Instant::now() < deadline, "no new connection is taken");
    }
}

async fn becomes(program: &Program, name: &str, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while metric(program, name) != value {
        assert!(Instant::now() < deadline, "{name} is {}, not {value}", metric(program, name));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Attacks again and again, on a thread, while somebody else is answered.
async fn withstands(program: &Program, most_mib: u64, attack: impl Fn(&str) + Send + 'static) {
    drop(client(program).await.is_authorized(alice_reads()).await.unwrap());
    let before = program.peak_memory_bytes();
    let witness = Witness::of(program).await;
    let address = program.grpc[0].clone();
    let attacking = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + long();
        while Instant::now() < end {
            attack(&address);
        }
    });
    attacking.await.unwrap();
    witness.testifies().await;
    // The kernel counts by thread, and sums up now and then: the peak may seem to sink.
    let took = program.peak_memory_bytes().saturating_sub(before);
    assert!(took < most_mib * MIB, "{} MiB", took / MIB);
    becomes(program, "iamd_requests_in_flight", 0.0).await;
    assert_eq!(metric(program, "iamd_panics_total"), 0.0);
}

// --- frames ---------------------------------------------------------------------------------------------------------

/// A connection whose peer has introduced itself.
fn greeted(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    drop(socket.write_all(PREFACE));
    drop(socket.write_all(&frame(SETTINGS, 0, 0, &[])));
    socket
}

/// The head of a call: POST, http, a path and an authority, without Huffman's code.
fn head(path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [vec![0x83, 0x86], literal(0x04, path), literal(0x01, "iamd")].concat()
}

/// The next frame of this kind; None at the end.
fn next_of(socket: &mut TcpStream, kind: u8) -> Option<Frame> {
    std::iter::from_fn(|| read(socket)).find(|frame| frame.kind == kind)
}

/// The payload of the next frame of this kind and with these flags.
fn next(socket: &mut TcpStream, kind: u8, flags: u8) -> Vec<u8> {
    let frame = std::iter::from_fn(|| read(socket)).find(|frame| (frame.kind, frame.flags) == (kind, flags));
    frame.expect("such a frame").payload
}

/// Whether it ends, whatever comes first.
fn is_closed(socket: &mut TcpStream) -> bool {
    match socket.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

/// Whether a connection is ended with the reason ENHANCE_YOUR_CALM.
fn is_calmed(socket: &mut TcpStream) -> bool {
    let goodbye = next_of(socket, GOAWAY).is_some_and(|goodbye| goodbye.payload[4..8] == [0, 0, 0, 11]);
    goodbye && is_closed(socket)
}

// --- peers ----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn garbage() {
    let program = start(&[]);
    withstands(&program, 32, |address| {
        let noise: Vec<u8> = (0..5_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        let mut plain = TcpStream::connect(address).unwrap();
        drop(plain.write_all(&noise));
        let mut late = greeted(address);
        drop(late.write_all(&noise));
        assert!(is_closed(&mut late));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_too_large() {
    let program = start(&[]);
    withstands(&program, 32, |address| {
        let mut socket = greeted(address);
        // 16 MiB are announced; what follows is not waited for.
        drop(socket.write_all(&[0xff, 0xff, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1]));
        assert!(is_closed(&mut socket));
    })
    .await;
}

#[test]
fn frames_of_32_kib_and_no_larger() {
    const UNKNOWN: u8 = 0xee;
    let program = start(&[]);
    let mut socket = greeted(&program.grpc[0]);
    socket.write_all(&frame(UNKNOWN, 0, 0, &[0; 32 << 10])).unwrap();
    socket.write_all(&frame(PING, 0, 0, b"pingpong")).unwrap();
    assert_eq!(next(&mut socket, PING, ACK), b"pingpong");
    drop(socket.write_all(&frame(UNKNOWN, 0, 0, &[0; (32 << 10) + 1])));
    assert!(is_closed(&mut socket));
}

/// Who answers keepalive stays, for several times as long as who does not.
#[test]
fn peers_that_are_gone() {
    let program = start(&["--keepalive-interval", "50ms", "--keepalive-timeout", "200ms"]);
    let (mut here, mut gone) = (greeted(&program.grpc[0]), greeted(&program.grpc[0]));
    for _ in 0..20 {
        let ping = next(&mut here, PING, 0);
        here.write_all(&frame(PING, ACK, 0, &ping)).unwrap();
    }
    assert!(is_closed(&mut gone));
    let ping = next(&mut here, PING, 0);
    here.write_all(&frame(PING, ACK, 0, &ping)).unwrap();
    next(&mut here, PING, 0);
}

/// A head with an entry of 3,000 bytes for the table, and so many times that entry.
fn unfolding(times: usize) -> Vec<u8> {
    let entry = [&[0x40, 1, b'x', 0x7f, 0xb9, 0x16][..], &[b'y'; 3_000]].concat();
    [head("/x"), entry, vec![0xbe; times]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn header_bombs() {
    let program = start(&[]);
    withstands(&program, 32, |address| {
        // 39 MB in 16 kB.
        let bomb = unfolding(13_000);
        let mut socket = greeted(address);
        for stream in (1..100).step_by(2) {
            if socket.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)).is_err() {
                break;
            }
        }
        assert!(is_calmed(&mut socket));
    })
    .await;
}

/// Heads that are larger than 16 KiB cost their calls, and the connection only past four times as much. An entry counts 3,033
/// bytes, and what stands before it less than 200.
#[test]
fn heads_that_are_too_large() {
    let program = start(&[]);
    let mut socket = greeted(&program.grpc[0]);
    let mut answered = |stream, times| {
        socket.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &unfolding(times))).unwrap();
        let answer = next_of(&mut socket, HEADERS).expect("an answer");
        assert_eq!((answer.flags, answer.stream), (END_HEADERS | END_STREAM, stream));
        answer.payload
    };
    // Status 200 is an entry of every table. 431 is written out, in Huffman's code; then it is the newest entry of this one.
    assert_eq!(answered(1, 4)[0], 0x88);
    assert_eq!(answered(3, 5), [0x48, 0x83, 0x69, 0x90, 0xff]);
    assert_eq!(answered(5, 20), [0xbe]);
    assert_eq!(answered(7, 4)[0], 0x88);
    socket.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 9, &unfolding(21))).unwrap();
    assert!(is_calmed(&mut socket));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end() {
    let program = start(&[]);
    withstands(&program, 32, |address| {
        let mut socket = greeted(address);
        drop(socket.write_all(&frame(HEADERS, 0, 1, &head("/x"))));
        let more = frame(CONTINUATION, 0, 1, &[[0x00, 1, b'x', 1, b'y']; 6_500].concat());
        let refused = (0..1_000).any(|_| socket.write_all(&more).is_err());
        assert!(refused, "32 MB of headers were taken");
    })
    .await;
}

/// Calls that are cancelled by what follows them at once.
fn cancelled(calls: u32) -> Vec<u8> {
    let call = head("/iamd.v1.AuthorizationService/StreamIsAuthorized");
    let one = |n: u32| {
        let stream = 2 * n + 1;
        [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    (0..calls).flat_map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_cancelled_at_once() {
    let program = start(&[]);
    let calls = cancelled(2_000);
    withstands(&program, 64, move |address| {
        let mut socket = greeted(address);
        drop(socket.write_all(&calls));
        assert!(is_calmed(&mut socket));
    })
    .await;
}

#[test]
fn as_many_calls_are_cancelled_at_once_as_the_flag_says() {
    let program = start(&["--max-pending-resets", "7"]);
    let (mut few, mut many) = (greeted(&program.grpc[0]), greeted(&program.grpc[0]));
    few.write_all(&[cancelled(7), frame(PING, 0, 0, b"pingpong")].concat()).unwrap();
    assert_eq!(next(&mut few, PING, ACK), b"pingpong");
    many.write_all(&cancelled(8)).unwrap();
    assert!(is_calmed(&mut many));
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_read() {
    let program = start(&["--write-timeout", "300ms"]);
    withstands(&program, 32, |address| {
        let mut socket = greeted(address);
        let pings = frame(PING, 0, 0, b"pingpong").repeat(1_000);
        while socket.write_all(&pings).is_ok() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_byte_by_byte() {
    let program = start(&["--idle-timeout", "200ms", "--max-connection-age-grace", "0s"]);
    withstands(&program, 32, |address| {
        let mut slow: Vec<_> = (0..100).map(|_| greeted(address)).collect();
        let call = frame(HEADERS, END_HEADERS, 1, &head("/iamd.v1.AuthorizationService/IsAuthorized"));
        for byte in &call[..call.len() - 1] {
            slow.iter_mut().for_each(|socket| drop(socket.write_all(&[*byte])));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(slow.iter_mut().all(is_closed));
    })
    .await;
}

/// In the middle of a frame nothing else can be said, no answer to keepalive either: that ends it where idleness does not.
#[tokio::test(flavor = "multi_thread")]
async fn heads_byte_by_byte_that_keepalive_ends() {
    let program = start(&["--keepalive-interval", "50ms", "--keepalive-timeout", "200ms", "--idle-timeout", "0s"]);
    withstands(&program, 32, |address| {
        let mut slow: Vec<_> = (0..50).map(|_| greeted(address)).collect();
        // Three thousand bytes, which would take fifteen seconds.
        for byte in frame(HEADERS, END_HEADERS | END_STREAM, 1, &unfolding(1)) {
            slow.retain_mut(|socket| socket.write_all(&[byte]).is_ok());
            if slow.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} heads were taken to the end", slow.len());
    })
    .await;
}

/// With no flag but what tests need. Keepalive, which ends a head without an end, is on: after 80 s, which no test waits for.
#[test]
fn by_default_nobody_is_slow_for_ever() {
    let store = quickstart();
    let program = Program::spawn(iamd(&serve(store.path(), &["--listen", "127.0.0.1:0"])), store);
    let mut greeting = TcpStream::connect(&program.grpc[0]).unwrap();
    let mut socket = greeted(&program.grpc[0]);
    for (stream, method) in [(1, "IsAuthorized"), (3, "BatchIsAuthorized"), (5, "StreamIsAuthorized")] {
        let path = format!("/iamd.v1.AuthorizationService/{method}");
        let half = [0, 0, 0, 3, 232, b'x'];
        socket.write_all(&frame(HEADERS, END_HEADERS, stream, &head(&path))).unwrap();
        socket.write_all(&frame(0, 0, stream, &half)).unwrap();
    }
    let handled = "grpc_server_handled_total{grpc_service=\"iamd.v1.AuthorizationService\",grpc_method=";
    let late = |method: &str| metric(&program, &format!("{handled}\"{method}\",grpc_code=\"DEADLINE_EXCEEDED\"}}"));
    let mut greeted = 0;
    // A byte of each twice a second: what is missing of a message would take ten minutes, of a greeting twelve seconds.
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        if greeting.write_all(&[*byte]).is_err() {
            break;
        }
        greeted += 1;
        for stream in [1, 3, 5] {
            drop(socket.write_all(&frame(0, 0, stream, b"x")));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!((16..24).contains(&greeted), "{greeted} bytes of a greeting were taken");
    assert_eq!(["IsAuthorized", "BatchIsAuthorized", "StreamIsAuthorized"].map(late), [1.0; 3]);
    assert_eq!(metric(&program, "iamd_requests_in_flight"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections() {
    let program = start(&["--max-connections", "200"]);
    let opened = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&opened);
    withstands(&program, 32, move |address| {
        // More than there are places for are held at any time.
        let mut held = VecDeque::new();
        for _ in 0..10_000 {
            held.push_back(TcpStream::connect(address).unwrap());
            if held.len() > 400 {
                held.pop_front();
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    assert!(opened.load(Ordering::Relaxed) >= 10_000);
    let shed = metric(&program, "iamd_requests_shed_total{reason=\"connections\"}");
    assert!(shed > 1_000.0, "{shed}");
    becomes(&program, "iamd_connections", 0.0).await;
}

#[test]
fn silent_visitors_of_the_admin_port() {
    let program = start(&[]);
    let visit = |n: usize| {
        let mut visitor = TcpStream::connect(&program.admin).unwrap();
        let said: &[u8] = if n.is_multiple_of(2) { b"" } else { b"GET /metrics HT" };
        visitor.write_all(said).unwrap();
        visitor
    };
    let mut visitors: Vec<TcpStream> = (0..200).map(visit).collect();
    let asked = Instant::now();
    assert_eq!(program.get("/livez").0, 200);
    // None of them had to go because its time was up, which is 30 s.
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    let mut first = visitors.remove(0);
    assert!(is_closed(&mut first));
}

// --- the machine ----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn too_few_file_descriptors() {
    let store = quickstart();
    let words = serve(store.path(), &["--listen", "127.0.0.1:0", "--worker-threads", "1"]).join(" ");
    let mut command = without_settings(Command::new("sh"));
    let words = format!("{words} {}", PATIENT.join(" "));
    command.arg("-c").arg(format!("ulimit -n 48; exec {} {words}", env!("CARGO_BIN_EXE_iamd")));
    let mut program = Program::new(command, store);
    let warned = program.logged(
        "fewer connections are taken than --max-connections says; hint: allow more open files (`ulimit -n`, systemd's \
         LimitNOFILE)",
    );
    assert_eq!((&warned["wanted"], &warned["max_connections"]), (&1_024.into(), &24.into()), "{warned}");
    program.wait_until_serving();
    withstands(&program, 32, |address| {
        let held: Vec<_> = (0..200).map(|_| TcpStream::connect(address)).collect();
        assert!(held.iter().all(Result::is_ok));
    })
    .await;
    becomes(&program, "iamd_connections", 0.0).await;
}
