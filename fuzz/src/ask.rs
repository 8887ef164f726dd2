//! Asking: every way to an answer leads to the same one.

use std::sync::{Arc, LazyLock};

use iamd::access::{AccessRequest, Detail, Outcome, RawRequest};
use iamd::directory::Directory;
use iamd::engine::{Active, Engine};
use iamd::evaluate::{self, SessionPolicies};
use iamd::snapshot::{Loaded, Revision, Snapshot};

use crate::store;

const CACHE_BYTES: usize = 64 << 20;

/// A store in which every layer has a say, as it serves.
pub static ACTIVE: LazyLock<Arc<Active>> = LazyLock::new(|| active(CACHE_BYTES));

/// The same, which remembers nothing.
pub static FORGETFUL: LazyLock<Arc<Active>> = LazyLock::new(|| active(0));

fn active(cache_bytes: usize) -> Arc<Active> {
    let files = store::files(include_str!("../seeds/store/layers"));
    let (directory, _) = store::load(&files, false).unwrap_or_else(|findings| panic!("{findings:#?}"));
    let loaded = Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings: Vec::new() };
    Engine::new(loaded, cache_bytes).load_full()
}

/// A fixed clock: what is compared is asked at the same instant.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000).expect("an instant")
}

/// A snapshot of a directory.
pub fn snapshot(directory: Directory) -> Snapshot {
    Snapshot { version: 1, revision: Revision([0; 32]), loaded_at: now(), bytes: 0, directory, warnings: Vec::new() }
}

/// The fields of a request that are not given are empty.
pub fn raw<'a>(principal: &'a str, action: &'a str, resource: &'a str) -> RawRequest<'a> {
    RawRequest { principal, action, resource, ..RawRequest::default() }
}

/// Decides twice with an explanation, once without, and once telling how: all agree.
pub fn decide(snapshot: &Snapshot, request: &AccessRequest<'_>) -> Option<Outcome> {
    let session = SessionPolicies::compile(request.session_policies).ok()?;
    let decide = |detail| evaluate::decide(snapshot, request, &session, &now, detail).outcome;
    let plain = decide(Detail::Decision);
    let explained = decide(Detail::Statements);
    assert!(plain.explanation.is_none() && explained.explanation.is_some());
    assert_eq!((plain.decision, plain.decided_by), (explained.decision, explained.decided_by));
    assert_eq!(explained, decide(Detail::Statements));
    assert_eq!(explained, evaluate::explain(snapshot, request, &session, &now).0.outcome);
    Some(plain)
}
