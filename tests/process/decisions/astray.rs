//! A file that is moved away, or whose directory is, and nobody says so.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Logging, decisions, eventually, lines, logging, logging_to};
use crate::operator::{alice_reads, metric};

const UNAVAILABLE: i32 = 14;

/// Asks, each time with another id, until something holds; how often.
async fn ask_until(log: &mut Logging, holds: impl Fn(&Logging) -> bool) -> usize {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut asked = 0;
    while !holds(log) {
        assert!(Instant::now() < deadline, "never, and asked {asked} times");
        let mut request = tonic::Request::new(alice_reads());
        request.metadata_mut().insert("x-request-id", format!("call-{asked}").parse().unwrap());
        log.client.is_authorized(request).await.unwrap();
        asked += 1;
    }
    asked
}

fn ids(decisions: &[Value]) -> HashSet<String> {
    decisions.iter().map(|line| line["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_away_is_made_anew_and_no_line_is_lost() {
    let mut log = logging("").await;
    let moved = log.path.with_extension("1");
    fs::rename(&log.path, &moved).unwrap();
    let asked = ask_until(&mut log, |log| log.path.exists()).await;
    log.program.logged("the file of the decision log was moved away or deleted: it was opened anew");
    let old = decisions(lines(&fs::read_to_string(&moved).unwrap()));
    let new = log.decisions();
    assert!(!new.is_empty(), "what made it look is in the new one");
    let logged = [old, new].concat();
    assert_eq!((logged.len(), ids(&logged).len()), (asked, asked), "each once");
}

/// A log in a folder that can be taken away.
async fn log_in_folder(flags: &str) -> (Logging, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let [logs, away] = ["logs", "away"].map(|name| folder.path().join(name));
    fs::create_dir(&logs).unwrap();
    let path = logs.join("decisions.log");
    let log = logging_to(folder, &path, flags, Stdio::null()).await;
    (log, logs, away)
}

fn is_failing(log: &Logging) -> bool {
    metric(&log.program, "iamd_decision_log_failing") == 1.0
}

fn in_file(path: &Path) -> Vec<Value> {
    decisions(lines(&fs::read_to_string(path).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_while_the_folder_is_gone_waits_until_it_is_back() {
    let (mut log, logs, away) = log_in_folder("").await;
    fs::rename(&logs, &away).unwrap();
    let asked = ask_until(&mut log, is_failing).await;
    let failed = log.program.logged("cannot write the decision log; trying again until it works");
    assert_eq!(failed["error"], "no such file or directory");
    let written = in_file(&away.join("decisions.log")).len();
    log.batch(&alice_reads(), 50).await;
    assert_eq!(metric(&log.program, "iamd_decision_log_written_total"), written as f64, "none is counted");
    fs::create_dir(&logs).unwrap();
    eventually("all is written", || metric(&log.program, "iamd_decision_log_written_total") == (asked + 50) as f64);
    assert!(!is_failing(&log));
    assert_eq!(in_file(&away.join("decisions.log")).len(), written);
    assert_eq!(log.decisions().len(), asked + 50 - written);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_while_the_folder_is_gone_if_all_is_to_be_logged() {
    let (mut log, logs, away) = log_in_folder("--decision-log-full error").await;
    fs::rename(&logs, &away).unwrap();
    let (mut given, deadline) = (0, Instant::now() + Duration::from_secs(20));
    let refused = loop {
        assert!(Instant::now() < deadline, "{given} were given");
        match log.client.is_authorized(alice_reads()).await {
            Ok(_) => given += 1,
            Err(status) => break status.code(),
        }
    };
    assert_eq!(refused as i32, UNAVAILABLE);
    fs::rename(&away, &logs).unwrap();
    eventually("it is written again", || !is_failing(&log));
    assert_eq!(log.batch(&alice_reads(), 1).await, [Ok(1)]);
    assert_eq!(log.decisions().len(), given + 1, "what was given, and nothing else");
}
