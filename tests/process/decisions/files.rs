//! Files that begin, are rotated, moved away, torn and refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use super::{decisions, eventually, lines, logging, logging_to};
use crate::operator::{ALICE, Nobody, alice_reads, metric, quickstart, serve};
use crate::program::{iamd, run_to_end};

/// The files of a folder that are no longer written to, the oldest first.
fn older(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("decisions.log.")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_larger_than_it_may_be_and_so_many_are_kept() {
    let mut log = logging("--decision-log-max-bytes 64KiB --decision-log-max-files 3").await;
    let folder = log.path.parent().unwrap().to_owned();
    let mut batches = 0;
    while older(&folder).len() < 3 || batches < 40 {
        log.batch(&alice_reads(), 50).await;
        batches += 1;
        eventually("the batch is written", || {
            metric(&log.program, "iamd_decision_log_written_total") == f64::from(batches * 50)
        });
        assert!(older(&folder).len() <= 3, "{:?}", older(&folder));
        assert!(batches < 1_000);
    }
    for name in older(&folder) {
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        assert!((32 << 10..=64 << 10).contains(&text.len()), "{name} has {} bytes", text.len());
        assert!(!decisions(lines(&text)).is_empty());
    }
    log.program.signal("TERM");
    log.program.ended();
    lines(&fs::read_to_string(&log.path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_older_than_it_may_be() {
    let mut log = logging("--decision-log-max-age 1s").await;
    let folder = log.path.parent().unwrap().to_owned();
    let mut calls = 0;
    while older(&folder).is_empty() {
        log.client.is_authorized(alice_reads()).await.unwrap();
        calls += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(calls < 1_000);
    }
    assert!(!decisions(lines(&fs::read_to_string(folder.join(&older(&folder)[0])).unwrap())).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_the_file_away_says_so_by_a_signal() {
    let mut log = logging("").await;
    log.client.is_authorized(alice_reads()).await.unwrap();
    eventually("it is written", || metric(&log.program, "iamd_decision_log_written_total") == 1.0);
    let moved = log.path.with_extension("1");
    fs::rename(&log.path, &moved).unwrap();
    log.program.signal("HUP");
    log.program.logged("the decision log was opened anew");
    log.batch(&alice_reads(), 2).await;
    assert_eq!(decisions(lines(&fs::read_to_string(&moved).unwrap())).len(), 1);
    assert_eq!(log.decisions().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_cut_off_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    fs::write(&path, "{\"v\":1,\"type\":\"deci").unwrap();
    let mut log = logging_to(folder, &path, "", Stdio::null()).await;
    log.client.is_authorized(alice_reads()).await.unwrap();
    log.program.signal("TERM");
    log.program.ended();
    let text = fs::read_to_string(&path).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"v\":1,\"type\":\"deci");
    assert_eq!(lines(rest).len(), 3);
}

#[test]
fn a_log_that_cannot_be_opened_is_said_at_the_start() {
    let store = quickstart();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let closed = folder.path().join("d.log").display().to_string();
    let directory = folder.path().display().to_string();
    for (path, expected) in [
        ("/nowhere/d.log", "no such file or directory; hint: create its directory first"),
        (&directory, "is a directory; hint: write the path of a file, such as `decisions.log` in this directory"),
        (&closed, "permission denied; hint: let the user that the service runs as write there, or choose another path"),
    ] {
        let nobody = Nobody::new();
        let words = serve(store.path(), &["--listen", "127.0.0.1:0", "--decision-log", path]);
        let output = nobody.iamd(&words).output().unwrap();
        let expected = format!("error: cannot open the decision log `{path}`: {expected}\n");
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), expected));
    }
}

/// The files of a folder and what stands in them.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn a_start_that_fails_leaves_the_log_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    // Too large, cut off, and with more older ones than are kept.
    fs::write(&path, "x".repeat(100 << 10)).unwrap();
    for number in 1..=3 {
        fs::write(folder.path().join(format!("decisions.log.20260101T00000{number}.000000Z")), "old\n").unwrap();
    }
    let before = contents(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (sound, broken) = (quickstart(), quickstart());
    fs::write(broken.path().join(ALICE), "{").unwrap();
    for (store, address) in [(&sound, taken.as_str()), (&broken, "127.0.0.1:0")] {
        let mut command = iamd(&serve(store.path(), &["--listen", address, "--decision-log", path.to_str().unwrap()]));
        let output =
            command.args(["--decision-log-max-bytes", "64KiB", "--decision-log-max-files", "1"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{address}");
        assert!(contents(folder.path()) == before, "{address}: {:?}", contents(folder.path()).keys());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_share_a_file() {
    let mut log = logging("").await;
    log.client.is_authorized(alice_reads()).await.unwrap();
    eventually("it is written", || metric(&log.program, "iamd_decision_log_written_total") == 1.0);
    let before = fs::read(&log.path).unwrap();
    let path = log.path.display().to_string();
    let store = quickstart();
    let second = iamd(&serve(store.path(), &["--listen", "127.0.0.1:0", "--decision-log", &path]));
    let expected = format!(
        "error: cannot open the decision log `{path}`: another process writes to it; hint: give each process a file of its own\n"
    );
    assert_eq!(run_to_end(second), (1, expected));
    assert_eq!(fs::read(&log.path).unwrap(), before);
    // However the first one ends, the next one begins.
    log.program.signal("KILL");
    log.program.ended();
    let again = logging_to(tempfile::tempdir().unwrap(), &log.path, "", Stdio::null()).await;
    let types: Vec<_> = again.end().iter().map(|line| line["type"].clone()).collect();
    assert_eq!(types, ["start", "decision", "start", "stop"]);
}
