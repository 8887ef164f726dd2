use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use super::*;
use crate::access::{Decision, RawRequest};
use crate::directory::{Loader, StoreOptions};
use crate::snapshot::Revision;

thread_local! {
    /// Set by tests that want to know on which threads snapshots are freed.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Called for each snapshot that is freed, on the thread that frees it.
pub(super) fn freed_here() {
    assert!(!SERVES.get() || thread::panicking(), "a snapshot was freed on a thread that serves");
}

fn loaded(generation: u64) -> Loaded {
    let mut loader = Loader::new(&StoreOptions::default());
    loader.file("a.json", &format!(r#"{{"ResourceArn": "arn:aws:s3:::generation-{generation}"}}"#));
    let (directory, _) = loader.finish().unwrap();
    Loaded { directory, revision: Revision([0; 32]), bytes: generation, warnings: Vec::new() }
}

fn request() -> AccessRequest<'static> {
    let raw = RawRequest {
        principal: "arn:aws:iam::123456789012:user/alice",
        action: "s3:GetObject",
        resource: "arn:aws:s3:::home/a.txt",
        ..RawRequest::default()
    };
    AccessRequest::new(&raw).unwrap()
}

/// The answer to a request, remembered or decided. Its words stand for its message.
fn decided(active: &Active, request: &AccessRequest<'_>, detail: Detail) -> Answer {
    let message = format!("{request:?} {detail:?}");
    let key = active.cache.key(message.as_bytes());
    let decided = || active.decide_and_remember(request, detail, &key, &mut LastCaller::default()).unwrap();
    active.cache.get(&key).map_or_else(decided, Answer::remembered)
}

/// Waits until it holds, ten seconds at most.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "never came true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn versions_grow_by_one_from_one() {
    let engine = Engine::new(loaded(0), 0);
    assert_eq!(engine.load().snapshot.version, 1);
    for version in 2..5 {
        assert_eq!(engine.install(loaded(version)).snapshot.version, version);
        assert_eq!(engine.load().snapshot.bytes, version);
    }
}

#[test]
fn an_old_snapshot_lives_as_long_as_somebody_holds_it() {
    let engine = Engine::new(loaded(1), 0);
    let held = engine.load_full();
    let guard = engine.load();
    engine.install(loaded(2));
    assert_eq!(engine.snapshots_live(), 2);
    assert_eq!(held.snapshot.version, 1);
    drop(held);
    assert_eq!(guard.snapshot.version, 1);
    assert_eq!(engine.snapshots_live(), 2);
    drop(guard);
    eventually("the old snapshot is freed", || engine.snapshots_live() == 1);
}

#[test]
fn snapshots_are_freed_on_the_retiring_thread() {
    let engine = Engine::new(loaded(1), 0);
    SERVES.set(true);
    let held = engine.load_full();
    engine.install(loaded(2));
    // The last reference of a request goes here. Were it the last of all, `freed_here` would fail this test.
    drop(held);
    eventually("the old snapshot is freed", || engine.snapshots_live() == 1);
    SERVES.set(false);
}

#[test]
fn every_answer_belongs_to_a_snapshot_that_was_legal_at_that_moment() {
    const LAST: u64 = 1_001;
    let engine = Engine::new(loaded(1), 1 << 20);
    let (begun, done, deciding) = (AtomicU64::new(1), AtomicU64::new(1), AtomicUsize::new(0));
    let answer = || {
        let earliest = done.load(Ordering::SeqCst);
        let active = engine.load();
        let version = active.snapshot.version;
        decided(&active, &request(), Detail::Decision);
        let latest = begun.load(Ordering::SeqCst);
        assert!((earliest..=latest).contains(&version), "{version} is not in {earliest}..={latest}");
        let resource = format!("arn:aws:s3:::generation-{version}");
        assert!(active.snapshot.directory.resources.get(&resource).is_some(), "{version} is torn");
        version
    };
    let decide = || {
        SERVES.set(true);
        assert_eq!(answer(), 1);
        deciding.fetch_add(1, Ordering::SeqCst);
        while answer() < LAST {}
        SERVES.set(false);
    };
    thread::scope(|scope| {
        scope.spawn(decide);
        scope.spawn(decide);
        eventually("both decide", || deciding.load(Ordering::SeqCst) == 2);
        for version in 2..=LAST {
            begun.store(version, Ordering::SeqCst);
            engine.install(loaded(version));
            done.store(version, Ordering::SeqCst);
            // Now and then, so that on a single core the deciders see more than the last one.
            if version % 20 == 0 {
                thread::yield_now();
            }
        }
    });
    eventually("all old snapshots are freed", || engine.snapshots_live() == 1);
}

#[test]
fn without_a_cache_every_answer_bypasses_it() {
    let engine = Engine::new(loaded(1), 0);
    for _ in 0..2 {
        let answer = decided(&engine.load(), &request(), Detail::Decision);
        assert_eq!(answer.cache, CacheStatus::Bypass);
        assert!(answer.evaluation.is_some());
    }
}

#[test]
fn the_second_answer_comes_from_the_cache_of_its_snapshot() {
    let engine = Engine::new(loaded(1), 1 << 20);
    let answer = |detail| {
        let answer = decided(&engine.load(), &request(), detail);
        assert_eq!(answer.evaluation.is_none(), answer.cache == CacheStatus::Hit);
        answer.cache
    };
    assert_eq!(answer(Detail::Decision), CacheStatus::Miss);
    assert_eq!(answer(Detail::Decision), CacheStatus::Hit);
    assert_eq!(answer(Detail::Statements), CacheStatus::Miss);
    engine.install(loaded(2));
    assert_eq!(answer(Detail::Decision), CacheStatus::Miss);
}

#[test]
fn answers_that_looked_at_the_clock_are_not_remembered() {
    let mut loader = Loader::new(&StoreOptions::default());
    let statement = r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
        "Condition": {"DateLessThan": {"aws:CurrentTime": "2999-01-01T00:00:00Z"}}}"#;
    let user = format!(
        r#"{{"UserName": "alice", "Arn": "arn:aws:iam::123456789012:user/alice", "UserPolicyList": [{{"PolicyName": "p",
            "PolicyDocument": {{"Version": "2012-10-17", "Statement": {statement}}}}}]}}"#
    );
    loader.file("alice.json", &user);
    let (directory, warnings) = loader.finish().unwrap();
    let loaded = Loaded { directory, revision: Revision([0; 32]), bytes: 0, warnings };
    let engine = Engine::new(loaded, 1 << 20);
    let ask = |action, times: &[String]| {
        let context = if times.is_empty() { Vec::new() } else { vec![("aws:CurrentTime", times)] };
        let raw = RawRequest {
            principal: "arn:aws:iam::123456789012:user/alice",
            action,
            resource: "arn:aws:s3:::home/a.txt",
            context,
            ..RawRequest::default()
        };
        let active = engine.load();
        let answer = decided(&active, &AccessRequest::new(&raw).unwrap(), Detail::Decision);
        (answer.outcome.decision, answer.cache, active.cache.entries())
    };
    for _ in 0..2 {
        assert_eq!(ask("s3:GetObject", &[]), (Decision::Allow, CacheStatus::Bypass, 0));
    }
    // The same policies, but nothing asks for the time, or the request says what time it is.
    assert_eq!(ask("s3:PutObject", &[]), (Decision::ImplicitDeny, CacheStatus::Miss, 1));
    assert_eq!(ask("s3:PutObject", &[]), (Decision::ImplicitDeny, CacheStatus::Hit, 1));
    let late = ["2999-01-01T00:00:00Z".to_owned()];
    assert_eq!(ask("s3:GetObject", &late), (Decision::ImplicitDeny, CacheStatus::Miss, 2));
    assert_eq!(ask("s3:GetObject", &late), (Decision::ImplicitDeny, CacheStatus::Hit, 2));
}

#[test]
fn evictions_of_old_snapshots_stay_counted() {
    let engine = Engine::new(loaded(1), 4096);
    let ask = |n: u64| {
        let resource = format!("arn:aws:s3:::bucket/{n}-{}", "x".repeat(500));
        let raw =
            RawRequest { principal: "anonymous", action: "s3:GetObject", resource: &resource, ..RawRequest::default() };
        decided(&engine.load(), &AccessRequest::new(&raw).unwrap(), Detail::Decision);
    };
    let mut counted = 0;
    for version in 2..5 {
        // Where there is no room, the first time is not enough.
        (0..200).for_each(|n| ask(n / 2));
        let evictions = engine.cache_evictions();
        assert!(evictions > counted);
        counted = evictions;
        engine.install(loaded(version));
        assert_eq!(engine.cache_evictions(), counted);
    }
}
