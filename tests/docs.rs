//! What is written for people is true: examples print what they say, links lead somewhere, lists are whole.
//!
//! `UPDATE_DOCS=1 cargo test --test docs` rewrites what is generated.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "tests; helpers of tests are not recognized as such"
)]

#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/flags.rs"]
mod flags;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/lists.rs"]
mod lists;
#[path = "docs/pages.rs"]
mod pages;
#[path = "docs/rules.rs"]
mod rules;
