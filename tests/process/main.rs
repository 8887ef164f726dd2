//! The real program, from its start on a real store to its end, as operators meet it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

#[path = "../support/authority.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod authority;
#[path = "../support/caller.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod caller;
mod cgroup;
#[path = "../support/collector.rs"]
mod collector;
mod decisions;
mod faults;
#[path = "../support/frames.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod frames;
mod operator;
#[path = "../support/program.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod program;
mod running;
#[path = "../support/schema.rs"]
mod schema;
mod starting;
mod stopping;
mod tracing;
