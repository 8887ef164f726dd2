//! The disk of the log becomes read-only: the mount is made so, or the file system has an error. Both take a superuser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Logging, alice_deletes, decisions, eventually, logging_to};
use crate::operator::{alice_reads, metric, skip};

/// A mount that ends with this.
struct Mounted(PathBuf);

impl Mounted {
    /// `mount WORDS PATH`; None where that may not be done.
    fn new(words: &[&str], path: &Path) -> Option<Self> {
        succeeds(Command::new("mount").args(words).arg(path)).then(|| Self(path.to_owned()))
    }

    fn remount(&self, options: &str) -> bool {
        succeeds(Command::new("mount").args(["-o", options]).arg(&self.0))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        succeeds(Command::new("umount").arg("-l").arg(&self.0));
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stderr(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A log in a folder of a folder, which can be mounted.
async fn log_in(folder: tempfile::TempDir, path: &Path) -> Logging {
    logging_to(folder, path, "--decision-log-queue 64KiB", Stdio::null()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_made_read_only_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    let mount = folder.path().to_owned();
    let mut log = log_in(folder, &path).await;
    // The file that is open for writing belongs to the mount below this one.
    let bind = Mounted::new(&["--bind", mount.to_str().unwrap()], &mount);
    let Some(bind) = bind.filter(|bind| bind.remount("remount,bind,ro")) else {
        return skip("a mount that becomes read-only: mounting takes privileges");
    };
    log.program.signal("HUP");
    let warned = log.program.logged("cannot open the decision log anew: the old file is used");
    assert_eq!(warned["error"], "read-only file system");
    assert_eq!(log.batch(&alice_reads(), 50).await, [Ok(1); 50]);
    assert!(bind.remount("remount,bind,rw"));
    log.program.logged("the decision log was opened anew");
    log.client.is_authorized(alice_deletes()).await.unwrap();
    assert_eq!(metric(&log.program, "iamd_decision_log_failing"), 0.0);
    assert_eq!(log.decisions().len(), 51, "none is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_becomes_read_only_costs_the_log_and_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (image, disk) = (folder.path().join("image"), folder.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    fs::write(&image, vec![0; 4 << 20]).unwrap();
    let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mounted = made.then(|| Mounted::new(&["-o", "loop", image.to_str().unwrap()], &disk)).flatten();
    let Some(mounted) = mounted else {
        return skip("a file system that becomes read-only: it takes mkfs.ext4, a loop device and privileges");
    };
    let path = disk.join("decisions.log");
    let mut log = log_in(folder, &path).await;
    assert_eq!(log.batch(&alice_reads(), 10).await, [Ok(1); 10]);
    eventually("they are written", || metric(&log.program, "iamd_decision_log_written_total") == 10.0);
    // What the kernel does by itself when it finds an error on the disk.
    assert!(mounted.remount("remount,abort"));
    log.client.is_authorized(alice_reads()).await.unwrap();
    let failed = log.program.logged("cannot write the decision log; trying again until it works");
    assert_eq!(failed["error"], "read-only file system");
    assert_eq!(metric(&log.program, "iamd_decision_log_failing"), 1.0);
    let asked = super::faults::ask_until_dropped(&mut log, "write_failed").await;
    let missing = metric(&log.program, "iamd_decision_log_dropped_total{reason=\"write_failed\"}");
    // Another one in its place: on top, so that the service does not find the folder below in between, and logs there.
    let _again = Mounted::new(&["-t", "tmpfs", "tmpfs"], &disk).unwrap();
    log.program.logged("the decision log can be written again");
    eventually("there is room again", || metric(&log.program, "iamd_decision_log_queue_entries") == 0.0);
    log.client.is_authorized(alice_deletes()).await.unwrap();
    let all = log.end();
    let told = all.iter().find(|line| line["type"] == "dropped").unwrap();
    assert_eq!(told["dropped"]["write_failed"].as_f64(), Some(missing));
    let decisions = decisions(all);
    assert_eq!(decisions.len() as f64, asked as f64 + 2.0 - missing, "what was not dropped was kept");
    assert_eq!(decisions.last().unwrap()["action"], "s3:DeleteObject");
}
