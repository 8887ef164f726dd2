//! Results as JUnit XML, which CI systems read.

use std::fmt::Write as _;

use super::judge::{JudgedCase, JudgedSuite};
use crate::finding::Finding;

/// The whole report: a `testsuite` for each suite, and for each file that is no sound suite one with an error.
pub(super) fn document(suites: &[JudgedSuite], bad: &[Finding]) -> String {
    let (tests, failures) =
        (suites.iter().map(|suite| suite.cases.len()).sum(), suites.iter().map(JudgedSuite::failed).sum());
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    open_suite(&mut xml, "testsuites", "iamd", Counts { tests, failures, errors: bad.len() });
    for suite in suites {
        write_suite(&mut xml, suite);
    }
    for finding in bad {
        write_bad(&mut xml, finding);
    }
    xml.push_str("</testsuites>\n");
    xml
}

#[derive(Clone, Copy)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
}

fn open_suite(xml: &mut String, element: &str, name: &str, counts: Counts) {
    let Counts { tests, failures, errors } = counts;
    // Files that are no suites count as tests that erred: readers of JUnit expect errors <= tests.
    let (name, tests) = (escape(name), tests + errors);
    push(
        xml,
        format_args!("<{element} name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"),
    );
}

fn write_suite(xml: &mut String, suite: &JudgedSuite) {
    let counts = Counts { tests: suite.cases.len(), failures: suite.failed(), errors: 0 };
    open_suite(xml, "testsuite", &suite.file, counts);
    for case in &suite.cases {
        write_case(xml, &suite.file, case);
    }
    if !suite.store_findings.is_empty() {
        let findings: Vec<_> = suite.store_findings.iter().map(ToString::to_string).collect();
        push(xml, format_args!("<system-err>{}</system-err>\n", escape(&findings.join("\n"))));
    }
    xml.push_str("</testsuite>\n");
}

fn write_case(xml: &mut String, file: &str, case: &JudgedCase) {
    let (file, name, seconds) = (escape(file), escape(&case.name), case.took.as_secs_f64());
    push(xml, format_args!("<testcase classname=\"{file}\" name=\"{name}\" time=\"{seconds:.6}\""));
    let Some(failure) = &case.failure else { return xml.push_str("/>\n") };
    let message = escape(&format!("expected {}, came {}", failure.expected, failure.came));
    let text = escape(&failure.lines().join("\n"));
    push(xml, format_args!("><failure type=\"decision\" message=\"{message}\">{text}</failure></testcase>\n"));
}

fn write_bad(xml: &mut String, finding: &Finding) {
    open_suite(xml, "testsuite", &finding.file, Counts { tests: 0, failures: 0, errors: 1 });
    let (file, message, text) = (escape(&finding.file), escape(&finding.message), escape(&finding.to_string()));
    push(xml, format_args!("<testcase classname=\"{file}\" name=\"{}\">", finding.code));
    push(xml, format_args!("<error type=\"suite\" message=\"{message}\">{text}</error></testcase>\n</testsuite>\n"));
}

fn push(xml: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = xml.write_fmt(text);
}

/// For text and for attributes. What XML 1.0 cannot hold at all (U+0000, ...) becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As references: a reader may turn them into spaces in an attribute.
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\t' => escaped.push_str("&#9;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_replaced() {
        assert_eq!(escape("a<b>&\"'\n\u{0}\u{1b}é"), "a&lt;b&gt;&amp;&quot;&apos;&#10;\u{fffd}\u{fffd}é");
    }
}
