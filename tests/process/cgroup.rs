//! A control group of the kernel's for one program, by version 2 or 1. Making one takes a superuser, and a hierarchy that hands its
//! controller down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::program::without_settings;

/// Removed when dropped: what runs in it must have ended before.
pub struct Cgroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Cgroup {
    /// With this controller; None where none can be made.
    pub fn new(controller: &str) -> Option<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let root = Path::new("/sys/fs/cgroup");
        // Version 1 has a hierarchy for each controller. What version 2 does not hand down here is not changed for a test.
        let (root, version) = match fs::read_to_string(root.join("cgroup.subtree_control")) {
            Ok(handed_down) if handed_down.split_whitespace().any(|name| name == controller) => {
                (root.to_owned(), Version::Two)
            }
            Ok(_) => return None,
            Err(_) => (root.join(controller), Version::One),
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("iamd-test-{}-{count}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        Some(Self { folder, version })
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the kernel takes it.
    pub fn set(&self, file: &str, value: &str) -> bool {
        fs::write(self.folder.join(file), value).is_ok()
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    /// `iamd` with these words, in this group before its first instruction.
    pub fn iamd(&self, words: &[&str]) -> Command {
        let mut command = without_settings(Command::new("sh"));
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.folder.join("cgroup.procs"));
        command.arg(env!("CARGO_BIN_EXE_iamd")).args(words);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        // A process that was waited for may be in it for a moment yet.
        while fs::remove_dir(&self.folder).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
