//! `iamd test`: runs policy test suites.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::report::{self, Exit, Tally, Terminal};
use super::store::StoreArgs;
use crate::directory::StoreOptions;
use crate::finding::io_words;

use self::discover::Discovered;
use self::judge::{JudgedSuite, Stores};
use self::suite::Suite;

mod answer;
mod discover;
mod judge;
mod junit;
mod suite;

/// The suites, and how to run them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 every test passed, 5 a test failed, 2 a file is not a sound suite.")]
pub struct TestArgs {
    /// Suites, or directories of suites (every `*.json` below that is not in a suite's store)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Directory of the policy store of suites that name none
    #[arg(long, env = "IAMD_POLICIES", value_name = "DIR")]
    policies: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// Run only tests with this text in their name or their suite's path
    #[arg(long, env = "IAMD_FILTER", value_name = "TEXT")]
    filter: Option<String>,
    /// Also write the results to a file: `--output junit results.xml`; `junit results.xml` in the environment
    #[arg(long, env = "IAMD_OUTPUT", value_names = ["FORMAT", "FILE"], num_args = 1..=2)]
    output: Vec<String>,
}

/// Runs the command.
pub fn run(args: TestArgs) -> ExitCode {
    let mut terminal = Terminal::new();
    let exit = execute(args, &mut terminal);
    terminal.exit(exit)
}

fn execute(args: TestArgs, terminal: &mut Terminal) -> Exit {
    let output = match junit_file(&args.output) {
        Ok(output) => output,
        Err(why) => {
            terminal.error(format_args!("--output: {why}"));
            return Exit::Usage;
        }
    };
    let options: StoreOptions = args.store.into();
    let mut discovered = discover::discover(&args.paths, args.policies.as_deref(), &options);
    terminal.err.findings(&discovered.findings);
    if let Some(filter) = &args.filter {
        keep_matching(&mut discovered.suites, filter);
        if discovered.suites.is_empty() && discovered.findings.is_empty() {
            terminal.error(format_args!("--filter: no test has `{}` in its name", report::printable(filter)));
            return Exit::Usage;
        }
    }
    run_suites(discovered, output.as_deref(), &options, terminal)
}

/// The file after `junit`: as two words on the command line, or as one text in the environment.
fn junit_file(output: &[String]) -> Result<Option<PathBuf>, String> {
    let (format, file) = match output {
        [] => return Ok(None),
        [both] => both.split_once(' ').unwrap_or((both, "")),
        [format, file, ..] => (format.as_str(), file.as_str()),
    };
    match (format, file) {
        ("junit", "") => Err("`junit` needs a file to write".to_owned()),
        ("junit", file) => Ok(Some(file.into())),
        _ => Err(format!("unknown format `{}`, expected `junit`", report::printable(format))),
    }
}

fn keep_matching(suites: &mut Vec<Suite>, filter: &str) {
    for suite in suites.iter_mut().filter(|suite| !suite.file.contains(filter)) {
        suite.cases.retain(|case| case.name.contains(filter));
    }
    suites.retain(|suite| !suite.cases.is_empty());
}

fn run_suites(discovered: Discovered, output: Option<&Path>, options: &StoreOptions, terminal: &mut Terminal) -> Exit {
    let Discovered { suites, findings } = discovered;
    let mut stores = Stores::new(options);
    let mut judged = Vec::new();
    for suite in suites {
        let suite = judge::judge(suite, &mut stores);
        print_failures(&suite, terminal);
        judged.push(suite);
    }
    let mut exit = Exit::Success;
    if judged.iter().any(|suite| suite.failed() > 0) {
        exit = Exit::TestFailed;
    }
    if !findings.is_empty() {
        terminal.error(format_args!("not every suite could be read: {}", Tally::of(&findings)));
        exit = Exit::Usage;
    }
    if let Some(path) = output
        && let Err(error) = std::fs::write(path, junit::document(&judged, &findings))
    {
        let path = report::shown_path(path);
        terminal.error(format_args!("--output: `{path}` cannot be written: {}", io_words(&error)));
        exit = Exit::Usage;
    }
    print_summary(&judged, terminal);
    exit
}

fn print_failures(suite: &JudgedSuite, terminal: &mut Terminal) {
    let out = &mut terminal.out;
    out.findings(&suite.store_findings);
    for case in &suite.cases {
        let Some(failure) = &case.failure else { continue };
        let label = out.paint.red("FAILED");
        out.line(format_args!("{label} {}: {}", suite.file, report::printable(&case.name)));
        for line in failure.lines() {
            out.line(format_args!("  {line}"));
        }
    }
}

/// Alone on the last line, in a form that scripts may rely on.
fn print_summary(judged: &[JudgedSuite], terminal: &mut Terminal) {
    let total: usize = judged.iter().map(|suite| suite.cases.len()).sum();
    let failed: usize = judged.iter().map(JudgedSuite::failed).sum();
    terminal.out.line(format_args!("{} passed, {failed} failed", total - failed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_needs_a_file() {
        let file = |words: &[&str]| junit_file(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(file(&[]), Ok(None));
        assert_eq!(file(&["junit", "a b.xml"]), Ok(Some("a b.xml".into())));
        assert_eq!(file(&["junit a b.xml"]), Ok(Some("a b.xml".into())));
        assert_eq!(file(&["junit"]), Err("`junit` needs a file to write".to_owned()));
        assert_eq!(file(&["tap", "a"]), Err("unknown format `tap`, expected `junit`".to_owned()));
    }
}
