//! The command line: one file per command.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub mod check;
mod environment;
mod explain;
pub mod healthcheck;
mod huge_pages;
mod input;
pub mod replay;
mod report;
mod request;
pub mod serve;
mod store;
pub mod test;
pub mod validate;
mod words;

/// Usage errors, of every command.
pub const USAGE_ERROR: u8 = 2;

/// An authorization sidecar that answers by the rules of AWS IAM.
#[derive(Debug, Parser)]
#[command(name = "iamd", version, about, long_about = None, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. Each has a file of its name with `struct XArgs` and `fn run(args: XArgs) -> ExitCode`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve decisions over gRPC
    Serve(Box<serve::ServeArgs>),
    /// Decide one request, and show the statements that made the decision
    Check(check::CheckArgs),
    /// Say what loading a policy store would say, and what is probably not meant in it
    Validate(validate::ValidateArgs),
    /// Run policy test suites
    Test(test::TestArgs),
    /// Decide the requests of a decision log again, and say which decisions would change
    Replay(replay::ReplayArgs),
    /// Ask a running service whether it serves (for probes of containers without a shell)
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// Reads the command line and runs the command.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Before memory is used. Whether it was of use, `serve` says.
    drop(huge_pages::set(false));
    match read(words) {
        Ok(cli) if knows_environment() => dispatch(cli.command),
        Ok(_) => ExitCode::from(USAGE_ERROR),
        Err(error) => {
            // Help and version also come this way; clap knows which stream each belongs to, and the exit code.
            drop(error.print());
            if error.use_stderr() {
                // What is missing may be what was misspelt.
                knows_environment();
            }
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE_ERROR))
        }
    }
}

fn read(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    // Only then are all of its arguments there, with all that is said of them.
    command.build();
    let words = words::join(&command, words);
    let matches = command.clone().try_get_matches_from(&words).map_err(|mut error| {
        words::name_variable(&command, &words, &mut error);
        error
    })?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    match (&mut cli.command, matches.subcommand()) {
        (Command::Healthcheck(args), Some((_, matches))) => args.written = written(matches),
        (Command::Serve(args), Some((name, matches))) => {
            let variables = command.find_subcommand(name).map(|command| words::variables(command, matches));
            args.variables = variables.unwrap_or_default();
        }
        _ => {}
    }
    Ok(cli)
}

/// The arguments that the command line has, and not the environment.
fn written(matches: &ArgMatches) -> Vec<String> {
    let is_written = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    matches.ids().filter(is_written).map(ToString::to_string).collect()
}

/// Whether every variable of ours is one; says which are not.
fn knows_environment() -> bool {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let problems = environment::problems(names);
    problems.iter().for_each(complain);
    problems.is_empty()
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Serve(args) => serve::run(*args),
        Command::Check(args) => check::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Test(args) => test::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
    }
}

/// Says on stderr what went wrong.
pub fn complain(message: impl Display) {
    // Where stderr is closed there is nobody to tell.
    drop(writeln!(std::io::stderr(), "error: {message}"));
}
