//! The machine's clock is set forward by years, and back, while the service runs: libfaketime stands between the two.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use iamd::proto::v1::Decision::{self, Allow, ImplicitDeny};
use iamd::proto::v1::IsAuthorizedRequest;
use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient as Client;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use tonic::transport::Channel;

use crate::decisions::{decisions, eventually, lines};
use crate::operator::{ALICE, alice_reads, cpu_seconds, metric, quickstart, serve, skip, status, status_becomes};
use crate::program::{Program, iamd, unix};

const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// Alice may read reports from 2100 on, and delete them until then.
const POLICY: &str = r#"{"UserName": "alice", "UserPolicyList": [{"PolicyName": "times", "PolicyDocument": {
    "Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
         "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}}},
        {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "*",
         "Condition": {"DateLessThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}}},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
    ]}}]}"#;

struct Clock {
    program: Program,
    folder: tempfile::TempDir,
    client: Client<Channel>,
    alice: PathBuf,
    asked: usize,
    reloads: u64,
}

impl Clock {
    async fn start(library: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(2060, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(path("tls.crt"), certificate.pem()).unwrap();
        fs::write(path("tls.key"), key.serialize_pem()).unwrap();
        let store = quickstart();
        let alice = store.path().join(ALICE);
        fs::write(&alice, POLICY).unwrap();
        set(folder.path(), "+0");
        let socket = unix(&folder.path().join("iamd.sock"));
        let mut command = iamd(&serve(store.path(), &["--listen", &socket, "--listen", "127.0.0.1:0"]));
        command.args(["--poll-interval", "200ms", "--debounce", "20ms", "--drain-delay", "0s"]);
        command.args(["--tls-cert", &path("tls.crt"), "--tls-key", &path("tls.key")]);
        command.args(["--decision-log", &path("decisions.log"), "--decision-log-max-age", "1h"]);
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", path("clock"));
        // Only the clock that can be set is set; files have the times that they have.
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1")]);
        let program = Program::spawn(command, store);
        let client = Client::connect(socket).await.unwrap();
        Self { program, folder, client, alice, asked: 0, reloads: 1 }
    }

    async fn decides(&mut self, action: &str, expected: Decision) {
        let mut request = tonic::Request::new(IsAuthorizedRequest { action: action.to_owned(), ..alice_reads() });
        // An hour, of a clock that nobody sets.
        request.set_timeout(Duration::from_secs(3_600));
        let answer = self.client.is_authorized(request).await.unwrap().into_inner();
        assert_eq!(answer.decision(), expected, "{action}");
        self.asked += 1;
    }

    /// Sets the clock: what it decides from then on, and that nothing else comes of it.
    async fn set(&mut self, offset: &str, is_after_2100: bool) {
        set(self.folder.path(), offset);
        let (new, old) = if is_after_2100 { (Allow, ImplicitDeny) } else { (ImplicitDeny, Allow) };
        let cpu = cpu_seconds(&self.program);
        for _ in 0..50 {
            self.decides("s3:GetObject", new).await;
            self.decides("s3:DeleteObject", old).await;
            self.decides("s3:ListBucket", Allow).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let cpu = cpu_seconds(&self.program) - cpu;
        assert!(cpu < 0.4, "{offset}: {cpu} s of the processor for half a second");
        // A reload is noticed, and dated by the new clock.
        self.reloads += 1;
        let changed = POLICY.replace("times", &format!("times-{}", self.reloads));
        fs::write(&self.alice, changed).unwrap();
        let version = self.reloads;
        let status = status_becomes(&self.program, "a reload", |status| status["snapshot"]["version"] == version);
        let loaded = status["snapshot"]["loaded_at"].as_str().unwrap().to_owned();
        assert_eq!(loaded.as_str() > "2100", is_after_2100, "{offset}: {loaded}");
        assert_eq!(metric(&self.program, "iamd_panics_total"), 0.0);
    }
}

fn set(folder: &Path, offset: &str) {
    // By rename: it is never read half written.
    fs::write(folder.join("clock.new"), offset).unwrap();
    fs::rename(folder.join("clock.new"), folder.join("clock")).unwrap();
}

/// What is said of the certificate; it ends in 2060.
fn certificate(program: &Program) -> Value {
    let tls = status(program)["tls"].clone();
    assert!(tls.to_string().contains("2060-01-01"), "{tls}");
    tls
}

fn library() -> Option<&'static str> {
    let found = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        skip("a clock that is set: there is no libfaketime here (Debian's package `faketime`)");
    }
    found
}

/// No request is known that makes the service panic. A clock beyond the year 9999 does: times end there.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_call_and_is_counted() {
    let Some(library) = library() else { return };
    let mut clock = Clock::start(library).await;
    clock.decides("s3:GetObject", ImplicitDeny).await;
    set(clock.folder.path(), "+3000000d");
    for _ in 0..5 {
        let status = clock.client.is_authorized(alice_reads()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal, "{status}");
        // It needs no clock, and comes over the same connection.
        clock.decides("s3:ListBucket", Allow).await;
    }
    set(clock.folder.path(), "+0");
    // The admin port dates its answers, and panics as well.
    assert!(metric(&clock.program, "iamd_panics_total") >= 5.0);
    clock.decides("s3:GetObject", ImplicitDeny).await;
    clock.decides("s3:DeleteObject", Allow).await;
    assert_eq!(clock.program.get("/readyz").0, 200);
    assert_eq!(metric(&clock.program, "iamd_requests_in_flight"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_set_forward_and_back() {
    let Some(library) = library() else { return };
    let mut clock = Clock::start(library).await;
    let before = certificate(&clock.program);
    for (offset, is_after_2100) in
        [("+0", false), ("+36500d", true), ("-3650d", false), ("+36500d", true), ("+0", false)]
    {
        clock.set(offset, is_after_2100).await;
    }
    // The certificate is the one that it was: it was looked at, and not loaded anew for the clock's sake.
    assert_eq!(certificate(&clock.program), before);
    let written = clock.asked as f64;
    eventually("all is written", || metric(&clock.program, "iamd_decision_log_written_total") == written);
    clock.program.signal("TERM");
    let (code, took) = clock.program.ended();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let logs = fs::read_dir(clock.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let logs: Vec<_> = logs.filter(|path| path.to_string_lossy().contains("decisions.log")).collect();
    // None is an hour old, whatever the clock says.
    let [log] = &logs[..] else { panic!("{logs:?}") };
    let all = decisions(lines(&fs::read_to_string(log).unwrap())).len();
    assert_eq!(all, clock.asked, "no decision is lost");
}
