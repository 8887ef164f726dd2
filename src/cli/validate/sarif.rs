//! Findings as SARIF 2.1.0, which code hosts show beside the lines of a change.

use std::collections::BTreeSet;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::Judged;
use crate::finding::{Finding, Severity, codes};

/// What stays as it is in the path of a URI: RFC 3986's unreserved characters, and `/`.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The whole report: one run, a base URI for each store.
pub(super) fn document(judged: &[Judged]) -> Json {
    let codes: BTreeSet<_> = findings(judged).map(|(_, finding)| finding.code).collect();
    let rules: Vec<_> = codes.into_iter().map(rule).collect();
    let results: Vec<_> = findings(judged).map(|(base, finding)| result(&base, finding)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "iamd", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": bases(judged),
            "results": results,
        }],
    })
}

/// What a code means. SARIF's `helpUri` is an absolute URI (section 3.49.12), and where the repository is published is not
/// known here: the page is named in `help`, as text, since a relative link leads nowhere in a viewer.
fn rule(name: &str) -> Json {
    let page = codes::page(name);
    let Some(code) = codes::find(name) else { return json!({"id": name}) };
    let tags: &[&str] = if code.severity == Severity::SecurityWarning { &["security"] } else { &[] };
    json!({
        "id": name,
        "shortDescription": {"text": code.summary},
        "help": {"text": format!("see {page}")},
        "defaultConfiguration": {"level": level(code.severity)},
        "properties": {"severity": code.severity.name(), "tags": tags},
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::SecurityWarning | Severity::Warning => "warning",
        Severity::Suggestion => "note",
    }
}

fn findings(judged: &[Judged]) -> impl Iterator<Item = (String, &Finding)> {
    judged
        .iter()
        .enumerate()
        .flat_map(|(index, judged)| judged.findings.iter().map(move |finding| (base(index), finding)))
}

/// `STORE`, `STORE2`, `STORE3`, ...: most runs have one.
fn base(index: usize) -> String {
    if index == 0 { "STORE".to_owned() } else { format!("STORE{}", index + 1) }
}

fn bases(judged: &[Judged]) -> Json {
    let uris =
        judged.iter().enumerate().map(|(index, judged)| (base(index), json!({"uri": uri_of(&judged.directory)})));
    Json::Object(uris.collect::<Map<_, _>>())
}

/// A directory's URI ends in `/`, so that what is relative to it is below it.
fn uri_of(directory: &Path) -> String {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let path = absolute.to_string_lossy();
    format!("file://{}/", utf8_percent_encode(path.trim_end_matches('/'), IN_PATH))
}

fn result(base: &str, finding: &Finding) -> Json {
    let message = match &finding.hint {
        Some(hint) => format!("{} (hint: {hint})", finding.message),
        None => finding.message.clone(),
    };
    let uri = utf8_percent_encode(&finding.file, IN_PATH).to_string();
    json!({
        "ruleId": finding.code,
        "level": level(finding.severity),
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri, "uriBaseId": base},
            "region": {"startLine": finding.position.line, "startColumn": finding.position.column},
        }}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Findings, Position};

    fn judged(directory: &str, file: &str) -> Judged {
        let mut findings = Findings::new();
        findings.error(&file.into(), Position { line: 3, column: 9 }, "unknown-operator", "unknown `é`").hint("do b");
        Judged { directory: directory.into(), loaded: None, findings: findings.into_sorted() }
    }

    #[test]
    fn every_finding_is_a_result_below_its_store() {
        let document = document(&[judged("/a b", "x.json"), judged("/c/", "users/é.json")]);
        let run = &document["runs"][0];
        let rule = json!({
            "id": "unknown-operator",
            "shortDescription": {"text": "there is no such condition operator"},
            "help": {"text": "see docs/findings/unknown-operator.md"},
            "defaultConfiguration": {"level": "error"},
            "properties": {"severity": "error", "tags": []},
        });
        assert_eq!(run["tool"]["driver"]["rules"], json!([rule]));
        assert_eq!(
            run["originalUriBaseIds"],
            json!({"STORE": {"uri": "file:///a%20b/"}, "STORE2": {"uri": "file:///c/"}})
        );
        assert_eq!(
            run["results"][1],
            json!({
                "ruleId": "unknown-operator",
                "level": "error",
                "message": {"text": "unknown `é` (hint: do b)"},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": "users/%C3%A9.json", "uriBaseId": "STORE2"},
                    "region": {"startLine": 3, "startColumn": 9},
                }}],
            })
        );
    }
}
