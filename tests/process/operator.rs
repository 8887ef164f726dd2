//! What an operator does and sees.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::proto::v1::{Decision, IsAuthorizedRequest};
use serde_json::Value;
use tonic::transport::Channel;

use crate::program::{Program, without_settings};

pub const ALICE: &str = "123456789012/users/alice.json";

/// The examples' store, copied to where it can be changed.
pub fn quickstart() -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/store"), store.path());
    readable(store.path());
    store
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// By everybody: temporary directories are their owner's alone.
fn readable(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The superuser may read every file. So that there is one that cannot be read, the program runs as nobody where the
/// tests run as root, from a copy: the tests' own folder may be closed to nobody.
pub struct Nobody {
    _folder: tempfile::TempDir,
    program: PathBuf,
    is_root: bool,
}

impl Nobody {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let is_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        readable(folder.path());
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_iamd"));
        if is_root {
            // By another process: were it written by this one, a child that another test starts at this moment would hold
            // it open for writing for an instant, and it could not be run.
            let copied = Command::new("cp").arg(&program).arg(folder.path()).status().unwrap();
            assert!(copied.success());
            program = folder.path().join("iamd");
        }
        Self { _folder: folder, program, is_root }
    }

    pub fn iamd(&self, words: &[&str]) -> Command {
        let mut command = without_settings(Command::new(&self.program));
        command.args(words);
        if self.is_root {
            command.uid(65_534).gid(65_534);
        }
        command
    }
}

/// Says, past what captures a test's output, that something cannot be tested here; with `REQUIRE_ALL=1` that is an error.
pub fn skip(why: &str) {
    assert!(std::env::var_os("REQUIRE_ALL").is_none_or(|set| set.is_empty()), "REQUIRE_ALL: {why}");
    drop(writeln!(std::io::stderr(), "SKIPPED: {why}"));
}

/// What the process has had of the processors, in seconds.
pub fn cpu_seconds(program: &Program) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u32 = [fields[11], fields[12]].iter().map(|field| field.parse::<u32>().unwrap()).sum();
    // A tick is 10 ms wherever this runs.
    f64::from(ticks) / 100.0
}

/// Words that serve a store on free ports.
pub fn serve<'a>(store: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["serve", "--policies", store.to_str().unwrap(), "--admin-listen", "127.0.0.1:0"];
    words.iter().chain(more).copied().collect()
}

/// Whether Alice may read a report: so says her inline policy.
pub fn alice_reads() -> IsAuthorizedRequest {
    IsAuthorizedRequest {
        principal: "arn:aws:iam::123456789012:user/alice".to_owned(),
        action: "s3:GetObject".to_owned(),
        resource: "arn:aws:s3:::acme-reports/2026/q1.pdf".to_owned(),
        ..IsAuthorizedRequest::default()
    }
}

pub async fn client(program: &Program) -> AuthorizationServiceClient<Channel> {
    AuthorizationServiceClient::connect(format!("http://{}", program.grpc[0])).await.unwrap()
}

/// The decision about Alice, and the version of the snapshot that made it.
pub async fn decision(client: &mut AuthorizationServiceClient<Channel>) -> (Decision, u64) {
    let answer = client.is_authorized(alice_reads()).await.unwrap().into_inner();
    (answer.decision(), answer.snapshot_version)
}

/// The names of its threads.
pub fn threads(program: &Program) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.unwrap()).trim_end().to_owned()).collect()
}

pub fn status(program: &Program) -> Value {
    let (code, text) = program.get("/status");
    assert_eq!(code, 200);
    serde_json::from_str(&text).unwrap()
}

/// The value of a metric without labels, or with exactly these.
pub fn metric(program: &Program, name: &str) -> f64 {
    let text = program.get("/metrics").1;
    let values: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect();
    let [value] = values[..] else { panic!("`{name}` stands {} times in {text}", values.len()) };
    value.parse().unwrap()
}

/// Asks for the status until it is as expected.
pub fn status_becomes(program: &Program, what: &str, expected: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = status(program);
        if expected(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: never, but {status:#}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
