//! Every code has a page, whose wrong example yields it and whose mended one does not.

use std::collections::BTreeSet;
use std::path::Path;

use iamd::finding::Severity;
use iamd::finding::codes::CODES;

use super::findings_in;

/// Codes without an example, and why.
const WITHOUT_EXAMPLE: [&str; 12] = [
    // Of a directory, not of a file.
    "empty-store",
    "link-loop",
    "too-deep",
    "too-large",
    "unreadable-file",
    "unresolved-references",
    // Nobody can bring it about.
    "internal-error",
    // Thousands of characters: `tests/data/findings/quotas.txt` has them.
    "inline-quota",
    "quota",
    "too-long",
    "trust-policy-quota",
    // Its wrong example is no JSON, and is tested below.
    "json-syntax",
];

/// Codes of which the account around a file decides.
const WITHOUT_ACCOUNT: [&str; 2] = ["no-account", "unknown-owner"];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("docs/findings/{name}: {error}"))
}

/// The block under a heading.
fn example<'a>(page: &'a str, heading: &str, language: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(&format!("\n## {heading}\n\n```{language}\n"))?;
    after.split_once("\n```").map(|(block, _)| block)
}

/// The codes that a file of the store yields.
fn yielded(code: &str, text: &str) -> BTreeSet<&'static str> {
    let path = if WITHOUT_ACCOUNT.contains(&code) { "Example.json" } else { "123456789012/Example.json" };
    findings_in(path, text, None).iter().map(|finding| finding.code).collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".md", ""))
        .filter(|name| !["README", "managed-policies"].contains(&name.as_str()))
        .collect();
    let codes: BTreeSet<String> = CODES.iter().map(|code| code.name.to_owned()).collect();
    assert_eq!(pages, codes, "left: docs/findings, right: src/finding/codes.rs");
}

#[test]
fn pages_begin_with_code_severity_and_summary() {
    for code in CODES {
        let mut severity = code.severity.as_str().to_owned();
        severity.get_mut(..1).unwrap().make_ascii_uppercase();
        let head = format!("# {}\n\n{severity}: {}.\n\n", code.name, code.summary);
        assert!(read(&format!("{}.md", code.name)).starts_with(&head), "{}: expected {head:?}", code.name);
    }
}

#[test]
fn pages_say_what_it_is_and_how_to_mend_it() {
    for code in CODES {
        let page = read(&format!("{}.md", code.name));
        let text = page.split("\n## Wrong\n").next().unwrap();
        let paragraphs: Vec<&str> = text.split("\n\n").skip(2).collect();
        let mends = paragraphs.iter().position(|paragraph| paragraph.starts_with("To mend it: "));
        assert!(mends.is_some_and(|index| index > 0), "{}: {paragraphs:?}", code.name);
    }
}

#[test]
fn the_index_has_every_code_under_its_severity() {
    let index = read("README.md");
    let heading = |severity| match severity {
        Severity::Error => "Errors",
        Severity::SecurityWarning => "Security warnings",
        Severity::Warning => "Warnings",
        Severity::Suggestion => "Suggestions",
    };
    for code in CODES {
        let (_, after) = index.split_once(&format!("\n## {}\n", heading(code.severity))).unwrap();
        let section = after.split("\n## ").next().unwrap();
        let row = |line: &&str| {
            line.starts_with(&format!("| [{0}]({0}.md)", code.name)) && line.ends_with(&format!("| {} |", code.summary))
        };
        assert_eq!(section.lines().filter(row).count(), 1, "`{}` in docs/findings/README.md", code.name);
    }
}

#[test]
fn wrong_examples_yield_their_code_and_mended_ones_do_not() {
    let mut faults = Vec::new();
    for code in CODES.iter().map(|code| code.name).filter(|code| !WITHOUT_EXAMPLE.contains(code)) {
        let page = read(&format!("{code}.md"));
        let [wrong, mended] = ["Wrong", "Mended"].map(|heading| {
            example(&page, heading, "json").unwrap_or_else(|| panic!("{code}: no example under `{heading}`"))
        });
        let (of_wrong, of_mended) = (yielded(code, wrong), yielded(code, mended));
        if !of_wrong.contains(code) || !of_mended.is_empty() {
            faults.push(format!("{code}: wrong {of_wrong:?}, mended {of_mended:?}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_is_no_json_is_shown_as_text() {
    let page = read("json-syntax.md");
    assert!(yielded("json-syntax", example(&page, "Wrong", "text").unwrap()).contains("json-syntax"));
    assert!(yielded("json-syntax", example(&page, "Mended", "json").unwrap()).is_empty());
}
