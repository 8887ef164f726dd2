//! Runs every policy test suite of the repository through the program, as its users do.

use std::process::Command;

/// Where suites are; each is a form of evidence: the example's own, the rules one by one, and the contract's.
const SUITES: [&str; 3] = ["examples/quickstart/tests", "tests/suites", "tests/conformance"];

#[test]
fn every_suite_passes() {
    let program = env!("CARGO_BIN_EXE_iamd");
    let output =
        Command::new(program).arg("test").args(SUITES).env_clear().current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let passed: u32 = text.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(passed > 4_000, "only {passed} cases were run");
}
