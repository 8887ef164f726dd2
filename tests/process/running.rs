//! A store that changes, for the better and the worse, while the service answers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use iamd::proto::v1::Decision::{Allow, ImplicitDeny};
use serde_json::{Value, json};

use crate::operator::{ALICE, Nobody, client, decision, metric, quickstart, serve, status, status_becomes};
use crate::program::Program;

/// The program, and the store that it serves.
fn start() -> (Program, PathBuf) {
    let store = quickstart();
    let folder = store.path().to_owned();
    // No poll helps: changes are noticed by the file system's events, and when asked.
    let words = serve(store.path(), &["--listen", "127.0.0.1:0", "--poll-interval", "1h", "--debounce", "5ms"]);
    let nobody = Nobody::new();
    let command = nobody.iamd(&words);
    (Program::spawn(command, store), folder)
}

fn is_rejected(status: &Value) -> bool {
    status["last_reload"]["result"] == "rejected" && !status["stale_since"].is_null()
}

fn is_active(version: u64) -> impl Fn(&Value) -> bool {
    move |status| status["snapshot"]["version"] == version && status["stale_since"].is_null()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_a_bad_one_and_the_bad_one_mended() {
    let (mut program, folder) = start();
    let alice = folder.join(ALICE);
    let mut client = client(&program).await;
    assert_eq!(program.get("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(decision(&mut client).await, (Allow, 1));
    assert_eq!(metric(&program, "iamd_last_reload_successful"), 1.0);
    let first = status(&program);
    let reloads = |result: &str| metric(&program, &format!("iamd_reloads_total{{result=\"{result}\"}}"));
    assert_eq!((reloads("activated"), reloads("rejected")), (1.0, 0.0));

    // Good: her policy no longer names the bucket.
    let good = fs::read_to_string(&alice).unwrap();
    let other = good.replace("acme-reports", "acme-elsewhere");
    assert_ne!(good, other);
    fs::write(&alice, &other).unwrap();
    let second = status_becomes(&program, "the change is active", is_active(2));
    assert_ne!(first["snapshot"]["revision"], second["snapshot"]["revision"]);
    assert_eq!(decision(&mut client).await, (ImplicitDeny, 2));

    // Bad: the last good snapshot keeps answering, and everybody can see why.
    fs::write(&alice, other.replace("\"Effect\"", "\"Efect\"")).unwrap();
    let stale = status_becomes(&program, "the bad file is rejected", is_rejected);
    assert_eq!(decision(&mut client).await, (ImplicitDeny, 2));
    assert_eq!(stale["snapshot"], second["snapshot"]);
    let errors = stale["last_reload"]["errors"].as_array().unwrap();
    let expected = json!({
        "file": ALICE, "line": 19, "column": 13, "message": "`Efect` is not an element of a statement",
        "hint": "did you mean `Effect`?",
    });
    assert!(errors.contains(&expected), "{errors:#?}");
    assert_eq!(metric(&program, "iamd_last_reload_successful"), 0.0);
    assert_eq!(program.get("/readyz").0, 200);

    // Mended.
    fs::write(&alice, &good).unwrap();
    status_becomes(&program, "the mended file is active", is_active(3));
    assert_eq!(decision(&mut client).await, (Allow, 3));
    assert_eq!(metric(&program, "iamd_last_reload_successful"), 1.0);
    assert_eq!(metric(&program, "iamd_snapshot_version"), 3.0);

    // Asked: there is nothing new.
    program.signal("HUP");
    program.logged("policy store looked at, it is what the active snapshot says");
    let asked = status_becomes(&program, "it was looked at", |s| s["last_reload"]["result"] == "unchanged");
    assert_eq!(asked["snapshot"]["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_and_directories_without_any() {
    let (program, folder) = start();
    let alice = folder.join(ALICE);
    let mut client = client(&program).await;
    let mut rejected = async |what: &str, file: &str, message: &str| {
        let status = status_becomes(&program, what, |status| {
            is_rejected(status) && status["last_reload"]["errors"][0]["message"] == message
        });
        assert_eq!(status["last_reload"]["errors"][0]["file"], file, "{status:#}");
        assert_eq!(metric(&program, "iamd_last_reload_successful"), 0.0);
        assert_eq!(decision(&mut client).await, (Allow, 1), "{what}: the last good snapshot answers");
    };

    fs::set_permissions(&alice, fs::Permissions::from_mode(0o000)).unwrap();
    program.signal("HUP");
    rejected("a file without permission", ALICE, "cannot read the file: permission denied").await;
    fs::set_permissions(&alice, fs::Permissions::from_mode(0o644)).unwrap();
    program.signal("HUP");
    status_becomes(&program, "readable again", is_active(1));

    let aside = tempfile::tempdir().unwrap();
    let accounts = ["123456789012", "210987654321"];
    for account in accounts {
        fs::rename(folder.join(account), aside.path().join(account)).unwrap();
    }
    let nothing = format!("no `*.json` files under `{}`, expected the policy store", folder.display());
    rejected("an emptied directory", ".", &nothing).await;

    fs::remove_dir(&folder).unwrap();
    program.signal("HUP");
    let gone = format!("cannot read `{}`, expected the policy store: no such file or directory", folder.display());
    rejected("a deleted directory", ".", &gone).await;

    fs::create_dir(&folder).unwrap();
    for account in accounts {
        fs::rename(aside.path().join(account), folder.join(account)).unwrap();
    }
    program.signal("HUP");
    status_becomes(&program, "everything is back", is_active(1));
    assert_eq!(metric(&program, "iamd_last_reload_successful"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_on_the_same_port_it_answers_again() {
    let (mut first, _) = start();
    let mut client = client(&first).await;
    assert_eq!(decision(&mut client).await, (Allow, 1));
    first.signal("TERM");
    first.signal("TERM");
    assert_eq!(first.ended().0, 0);
    // The old connection is still open at our end: its port lingers.
    let address = first.grpc[0].clone();
    let store = quickstart();
    let second = Program::spawn(crate::program::iamd(&serve(store.path(), &["--listen", &address])), store);
    assert_eq!(second.grpc, [address]);
    assert_eq!(decision(&mut client).await, (Allow, 1), "the same client connects again by itself");
}
