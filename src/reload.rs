//! Files become the next snapshot, while the active one answers.
//!
//! A thread of its own sleeps until the file system says that something happened, somebody asks, or the poll interval
//! passes. Then: [`source`] reads what changed, until the files rest; [`Build`] makes a directory of
//! it, or says everything that is wrong; the engine swaps it in. What is wrong leaves the last good snapshot in place,
//! and shows in [`Status`], metrics and log.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::directory::StoreOptions;
use crate::engine::Engine;

pub mod build;
mod cycle;
mod report;
pub mod source;
pub mod status;
mod wake;
mod watch;

pub use self::build::{Build, Built, load_once, load_with_written, patch};
pub use self::status::{LastReload, ReloadResult, SharedStatus, Status};
pub use self::watch::is_change;

use cycle::Cycle;
use source::Source;
use wake::{Wake, Wakes};
use watch::Watch;

/// More often would be a busy loop.
const SHORTEST_POLL: Duration = Duration::from_millis(10);
/// Whoever waits longer than this for writers to rest does not want to reload.
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(60);

/// How a store is kept up to date.
#[derive(Clone, Debug)]
pub struct ReloadOptions {
    /// The policy store.
    pub directory: PathBuf,
    /// How it is read.
    pub store: StoreOptions,
    /// How often to look whatever the file system says; at least 10 ms.
    pub poll_interval: Duration,
    /// How long nothing must have happened before the files are read, and how long they must then stay the same; at
    /// most a minute.
    pub debounce: Duration,
}

/// The way to the reload thread. The thread goes on when all handles are dropped; [`ReloadHandle::stop`] ends it.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    /// How reloading stands.
    pub status: SharedStatus,
    wakes: Arc<Wakes>,
}

impl ReloadHandle {
    /// Looks at the files now, and builds them even if they were rejected before (SIGHUP).
    pub fn wake(&self) {
        self.wakes.ring(Wake::Asked);
    }

    /// Ends the thread as soon as it is done with what it does. Does not wait for it.
    pub fn stop(&self) {
        self.wakes.ring(Wake::Stop);
    }
}

/// Keeps the engine's snapshot up to date with a directory, from a thread of its own.
///
/// The snapshot that the engine has is the first reload, begun at `loading_since`: it stands in status and log like
/// those to come. `reloaded` hears of it here, and of later ones on the reload thread; after engine and status show them.
pub fn start(
    engine: Arc<Engine>,
    loading_since: Instant,
    options: ReloadOptions,
    reloaded: impl Fn(&LastReload) + Send + 'static,
) -> io::Result<ReloadHandle> {
    let wakes = Wakes::new();
    let watch = Watch::new(Arc::clone(&wakes));
    spawn(engine, loading_since, options, reloaded, wakes, watch)
}

/// As [`start`], but notices changes by polling alone: for file systems that do not report them.
pub fn start_polling(
    engine: Arc<Engine>,
    loading_since: Instant,
    options: ReloadOptions,
    reloaded: impl Fn(&LastReload) + Send + 'static,
) -> io::Result<ReloadHandle> {
    spawn(engine, loading_since, options, reloaded, Wakes::new(), Watch::nothing())
}

fn spawn(
    engine: Arc<Engine>,
    loading_since: Instant,
    mut options: ReloadOptions,
    reloaded: impl Fn(&LastReload) + Send + 'static,
    wakes: Arc<Wakes>,
    watch: Watch,
) -> io::Result<ReloadHandle> {
    options.poll_interval = options.poll_interval.max(SHORTEST_POLL);
    options.debounce = options.debounce.min(LONGEST_DEBOUNCE);
    let status = SharedStatus::default();
    let source = Source::new(&options.directory);
    let handle = ReloadHandle { status: Arc::clone(&status), wakes: Arc::clone(&wakes) };
    let cycle = Cycle { engine, options, reloaded, status, wakes, watch, source, rejected: None };
    cycle.activated(&cycle.engine.load().snapshot, loading_since);
    thread::Builder::new().name("iamd-reload".to_owned()).spawn(move || cycle.run())?;
    Ok(handle)
}
