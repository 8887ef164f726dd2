//! What each generation of the store allows, how it is written, and which are legal at a moment.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use iamd::proto::v1::IsAuthorizedRequest;

pub const USERS: u64 = 5;
pub const QUEUES: u64 = 7;

/// Whether a generation lets this user read this queue.
pub fn allows(generation: u64, (user, queue): (u64, u64)) -> bool {
    (generation % USERS, generation % QUEUES) == (user, queue)
}

/// Every user with every queue.
pub fn pairs() -> impl Iterator<Item = (u64, u64)> {
    (0..USERS).flat_map(|user| (0..QUEUES).map(move |queue| (user, queue)))
}

pub fn question((user, queue): (u64, u64)) -> IsAuthorizedRequest {
    IsAuthorizedRequest {
        principal: format!("arn:aws:iam::123456789012:user/user-{user}"),
        action: "sqs:ReceiveMessage".to_owned(),
        resource: format!("arn:aws:sqs:eu-central-1:123456789012:queue-{queue}"),
        ..IsAuthorizedRequest::default()
    }
}

// --- writing --------------------------------------------------------------------------------------------------------

/// Everybody, of whom one is in the group.
fn users(generation: u64) -> serde_json::Value {
    let groups = |user| if user == generation % USERS { vec!["Readers"] } else { Vec::new() };
    (0..USERS).map(|user| serde_json::json!({"UserName": format!("user-{user}"), "GroupList": groups(user)})).collect()
}

/// The group, which may read one queue.
fn group(generation: u64) -> serde_json::Value {
    let resource = format!("arn:aws:sqs:eu-central-1:123456789012:queue-{}", generation % QUEUES);
    // The generation's own name makes files differ whose content is otherwise the same 35 generations later.
    let document = serde_json::json!({
        "Version": "2012-10-17", "Id": format!("generation-{generation}"),
        "Statement": [{"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": resource}],
    });
    let policy = serde_json::json!({"PolicyName": "Read", "PolicyDocument": document});
    serde_json::json!({"GroupName": "Readers", "GroupPolicyList": [policy]})
}

fn write_files(folder: &Path, generation: u64) {
    fs::write(folder.join("users.json"), users(generation).to_string()).unwrap();
    fs::write(folder.join("group.json"), group(generation).to_string()).unwrap();
}

/// Two files, one after the other: only for a store that nobody watches.
pub fn write_in_place(store: &Path, generation: u64) {
    let folder = store.join("123456789012");
    fs::create_dir_all(&folder).unwrap();
    write_files(&folder, generation);
}

/// One file with everything, renamed over the old one.
pub fn write_by_rename(store: &Path, generation: u64) {
    let folder = store.join("123456789012");
    fs::create_dir_all(&folder).unwrap();
    let mut all = users(generation);
    all.as_array_mut().unwrap().push(group(generation));
    fs::write(folder.join(".all.json.new"), all.to_string()).unwrap();
    fs::rename(folder.join(".all.json.new"), folder.join("all.json")).unwrap();
}

/// What the kubelet does: the files in a new folder, then one rename of the link through which they are seen.
pub fn write_like_kubelet(store: &Path, generation: u64) {
    let volume = store.join("123456789012");
    let folder = format!("..2026_01_01_00_00_00.{generation}");
    fs::create_dir_all(volume.join(&folder)).unwrap();
    write_files(&volume.join(&folder), generation);
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(&folder, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    match old {
        Some(old) => fs::remove_dir_all(volume.join(old)).unwrap(),
        None => ["users.json", "group.json"]
            .iter()
            .for_each(|name| symlink(Path::new("..data").join(name), volume.join(name)).unwrap()),
    }
}

// --- what is legal --------------------------------------------------------------------------------------------------

/// How far the writer is. A generation's number is its snapshot's version.
#[derive(Debug)]
pub struct Progress {
    /// The newest that may be active. Written before it is made available.
    begun: AtomicU64,
    /// The newest that is certainly active. Written after it has been seen to be.
    installed: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { begun: AtomicU64::new(1), installed: AtomicU64::new(1) }
    }
}

impl Progress {
    pub fn begin(&self, generation: u64) {
        self.begun.store(generation, Ordering::SeqCst);
    }

    pub fn installed(&self, generation: u64) {
        self.installed.store(generation, Ordering::SeqCst);
    }

    /// To be asked before a call: it must not be answered by anything older.
    pub fn oldest_legal(&self) -> u64 {
        self.installed.load(Ordering::SeqCst)
    }

    /// To be asked after the answer: it cannot be of anything newer.
    pub fn newest_legal(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }
}
