//! A log's requests, decided again under another store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use iamd::proto::v1::{ContextValues, IsAuthorizedRequest};
use serde_json::{Value, json};

use super::{Logging, alice_deletes, logging, logging_to};
use crate::operator::{ALICE, alice_reads, quickstart};
use crate::program::iamd;

pub fn replay(log: &Path, store: &Path, more: &[&str]) -> (i32, String, String) {
    let words = ["replay", "--policies", store.to_str().unwrap(), log.to_str().unwrap()];
    let Output { status, stdout, stderr } = iamd(&words).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// 217 questions about the store.
fn questions() -> Vec<IsAuthorizedRequest> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/requests/requests.json");
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let request = |one: &Value| {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
        let context = one["context"].as_object().into_iter().flatten();
        let values = |value: &Value| ContextValues { values: texts(&value["values"]) };
        let tags = one["sessionTags"].as_object().into_iter().flatten();
        IsAuthorizedRequest {
            principal: text("principal"),
            action: text("action"),
            resource: text("resource"),
            context: context.map(|(key, value)| (key.clone(), values(value))).collect(),
            resource_account: text("resourceAccount"),
            session_policies: texts(&one["sessionPolicies"]),
            session_tags: tags.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect(),
            federated_by: text("federatedBy"),
            detail: 0,
        }
    };
    all.iter().map(request).collect()
}

async fn ask_all(log: &mut Logging) -> usize {
    let mut decided = 0;
    for request in questions() {
        decided += log.batch(&request, 2).await.iter().filter(|result| result.is_ok()).count();
    }
    decided
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_is_decided_the_same_way_by_the_same_store() {
    let mut log = logging("--decision-log-context full").await;
    let decided = ask_all(&mut log).await;
    assert!(decided > 400, "{decided}");
    log.program.signal("TERM");
    log.program.ended();
    let store = quickstart();
    let expected = format!("0 of {decided} decisions would change, of no requests\n");
    assert_eq!(replay(&log.path, store.path(), &[]), (0, String::new(), expected));
}

/// A log of all questions with these flags, and what replaying it reports.
async fn replayed(flags: &str) -> (tempfile::TempDir, PathBuf, usize, i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    let mut log = logging_to(tempfile::tempdir().unwrap(), &path, flags, Stdio::null()).await;
    let decided = ask_all(&mut log).await;
    log.program.signal("TERM");
    log.program.ended();
    let (code, out, _) = replay(&path, quickstart().path(), &["--format", "json"]);
    (folder, path, decided, code, serde_json::from_str(&out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_masked_is_not_decided_by_guessing() {
    let (_folder, path, decided, code, report) = replayed("").await;
    assert_eq!((code, &report["changes"]), (7, &json!([])), "{report:#}");
    let [again, masked] = ["decided", "masked"].map(|name| usize::try_from(report[name].as_u64().unwrap()).unwrap());
    assert_eq!(again + masked, decided);
    assert_eq!(report["undecided"], json!(masked));
    assert!(again > 50 && masked > 50, "{again} were decided again, {masked} were not");
    let (code, _, err) = replay(&path, quickstart().path(), &["--allow-undecided"]);
    assert_eq!(code, 0);
    let told = format!("{masked} decisions cannot be made again: they depend on what is masked in the log\n  ");
    assert!(err.contains(&told), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_that_are_named_are_those_to_keep() {
    let mut keep = Vec::new();
    // Once session policies are known, some of them ask for other keys.
    for _ in 0..3 {
        let flags: Vec<_> = keep.iter().map(|key| format!("--decision-log-keep-key {key}")).collect();
        let (_folder, _, decided, code, report) = replayed(&flags.join(" ")).await;
        let keys = report["maskedKeys"].as_object().unwrap();
        if code == 0 {
            assert_eq!((report["decided"].as_u64(), keys.len()), (Some(decided as u64), 0));
            return assert!(!keep.is_empty());
        }
        assert!(keys.values().all(|times| times.as_u64() <= report["masked"].as_u64()), "{report:#}");
        assert!(!keys.is_empty() && !keys.keys().any(|key| keep.contains(key)), "{report:#}");
        keep.extend(keys.keys().cloned());
    }
    panic!("not all was decided, though these were kept: {keep:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_what_changes_is_reported() {
    let mut log = logging("--decision-log-context full").await;
    let decided = ask_all(&mut log).await;
    log.batch(&alice_deletes(), 3).await;
    log.batch(&alice_reads(), 1).await;
    log.program.signal("TERM");
    log.program.ended();
    let store = quickstart();
    let alice = store.path().join(ALICE);
    let policy = fs::read_to_string(&alice).unwrap().replace("\"s3:GetObjectVersion\"]", "\"s3:DeleteObject\"]");
    fs::write(&alice, policy).unwrap();

    let (code, out, err) = replay(&log.path, store.path(), &["--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    let changes = report["changes"].as_array().unwrap();
    let [gained, lost] = ["ALLOW", "IMPLICIT_DENY"].map(|decision| {
        changes.iter().filter(|change| change["now"]["decision"] == decision).cloned().collect::<Vec<_>>()
    });
    assert_eq!((code, gained.len()), (6, 1), "{report:#}");
    let expected = json!({
        "principal": "arn:aws:iam::123456789012:user/alice", "action": "s3:DeleteObject",
        "resource": "arn:aws:s3:::acme-reports/2026/q1.pdf",
    });
    assert_eq!(gained[0]["request"], expected);
    assert_eq!((&gained[0]["count"], &gained[0]["now"]["statements"][0]["sid"]), (&json!(3), &json!("ReadReports")));
    assert!(lost.iter().all(|change| change["request"]["action"] == "s3:GetObjectVersion"), "{lost:#?}");
    assert_eq!(report["decided"], json!(decided + 4));
    assert!(err.contains(" would change, of "), "{err}");

    let (code, out, _) = replay(&log.path, store.path(), &[]);
    assert_eq!(code, 6);
    assert!(
        out.starts_with("IMPLICIT_DENY -> ALLOW, decided by IDENTITY (was: IDENTITY), 3 times, last at 2"),
        "{out}"
    );
    assert!(out.contains("IDENTITY arn:aws:iam::123456789012:user/alice/inline/read-reports ReadReports"), "{out}");
}

#[test]
fn lines_that_cannot_be_read_are_said_and_the_rest_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let store = quickstart();
    let path = folder.path().join("d.log");
    let line = r#"{"v":1,"type":"decision","time":"2026-11-22T14:44:52.000007Z","principal":"P","action":"s3:GetObject","resource":"arn:aws:s3:::b/k","decision":"IMPLICIT_DENY","decided_by":"IDENTITY"}"#;
    let sound = line.replace("\"P\"", "\"arn:aws:iam::123456789012:user/alice\"");
    let dropped = r#"{"v":1,"type":"dropped","time":"2026-11-22T14:44:52.000007Z","dropped":{"queue_full":7}}"#;
    let text = format!("{sound}\n{{\"v\":1,\n{line}\n{}\n{dropped}\n\n{sound}", sound.replace("\"v\":1", "\"v\":2"));
    fs::write(&path, text).unwrap();
    let (code, out, err) = replay(&path, store.path(), &[]);
    let name = path.display();
    let told: Vec<&str> = err.lines().collect();
    assert_eq!((code, out.as_str(), told.len()), (2, "", 6), "{err}");
    assert!(told[0].starts_with(&format!("{name}:2: is no line of a decision log: EOF while parsing")), "{err}");
    assert!(told[1].starts_with(&format!("{name}:3: principal: `P` ")), "{err}");
    assert_eq!(told[2], format!("{name}:4: has version 2 of the form, this program knows 1"));
    assert_eq!(told[3], "0 of 2 decisions would change, of no requests");
    assert_eq!(told[4], "3 lines cannot be read");
    assert_eq!(told[5], "7 decisions are missing in the log, as it says");

    // What changes is said first: whoever asks for that must not take it for a wrong file.
    let gained = sound.replace("IMPLICIT_DENY", "ALLOW");
    fs::write(&path, format!("{gained}\n{line}\n")).unwrap();
    assert_eq!(replay(&path, store.path(), &[]).0, 6);

    // What the log says is missing might have changed.
    fs::write(&path, format!("{sound}\n{dropped}\n")).unwrap();
    assert_eq!(replay(&path, store.path(), &[]).0, 7);
    assert_eq!(replay(&path, store.path(), &["--allow-undecided"]).0, 0);

    // Of no decision, nothing is known; and that can be well.
    fs::write(&path, "").unwrap();
    let (code, _, err) = replay(&path, store.path(), &[]);
    assert_eq!((code, err.ends_with("error: nothing in the log can be decided again\n")), (1, true), "{err}");
    assert_eq!(replay(&path, store.path(), &["--allow-undecided"]).0, 0);

    fs::write(&path, "nothing\n").unwrap();
    assert_eq!(replay(&path, store.path(), &["--allow-undecided"]).0, 1);
    let (code, _, err) = replay(&path, store.path(), &[]);
    assert_eq!(code, 1);
    assert!(err.ends_with("error: nothing in the log can be decided again\n"), "{err}");

    let (code, out, err) = replay(Path::new("/nowhere.log"), store.path(), &[]);
    let expected = "error: `/nowhere.log` cannot be read: no such file or directory\n";
    assert_eq!((code, out.as_str(), err.as_str()), (2, "", expected));
    assert_eq!(replay(&path, Path::new("/nowhere"), &[]).0, 1);
}
