//! What peers send and nobody reads, since they take no answers or never say all of a question.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{
    ACK, END_HEADERS, HEADERS, MIB, PING, SETTINGS, WINDOW_UPDATE, becomes, frame, greeted, head, next_of, start,
    withstands,
};
use crate::operator::metric;
use crate::program::{Program, get};

const DATA: u8 = 0;

/// `--memory-limit`. What is sent would take much more.
const LIMIT: u64 = 128 * MIB;

const STREAM: &str = "/iamd.v1.AuthorizationService/StreamIsAuthorized";

/// A connection whose peer has no room for any answer, and knows how much the service has.
fn without_room(address: &str) -> TcpStream {
    let mut socket = greeted(address);
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    socket.write_all(&[no_window, frame(SETTINGS, ACK, 0, &[])].concat()).unwrap();
    socket
}

/// How many calls were refused or ended for want of memory.
fn ended_for_memory(admin: &str) -> u64 {
    let text = get(admin, "/metrics").1;
    let count = text.lines().find_map(|line| line.strip_prefix("iamd_requests_shed_total{reason=\"memory\"} "));
    count.unwrap().parse().unwrap()
}

/// Connections that send this, a part at a time, and are held until it has told.
fn hold(address: &str, admin: &str, connections: usize, parts: &[Vec<u8>]) {
    let before = ended_for_memory(admin);
    let mut held: Vec<_> = (0..connections).map(|_| without_room(address)).collect();
    for part in parts {
        for socket in &mut held {
            // A call may have been ended before all of it was sent; or the connection, where a peer ignores that.
            drop(socket.write_all(&[part, &frame(PING, 0, 0, b"pingpong")[..]].concat()));
            // So that no window is overrun.
            next_of(socket, PING);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while ended_for_memory(admin) == before {
        assert!(Instant::now() < deadline, "all of it is kept");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn withstands_within_limit(connections: usize, parts: Vec<Vec<u8>>) {
    let program = start(&["--memory-limit", "128MiB"]);
    let admin = program.admin.clone();
    withstands(&program, LIMIT / MIB, move |address| hold(address, &admin, connections, &parts)).await;
    let peak = program.peak_memory_bytes();
    assert!(peak < LIMIT, "{} MiB", peak / MIB);
}

/// Two hundred mebibytes, which is what the windows of so many connections let in.
#[tokio::test(flavor = "multi_thread")]
async fn streams_whose_answers_nobody_takes() {
    let streams = || (0..10).map(|n| 2 * n + 1);
    let heads = streams().flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &head(STREAM))).collect();
    // Empty messages.
    let requests = streams().map(|stream| frame(DATA, 0, stream, &[0; 20_000]).repeat(5));
    withstands_within_limit(200, std::iter::once(heads).chain(requests).collect()).await;
}

/// A byte that nobody reads keeps all that it came with, 8 KiB, though that was for a call that is answered: 20 KB of them keep 160 MiB.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_keep_what_they_came_with() {
    let (held, answered) = (1, 3);
    let room = |stream| frame(WINDOW_UPDATE, 0, stream, &[0x3f, 0xff, 0xff, 0xff]);
    let heads = [held, answered].map(|stream| frame(HEADERS, END_HEADERS, stream, &head(STREAM)));
    let heads = [heads.concat(), room(0), room(answered)].concat();
    // A request of nothing but a field that none has.
    let message = [&[0, 0, 0, 31, 251, 0x7a, 0xf8, 0x3f][..], &[b'x'; 8_184]].concat();
    let both = [frame(DATA, 0, held, &[0]), frame(DATA, 0, answered, &message)].concat();
    withstands_within_limit(20, std::iter::once(heads).chain(std::iter::repeat_n(both.repeat(20), 50)).collect()).await;
}

/// Half of a question about health, with a head that unfolds to 15 KiB.
fn half_a_question(stream: u32) -> Vec<u8> {
    let entry: &[u8] = if stream == 1 { &[0x40, 1, b'x', 1, b'y'] } else { &[] };
    let head = [&head("/grpc.health.v1.Health/Check"), entry, &[0xbe; 440]].concat();
    [frame(HEADERS, END_HEADERS, stream, &head), frame(DATA, 0, stream, &[0, 0, 0, 0, 9, b'?'])].concat()
}

fn in_flight(program: &Program) -> f64 {
    metric(program, "iamd_requests_in_flight")
}

/// Health is never refused for want of places; whoever does not say all of the question is.
#[tokio::test(flavor = "multi_thread")]
async fn questions_about_health_that_are_never_finished() {
    let program = start(&["--max-in-flight", "100"]);
    let before = program.peak_memory_bytes();
    let questions: Vec<u8> = (0..128).flat_map(|n| half_a_question(2 * n + 1)).collect();
    let ask = |_| {
        let mut socket = greeted(&program.grpc[0]);
        socket.write_all(&questions).unwrap();
        socket
    };
    let held: Vec<TcpStream> = (0..30).map(ask).collect();
    // The others are refused.
    becomes(&program, "iamd_requests_shed_total{reason=\"in_flight\"}", 30.0 * 128.0 - 1_124.0).await;
    assert_eq!(in_flight(&program), 1_124.0);
    let took = program.peak_memory_bytes() - before;
    assert!(took < 48 * MIB, "{} MiB", took / MIB);

    let mut probe = greeted(&program.grpc[0]);
    let question = [frame(HEADERS, END_HEADERS, 1, &head("/grpc.health.v1.Health/Check")), frame(DATA, 1, 1, &[0; 5])];
    probe.write_all(&question.concat()).unwrap();
    assert_eq!(next_of(&mut probe, DATA).expect("an answer").payload, [0, 0, 0, 0, 2, 8, 1]);
    drop((held, probe));
    becomes(&program, "iamd_requests_in_flight", 0.0).await;
}
