//! The table of the rules: every rule of `docs/evaluation.md` has its row in `docs/rules.md`, and its suites show it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::pages;

/// Where the suites of the rules are, one directory for each.
const SUITES: &str = "tests/suites/rules";

/// Fewer suites do not show what just holds, what just does not, and what is refused.
const FEWEST_SUITES_OF_A_RULE: usize = 3;

/// A row of the table.
struct Row {
    rule: usize,
    /// Name of the directory of its suites.
    directory: String,
    /// `FILE::TEST`
    tests: Vec<String>,
}

/// A suite of a rule.
struct Suite {
    path: PathBuf,
    content: Value,
}

fn rows() -> Vec<Row> {
    let text = pages::read("docs/rules.md");
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
    let rule = cells[0].parse().ok()?;
    let (name, target) = cells[2].strip_prefix('[').unwrap().strip_suffix(')').unwrap().split_once("](").unwrap();
    assert_eq!(target, format!("../{SUITES}/{name}"), "rule {rule}");
    let tests = cells[3].split(", ").map(|test| test.trim_matches('`').to_owned()).filter(|test| !test.is_empty());
    Some(Row { rule, directory: name.to_owned(), tests: tests.collect() })
}

fn suites(directory: &str) -> Vec<Suite> {
    let entries = fs::read_dir(pages::root().join(SUITES).join(directory)).unwrap();
    let suite = |path: PathBuf| Suite { content: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(), path };
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    files.map(suite).collect()
}

impl Suite {
    /// The decisions that it expects.
    fn decisions(&self) -> Vec<&str> {
        let tests = self.content["tests"].as_array();
        tests.into_iter().flatten().map(|test| test["expect"]["decision"].as_str().unwrap()).collect()
    }

    fn is_refused(&self) -> bool {
        self.content["load_error"].as_str().is_some_and(|text| !text.is_empty())
    }
}

#[test]
fn every_rule_has_a_row() {
    let evaluation = pages::read("docs/evaluation.md");
    let number = |line: &str| line.split_once(". ").and_then(|(number, _)| number.parse::<usize>().ok());
    let rules: Vec<usize> = evaluation.lines().filter_map(number).collect();
    assert_eq!(rules, (1..=79).collect::<Vec<_>>(), "docs/evaluation.md");
    assert_eq!(rows().iter().map(|row| row.rule).collect::<Vec<_>>(), rules, "docs/rules.md");
}

#[test]
fn every_directory_of_suites_has_a_row() {
    let entries = fs::read_dir(pages::root().join(SUITES)).unwrap();
    let directories: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(directories, rows().into_iter().map(|row| row.directory).collect());
}

#[test]
fn tests_that_rows_name_exist() {
    for Row { rule, tests, .. } in rows() {
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            assert!(pages::read(file).contains(&format!("fn {name}(")), "rule {rule}: no test {test}");
        }
    }
}

#[test]
fn every_rule_is_shown_by_suites() {
    let mut count = 0;
    for Row { rule, directory, .. } in rows() {
        let suites = suites(&directory);
        assert!(directory.starts_with(&format!("{rule:02}-")), "rule {rule}: {directory}");
        assert!(suites.len() >= FEWEST_SUITES_OF_A_RULE, "rule {rule}: {} suites", suites.len());
        let decisions: BTreeSet<_> = suites.iter().flat_map(Suite::decisions).collect();
        let denied =
            decisions.iter().any(|decision| decision.ends_with("DENY")) || suites.iter().any(Suite::is_refused);
        assert!(decisions.contains("ALLOW") && denied, "rule {rule}: {decisions:?}");
        count += suites.len();
    }
    assert!(count >= 300, "only {count} suites");
}

#[test]
fn every_suite_says_which_rule_it_shows() {
    for Row { rule, directory, .. } in rows() {
        for suite in suites(&directory) {
            let path = suite.path.display();
            let description = suite.content["description"].as_str().unwrap();
            assert!(description.starts_with(&format!("Rule {rule}: ")), "{path}: {description}");
            let page = description.rsplit(' ').next().unwrap();
            let of_aws = page.starts_with("https://docs.aws.amazon.com/") && page.ends_with(".html");
            assert!(of_aws, "{path}: {description}");
            for test in suite.content["tests"].as_array().into_iter().flatten() {
                assert!(test["why"].as_str().is_some_and(|why| why.starts_with("rule ")), "{path}: {}", test["name"]);
            }
        }
    }
}

/// An engine that always allows, or never does, fails every suite.
#[test]
fn every_suite_has_both_sides() {
    for Row { directory, .. } in rows() {
        for suite in suites(&directory).iter().filter(|suite| !suite.is_refused()) {
            let (allowed, other): (Vec<_>, Vec<_>) = suite.decisions().into_iter().partition(|d| *d == "ALLOW");
            assert!(!allowed.is_empty() && !other.is_empty(), "{}", suite.path.display());
        }
    }
}
