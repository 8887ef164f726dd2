//! When the files are looked at, and how often.

use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use iamd::directory::StoreOptions;
use iamd::engine::Engine;
use iamd::reload::ReloadResult::{Activated, Rejected, Unchanged};
use iamd::reload::{self, LastReload, ReloadOptions};

use crate::running::{NEVER, Notice, Running, SOON, one_file, put_bad_file, write};

#[test]
fn the_first_load_is_the_first_reload() {
    let store = tempfile::tempdir().unwrap();
    one_file(store.path());
    let directory = store.path().join("store");
    let loading_since = Instant::now();
    let engine = Arc::new(Engine::new(reload::load_once(&directory, &StoreOptions::default()).unwrap(), 0));
    let options = ReloadOptions { directory, store: StoreOptions::default(), poll_interval: NEVER, debounce: NEVER };
    let (sender, reloads) = mpsc::channel();
    let reloaded = move |last: &LastReload| sender.send((last.result, last.duration)).unwrap();
    let handle = reload::start_polling(engine, loading_since, options, reloaded).unwrap();
    let (result, duration) = reloads.try_recv().unwrap();
    let status = handle.status.load();
    let last = status.last_reload.as_ref().unwrap();
    assert_eq!((last.result, last.duration, status.stale_since), (result, duration, None));
    assert_eq!(result, Activated);
    assert!(Duration::ZERO < duration && duration <= loading_since.elapsed());
    assert!(status.looked_at >= Some(last.at), "it is the first look, too");
    handle.stop();
}

#[test]
fn looking_when_asked() {
    let running = Running::start(Notice::Asked, one_file);
    let results = || running.reloads().into_iter().map(|(result, _)| result).collect::<Vec<_>>();
    running.handle.wake();
    running.eventually("nothing is new", || results() == [Unchanged]);
    write(running.at("a.json"), "a2");
    running.handle.wake();
    running.becomes(&["a2"]);
    fs::write(running.at("a.json"), "{").unwrap();
    running.handle.wake();
    running.is_rejected("a.json:1:2: ");
    running.handle.wake();
    running.eventually("tried again", || results() == [Unchanged, Activated, Rejected, Rejected]);
    assert_eq!(running.version(), 2);
}

/// Checks that for some polls there are exactly so many reloads.
fn stays_quiet(running: &Running, count: usize) {
    let started = Instant::now();
    while started.elapsed() < 4 * SOON {
        assert_eq!(running.reloads().len(), count, "{:?}", running.reloads());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn polls_that_find_nothing_new_say_nothing() {
    let running = Running::start(Notice::Poll, one_file);
    stays_quiet(&running, 0);
    put_bad_file(&running);
    running.eventually("rejected", || running.reloads().len() == 1);
    stays_quiet(&running, 1);
    assert_eq!(running.version(), 1);
}

#[test]
fn every_poll_is_seen_to_have_looked() {
    let running = Running::start(Notice::Poll, one_file);
    let looked_at = || running.handle.status.load().looked_at;
    let polls = |what: &str| {
        // What ends a reload is seen twice: with what came of it, and as a look.
        for _ in 0..3 {
            let before = looked_at();
            running.eventually(what, || looked_at() > before);
        }
    };
    polls("nothing is new");
    assert_eq!(running.reloads(), []);
    put_bad_file(&running);
    running.is_rejected("b.json:");
    polls("wrong as before");
    assert!(running.is_stale(), "a look that finds nothing new mends nothing");
    assert_eq!(running.reloads().len(), 1);
}

#[test]
fn reading_the_files_wakes_nobody() {
    let running = Running::start(Notice::Events, one_file);
    put_bad_file(&running);
    running.eventually("rejected", || running.reloads().len() == 1);
    fs::remove_file(running.at("b.json")).unwrap();
    running.eventually("taken back", || running.reloads().len() == 2);
    stays_quiet(&running, 2);
}

#[test]
fn a_storm_of_events() {
    let running = Running::start(Notice::Events, one_file);
    for n in 0..500 {
        write(running.at("a.json"), &format!("a{n}"));
        write(running.at("noise.txt"), "noise");
    }
    write(running.at("a.json"), "last");
    running.becomes(&["last"]);
    // A file that is caught empty is looked at again; whatever became active was whole.
    for (result, queues) in running.reloads() {
        assert_eq!(queues.len(), 1, "{result:?}");
    }
}

#[test]
fn files_written_one_after_the_other_become_one_step() {
    let two_files = |root: &Path| {
        one_file(root);
        write(root.join("store/b.json"), "b1");
    };
    for notice in [Notice::Events, Notice::Poll] {
        let debounce = Duration::from_millis(200);
        let running = Running::start_with(notice, debounce, two_files);
        let mut slow = false;
        for name in ["2", "3", "4"] {
            let started = Instant::now();
            fs::write(running.at("a.json"), "{").unwrap();
            write(running.at("a.json"), &format!("a{name}"));
            write(running.at("b.json"), &format!("b{name}"));
            slow |= started.elapsed() > debounce / 2;
            running.becomes(&[&format!("a{name}"), &format!("b{name}")]);
        }
        // A machine that paused between the writes showed us a store that really rested in between.
        assert!(slow || running.version() == 4, "{:?}", running.reloads());
        assert!(slow || running.reloads().iter().all(|(result, _)| *result != Rejected), "{:?}", running.reloads());
    }
}

#[test]
fn the_thread_ends_when_told_to() {
    for notice in [Notice::Events, Notice::Poll, Notice::Asked] {
        let running = Running::start(notice, one_file);
        running.handle.stop();
        // The thread held the engine, and so did what hears of reloads.
        running.eventually("nobody else holds the engine", || Arc::strong_count(&running.engine) == 1);
    }
}
