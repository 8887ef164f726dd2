//! Killed under load, and started again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iamd::proto::v1::Decision;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;

use super::{PATIENT, becomes};
use crate::decisions::alice_deletes;
use crate::operator::{alice_reads, quickstart, serve};
use crate::program::{Program, iamd, unix};

/// Who calls at a time over one connection.
const CALLERS: usize = 8;

/// What has become of the calls of one caller.
#[derive(Default)]
struct Calls {
    answered: AtomicU64,
    failed: AtomicU64,
}

/// Callers of several connections, each of whom calls again as soon as it is answered.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Vec<Arc<Calls>>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(addresses: &[String]) -> Self {
        let mut load = Self { stop: Arc::default(), calls: Vec::new(), callers: Vec::new() };
        for address in addresses {
            let client = Client::connect(address.clone()).await.unwrap();
            for _ in 0..CALLERS {
                let calls = Arc::<Calls>::default();
                load.callers.push(tokio::spawn(goes_on_calling(
                    client.clone(),
                    Arc::clone(&calls),
                    Arc::clone(&load.stop),
                )));
                load.calls.push(calls);
            }
        }
        load
    }

    fn failed(&self) -> u64 {
        self.calls.iter().map(|calls| calls.failed.load(Ordering::SeqCst)).sum()
    }

    /// Waits until every caller has had so many answers more.
    async fn each_is_answered(&self, more: u64) {
        let answered = || self.calls.iter().map(|calls| calls.answered.load(Ordering::SeqCst));
        let wanted: Vec<u64> = answered().map(|so_far| so_far + more).collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        while answered().zip(&wanted).any(|(so_far, wanted)| so_far < *wanted) {
            assert!(!self.callers.iter().any(JoinHandle::is_finished), "a caller was not answered as it should be");
            assert!(Instant::now() < deadline, "some are not answered");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

/// Whatever becomes of the service: an answer is the right one, and a call without one was cut off.
async fn goes_on_calling(mut client: Client<Channel>, calls: Arc<Calls>, stop: Arc<AtomicBool>) {
    let requests = [(alice_reads(), Decision::Allow), (alice_deletes(), Decision::ImplicitDeny)];
    for (request, expected) in requests.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        match client.is_authorized(request.clone()).await {
            Ok(answer) => {
                assert_eq!(answer.into_inner().decision(), *expected);
                calls.answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(status) => {
                assert!(matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled), "{status:?}");
                calls.failed.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

fn serving(tcp: &str, path: &Path) -> Program {
    let store = quickstart();
    let address = unix(path);
    let mut command = iamd(&serve(store.path(), &["--listen", tcp, "--listen", &address]));
    command.args(PATIENT).args(["--max-queue-time", "0s"]);
    Program::spawn(command, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("iamd.sock");
    let mut program = serving("127.0.0.1:0", &path);
    let address = program.grpc[0].clone();
    let (tcp, socket) = (format!("http://{address}"), unix(&path));
    let load = Load::start(&[tcp.clone(), tcp, socket.clone(), socket]).await;
    for _ in 0..3 {
        load.each_is_answered(10).await;
        let before = load.failed();
        program.signal("KILL");
        program.ended();
        assert!(path.exists(), "its file is left behind");
        program = serving(&address, &path);
        assert_eq!(program.grpc[0], address);
        // Once everybody has been answered again, nobody has to do with what was before.
        load.each_is_answered(1).await;
        let cut_off = load.failed();
        assert!(cut_off > before, "nobody called when it was killed");
        load.each_is_answered(20).await;
        assert_eq!(load.failed(), cut_off, "calls fail after the restart");
        becomes(&program, "iamd_connections", 4.0).await;
    }
    load.end().await;
}
