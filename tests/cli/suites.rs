//! `iamd test`

use super::program::{ALICE, Place, Run, USER};

fn request() -> String {
    format!(r#"{{"principal": "{ALICE}", "action": "s3:GetObject", "resource": "arn:aws:s3:::home/a.txt"}}"#)
}

fn case(name: &str, expect: &str) -> String {
    format!(r#"{{"name": "{name}", "request": {}, "expect": {expect}, "why": "because"}}"#, request())
}

fn suite(policies: &str, cases: &[String]) -> String {
    format!(r#"{{"description": "d", "policies": {policies}, "tests": [{}]}}"#, cases.join(", "))
}

const DENIED: &str = r#"{"decision": "IMPLICIT_DENY", "decided_by": "IDENTITY"}"#;
const ALLOWED: &str = r#"{"decision": "ALLOW"}"#;
const INVALID: &str = r#"{"decision": "INVALID"}"#;

fn passing(policies: &str) -> String {
    suite(policies, &[case("nothing allows", DENIED)])
}

fn run_one(text: &str) -> Run {
    Place::new(&[("s.json", text), ("store/alice.json", USER)]).run(&["test", "s.json"])
}

fn last_line(run: &Run) -> &str {
    run.out.lines().last().unwrap_or_default()
}

// --- running --------------------------------------------------------------------------------------------------------

#[test]
fn all_pass() {
    for policies in ["\"store\"", "\"./store/\"", USER, &format!("[{USER}]"), "[]"] {
        let run = run_one(&passing(policies));
        assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "1 passed, 0 failed\n", ""), "{policies}");
    }
}

#[test]
fn a_failure_tells_everything() {
    let run = run_one(&suite("\"store\"", &[case("good", DENIED), case("bad", ALLOWED)]));
    let expected = format!(
        "FAILED s.json: bad\n  request:  {{\"action\":\"s3:GetObject\",\"principal\":\"{ALICE}\",\"resource\":\"arn:aws:s3:::home/a.txt\"}}\n  \
         expected: ALLOW\n  came:     IMPLICIT_DENY, decided by IDENTITY\n  why:      because\n1 passed, 1 failed\n"
    );
    assert_eq!((run.code, run.out, run.err.as_str()), (5, expected, ""));
}

#[test]
fn every_expectation_is_looked_at() {
    for (expect, came) in [
        (r#"{"decision": "IMPLICIT_DENY", "decided_by": "RESOURCE"}"#, "IMPLICIT_DENY, decided by IDENTITY"),
        (r#"{"decision": "IMPLICIT_DENY", "statements": ["S"]}"#, "IMPLICIT_DENY, decided by IDENTITY, statements []"),
        (
            r#"{"decision": "IMPLICIT_DENY", "missing_context_keys": ["aws:SourceIp"]}"#,
            "IMPLICIT_DENY, decided by IDENTITY, missing context keys []",
        ),
        (INVALID, "IMPLICIT_DENY, decided by IDENTITY"),
    ] {
        let run = run_one(&suite("\"store\"", &[case("c", expect)]));
        assert_eq!(run.code, 5, "{expect}");
        assert!(run.out.contains(&format!("came:     {came}\n")), "{}", run.out);
    }
    let empty = r#"{"decision": "IMPLICIT_DENY", "statements": [], "missing_context_keys": []}"#;
    assert_eq!(run_one(&suite("\"store\"", &[case("c", empty)])).code, 0);
}

#[test]
fn an_invalid_request_is_an_answer() {
    let invalid = |expect: &str| {
        let text =
            format!(r#"{{"name": "n", "request": {{"principal": "bob", "action": "a:B"}}, "expect": {expect}}}"#);
        run_one(&suite("\"store\"", &[text]))
    };
    assert_eq!(invalid(INVALID).code, 0);
    let run = invalid(DENIED);
    assert_eq!(run.code, 5);
    assert!(run.out.contains("came:     INVALID (principal: `bob` must be "), "{}", run.out);
}

#[test]
fn a_store_that_must_not_load() {
    let place = Place::new(&[
        ("bad/a.json", "{\"UserName\": \"a\", \"UserName\": \"b\"}"),
        ("store/alice.json", USER),
        ("top.json", r#"{"policies": "bad", "load_error": "`UserName` is given TWICE"}"#),
        ("whole.json", r#"{"policies": "bad", "expect": {"load_error": "a.json:1:"}}"#),
        ("one.json", r#"{"policies": "bad", "tests": [{"name": "n", "expect": {"load_error": "given twice"}}]}"#),
        ("other.json", r#"{"policies": "bad", "load_error": "unknown operator"}"#),
        ("path.json", r#"{"policies": "bad", "load_error": "bad/a.json"}"#),
        ("loads.json", r#"{"policies": "store", "load_error": "given twice"}"#),
        ("answers.json", &passing("\"bad\"")),
    ]);
    for file in ["top.json", "whole.json", "one.json"] {
        let run = place.run(&["test", file]);
        assert_eq!((run.code, run.out.as_str()), (0, "1 passed, 0 failed\n"), "{file}");
    }
    let finding = "bad/a.json:1:19: the key `UserName` is given twice, first on line 1\n";
    for (file, came, findings) in [
        ("other.json", "other errors: 1 error, no warnings in 1 file", finding),
        // Where the store lies is the suite's word, not the store's.
        ("path.json", "other errors: 1 error, no warnings in 1 file", finding),
        ("loads.json", "the store loads", ""),
        ("answers.json", "the store does not load: 1 error, no warnings in 1 file", finding),
    ] {
        let run = place.run(&["test", file]);
        assert_eq!((run.code, last_line(&run)), (5, "0 passed, 1 failed"), "{file}");
        assert!(run.out.starts_with(&format!("{findings}FAILED {file}: ")), "{}", run.out);
        assert!(run.out.contains(&format!("came:     {came}\n")), "{}", run.out);
    }
}

#[test]
fn the_default_store_serves_suites_that_name_none() {
    let text = format!(r#"{{"tests": [{}]}}"#, case("n", DENIED));
    let place = Place::new(&[("suites/s.json", &text), ("store/alice.json", USER)]);
    assert_eq!(place.run(&["test", "suites", "--policies", "store"]).code, 0);
    assert_eq!(place.run_with(&["test", "suites"], &[("IAMD_POLICIES", "store")], "").code, 0);
    let run = place.run(&["test", "suites"]);
    assert_eq!(run.code, 2);
    assert!(
        run.err.starts_with("suites/s.json:1:1: the suite names no policy store\n  hint: give `policies`"),
        "{}",
        run.err
    );
}

#[test]
fn a_filter_chooses_by_name_and_path() {
    let place = Place::new(&[
        ("a.json", &suite("[]", &[case("red", DENIED), case("blue", ALLOWED)])),
        ("b.json", &suite("[]", &[case("green", ALLOWED)])),
    ]);
    let run = |filter| place.run(&["test", "a.json", "b.json", "--filter", filter]);
    assert_eq!(last_line(&run("red")), "1 passed, 0 failed");
    assert_eq!(last_line(&run("re")), "1 passed, 1 failed");
    assert_eq!(last_line(&run("a.json")), "1 passed, 1 failed");
    let none = run("black");
    assert_eq!((none.code, none.out.as_str()), (2, ""));
    assert_eq!(none.err, "error: --filter: no test has `black` in its name\n");
}

// --- what is a suite ------------------------------------------------------------------------------------------------

#[test]
fn stores_below_a_path_are_no_suites() {
    let place = Place::new(&[
        ("all/suites/b.json", &passing("\"../store\"")),
        ("all/suites/a.json", &suite("\"../store\"", &[case("first", ALLOWED)])),
        ("all/suites/.hidden.json", "{"),
        ("all/suites/.git/x.json", "{"),
        ("all/suites/notes.txt", "{"),
        ("all/store/123456789012/users/alice.json", USER),
    ]);
    let run = place.run(&["test", "all"]);
    assert_eq!((run.code, run.err.as_str(), last_line(&run)), (5, "", "1 passed, 1 failed"));
    assert!(run.out.starts_with("FAILED all/suites/a.json: first\n"), "{}", run.out);
    // As a shell expands `all/*`: the store is an argument too.
    let expanded = place.run(&["test", "all/store", "all/suites"]);
    assert_eq!((expanded.code, expanded.err.as_str()), (5, ""));
    // A suite that is named twice runs once.
    assert_eq!(last_line(&place.run(&["test", "all/suites/b.json", "all/suites/b.json", "all"])), "1 passed, 1 failed");
}

#[test]
fn a_file_that_is_neither_suite_nor_store_is_an_error() {
    let place = Place::new(&[
        ("all/good.json", &passing("\"store\"")),
        ("all/store/alice.json", USER),
        ("all/store-old/alice.json", USER),
        ("all/typo.json", r#"{"test": []}"#),
        ("all/cut.json", "{"),
        ("all/list.json", "[]"),
    ]);
    let run = place.run(&["test", "all"]);
    assert_eq!((run.code, last_line(&run)), (2, "1 passed, 0 failed"));
    let expected = "all/cut.json:1:2: expected a key in double quotes, but the file ends here\n\
         all/list.json:1:1: expected a policy test suite, an object with `tests`, found a list\n  \
         hint: only a directory that a suite names in `policies` may hold other JSON files\n\
         all/store-old/alice.json:1:1: expected a policy test suite, an object with `tests`, found an object with `UserName`\n  \
         hint: only a directory that a suite names in `policies` may hold other JSON files\n\
         all/typo.json:1:1: expected a policy test suite, an object with `tests`, found an object with `test`\n  \
         hint: did you mean `tests`?\n\
         error: not every suite could be read: 4 errors, no warnings in 4 files\n";
    assert_eq!(run.err, expected);
    // Named by itself, even a store's file is not passed over.
    assert_eq!(place.run(&["test", "all/good.json", "all/store/alice.json"]).code, 2);
    assert_eq!(place.run(&["test", "all/store"]).code, 2);
}

#[test]
fn paths_without_suites_are_errors() {
    let place = Place::new(&[("empty/readme.txt", "")]);
    for (path, expected) in [
        ("empty", "empty:1:1: holds no policy test suite (`*.json`)\n"),
        ("absent", "absent:1:1: cannot be read: no such file or directory\n"),
    ] {
        let run = place.run(&["test", path]);
        assert_eq!((run.code, last_line(&run)), (2, "0 passed, 0 failed"));
        assert!(run.err.starts_with(expected), "{}", run.err);
    }
    assert_eq!(place.run(&["test"]).code, 2);
}

#[cfg(unix)]
#[test]
fn links_are_followed_once() {
    let place = Place::new(&[("real/s.json", &passing("[]")), ("all/readme.txt", "")]);
    std::os::unix::fs::symlink(place.path("real/s.json"), place.path("all/s.json")).unwrap();
    std::os::unix::fs::symlink(place.path("all"), place.path("all/loop")).unwrap();
    assert_eq!(place.run(&["test", "all"]).out, "1 passed, 0 failed\n");
}

// --- suites with faults ---------------------------------------------------------------------------------------------

#[test]
fn faults_of_a_suite_have_their_places() {
    let with_expect = |expect: &str| suite("[]", &[case("n", expect)]);
    let with_request = |request: &str| {
        format!(r#"{{"policies": [], "tests": [{{"name": "n", "request": {request}, "expect": {DENIED}}}]}}"#)
    };
    for (text, expected) in [
        (r#"{"policies": [], "tests": []}"#.to_owned(), "the suite has no tests"),
        (r#"{"policies": [], "tests": {}}"#.to_owned(), "`tests` must be a list, found an object"),
        (
            r#"{"policies": 1, "load_error": "x"}"#.to_owned(),
            "`policies` must be a directory or the store itself, found a number",
        ),
        (r#"{"policies": [], "load_error": ""}"#.to_owned(), "`load_error` is empty"),
        (r#"{"policies": [], "load_error": "x", "tests": []}"#.to_owned(), "`tests` stands beside `load_error`"),
        (format!(r#"{{"policies": [], "expect": {ALLOWED}}}"#), "only `load_error` can be expected of a whole suite"),
        (
            r#"{"policies": [], "descripton": "d", "load_error": "x"}"#.to_owned(),
            "unknown key `descripton` in a suite\n  hint: did you mean `description`?",
        ),
        (
            r#"{"policies": [], "tests": [{"reqest": {}, "expect": {"load_error": "x"}}]}"#.to_owned(),
            "unknown key `reqest` in a test\n  hint: did you mean `request`?",
        ),
        (r#"{"policies": [], "tests": [{"name": "n"}]}"#.to_owned(), "a test needs `expect`"),
        (format!(r#"{{"policies": [], "tests": [{{"expect": {ALLOWED}}}]}}"#), "a test needs `request`"),
        (with_expect("{}"), "`expect` needs `decision`"),
        (with_expect(r#"{"decision": "ALLOWED"}"#), "`ALLOWED` is not a `decision`\n  hint: did you mean `ALLOW`?"),
        (
            with_expect(r#"{"decision": "DENY"}"#),
            "`DENY` is not a `decision`\n  hint: it is one of ALLOW, EXPLICIT_DENY, IMPLICIT_DENY, INVALID",
        ),
        (
            with_expect(r#"{"decision": "ALLOW", "decided_by": "IDENTITIY"}"#),
            "`IDENTITIY` is not a `decided_by`\n  hint: did you mean `IDENTITY`?",
        ),
        (
            with_expect(r#"{"decision": "ALLOW", "decidedBy": "IDENTITY"}"#),
            "unknown key `decidedBy` in `expect`\n  hint: did you mean `decided_by`?",
        ),
        (with_expect(r#"{"decision": "ALLOW", "statements": "S"}"#), "`statements` must be a list, found a string"),
        (with_expect(r#"{"decision": "ALLOW", "load_error": "x"}"#), "`load_error` stands beside an expected answer"),
        (
            with_expect(r#"{"decision": "INVALID", "decided_by": "IDENTITY"}"#),
            "an INVALID request has a `decision` only",
        ),
        (
            with_request(r#"{"principle": "x"}"#),
            "unknown key `principle` in a request\n  hint: did you mean `principal`?",
        ),
        (with_request(r#"{"context": {"k": "v"}}"#), "the context key `k` must be an object, found a string"),
        (with_request(r#"{"principal": "a", "principal": "b"}"#), "the key `principal` is given twice"),
    ] {
        let run = run_one(&text);
        assert_eq!((run.code, run.out.as_str()), (2, "0 passed, 0 failed\n"), "{text}");
        assert!(run.err.starts_with("s.json:1:") && run.err.contains(expected), "{text}: {}", run.err);
        assert!(
            run.err.ends_with("error: not every suite could be read: 1 error, no warnings in 1 file\n"),
            "{text}: {}",
            run.err
        );
    }
}

#[test]
fn sound_suites_run_beside_a_faulty_one() {
    let place = Place::new(&[("a.json", "{\"tests\": 1}"), ("b.json", &passing("[]"))]);
    let run = place.run(&["test", "a.json", "b.json"]);
    assert_eq!((run.code, run.out.as_str()), (2, "1 passed, 0 failed\n"));
}

// --- JUnit ----------------------------------------------------------------------------------------------------------

#[test]
fn junit_is_well_formed_whatever_the_names() {
    let nasty = r#"<a & \"b\"> 'c' \u0000\u001b]]>\n"#;
    let place = Place::new(&[
        ("s.json", &suite("[]", &[case(nasty, ALLOWED), case("good", DENIED)])),
        ("bad/a.json", "{\"a\": 1, \"a\": 2}"),
        ("refused.json", &passing("\"bad\"")),
        ("typo.json", r#"{"test<>": []}"#),
    ]);
    let run = place.run(&["test", "--output", "junit", "out.xml", "s.json", "refused.json", "typo.json"]);
    assert_eq!((run.code, last_line(&run)), (2, "1 passed, 2 failed"));
    let xml = place.read("out.xml");
    assert_well_formed(&xml);
    for part in [
        "<testsuites name=\"iamd\" tests=\"4\" failures=\"2\" errors=\"1\">",
        "<testsuite name=\"s.json\" tests=\"2\" failures=\"1\" errors=\"0\">",
        "<testcase classname=\"s.json\" name=\"&lt;a &amp; &quot;b&quot;&gt; &apos;c&apos; \u{fffd}\u{fffd}]]&gt;&#10;\"",
        "<failure type=\"decision\" message=\"expected ALLOW, came IMPLICIT_DENY, decided by IDENTITY\">",
        "<system-err>bad/a.json:1:10: the key `a` is given twice, first on line 1</system-err>",
        "<testcase classname=\"typo.json\" name=\"not-a-suite\"><error type=\"suite\"",
    ] {
        assert!(xml.contains(part), "{part}\n{xml}");
    }
    let by_environment = place.run_with(&["test", "s.json"], &[("IAMD_OUTPUT", "junit again.xml")], "");
    assert_eq!(by_environment.code, 5);
    assert_well_formed(&place.read("again.xml"));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let place = Place::new(&[("s.json", &passing("[]"))]);
    for (output, expected) in [
        (&["junit"][..], "error: --output: `junit` needs a file to write\n"),
        (&["tap", "x"], "error: --output: unknown format `tap`, expected `junit`\n"),
        (&["junit", "absent/x.xml"], "error: --output: `absent/x.xml` cannot be written: no such file or directory\n"),
    ] {
        let run = place.run(&[&["test", "s.json", "--output"], output].concat());
        assert_eq!((run.code, run.err.as_str()), (2, expected));
    }
}

/// Every element is closed, in order; attributes are quoted; no stray `<`, `>` or `&`.
fn assert_well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let mut pieces = body.split('<');
    assert_eq!(pieces.next(), Some(""), "text before the root");
    for piece in pieces {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{piece}");
        assert!(xml_text(tag) && xml_text(text), "{piece}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{piece}"),
            None => {
                let attributes = tag.trim_end_matches('/');
                assert_eq!(attributes.matches('"').count(), 2 * attributes.matches("=\"").count(), "{piece}");
                if attributes == tag {
                    open.push(tag.split(' ').next().unwrap());
                }
            }
        }
        assert!(!open.is_empty() || text.trim().is_empty(), "text after the root: {piece}");
    }
    assert_eq!(open, [""; 0]);
}

/// No control characters, and `&` only before a reference.
fn xml_text(text: &str) -> bool {
    let reference = |rest: &str| {
        ["amp;", "lt;", "gt;", "quot;", "apos;", "#10;", "#13;", "#9;"].iter().any(|name| rest.starts_with(name))
    };
    text.chars().all(|c| c == '\n' || !c.is_control()) && text.split('&').skip(1).all(reference)
}
