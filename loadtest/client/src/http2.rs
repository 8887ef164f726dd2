//! HTTP/2, as much of it as a load generator needs, and no more work for each call than that takes.
//!
//! h2 and hyper would do, but cost a core more for each call than the services that are measured; a generator on one core
//! has to outrun a service on one core. So: header blocks are encoded once, answers' headers are compared with the last ones
//! before they are decoded, and calls take no memory of their own. What a peer may ask for is still done: windows, frame
//! sizes, settings, pings, padding, continuations, resets, GOAWAY.

pub mod connection;
pub mod hpack;
pub mod socket;
pub mod tls;
mod wire;
