//! iamd: an authorization sidecar. It answers over gRPC whether a principal may perform an action on a resource, by the
//! rules of AWS IAM, from a directory of AWS's own policy files.
//!
//! The middle is pure: what decides does no I/O, is not async, cannot fail, and knows neither gRPC nor the disk. The edge
//! is thin: it translates, in one file per boundary. Between them stands one immutable [`snapshot::Snapshot`].
//!
//! # A call
//!
//! A message arrives in [`server`]. [`engine::Engine::load`] gives the active generation, once, and its [`cache`] knows what
//! was decided for the same message. For another, `server/plain.rs` makes an [`access::AccessRequest`] of it, or else
//! `server/convert.rs`, which names the field that is wrong (from here on everything is valid by type).
//! [`evaluate::decide`] decides: explicit denies first, then who has to allow and does. `server/convert.rs` makes the reply.
//! Nothing is awaited on the way.
//!
//! # A file change
//!
//! `reload/watch.rs` hears of it, or the poll finds it. `reload/source.rs`, the only reader of policy files, reads
//! what changed, until the files rest. [`reload::Build`] parses, validates, resolves and compiles beside the threads
//! that serve, takes over what did not change, and gathers every error. [`engine::Engine::install`] swaps the result in, in one step; what is wrong leaves
//! the last good snapshot in place. The start of the service, `check`, `validate` and `test` call the same
//! [`reload::Build`]: what they accept, the service accepts.
//!
//! # The modules, in reading order
//!
//! Each imports only from levels below its own; `tests/layers.rs` has the table and holds the code to it. ARCHITECTURE.md
//! says more, docs/evaluation.md gives the rules of a decision by the numbers that the code cites.

// Values: what everything else talks about.
pub mod arn;
pub mod few;
pub mod wildcard;
// The question and the answer.
pub mod access;
// What is wrong with a file and where; JSON with positions.
pub mod finding;
pub mod json;
// Files that are read only if reading them cannot wait.
pub mod regular;

// AWS's facts that are built in: managed policies, condition keys, services.
pub mod catalogue;

// Text becomes a compiled policy: as written, validated, as used.
pub mod policy;
// Who exists, and which policies are attached to them: the policy store, read and resolved.
pub mod directory;
// What is allowed to be written, and probably not meant: for `validate` only.
pub mod checks;

// Deciding: an immutable state, and a pure function of it.
pub mod snapshot;
// Asked statement by statement, layer by layer.
pub mod evaluate;
// What one snapshot has decided already: bounded, born and dropped with it.
pub mod cache;
// The only mutable cell: the active snapshot with its cache.
pub mod engine;

// Files become the next snapshot, while the active one answers.
pub mod reload;

// What was decided, a line each: queued, masked and written past those who wait for answers.
pub mod decision_log;

// The edge: what the service is told, counts and logs.
pub mod config;
pub mod metrics;
pub mod telemetry;
// Certificates and keys, and who is let in by them.
pub mod tls;
// The wire, generated from `proto/`.
pub mod proto;
// gRPC for callers, HTTP for operators.
pub mod server;
// The command line: one file per command.
pub mod cli;
