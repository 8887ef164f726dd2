//! The decision log of the real program.

mod astray;
mod faults;
mod files;
mod killed;
mod lines;
mod peers;
mod readonly;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use iamd::proto::v1::authorization_service_client::AuthorizationServiceClient;
use iamd::proto::v1::{BatchIsAuthorizedRequest, IsAuthorizedRequest};
use serde_json::Value;
use tonic::transport::Channel;

use crate::operator::{alice_reads, client, metric, quickstart, serve};
use crate::program::{Program, iamd};
use crate::schema;

/// A service that logs its decisions.
pub struct Logging {
    pub program: Program,
    pub path: PathBuf,
    pub client: AuthorizationServiceClient<Channel>,
    _folder: tempfile::TempDir,
}

/// Into a file.
pub async fn logging(flags: &str) -> Logging {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    logging_to(folder, &path, flags, Stdio::null()).await
}

/// To this path, in this folder.
pub async fn logging_to(folder: tempfile::TempDir, path: &Path, flags: &str, stdout: Stdio) -> Logging {
    let store = quickstart();
    let more = ["--listen", "127.0.0.1:0", "--worker-threads", "1", "--drain-delay", "0s"];
    let mut command = iamd(&serve(store.path(), &more));
    if !flags.contains("--drain-timeout") {
        command.args(["--drain-timeout", "10s"]);
    }
    command.arg("--decision-log").arg(path).args(flags.split_whitespace());
    let mut program = Program::with_stdout(command, store, stdout);
    program.wait_until_serving();
    // From then on it writes nothing by itself.
    eventually("the log begins", || metric(&program, "iamd_decision_log_bytes_total") > 0.0);
    let client = client(&program).await;
    Logging { program, path: path.to_owned(), client, _folder: folder }
}

impl Logging {
    /// Every line that the file holds at the end.
    pub fn end(mut self) -> Vec<Value> {
        self.program.signal("TERM");
        assert_eq!(self.program.ended().0, 0);
        let lines = lines(&fs::read_to_string(&self.path).unwrap());
        assert_eq!(lines.last().unwrap()["type"], "stop");
        lines
    }

    /// The decisions that the file holds at the end.
    pub fn decisions(self) -> Vec<Value> {
        decisions(self.end())
    }

    /// The same request so many times, at once.
    pub async fn batch(&mut self, request: &IsAuthorizedRequest, times: usize) -> Vec<Result<i32, i32>> {
        use iamd::proto::v1::batch_result::Result::{Error, Response};
        let batch = BatchIsAuthorizedRequest { requests: vec![request.clone(); times] };
        let answer = self.client.batch_is_authorized(batch).await.unwrap().into_inner();
        let result = |result| match result {
            Some(Response(response)) => Ok(response.decision),
            Some(Error(error)) => Err(error.code),
            None => panic!("no result"),
        };
        answer.results.into_iter().map(|one| result(one.result)).collect()
    }
}

/// Lines of a log, each as the schema wants it.
pub fn lines(text: &str) -> Vec<Value> {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decision-log.schema.json"));
    let schema: Value = serde_json::from_str(&schema.unwrap()).unwrap();
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(schema::faults(&schema, &line), Vec::<String>::new(), "{line:#}");
        line
    };
    text.lines().map(read).collect()
}

pub fn decisions(lines: Vec<Value>) -> Vec<Value> {
    lines.into_iter().filter(|line| line["type"] == "decision").collect()
}

/// Alice may not delete anything.
pub fn alice_deletes() -> IsAuthorizedRequest {
    IsAuthorizedRequest { action: "s3:DeleteObject".to_owned(), ..alice_reads() }
}

/// Waits until a condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: never");
        std::thread::sleep(Duration::from_millis(5));
    }
}
