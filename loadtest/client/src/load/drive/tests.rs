//! Runs against a service of a few lines, over a Unix socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message;

use super::*;
use crate::proto::iamd;

fn frame(kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream, payload].concat()
}

/// Answers every call of one connection with ALLOW. Before call `pause` it sleeps a quarter of a second; after `calls` it
/// closes the connection.
fn serve(mut peer: UnixStream, pause: usize, calls: usize) {
    let mut preface = [0; 24];
    peer.read_exact(&mut preface).unwrap();
    peer.write_all(&frame(4, 0, [0; 4], &[])).unwrap();
    let mut trailers = vec![0x00, 11];
    trailers.extend(b"grpc-status");
    trailers.extend([1, b'0']);
    let mut answered = 0;
    let mut head = [0; 9];
    while answered < calls && peer.read_exact(&mut head).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        peer.read_exact(&mut payload).unwrap();
        if (head[3], head[4]) != (0, 1) {
            continue;
        }
        if answered == pause {
            std::thread::sleep(Duration::from_millis(250));
        }
        answered += 1;
        let stream = [head[5], head[6], head[7], head[8]];
        let answer = [
            frame(1, 4, stream, &[0x20, 0x88]),
            frame(0, 0, stream, &[0, 0, 0, 0, 2, 8, 1]),
            frame(1, 5, stream, &trailers),
        ];
        if peer.write_all(&answer.concat()).is_err() {
            return;
        }
    }
}

/// Refuses the first stream, and answers every message of the others (up to id 127) with ALLOW.
fn refuse_first(mut peer: UnixStream) {
    let mut preface = [0; 24];
    peer.read_exact(&mut preface).unwrap();
    peer.write_all(&frame(4, 0, [0; 4], &[])).unwrap();
    let mut head = [0; 9];
    while peer.read_exact(&mut head).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        peer.read_exact(&mut payload).unwrap();
        let stream = [head[5], head[6], head[7], head[8]];
        let trailers =
            |status: u8| frame(1, 5, stream, &[&[0x00, 11], &b"grpc-status"[..], &[1, b'0' + status]].concat());
        let answer = match (head[3], head[4], stream) {
            (1, _, [0, 0, 0, 1]) => trailers(8),
            (1, ..) => frame(1, 4, stream, &[0x20, 0x88]),
            (0, 0, _) if stream != [0, 0, 0, 1] => {
                // gRPC's length, then the id.
                let id = payload[6];
                frame(0, 0, stream, &[0, 0, 0, 0, 6, 8, id, 0x12, 2, 8, 1])
            }
            (0, 1, _) => trailers(0),
            _ => continue,
        };
        if peer.write_all(&answer).is_err() {
            return;
        }
    }
}

struct Service {
    directory: tempfile::TempDir,
    threads: JoinHandle<()>,
}

impl Service {
    fn start(connections: usize, pause: usize, calls: usize) -> Self {
        Self::serving(connections, move |peer| serve(peer, pause, calls))
    }

    fn serving(connections: usize, serve: impl Fn(UnixStream) + Clone + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let threads = std::thread::spawn(move || {
            let peers: Vec<_> = (0..connections).map(|_| listener.accept().unwrap().0).collect();
            let serving = |peer| {
                let serve = serve.clone();
                std::thread::spawn(move || serve(peer))
            };
            let threads: Vec<_> = peers.into_iter().map(serving).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        Self { directory, threads }
    }

    fn plan(&self) -> Plan {
        Plan {
            address: format!("unix:{}", self.directory.path().join("socket").display()),
            tls: None,
            service: super::Service::Iamd,
            method: Method::Unary,
            connections: 2,
            streams: 4,
            batch: 1,
            pack: 1,
            window: 1,
            rate: None,
            seconds: 30.0,
            count: Some(1000),
            warm_up: 0,
            each_new: false,
            interval_seconds: 0.05,
        }
    }

    fn drive(self, plan: &Plan) -> Result<Measured, String> {
        let message = iamd::IsAuthorizedRequest { resource: "a/0000000000".to_owned(), ..Default::default() };
        let allow = super::super::answer::Decision::Allow.bit();
        let messages = vec![message.encode_to_vec(); 3];
        let bodies = Bodies::new(&messages, vec![allow; 3], super::Service::Iamd, plan.method, 1);
        let measured = drive(plan, &bodies, "test", &mut |_| {});
        self.threads.join().unwrap();
        measured
    }
}

#[test]
fn a_closed_loop_makes_as_many_calls_as_asked_for() {
    let service = Service::start(2, usize::MAX, usize::MAX);
    let plan = Plan { warm_up: 100, each_new: true, ..service.plan() };
    let measured = service.drive(&plan).unwrap();
    // Those that were on their way when the warm-up ended are answered after it, and count.
    assert!((1000..=1008).contains(&measured.calls), "{}", measured.calls);
    assert!((1100..=1116).contains(&measured.all_calls), "{}", measured.all_calls);
    assert_eq!((measured.unexpected, measured.errors.len()), (0, 0));
    assert_eq!(measured.decisions["ALLOW"], measured.calls);
    assert_eq!(measured.latency.read().unwrap().len(), measured.calls);
}

#[test]
fn an_open_loop_counts_a_pause_for_every_call_that_fell_into_it() {
    let service = Service::start(2, 100, usize::MAX);
    let plan = Plan { rate: Some(1000.0), seconds: 1.0, count: None, warm_up: 40, ..service.plan() };
    let measured = service.drive(&plan).unwrap();
    assert_eq!((measured.calls, measured.errors.len()), (1000, 0), "all that were due, late or not");
    // 250 calls of 1,000 fell into it, and waited for an eighth of a second on average: at least the last tenth for most of it.
    let at = |quantile| measured.latency.read().unwrap().value_at_quantile(quantile) / 1_000_000;
    assert!(at(0.9) >= 100, "{} ms", at(0.9));
    assert!(at(0.99) >= 200, "{} ms", at(0.99));
}

#[test]
fn a_stream_that_was_refused_begins_anew_after_a_while() {
    let service = Service::serving(1, refuse_first);
    let plan = Plan { method: Method::Stream, connections: 1, streams: 1, count: Some(20), ..service.plan() };
    let measured = service.drive(&plan).unwrap();
    let refused = measured.errors.get("RESOURCE_EXHAUSTED without RetryInfo").copied().unwrap_or(0);
    assert_eq!((measured.calls + refused, refused, measured.errors.len()), (20, 1, 1), "one message was on its way");
    assert_eq!((measured.decisions["ALLOW"], measured.unexpected), (19, 0));
    assert!(measured.seconds >= 0.5, "{} s", measured.seconds);
}

#[test]
fn a_lost_connection_is_counted_and_the_other_goes_on_until_none_is_left() {
    let service = Service::start(2, usize::MAX, 100);
    let plan = service.plan();
    let error = service.drive(&plan).unwrap_err();
    assert!(error.starts_with("every connection was lost"), "{error}");
}
