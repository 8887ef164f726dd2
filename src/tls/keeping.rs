//! Looks at the files again: at every poll, when the file system reports something, and when asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::files::Reading;
use super::{Endpoint, Endpoints};
use crate::reload::{ReloadResult, is_change};

/// How often files are read until they rest, before giving up until the next look.
const SETTLE_TRIES: usize = 20;

const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// How often to look.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whatever the file system reports.
    pub poll_interval: Duration,
    /// How long files must stay the same: the two of a pair are written one after the other.
    pub debounce: Duration,
}

/// The way to who looks at the files.
#[derive(Clone, Debug)]
pub struct Keeping(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    bell: Notify,
    asked: AtomicBool,
}

impl Keeping {
    /// Looks now, and says what came of it even if nothing changed (SIGHUP).
    pub fn wake(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
        self.0.bell.notify_one();
    }
}

/// Keeps endpoints up to date with their files, until the runtime ends. `reloaded` hears of each attempt, after the
/// endpoint shows it.
pub fn keep(
    endpoints: &Endpoints,
    options: Options,
    reloaded: impl Fn(&Endpoint, ReloadResult) + Send + 'static,
) -> Keeping {
    let wish = Arc::new(Wish::default());
    let endpoints: Vec<Arc<Endpoint>> = endpoints.iter().cloned().collect();
    if !endpoints.is_empty() {
        tokio::spawn(run(endpoints, options, Arc::clone(&wish), reloaded));
    }
    Keeping(wish)
}

async fn run(
    endpoints: Vec<Arc<Endpoint>>,
    options: Options,
    wish: Arc<Wish>,
    reloaded: impl Fn(&Endpoint, ReloadResult),
) {
    let _watcher = watch(&endpoints, &wish);
    loop {
        let asked = wish.asked.swap(false, Ordering::Relaxed);
        for endpoint in &endpoints {
            if let Some(result) = look(endpoint, asked, options.debounce).await {
                report(endpoint, result);
                reloaded(endpoint, result);
            }
        }
        let rung = tokio::time::timeout(options.poll_interval, wish.bell.notified()).await.is_ok();
        if rung {
            // Writers are rarely done with the first event; and in a busy folder this is not to be a busy loop.
            tokio::time::sleep(options.debounce.max(LEAST_PAUSE)).await;
        }
    }
}

/// Reads until two readings in a row are equal. None if there is nothing new.
async fn look(endpoint: &Arc<Endpoint>, asked: bool, debounce: Duration) -> Option<ReloadResult> {
    let mut before = None;
    for _ in 0..SETTLE_TRIES {
        let reading = read(endpoint).await?;
        if !asked && !endpoint.is_news(&reading, Timestamp::now()) {
            return None;
        }
        if before == Some(reading.digest) {
            let endpoint = Arc::clone(endpoint);
            // An error is a fault of ours, which the panic hook has printed.
            return spawn_blocking(move || endpoint.judge(reading, Timestamp::now())).await.ok();
        }
        before = Some(reading.digest);
        tokio::time::sleep(debounce).await;
    }
    None
}

async fn read(endpoint: &Arc<Endpoint>) -> Option<Reading> {
    let endpoint = Arc::clone(endpoint);
    spawn_blocking(move || endpoint.read()).await.ok()
}

fn report(endpoint: &Endpoint, result: ReloadResult) {
    let listener = endpoint.listener.as_str();
    let active = endpoint.active();
    let (subject, not_after) = (&active.certificate.subject, active.not_after);
    let fingerprint = &active.certificate.fingerprint;
    match (result, endpoint.trouble()) {
        (ReloadResult::Activated, _) => {
            tracing::info!(listener, subject, %not_after, fingerprint, "certificate activated");
        }
        (ReloadResult::Rejected, Some(trouble)) => {
            let (file, error) = (&trouble.error.file, &trouble.error.message);
            let hint = trouble.error.hint.as_deref();
            tracing::error!(listener, file, error, hint, %not_after, "certificate refused, the last good one goes on");
        }
        (ReloadResult::Rejected, None) | (ReloadResult::Unchanged, _) => {
            tracing::info!(listener, %not_after, fingerprint, "certificate looked at, it is the active one");
        }
    }
}

// --- the file system's word -----------------------------------------------------------------------------------------

/// Rings when something happens beside one of the files. Only ever a hint: the poll is the guarantee.
fn watch(endpoints: &[Arc<Endpoint>], wish: &Arc<Wish>) -> Option<RecommendedWatcher> {
    let wish = Arc::clone(wish);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event)) {
            wish.bell.notify_one();
        }
    });
    let mut watcher = watcher
        .map_err(|error| tracing::warn!(%error, "no file events, changes of certificates are noticed by polling alone"))
        .ok()?;
    for folder in folders(endpoints) {
        if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
            let folder = folder.display();
            tracing::warn!(%error, %folder, "cannot watch a folder of certificates, polling instead");
        }
    }
    Some(watcher)
}

/// The kubelet swaps a link beside the files, so the folder that the flag names is the right one.
fn folders(endpoints: &[Arc<Endpoint>]) -> BTreeSet<PathBuf> {
    let files = endpoints.iter().flat_map(|endpoint| {
        let options = &endpoint.options;
        [Some(&options.cert), Some(&options.key), options.client_ca.as_ref()].into_iter().flatten()
    });
    let folder = |file: &PathBuf| match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    files.map(folder).collect()
}
