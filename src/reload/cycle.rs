//! The loop of the reload thread: sleep, look, and install what is new and right. It ends only when told to.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::finding::Finding;
use crate::snapshot::{Loaded, Revision, Snapshot};

use super::build::{self, Build, Built, store_finding};
use super::source::{Fingerprint, Source, Trust};
use super::status::{LastReload, ReloadResult, SharedStatus, Status};
use super::wake::{Wake, Wakes, Woken};
use super::watch::Watch;
use super::{ReloadOptions, report};

/// How often the files are read until they rest, before giving up until the next wake-up.
const SETTLE_TRIES: usize = 20;

/// What the reload thread knows.
pub(super) struct Cycle<F> {
    pub(super) engine: Arc<Engine>,
    pub(super) options: ReloadOptions,
    /// Hears of every reload.
    pub(super) reloaded: F,
    pub(super) status: SharedStatus,
    pub(super) wakes: Arc<Wakes>,
    pub(super) watch: Watch,
    pub(super) source: Source,
    /// What was rejected last: a poll that finds it again says nothing. Never taken for accepted.
    pub(super) rejected: Option<Revision>,
}

/// What came of reading until the files rested.
enum Reading {
    /// They do.
    Settled(Box<Settled>),
    /// They never did.
    Restless,
    /// The thread is to end.
    Stopped,
}

/// The files at rest.
struct Settled {
    read: Fingerprint,
    /// What comes of them; None if they are what the active snapshot was made of.
    built: Option<Built>,
    /// The greatest wake until then.
    wake: Wake,
    /// When the last reading started.
    started: Instant,
}

/// What becomes of what was read, if the files rest.
enum Next<'s> {
    Patched(Box<Loaded>),
    Whole(Box<Build<'s>>),
}

impl Next<'_> {
    fn built(self, read: &Fingerprint) -> Built {
        match self {
            Self::Patched(loaded) => Ok(*loaded),
            Self::Whole(build) => build.finish(read),
        }
    }
}

impl<F: Fn(&LastReload)> Cycle<F> {
    /// The first look is for what changed between the load at the start and now, and arms the watch.
    pub(super) fn run(mut self) {
        let mut wake = Woken { wake: Wake::Poll, quiet: false };
        while wake.wake != Wake::Stop {
            // A fault of ours in one round (already printed by the panic hook) must not end all later ones.
            match catch_unwind(AssertUnwindSafe(|| self.look(wake))) {
                Ok(()) => self.looked(),
                Err(_) => {
                    tracing::error!("a reload failed by an internal error, the last good snapshot keeps answering");
                }
            }
            wake = self.next_wake();
        }
    }

    fn next_wake(&self) -> Woken {
        match self.wakes.within(self.options.poll_interval) {
            None => Woken { wake: Wake::Poll, quiet: false },
            Some(wake) => self.wakes.until_quiet(wake, self.options.debounce),
        }
    }

    fn look(&mut self, woken: Woken) {
        let mut before = None;
        if woken.wake == Wake::Poll {
            let Some(found) = self.news() else { return };
            before = Some(found);
        }
        let started = Instant::now();
        match self.settle(woken, before) {
            Reading::Settled(settled) => self.judge(*settled),
            Reading::Restless => {
                self.rejected = None;
                self.reject(vec![unsettled(started.elapsed())], started);
            }
            Reading::Stopped => {}
        }
    }

    /// What a poll finds, if that is to be looked at more closely.
    fn news(&mut self) -> Option<Revision> {
        // What is told of is seen now.
        self.watch.told();
        let found = self.source.fingerprint(Trust::Stamps);
        let came_in = self.watch.arm(&found.reach, false);
        let known = self.rejected.unwrap_or_else(|| self.active());
        if found.revision == self.active() {
            self.source.mark();
        }
        let is_news = came_in || found.revision != known || self.rejected.is_none() && self.is_stale();
        is_news.then_some(found.revision)
    }

    /// Reads until the files rest, so that several files written one after the other, or one written slowly, become one step.
    ///
    /// They rest when the file system has said nothing for a debounce before the reading, nor during it. Where its word is not to
    /// be had, or is about something else all the time, they rest when two readings in a row, a debounce apart, are equal.
    fn settle(&mut self, mut woken: Woken, mut before: Option<Revision>) -> Reading {
        for round in 0..SETTLE_TRIES {
            // A poll has read them already.
            if round > 0 || before.is_some() {
                woken = match self.hears(woken.wake) {
                    true => self.wakes.until_quiet(woken.wake, self.options.debounce),
                    false => self.wakes.pause(woken.wake, self.options.debounce),
                };
            }
            if woken.wake == Wake::Stop {
                self.wakes.ring(Wake::Stop);
                return Reading::Stopped;
            }
            let started = Instant::now();
            let active = self.engine.load_full();
            let told = self.watch.told();
            let trust = if self.hears(woken.wake) { Trust::Events } else { trust(woken.wake) };
            let (read, next) = self.read(&active.snapshot, trust, told.as_ref());
            let came_in = read.walked && self.watch.arm(&read.reach, true);
            let rests =
                before == Some(read.revision) || self.hears(woken.wake) && woken.quiet && !self.wakes.is_pending();
            if rests && !came_in {
                let is_news = read.revision != active.snapshot.revision && !self.is_known_as_wrong(&read, woken.wake);
                let built = is_news.then(|| next.built(&read));
                return Reading::Settled(Box::new(Settled { read, built, wake: woken.wake, started }));
            }
            before = Some(read.revision);
        }
        Reading::Restless
    }

    /// Reads what changed, if that is known and all there is to know; else all of the store.
    fn read<'s>(
        &mut self,
        active: &'s Snapshot,
        trust: Trust,
        told: Option<&BTreeSet<PathBuf>>,
    ) -> (Fingerprint, Next<'s>) {
        let told = told.filter(|_| trust == Trust::Events);
        let (directory, store) = (&active.directory, &self.options.store);
        let changes = told.and_then(|told| self.source.changes(told));
        let patched = changes.and_then(|it| Some((build::patch(directory, &active.warnings, &it, store)?, it.read)));
        if let Some((loaded, read)) = patched {
            return (read, Next::Patched(Box::new(loaded)));
        }
        let mut build = Build::after(directory, store);
        let read = self.source.read_told(trust, told, &mut build);
        (read, Next::Whole(Box::new(build)))
    }

    /// Whether the file system tells of every change, as it did of this one.
    fn hears(&self, wake: Wake) -> bool {
        wake == Wake::Event && self.watch.hears_everything()
    }

    fn is_known_as_wrong(&self, read: &Fingerprint, wake: Wake) -> bool {
        self.rejected == Some(read.revision) && wake != Wake::Asked
    }

    fn judge(&mut self, Settled { read, built, wake, started }: Settled) {
        if read.revision == self.active() {
            self.source.mark();
            let was_stale = self.is_stale();
            self.rejected = None;
            if was_stale || wake != Wake::Poll {
                report::unchanged(was_stale || wake == Wake::Asked);
                self.record(ReloadResult::Unchanged, Vec::new(), started);
            }
            return;
        }
        match built {
            None => {}
            Some(Ok(loaded)) => self.install(loaded, started),
            Some(Err(errors)) => {
                self.rejected = Some(read.revision);
                self.reject(errors, started);
            }
        }
    }

    fn install(&mut self, loaded: Loaded, started: Instant) {
        let active = self.engine.install(loaded);
        self.source.mark();
        self.rejected = None;
        self.activated(&active.snapshot, started);
    }

    pub(super) fn activated(&self, snapshot: &Snapshot, started: Instant) {
        report::activated(snapshot, started.elapsed());
        self.record(ReloadResult::Activated, Vec::new(), started);
    }

    fn reject(&self, errors: Vec<Finding>, started: Instant) {
        report::rejected(&errors, started.elapsed());
        self.record(ReloadResult::Rejected, errors, started);
    }

    fn record(&self, result: ReloadResult, errors: Vec<Finding>, started: Instant) {
        let at = jiff::Timestamp::now();
        let duration = started.elapsed();
        let stale_since = match result {
            ReloadResult::Rejected => self.status.load().stale_since.or(Some(at)),
            ReloadResult::Activated | ReloadResult::Unchanged => None,
        };
        let last_reload = Arc::new(LastReload { at, result, duration, errors });
        let status = Status { last_reload: Some(Arc::clone(&last_reload)), stale_since, looked_at: Some(at) };
        self.status.store(Arc::new(status));
        (self.reloaded)(&last_reload);
    }

    fn looked(&self) {
        let before = Status::clone(&self.status.load());
        self.status.store(Arc::new(Status { looked_at: Some(jiff::Timestamp::now()), ..before }));
    }

    fn active(&self) -> Revision {
        self.engine.load().snapshot.revision
    }

    fn is_stale(&self) -> bool {
        self.status.load().stale_since.is_some()
    }
}

/// Whoever asks wants to know it for sure.
fn trust(wake: Wake) -> Trust {
    match wake {
        Wake::Asked => Trust::Nothing,
        Wake::Poll | Wake::Event | Wake::Stop => Trust::Stamps,
    }
}

fn unsettled(waited: Duration) -> Finding {
    store_finding(
        "unsettled",
        format!("the files have kept changing for {:.1} s", waited.as_secs_f64()),
        "they are looked at again when they rest",
    )
}
