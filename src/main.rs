//! The program `iamd`: arguments in, exit code out. Everything else is in the library, whose documentation is the map.

use std::process::ExitCode;

/// A call takes and returns a dozen pieces of memory in HTTP/2 and below: docs/performance.md says what this gives.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    iamd::cli::run(std::env::args_os())
}
