//! `iamd validate`: what loading would say, and what checks find besides.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use super::report::{self, Exit, Tally, Terminal, counted};
use super::store::{self, StoreArgs};
use crate::directory::StoreOptions;
use crate::finding::Finding;

mod json;
mod sarif;

/// The stores, and how to report on them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 every store can be loaded, 4 one cannot. Checks refuse nothing.")]
pub struct ValidateArgs {
    /// Directories, each a policy store of its own
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    /// How to print the findings; `sarif` is SARIF 2.1.0
    #[arg(long, env = "IAMD_FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// A store, what loading it says, and what checks find in it.
struct Judged {
    directory: PathBuf,
    /// Policies and statements; None if it cannot be loaded.
    loaded: Option<(usize, usize)>,
    /// Sorted.
    findings: Vec<Finding>,
}

/// Runs the command.
pub fn run(args: ValidateArgs) -> ExitCode {
    let mut terminal = Terminal::new();
    let options = args.store.into();
    let judged: Vec<_> = args.directories.into_iter().map(|directory| judge(directory, &options)).collect();
    match args.format {
        Format::Text => print_text(&judged, &mut terminal),
        Format::Json => terminal.out.line(format_args!("{:#}", json::document(&judged))),
        Format::Sarif => terminal.out.line(format_args!("{:#}", sarif::document(&judged))),
    }
    summarize(&judged, &mut terminal);
    let exit = if judged.iter().all(|judged| judged.loaded.is_some()) { Exit::Success } else { Exit::Refused };
    terminal.exit(exit)
}

fn judge(directory: PathBuf, options: &StoreOptions) -> Judged {
    // Checks refuse nothing: what is valid is what the service loads.
    let (store, checked) = store::load_and_check(&directory, options);
    let (loaded, mut findings) = match store {
        Ok(snapshot) => {
            let totals = (snapshot.directory.policy_count, snapshot.directory.statement_count);
            (Some(totals), snapshot.warnings)
        }
        Err(findings) => (None, findings),
    };
    findings.extend(checked);
    findings.sort();
    Judged { directory, loaded, findings }
}

fn print_text(judged: &[Judged], terminal: &mut Terminal) {
    for mut finding in seen_from_here(judged) {
        finding.message = format!("{} [{}]", finding.message, finding.code);
        terminal.out.findings([&finding]);
    }
}

/// For people, on stderr whatever the format: which store is sound, and the sum.
fn summarize(judged: &[Judged], terminal: &mut Terminal) {
    for Judged { directory, loaded, findings } in judged {
        let directory = report::shown_path(directory);
        let paint = terminal.err.paint;
        let verdict = match loaded {
            Some((policies, statements)) => {
                let totals = format!("{} with {}", counted_policies(*policies), counted(*statements, "statement"));
                format!("{}, {totals}", paint.green("valid"))
            }
            None if Tally::of(findings).errors == 0 => {
                format!("{}: `--strict` takes no warnings", paint.red("not valid"))
            }
            None => paint.red("not valid"),
        };
        terminal.err.line(format_args!("{directory}: {verdict}"));
    }
    let findings: Vec<_> = seen_from_here(judged).collect();
    terminal.err.line(Tally::of(&findings));
}

fn counted_policies(count: usize) -> String {
    match count {
        0 => "no policies".to_owned(),
        1 => "1 policy".to_owned(),
        _ => format!("{count} policies"),
    }
}

fn seen_from_here(judged: &[Judged]) -> impl Iterator<Item = Finding> {
    judged
        .iter()
        .flat_map(|judged| judged.findings.iter().map(|finding| report::seen_from_here(finding, &judged.directory)))
}
