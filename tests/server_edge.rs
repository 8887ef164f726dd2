//! The edge of the service, from outside: over real sockets, in this process and as the real program.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

#[path = "server/abuse.rs"]
mod abuse;
#[path = "server/admin.rs"]
mod admin;
#[path = "server/calls.rs"]
mod calls;
#[path = "server/lasting.rs"]
mod lasting;
#[path = "server/limits.rs"]
mod limits;
#[path = "server/overload.rs"]
mod overload;
#[path = "server/process.rs"]
mod process;
#[path = "support/program.rs"]
mod program;
#[path = "support/service.rs"]
mod service;
#[path = "server/stopping.rs"]
mod stopping;
#[path = "server/streams.rs"]
mod streams;
