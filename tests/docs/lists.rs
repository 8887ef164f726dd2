//! Lists that repeat what the code says.

use std::collections::BTreeSet;

use iamd::config::TlsListener;
use iamd::metrics::{Metrics, Readings, SnapshotReading, TlsReading};

use crate::pages;

/// The rows of a page's tables, cell by cell, without backticks.
fn rows(path: &str) -> Vec<Vec<String>> {
    let text = pages::read(path);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    text.lines().filter(|line| line.starts_with('|')).map(cells).collect()
}

/// `name{labels}` and type of everything that a scrape shows.
fn exported() -> BTreeSet<(String, String)> {
    let tls = vec![TlsReading { listener: TlsListener::Grpc, not_before: 0, not_after: 0, successful: true }];
    let readings = Readings { snapshot: Some(SnapshotReading::default()), tls, ..Readings::default() };
    let text = Metrics::new().render(&readings);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (format!("{name}{}", labels(&text, name)), kind.to_owned())).collect()
}

/// The labels of a metric, as a page writes them; `le` belongs to the format.
fn labels(text: &str, name: &str) -> String {
    let series = |line: &&str| line.split(['{', ' ']).next().unwrap().trim_end_matches("_count") == name;
    let line = text.lines().find(series).unwrap_or_else(|| panic!("`{name}` has no series"));
    let Some((_, inside)) = line.split_once('{') else { return String::new() };
    let names: Vec<&str> = inside.split("=\"").filter_map(|part| part.rsplit([',', '{', '"']).next()).collect();
    format!("{{{}}}", names[..names.len() - 1].join(","))
}

#[test]
fn every_metric_is_described() {
    let documented: BTreeSet<_> = rows("docs/metrics.md")
        .into_iter()
        .filter(|row| row[0].starts_with("iamd_") || row[0].starts_with("grpc_") || row[0].starts_with("process_"))
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    // What the system tells of a process differs from system to system.
    let ours = |set: BTreeSet<(String, String)>| -> BTreeSet<_> {
        set.into_iter().filter(|(name, _)| cfg!(target_os = "linux") || !name.starts_with("process_")).collect()
    };
    assert_eq!(ours(documented), ours(exported()), "left: docs/metrics.md, right: the program");
}

#[test]
fn every_code_of_an_explanation_is_described() {
    let source = pages::read("src/cli/explain/json.rs");
    let codes = source.split('"').skip(1).step_by(2).filter(|text| text.contains(|c: char| c.is_ascii_uppercase()));
    let codes: Vec<_> = codes.filter(|text| text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')).collect();
    assert!(codes.len() > 30, "no codes were found in src/cli/explain/json.rs");
    let page = pages::read("docs/explain.md");
    let missing: Vec<_> = codes.into_iter().filter(|code| !page.contains(*code)).collect();
    assert!(missing.is_empty(), "docs/explain.md does not have {missing:?}");
}

#[test]
fn the_levels_are_those_of_the_test() {
    let levels = pages::read("tests/layers.rs");
    let entry = |line: &str| {
        let (module, level) = line.trim().strip_prefix("(\"")?.strip_suffix("),")?.split_once("\", ")?;
        (!["lib", "main"].contains(&module)).then(|| (level.to_owned(), module.to_owned()))
    };
    let tested: BTreeSet<_> = levels.lines().filter_map(entry).collect();
    let described = rows("ARCHITECTURE.md").into_iter().filter(|row| row[0].parse::<u8>().is_ok());
    let described: BTreeSet<_> = described.map(|row| (row[0].clone(), row[1].clone())).collect();
    assert!(tested.len() > 10, "no levels were found in tests/layers.rs");
    assert_eq!(described, tested, "left: ARCHITECTURE.md, right: tests/layers.rs");
}
