//! What `iamd validate` finds in a store: cases, AWS's own policies, and the page of each code.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

#[path = "findings/cases.rs"]
mod cases;
#[path = "findings/codes.rs"]
mod codes;
#[path = "findings/large.rs"]
mod large;
#[path = "findings/managed.rs"]
mod managed;
#[path = "findings/odd.rs"]
mod odd;
#[path = "findings/pages.rs"]
mod pages;

use std::path::{Path, PathBuf};

use iamd::arn::AccountId;
use iamd::checks;
use iamd::directory::{Loader, StoreOptions};
use iamd::finding::Finding;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/findings").join(name)
}

/// All that loading and checks say of a store of one file, in an account.
fn findings(path: &str, text: &str) -> Vec<Finding> {
    findings_in(path, text, AccountId::parse("123456789012"))
}

fn findings_in(path: &str, text: &str, account_id: Option<AccountId>) -> Vec<Finding> {
    let options = StoreOptions { account_id, ..StoreOptions::default() };
    let mut loader = Loader::keeping_written(&options);
    loader.file(path, text);
    let written = loader.written();
    let mut findings = loader.finish().map_or_else(|errors| errors, |(_, warnings)| warnings);
    findings.extend(checks::check(&written));
    findings.sort();
    findings
}

/// Compares a text with a file of the repository, or writes it there.
fn compare(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_FINDINGS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    let shown = path.file_name().unwrap().to_string_lossy();
    let differing = text.lines().zip(expected.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(
        expected == text,
        "{shown} is not what comes, from {differing:?}: UPDATE_FINDINGS=1 cargo test --test findings"
    );
}
