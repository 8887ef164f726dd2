//! iamd-load: makes stores and requests, puts load on a service, and writes what was measured as a page.
//!
//! `generate` → a store and its requests; `run` → one run against what listens already; `suite`, `reload`, `peers` → servers
//! started in turn, each measured, one line of JSON for each run; `speed` → what a core gives; `report` → one page from those lines.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod generate;
mod host;
mod http2;
mod load;
mod report;
mod run;
mod sample;
mod speed;
mod suite;

/// Messages, generated from the contract.
mod proto {
    #![allow(
        dead_code,
        missing_debug_implementations,
        clippy::all,
        clippy::pedantic,
        reason = "generated, and not all of it is needed"
    )]
    pub mod iamd {
        include!(concat!(env!("OUT_DIR"), "/iamd.v1.rs"));
    }
    pub mod cerbos {
        include!(concat!(env!("OUT_DIR"), "/cerbos.rs"));
    }
}

/// Load for iamd: stores and requests of any size, runs, comparisons, and a report.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a policy store and requests about it, the same for the same seed.
    Generate(generate::GenerateArgs),
    /// Put load on a service that is running.
    Run(run::RunArgs),
    /// Measure iamd beside the null service, in turn, on a core of its own.
    Suite(suite::SuiteArgs),
    /// Full load while files of the store change every second.
    Reload(suite::reload::ReloadArgs),
    /// Put the same decisions to iamd, Cerbos, OPA and Cedar, in turn.
    Peers(suite::peers::PeersArgs),
    /// Look at how fast a core is.
    Speed(speed::SpeedArgs),
    /// Write a page with tables and plots from the raw results of a directory.
    Report(report::ReportArgs),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Generate(args) => generate::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Suite(args) => suite::run(&args),
        Command::Reload(args) => suite::reload::run(&args),
        Command::Peers(args) => suite::peers::run(&args),
        Command::Speed(args) => speed::run(&args),
        Command::Report(args) => report::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("iamd-load: {message}");
            ExitCode::FAILURE
        }
    }
}
