//! A store, an engine that runs on it, and what it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use iamd::directory::StoreOptions;
use iamd::engine::Engine;
use iamd::reload::{self, LastReload, ReloadHandle, ReloadOptions, ReloadResult};

pub(crate) const NEVER: Duration = Duration::from_secs(3600);
pub(crate) const SOON: Duration = Duration::from_millis(50);
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(20);

/// How changes are noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    /// The poll is too far away to help.
    Events,
    /// Nobody listens to events.
    Poll,
    /// Not at all, unless somebody asks.
    Asked,
}

/// A reload, and the queues known after it.
pub(crate) type Reload = (ReloadResult, Vec<String>);

/// A store, an engine that was started on it, and what has happened since.
pub(crate) struct Running {
    _temporary: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) engine: Arc<Engine>,
    pub(crate) handle: ReloadHandle,
    reloads: Arc<Mutex<Vec<Reload>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

impl Running {
    /// With `ROOT/store` as `prepare` makes it in `ROOT`.
    pub(crate) fn start(notice: Notice, prepare: impl FnOnce(&Path)) -> Self {
        Self::start_with(notice, DEBOUNCE, prepare)
    }

    pub(crate) fn start_with(notice: Notice, debounce: Duration, prepare: impl FnOnce(&Path)) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().to_owned();
        let directory = root.join("store");
        prepare(&root);
        let store = StoreOptions::default();
        let started = Instant::now();
        let engine = Arc::new(Engine::new(reload::load_once(&directory, &store).unwrap(), 1 << 20));
        let reloads = Arc::new(Mutex::new(Vec::new()));
        let reloaded = {
            let (engine, reloads) = (Arc::clone(&engine), Arc::clone(&reloads));
            move |last: &LastReload| reloads.lock().unwrap().push((last.result, queues(&engine)))
        };
        let poll_interval = if matches!(notice, Notice::Poll) { SOON } else { NEVER };
        let options = ReloadOptions { directory: directory.clone(), store, poll_interval, debounce };
        let handle = match notice {
            Notice::Events => reload::start(Arc::clone(&engine), started, options, reloaded),
            Notice::Poll | Notice::Asked => reload::start_polling(Arc::clone(&engine), started, options, reloaded),
        };
        let running = Self { _temporary: temporary, root, store: directory, engine, handle: handle.unwrap(), reloads };
        running.take_first_look();
        running
    }

    /// What happens to the store from now on is noticed by events, polls or requests, not by the look at the start.
    fn take_first_look(&self) {
        self.handle.wake();
        self.eventually("loaded and looked", || self.reloads().len() > 1);
        let results: Vec<_> = self.reloads().into_iter().map(|(result, _)| result).collect();
        assert_eq!(results, [ReloadResult::Activated, ReloadResult::Unchanged]);
        self.reloads.lock().unwrap().clear();
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.store.join(path)
    }

    pub(crate) fn queues(&self) -> Vec<String> {
        queues(&self.engine)
    }

    pub(crate) fn version(&self) -> u64 {
        self.engine.load().snapshot.version
    }

    pub(crate) fn reloads(&self) -> Vec<Reload> {
        self.reloads.lock().unwrap().clone()
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.handle.status.load().stale_since.is_some()
    }

    /// The messages of the last reload.
    pub(crate) fn errors(&self) -> Vec<String> {
        let status = self.handle.status.load();
        let last = status.last_reload.as_ref();
        last.map(|last| last.errors.iter().map(ToString::to_string).collect()).unwrap_or_default()
    }

    /// Waits until these are the queues that the engine knows, and status says that they are what the store says.
    pub(crate) fn becomes(&self, expected: &[&str]) {
        self.eventually(&format!("{expected:?} are active"), || self.queues() == expected && !self.is_stale());
    }

    /// Waits until the store is rejected for such a reason, and checks that the active snapshot stayed.
    pub(crate) fn is_rejected(&self, reason: &str) {
        let before = (self.version(), self.queues());
        self.eventually(&format!("rejected: {reason}"), || {
            self.is_stale() && self.errors().iter().any(|error| error.contains(reason))
        });
        assert_eq!((self.version(), self.queues()), before, "the last good snapshot is kept");
    }

    /// Waits until it holds, ten seconds at most.
    pub(crate) fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            if started.elapsed() > Duration::from_secs(10) {
                let (reloads, status) = (self.reloads(), self.handle.status.load());
                panic!("never came true: {what}; active: {:?}; {reloads:?}; {status:?}", self.queues());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The names of the queues that the engine knows.
pub(crate) fn queues(engine: &Engine) -> Vec<String> {
    let active = engine.load();
    let names = active.snapshot.directory.resources.iter().filter_map(|(arn, _)| arn.rsplit(':').next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

/// A file that says that there is a queue.
pub(crate) fn queue(name: &str) -> String {
    format!("{{\"ResourceArn\": \"arn:aws:sqs:us-east-1:123456789012:{name}\"}}\n")
}

pub(crate) fn write(file: impl AsRef<Path>, name: &str) {
    fs::write(file, queue(name)).unwrap();
}

/// `ROOT/store` with one file, `a.json`, and one queue, `a1`.
pub(crate) fn one_file(root: &Path) {
    fs::create_dir(root.join("store")).unwrap();
    write(root.join("store/a.json"), "a1");
}

/// `b.json`, wrong, in a single step: nothing else is there to be seen.
pub(crate) fn put_bad_file(running: &Running) {
    fs::write(running.root.join("b.json"), "{").unwrap();
    fs::rename(running.root.join("b.json"), running.at("b.json")).unwrap();
}

/// Each way of noticing must notice it.
pub(crate) fn however_noticed(prepare: fn(&Path), check: fn(&Running)) {
    for notice in [Notice::Events, Notice::Poll] {
        check(&Running::start(notice, prepare));
    }
}
