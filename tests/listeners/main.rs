//! Who may connect: TLS, certificates that change, Unix sockets, plaintext beyond loopback. By the real program.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

mod admin;
#[path = "../support/authority.rs"]
mod authority;
#[path = "../support/caller.rs"]
mod caller;
mod clients;
#[path = "../support/frames.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod frames;
mod healthcheck;
mod peers;
#[path = "../support/program.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod program;
mod refused;
mod rotation;
mod sockets;
