//! A log that stalls, a disk that is full, a reader that is gone. A pipe that nobody reads is a log that stalls, `/dev/full` a
//! disk that is full.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Logging, alice_deletes, decisions, eventually, lines, logging, logging_to};
use crate::operator::{alice_reads, metric, skip};

const UNAVAILABLE: i32 = 14;

/// A service whose log nobody reads.
async fn stalled(flags: &str) -> (Logging, File) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let queue = if flags.contains("--decision-log-queue") { "" } else { "--decision-log-queue 64KiB" };
    let log = logging_to(folder, &path, &format!("{queue} {flags}"), Stdio::null()).await;
    (log, reader)
}

/// What stands in the pipe until a line holds; read on a thread, since reading waits.
fn read_until(mut reader: File, holds: impl Fn(&Value) -> bool + Send + 'static) -> Vec<Value> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let read = reader.read(&mut piece).unwrap();
            text.extend_from_slice(&piece[..read]);
            let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
            let all = lines(std::str::from_utf8(&text[..whole]).unwrap());
            if all.iter().any(&holds) {
                break drop(sender.send(all));
            }
        }
    });
    receiver.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("the log does not go on"))
}

fn dropped(log: &Logging, reason: &str) -> f64 {
    metric(&log.program, &format!("iamd_decision_log_dropped_total{{reason=\"{reason}\"}}"))
}

/// Asks until this many decisions are missing.
pub async fn ask_until_dropped(log: &mut Logging, reason: &str) -> usize {
    let mut asked = 0;
    while dropped(log, reason) < 100.0 {
        let answers = log.batch(&alice_reads(), 50).await;
        assert_eq!(answers, [Ok(1); 50], "whatever becomes of the log");
        asked += 50;
        assert!(asked < 100_000);
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_are_dropped_and_the_log_says_so() {
    let (mut log, reader) = stalled("").await;
    let asked = ask_until_dropped(&mut log, "queue_full").await;
    let missing = dropped(&log, "queue_full");
    assert!(metric(&log.program, "iamd_decision_log_queue_bytes") <= f64::from(64 << 10));
    assert!(metric(&log.program, "iamd_decision_log_queue_entries") > 50.0);
    log.program.logged("decisions are missing in the decision log");
    let all = read_until(reader, |line| line["type"] == "dropped");
    eventually("all others are written", || {
        metric(&log.program, "iamd_decision_log_written_total") + missing == asked as f64
    });
    let told = all.iter().find(|line| line["type"] == "dropped").unwrap();
    assert_eq!(told["dropped"]["queue_full"].as_f64(), Some(missing));
    assert_eq!(decisions(all)[0]["cached"], "miss", "the first one is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_seen_before_the_queue_is_full() {
    let (mut log, reader) = stalled("--decision-log-queue 32MiB").await;
    let waits = |log: &Logging| metric(&log.program, "iamd_decision_log_oldest_waiting_seconds");
    assert_eq!(waits(&log), 0.0);
    // More than a pipe holds; a batch at a time, since the queue is large.
    while metric(&log.program, "iamd_decision_log_queue_entries") < 1_000.0 {
        log.batch(&alice_reads(), 500).await;
    }
    let began = Instant::now();
    let first = waits(&log);
    eventually("it grows", || waits(&log) > first + 0.5);
    assert!(began.elapsed() >= Duration::from_millis(400), "as time does");
    assert!(metric(&log.program, "iamd_decision_log_queue_bytes") < f64::from(16 << 20));
    assert_eq!([dropped(&log, "queue_full"), metric(&log.program, "iamd_decision_log_failing")], [0.0; 2]);
    log.client.is_authorized(alice_deletes()).await.unwrap();
    read_until(reader, |line| line["action"] == "s3:DeleteObject");
    eventually("none waits", || waits(&log) == 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_are_dropped_and_the_newest_are_there() {
    let (mut log, reader) = stalled("--decision-log-full drop-oldest").await;
    ask_until_dropped(&mut log, "queue_full").await;
    log.client.is_authorized(alice_deletes()).await.unwrap();
    let all = read_until(reader, |line| line["action"] == "s3:DeleteObject");
    assert!(all.iter().any(|line| line["type"] == "dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocks_waits_once_for_each_stall() {
    let (mut log, reader) = stalled("--decision-log-full block --decision-log-block-timeout 300ms").await;
    let began = Instant::now();
    let asked = ask_until_dropped(&mut log, "block_timeout").await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?} for {asked}");
    assert!(took < Duration::from_secs(15), "a hundred were dropped, and few were waited for: {took:?}");
    read_until(reader, |line| line["type"] == "dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_goes_on_as_soon_as_there_is_room() {
    let (mut log, reader) = stalled("--decision-log-full block --decision-log-block-timeout 1h").await;
    let (mut asker, mut asked) = (log.client.clone(), 0);
    let asking = tokio::spawn(async move {
        for _ in 0..1_000 {
            asker.is_authorized(alice_reads()).await.unwrap();
        }
        asker.is_authorized(alice_deletes()).await.unwrap();
    });
    while metric(&log.program, "iamd_decision_log_queue_bytes") < f64::from(60 << 10) {
        asked += 1;
        assert!(asked < 100_000);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!asking.is_finished());
    let all = read_until(reader, |line| line["action"] == "s3:DeleteObject");
    asking.await.unwrap();
    assert_eq!(decisions(all).len(), 1_001, "none is missing");
    assert_eq!(dropped(&log, "block_timeout"), 0.0);
    log.batch(&alice_reads(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_logged_is_not_answered() {
    let (mut log, reader) = stalled("--decision-log-full error").await;
    let (mut given, mut refused) = (0, 0);
    while refused < 100 {
        for result in log.batch(&alice_reads(), 50).await {
            match result {
                Ok(_) => given += 1,
                Err(code) => {
                    assert_eq!(code, UNAVAILABLE);
                    refused += 1;
                }
            }
        }
        assert!(given < 100_000);
    }
    let status = log.client.is_authorized(alice_reads()).await.unwrap_err();
    let expected = "the decision log takes no more, and what cannot be logged is not answered (--decision-log-full error); \
                    try again later";
    assert_eq!((status.code(), status.message()), (tonic::Code::Unavailable, expected));
    assert_eq!(metric(&log.program, "iamd_decision_log_refused_total"), f64::from(refused + 1));
    let again = std::thread::spawn(move || read_until(reader, |line| line["action"] == "s3:DeleteObject"));
    eventually("the queue is empty", || metric(&log.program, "iamd_decision_log_queue_entries") == 0.0);
    log.client.is_authorized(alice_deletes()).await.unwrap();
    assert_eq!(decisions(again.join().unwrap()).len(), given + 1, "what was given was logged, and nothing else");
}

/// A service whose disk turns full.
async fn full_disk(flags: &str) -> Logging {
    let mut log = logging(&format!("--decision-log-queue 64KiB {flags}")).await;
    fs::remove_file(&log.path).unwrap();
    symlink("/dev/full", &log.path).unwrap();
    log.program.signal("HUP");
    log.program.logged("the decision log was opened anew");
    log.client.is_authorized(alice_reads()).await.unwrap();
    let failed = log.program.logged("cannot write the decision log; trying again until it works");
    assert_eq!(failed["error"], "no space left on device");
    assert_eq!(metric(&log.program, "iamd_decision_log_failing"), 1.0);
    log
}

/// There is room again.
fn mend(log: &Logging) {
    fs::remove_file(&log.path).unwrap();
    log.program.signal("HUP");
    eventually("it works again", || metric(&log.program, "iamd_decision_log_failing") == 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_the_log_and_no_answer() {
    let mut log = full_disk("").await;
    ask_until_dropped(&mut log, "write_failed").await;
    mend(&log);
    log.program.logged("the decision log can be written again");
    eventually("there is room again", || metric(&log.program, "iamd_decision_log_queue_entries") == 0.0);
    log.client.is_authorized(alice_deletes()).await.unwrap();
    let missing = dropped(&log, "write_failed");
    let all = log.end();
    assert_eq!(all[0]["cached"], "miss", "what could not be written was kept");
    let told: Vec<_> = all.iter().filter(|line| line["type"] == "dropped").collect();
    assert_eq!(told[0]["dropped"]["write_failed"].as_f64(), Some(missing));
    assert_eq!(decisions(all).last().unwrap()["action"], "s3:DeleteObject");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_answers_where_each_must_be_logged() {
    let mut log = full_disk("--decision-log-full error").await;
    assert_eq!(log.batch(&alice_reads(), 2).await, [Err(UNAVAILABLE); 2], "at once, though the queue has room");
    mend(&log);
    assert_eq!(log.batch(&alice_reads(), 2).await, [Ok(1); 2]);
    assert_eq!(log.decisions().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_disk_is_full_and_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| Command::new(words[0]).args(&words[1..]).arg(folder.path()).status();
    let mounted = mount(&["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs"]);
    if !mounted.is_ok_and(|status| status.success()) {
        return skip("a small disk: mounting takes privileges");
    }
    struct Unmount(std::path::PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            drop(Command::new("umount").arg("-l").arg(&self.0).status());
        }
    }
    let unmount = Unmount(folder.path().to_owned());
    let path = folder.path().join("decisions.log");
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 128 << 10]).unwrap();
    let mut log = logging_to(folder, &path, "", Stdio::null()).await;
    let mut asked = 0;
    while metric(&log.program, "iamd_decision_log_failing") == 0.0 {
        log.batch(&alice_reads(), 10).await;
        asked += 10;
        assert!(asked < 10_000);
    }
    let cut = fs::read_to_string(&path).unwrap();
    fs::remove_file(&ballast).unwrap();
    eventually("all is written", || metric(&log.program, "iamd_decision_log_written_total") == f64::from(asked));
    let all = log_text(&mut log, &path);
    assert!(all.starts_with(&cut));
    assert_eq!(decisions(lines(&all)).len(), asked as usize, "no line is lost, or torn");
    drop(unmount);
}

fn log_text(log: &mut Logging, path: &Path) -> String {
    log.program.signal("TERM");
    assert_eq!(log.program.ended().0, 0);
    fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_gone_costs_the_log_and_no_answer() {
    let (reader, writer) = std::io::pipe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut log =
        logging_to(folder, "-".as_ref(), "--decision-log-queue 64KiB --drain-timeout 500ms", Stdio::from(writer)).await;
    drop(reader);
    log.client.is_authorized(alice_reads()).await.unwrap();
    eventually("it is noticed", || metric(&log.program, "iamd_decision_log_failing") == 1.0);
    ask_until_dropped(&mut log, "write_failed").await;
    log.program.signal("TERM");
    let stopped = log.program.logged("decisions were not logged: the decision log took too long at the end");
    assert!(stopped["unwritten"].as_u64().unwrap() > 0);
    log.program.ended_at(Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_decided_is_written_before_the_end() {
    let mut log = logging("").await;
    for _ in 0..8 {
        log.batch(&alice_reads(), 1_000).await;
    }
    assert_eq!(log.decisions().len(), 8_000);
}
