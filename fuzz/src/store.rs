//! A policy store in one text: each file after a line `=== PATH`.

use iamd::arn::AccountId;
use iamd::checks;
use iamd::directory::{Directory, Loader, StoreOptions};
use iamd::finding::Finding;

/// The files of a text.
pub fn files(text: &str) -> Vec<(&str, &str)> {
    let rest = text.strip_prefix("=== ").unwrap_or(text);
    rest.split("\n=== ").map(|file| file.split_once('\n').unwrap_or(("a.json", file))).collect()
}

/// Loads files as `iamd serve` does.
pub fn load(files: &[(&str, &str)], strict: bool) -> Result<(Directory, Vec<Finding>), Vec<Finding>> {
    let account_id = AccountId::parse("123456789012");
    let mut loader = Loader::new(&StoreOptions { account_id, strict, ..StoreOptions::default() });
    for (path, text) in files {
        loader.file(path, text);
    }
    loader.finish()
}

/// Checks files as `iamd validate` does.
pub fn check(files: &[(&str, &str)]) -> Vec<Finding> {
    let account_id = AccountId::parse("123456789012");
    let mut loader = Loader::keeping_written(&StoreOptions { account_id, ..StoreOptions::default() });
    files.iter().for_each(|(path, text)| loader.file(path, text));
    checks::check(&loader.written())
}

/// Whether people can read it: one line each, of a length that fits into a log.
pub fn is_readable(finding: &Finding) -> bool {
    let line = |text: &str| !text.is_empty() && text.chars().count() <= 2_000 && !text.chars().any(char::is_control);
    let shown = finding.to_string();
    line(&finding.message) && finding.hint.as_deref().is_none_or(line) && shown.contains(&finding.message)
}
