//! `iamd validate`

use std::process::{Command, Stdio};

use serde_json::Value;

use super::program::{Place, USER};

const DUPLICATE: &str = "{\"UserName\": \"bob\",\n \"UserName\": \"bob\"}";

/// A version that nobody defined: a warning (evaluation.md, rule 5).
const WARNED: &str =
    r#"{"Version": "2025-02-20", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}"#;

fn broken() -> Place {
    Place::new(&[
        ("good/alice.json", USER),
        ("bad store/123456789012/twice.json", DUPLICATE),
        ("bad store/123456789012/cut.json", "{\"UserName\": "),
        ("warned/123456789012/policies/P.json", WARNED),
        ("empty/readme.txt", ""),
    ])
}

#[test]
fn a_sound_store_is_said_to_be_so() {
    let run = broken().run(&["validate", "good"]);
    assert_eq!((run.code, run.out.as_str()), (0, ""));
    assert!(run.err.starts_with("good: valid, "), "{}", run.err);
    assert!(run.err.ends_with("\nno errors, no warnings\n"), "{}", run.err);
}

#[test]
fn every_error_of_every_directory_is_reported() {
    let run = broken().run(&["validate", "bad store", "good", "empty", "absent"]);
    assert_eq!(run.code, 4);
    let twice =
        "bad store/123456789012/twice.json:2:2: the key `UserName` is given twice, first on line 1 [duplicate-key]\n";
    let cut = "bad store/123456789012/cut.json:1:14: ";
    assert!(run.out.contains(twice) && run.out.contains(cut), "{}", run.out);
    for line in [
        "bad store: not valid",
        "good: valid, ",
        "empty: not valid",
        "absent: not valid",
        "4 errors, no warnings in 4 files",
    ] {
        assert!(run.err.lines().any(|l| l.starts_with(line)), "{line}: {}", run.err);
    }
}

#[test]
fn warnings_refuse_only_when_strict() {
    let place = broken();
    let lenient = place.run(&["validate", "warned"]);
    assert_eq!(lenient.code, 0, "{}", lenient.err);
    assert!(lenient.out.contains("P.json:1:") && lenient.out.contains(": warning: "), "{}", lenient.out);
    assert!(lenient.err.ends_with("no errors, 1 warning in 1 file\n"), "{}", lenient.err);
    for run in [
        place.run(&["validate", "--strict", "warned"]),
        place.run_with(&["validate", "warned"], &[("IAMD_STRICT", "true")], ""),
    ] {
        assert_eq!(run.code, 4, "{}", run.err);
        assert!(run.err.contains("warned: not valid: `--strict` takes no warnings\n"), "{}", run.err);
    }
    assert_eq!(place.run_with(&["validate", "warned"], &[("IAMD_STRICT", "false")], "").code, 0);
}

#[test]
fn checks_refuse_nothing() {
    let open =
        r#"{"Version": "2012-10-17", "Statement": {"Sid": "", "Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let place = Place::new(&[("store/123456789012/Admin.json", open)]);
    for arguments in [&["validate", "store"][..], &["validate", "--strict", "store"]] {
        let run = place.run(arguments);
        assert_eq!(run.code, 0, "{}", run.err);
        let wide = "store/123456789012/Admin.json:1:40: security warning: the statement allows every action on every \
                    resource [allow-everything]\n  hint: list what is needed, or add a condition\n";
        assert!(run.out.starts_with(wide), "{}", run.out);
        assert!(
            run.err.ends_with("no errors, no warnings, 1 security warning, 1 suggestion in 1 file\n"),
            "{}",
            run.err
        );
    }
    let json: Value = serde_json::from_str(&place.run(&["validate", "store", "--format", "json"]).out).unwrap();
    assert_eq!((&json["security_warnings"], &json["suggestions"]), (&1.into(), &1.into()));
    let [wide, sid] = json["directories"][0]["findings"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((&wide["severity"], &sid["severity"]), (&"security_warning".into(), &"suggestion".into()));
    let sarif: Value = serde_json::from_str(&place.run(&["validate", "store", "--format", "sarif"]).out).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!((&run["results"][0]["level"], &run["results"][1]["level"]), (&"warning".into(), &"note".into()));
    assert_eq!(run["tool"]["driver"]["rules"][0]["properties"]["tags"], serde_json::json!(["security"]));
}

#[test]
fn json_has_every_field_of_a_finding() {
    let run = broken().run(&["validate", "bad store", "good", "--format", "json"]);
    assert_eq!(run.code, 4);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&report["errors"], &report["warnings"]), (&2.into(), &0.into()));
    let [bad, good] = report["directories"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&bad["valid"], &good["valid"]), (&false.into(), &true.into()));
    assert_eq!((&bad["directory"], good["findings"].as_array().unwrap().len()), (&"bad store".into(), 0));
    let twice = &bad["findings"][1];
    assert_eq!(
        *twice,
        serde_json::json!({
            "severity": "error", "code": "duplicate-key", "file": "123456789012/twice.json", "line": 2, "column": 2,
            "message": "the key `UserName` is given twice, first on line 1", "hint": null,
            "help": "docs/findings/duplicate-key.md",
        })
    );
}

#[test]
fn sarif_points_into_the_store() {
    let run = broken().run(&["validate", "--format=sarif", "bad store"]);
    assert_eq!(run.code, 4);
    let log: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!((&driver["name"], &driver["version"]), (&"iamd".into(), &env!("CARGO_PKG_VERSION").into()));
    let rules: Vec<_> = driver["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
    assert_eq!(rules, ["duplicate-key", "json-syntax"]);
    assert_eq!(driver["rules"][1]["help"], serde_json::json!({"text": "see docs/findings/json-syntax.md"}));
    assert!(driver["rules"][1].get("helpUri").is_none(), "it would have to be absolute");
    let base = run["originalUriBaseIds"]["STORE"]["uri"].as_str().unwrap();
    assert!(base.starts_with("file:///") && base.ends_with("/bad%20store/"), "{base}");
    let result = &run["results"][1];
    assert_eq!((&result["ruleId"], &result["level"]), (&"duplicate-key".into(), &"error".into()));
    assert_eq!(result["message"]["text"], "the key `UserName` is given twice, first on line 1");
    assert_eq!(
        result["locations"][0]["physicalLocation"],
        serde_json::json!({
            "artifactLocation": {"uri": "123456789012/twice.json", "uriBaseId": "STORE"},
            "region": {"startLine": 2, "startColumn": 2},
        })
    );
}

#[test]
fn wrong_use_is_told_from_a_wrong_store() {
    let place = broken();
    for (arguments, expected) in [
        (&["validate"][..], "<DIR>"),
        (&["validate", "good", "--format", "xml"], "possible values: text, json, sarif"),
        (&["validate", "good", "--account-id", "12"], "must be 12 digits"),
    ] {
        let run = place.run(arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}");
        assert!(run.err.contains(expected), "{}", run.err);
    }
}

#[test]
fn nothing_is_coloured_for_a_pipe() {
    let run = broken().run(&["validate", "bad store"]);
    assert!(!run.out.contains('\u{1b}') && !run.err.contains('\u{1b}'));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = broken();
    let mut child = Command::new(env!("CARGO_BIN_EXE_iamd"))
        .args(["validate", "--format", "sarif", "bad store"])
        .current_dir(place.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{err}");
    assert_eq!(err, "bad store: not valid\n2 errors, no warnings in 2 files\n");
}
