//! The program `iamd`: arguments in, exit code out. Everything else is in the library, whose documentation is the map.

use std::process::ExitCode;

fn main() -> ExitCode {
    iamd::cli::run(std::env::args_os())
}
