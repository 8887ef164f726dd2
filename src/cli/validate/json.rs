//! Findings as JSON, named as in `/status`.

use serde_json::{Value as Json, json};

use super::Judged;
use crate::cli::report::Tally;
use crate::finding::{Finding, codes};

/// The whole report.
pub(super) fn document(judged: &[Judged]) -> Json {
    let tally = Tally::of(judged.iter().flat_map(|judged| &judged.findings));
    let directories: Vec<_> = judged.iter().map(directory).collect();
    json!({
        "errors": tally.errors,
        "security_warnings": tally.security_warnings,
        "warnings": tally.warnings,
        "suggestions": tally.suggestions,
        "directories": directories,
    })
}

fn directory(judged: &Judged) -> Json {
    json!({
        "directory": judged.directory.to_string_lossy(),
        "valid": judged.loaded.is_some(),
        "policies": judged.loaded.map(|(policies, _)| policies),
        "statements": judged.loaded.map(|(_, statements)| statements),
        "findings": judged.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Json {
    json!({
        "severity": finding.severity.name(),
        "code": finding.code,
        "file": *finding.file,
        "line": finding.position.line,
        "column": finding.position.column,
        "message": finding.message,
        "hint": finding.hint,
        "help": codes::page(finding.code),
    })
}
