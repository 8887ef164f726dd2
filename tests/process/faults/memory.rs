//! Memory runs out, for real: the program is in a cgroup, where who takes more than its limit is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use iamd::proto::v1::BatchIsAuthorizedRequest;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use prost::bytes::Bytes;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::{MIB, PATIENT, becomes};
use crate::cgroup::{Cgroup, Version};
use crate::operator::{alice_reads, metric, quickstart, serve, skip};
use crate::program::Program;

/// What `deploy/` gives a sidecar.
const LIMIT: u64 = 256 * MIB;

/// `--max-request-bytes`.
const MESSAGE: usize = 1 << 20;

/// With `--max-streams-per-connection` calls each, a connection more than there is room for.
const CONNECTIONS: usize = 3;

const CALLS: usize = CONNECTIONS * 128;

/// None where the kernel does not let us.
fn limited() -> Option<Cgroup> {
    let cgroup = Cgroup::new("memory")?;
    // Where there is swap, memory would go there first.
    let (limit, swap) = match cgroup.version() {
        Version::One => ("memory.limit_in_bytes", "memory.swappiness"),
        Version::Two => ("memory.max", "memory.swap.max"),
    };
    cgroup.set(swap, "0");
    cgroup.set(limit, &LIMIT.to_string()).then_some(cgroup)
}

/// How often the limit was hit, and how many were killed for it.
fn hits_and_kills(cgroup: &Cgroup) -> (u64, u64) {
    let value = |file: &str, name: &str| -> u64 {
        let text = cgroup.read(file);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{file} does not say `{name}`: {text}"))
    };
    match cgroup.version() {
        Version::One => (value("memory.failcnt", ""), value("memory.oom_control", "oom_kill ")),
        Version::Two => (value("memory.events", "max "), value("memory.events", "oom_kill ")),
    }
}

async fn channel(program: &Program) -> Channel {
    Channel::from_shared(format!("http://{}", program.grpc[0])).unwrap().connect().await.unwrap()
}

/// Somebody who asks for health all the time, over one connection.
struct Probe {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<u32>,
}

impl Probe {
    async fn of(program: &Program) -> Self {
        let mut health = HealthClient::new(channel(program).await);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let asking = tokio::spawn(async move {
            let mut answers = 0;
            while !stopped.load(Ordering::Relaxed) {
                let answer = tokio::time::timeout(Duration::from_secs(10), health.check(HealthCheckRequest::default()));
                assert_eq!(answer.await.expect("in time").unwrap().into_inner().status(), ServingStatus::Serving);
                answers += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answers
        });
        Self { stop, asking }
    }

    /// How often it was told that all is well. Nothing else was said.
    async fn answers(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.unwrap()
    }
}

/// Calls that send all of a large message but its last byte. None has sent any of it before all of them are let in.
struct Unfinished {
    ends: JoinSet<Result<Status, h2::Error>>,
    /// Open as long as there are these.
    _requests: Vec<h2::SendStream<Bytes>>,
}

impl Unfinished {
    async fn of(method: &str, program: &Program) -> Self {
        let (mut ends, mut requests) = (JoinSet::new(), Vec::new());
        let uri = format!("http://iamd/iamd.v1.AuthorizationService/{method}");
        for _ in 0..CONNECTIONS {
            let socket = tokio::net::TcpStream::connect(&program.grpc[0]).await.unwrap();
            let (mut sender, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::spawn(async { drop(connection.await) });
            for _ in 0..CALLS / CONNECTIONS {
                sender = sender.ready().await.unwrap();
                let head = Request::post(&uri).header("content-type", "application/grpc").body(()).unwrap();
                let (answer, request) = sender.send_request(head, false).unwrap();
                ends.spawn(end(answer));
                requests.push(request);
            }
        }
        becomes(program, "iamd_requests_in_flight", CALLS as f64).await;
        let length = u32::try_from(MESSAGE).unwrap().to_be_bytes();
        let message = Bytes::from([&[0][..], &length, &vec![b'x'; MESSAGE - 1]].concat());
        for request in &mut requests {
            request.send_data(message.clone(), false).unwrap();
        }
        Self { ends, _requests: requests }
    }

    /// How the next of them ends.
    async fn next(&mut self) -> Status {
        let end = tokio::time::timeout(Duration::from_secs(10), self.ends.join_next()).await;
        end.expect("in time").unwrap().unwrap().unwrap()
    }
}

/// How a call ends, whose answer comes.
async fn end(answer: h2::client::ResponseFuture) -> Result<Status, h2::Error> {
    let answer = answer.await?;
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return Ok(status);
    }
    let mut body = answer.into_body();
    assert!(body.data().await.transpose()?.is_none(), "nothing was asked");
    Ok(Status::from_header_map(&body.trailers().await?.unwrap()).unwrap())
}

fn assert_refused(status: &Status) {
    let expected = "the service has too little memory left for this call (--memory-limit); try again later";
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, expected));
    assert!(status.get_error_details().retry_info().is_some_and(|info| info.retry_delay.is_some()));
}

/// Asks for batches, this often, until one is answered, or until one is refused.
async fn asks_until(answered: bool, pause: Duration, client: &mut Client<Channel>) {
    let deadline = Instant::now() + Duration::from_secs(6);
    loop {
        let batch = BatchIsAuthorizedRequest { requests: vec![alice_reads(); 10] };
        let answer = client.batch_is_authorized(batch).await;
        if let Err(status) = &answer {
            assert_refused(status);
        }
        if answer.is_ok() == answered {
            return;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(pause).await;
    }
}

/// The next of these calls are refused.
async fn are_refused(many: usize, calls: &mut Unfinished) {
    for _ in 0..many {
        assert_refused(&calls.next().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cgroup_allows_is_never_used_up() {
    let Some(cgroup) = limited() else {
        return skip("a cgroup's memory: limiting it takes privileges, and a hierarchy that hands the controller down");
    };
    // So that what the program reads of itself from the disk is charged to us.
    drop(std::fs::read(env!("CARGO_BIN_EXE_iamd")).unwrap());
    let store = quickstart();
    let command = cgroup.iamd(&[&serve(store.path(), &["--listen", "127.0.0.1:0"]), &PATIENT[..]].concat());
    let program = Program::spawn(command, store);
    assert_eq!(metric(&program, "iamd_memory_limit_bytes"), LIMIT as f64);
    let mut client = Client::new(channel(&program).await);
    let probe = Probe::of(&program).await;
    for method in ["BatchIsAuthorized", "IsAuthorized", "StreamIsAuthorized"] {
        let mut calls = Unfinished::of(method, &program).await;
        // Both at a time: memory that refused calls have freed may be there a second later.
        tokio::join!(are_refused(CALLS / 8, &mut calls), asks_until(false, Duration::from_millis(20), &mut client));
        drop(calls);
        // That takes two seconds at most, also where few calls come: by these alone it would be ten.
        asks_until(true, Duration::from_millis(200), &mut client).await;
        assert_eq!(hits_and_kills(&cgroup), (0, 0), "{method}");
    }
    let answers = probe.answers().await;
    assert!(answers > 10, "{answers} answers about health");
    becomes(&program, "iamd_requests_in_flight", 0.0).await;
    assert_eq!(metric(&program, "iamd_panics_total"), 0.0);
}

#[test]
fn a_cache_that_fills_a_cgroup_is_warned_of() {
    let Some(cgroup) = limited() else { return skip("a cgroup's memory, as above") };
    // 90 % of 256 MiB, without 16: four fifths of that.
    let most = (LIMIT / 100 * 90 - 16 * MIB) / 5 * 4;
    for (cache_bytes, expected) in [(most, None), (most + 1, Some(most))] {
        let store = quickstart();
        let size = cache_bytes.to_string();
        let command = cgroup.iamd(&serve(store.path(), &["--listen", "127.0.0.1:0", "--cache-size", &size]));
        let mut before = Vec::new();
        let mut program = Program::new(command, store);
        program.logged_until("serving", &mut before);
        let lines = before.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let warned =
            lines.filter(|line| line["message"].as_str().unwrap().starts_with("a full cache leaves too little"));
        assert_eq!(warned.map(|line| line["most"].as_u64()).next().flatten(), expected, "{before:?}");
    }
}
