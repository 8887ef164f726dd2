//! `iamd replay`: what a policy store would have decided about the requests of a decision log.

mod report;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use super::input;
use super::report::{Exit, Terminal, shown_path};
use super::request;
use super::store::{self, StoreArgs};
use crate::access::{InvalidField, Outcome, fold_key};
use crate::decision_log::read::{self, Line, Logged};
use crate::snapshot::Snapshot;
use report::Report;

/// The logs, and the store that decides again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 every decision stays as it was, 6 some would change, 2 none would, but a log or some of its lines \
                  cannot be read, 7 none would, but some depend on what is masked or are missing in the log, 1 the store cannot \
                  be loaded, or nothing in the logs can be decided again."
)]
pub struct ReplayArgs {
    /// Decision logs, of any number of files; `-` reads stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Directory of the policy store that decides again
    #[arg(long, env = "IAMD_POLICIES", value_name = "DIR")]
    policies: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
    /// How to print what would change
    #[arg(long, env = "IAMD_FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Succeed though some decisions depend on what is masked or are missing in the log, or though there is none
    #[arg(long, env = "IAMD_ALLOW_UNDECIDED", value_parser = store::switch)]
    allow_undecided: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub fn run(args: ReplayArgs) -> ExitCode {
    let mut terminal = Terminal::new();
    let exit = execute(args, &mut terminal);
    terminal.exit(exit)
}

fn execute(args: ReplayArgs, terminal: &mut Terminal) -> Exit {
    let snapshot = match store::load(&args.policies, &args.store.into()) {
        Ok(snapshot) => snapshot,
        Err(findings) => {
            let refused = store::refused(&args.policies, &findings, terminal);
            terminal.error(refused);
            return Exit::Failure;
        }
    };
    let mut report = Report::default();
    for log in &args.logs {
        if let Err(why) = replay(log, &snapshot, &mut report, terminal) {
            terminal.error(format_args!("`{}` {why}", shown_path(log)));
            return Exit::Usage;
        }
    }
    match args.format {
        Format::Text => report.print(&mut terminal.out),
        Format::Json => terminal.out.line(format_args!("{:#}", report.to_json())),
    }
    report.summarize(terminal, args.allow_undecided)
}

/// Decides the requests of a log again. The error completes "`LOG` ...".
fn replay(log: &Path, snapshot: &Snapshot, report: &mut Report, terminal: &mut Terminal) -> Result<(), String> {
    let mut lines = input::open(log)?;
    let mut text = Vec::new();
    for number in 1_u64.. {
        text.clear();
        let length = next_line(&mut lines, &mut text).map_err(|error| input::unreadable(&error))?;
        if length == 0 {
            break;
        }
        if let Err(why) = one(&text, snapshot, report) {
            report.unreadable(format_args!("{}:{number}: {why}", shown_path(log)), terminal);
        }
    }
    Ok(())
}

/// A line longer than this is none of ours: no request is that large.
const LONGEST_LINE: u64 = 64 << 20;

fn next_line(lines: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    io::Read::take(lines, LONGEST_LINE).read_until(b'\n', text)
}

/// Decides the request of a line again. The error says why there is none, or why it is none any more.
fn one(text: &[u8], snapshot: &Snapshot, report: &mut Report) -> Result<(), String> {
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    match read::line(text)? {
        Line::Mark => {}
        Line::Dropped(decisions) => report.dropped = report.dropped.saturating_add(decisions),
        Line::Decision(logged) => match decide(&logged, snapshot).map_err(|invalid| invalid.to_string())? {
            Ok(outcome) => report.decided(&logged, &outcome),
            Err(keys) => report.masked(keys),
        },
    }
    Ok(())
}

/// Decides a request again; or says which masked keys that takes.
fn decide(logged: &Logged, snapshot: &Snapshot) -> Result<Result<Outcome, Vec<String>>, InvalidField> {
    if !logged.masked_session.is_empty() {
        return Ok(Err(logged.masked_session.clone()));
    }
    let outcome = request::decide_any(snapshot, &logged.request, logged.time)?;
    let explanation = outcome.explanation.as_deref().map(|explanation| explanation.missing_context_keys.as_slice());
    let missing: Vec<String> = explanation.unwrap_or_default().iter().map(|key| fold_key(key)).collect();
    // A key that nothing has asked for in vain had no say, whatever its value was.
    let had_a_say = |key: &&String| OTHERWISE_KNOWN.contains(&key.as_str()) || missing.contains(key);
    let needed: Vec<String> = logged.masked_keys.iter().filter(had_a_say).cloned().collect();
    Ok(if needed.is_empty() { Ok(outcome) } else { Err(needed) })
}

/// Keys that nobody misses when they are masked: the clock stands in, or they are asked for by other than conditions.
const OTHERWISE_KNOWN: [&str; 3] = ["aws:currenttime", "aws:epochtime", "aws:sourcevpce"];
