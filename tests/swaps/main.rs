//! The policy store is swapped again and again while many callers ask: every answer belongs to a snapshot that was legal
//! at that moment, the answers of a batch to one and the same, and no call fails.
//!
//! Two files say together who may do what: one user is in the group, one queue is in the group's policy. In generation
//! `g` these are user `g % 5` and queue `g % 7`, so one pair of 35 is allowed, and one whose files are of two generations
//! allows a pair that neither of them does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests; helpers of tests are not recognized as such"
)]

mod callers;
mod generations;
#[path = "../support/service.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod service;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iamd::directory::StoreOptions;
use iamd::engine::Engine;
use iamd::reload::{self, ReloadOptions};

use callers::Callers;
use generations::{Progress, write_by_rename, write_in_place, write_like_kubelet};
use service::{Service, eventually};

const NEVER: Duration = Duration::from_secs(3600);

fn load(store: &Path) -> iamd::snapshot::Loaded {
    reload::load_once(store, &StoreOptions::default()).unwrap()
}

/// Ends the callers, who have found no fault, and checks that nothing is left of the old snapshots.
async fn finish(callers: Callers, engine: &Engine, generations: u64) {
    let answers = callers.stop().await;
    assert!(answers.all() >= generations / 4, "{answers:?}");
    assert!(answers.each().iter().all(|answers| *answers > 0), "{answers:?}");
    assert_eq!(engine.load().snapshot.version, generations);
    eventually("old snapshots are freed", || engine.snapshots_live() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_installs() {
    const GENERATIONS: u64 = 1_000;
    let store = tempfile::tempdir().unwrap();
    write_in_place(store.path(), 1);
    let service = Service::start_on(load(store.path()), &[]).await;
    let engine = Arc::clone(service.state.engine().unwrap());
    let progress = Arc::new(Progress::default());
    let callers = Callers::start(&service, &progress).await;

    for generation in 2..=GENERATIONS {
        write_in_place(store.path(), generation);
        let loaded = load(store.path());
        progress.begin(generation);
        assert_eq!(engine.install(loaded).snapshot.version, generation);
        progress.installed(generation);
        // In between they follow each other as fast as they can be loaded.
        if generation % 4 == 0 {
            callers.have_seen(generation).await;
        }
    }
    finish(callers, &engine, GENERATIONS).await;
}

/// Files change, the file system says so, and the reload thread does the rest.
async fn files_change(generations: u64, write: fn(&Path, u64)) {
    let store = tempfile::tempdir().unwrap();
    write(store.path(), 1);
    let service = Service::start_on(load(store.path()), &[]).await;
    let engine = Arc::clone(service.state.engine().unwrap());
    let options = ReloadOptions {
        directory: store.path().to_owned(),
        store: StoreOptions::default(),
        poll_interval: NEVER,
        debounce: Duration::from_millis(2),
    };
    let reloading = reload::start(Arc::clone(&engine), Instant::now(), options, |_| {}).unwrap();
    let progress = Arc::new(Progress::default());
    let callers = Callers::start(&service, &progress).await;

    for generation in 2..=generations {
        progress.begin(generation);
        write(store.path(), generation);
        // Of the first change there may be no event: the thread has yet to look where to listen.
        reloading.wake();
        eventually("the change is active", || engine.load().snapshot.version == generation).await;
        progress.installed(generation);
        callers.have_seen(generation).await;
    }
    reloading.stop();
    finish(callers, &engine, generations).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_swaps_of_a_volume_of_kubernetes() {
    files_change(50, write_like_kubelet).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_renames_of_a_file_over_another() {
    files_change(50, write_by_rename).await;
}
