//! The loop of the reload thread: sleep, look, and install what is new and right. It ends only when told to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::finding::{Finding, Position, Severity, WHOLE_STORE};
use crate::snapshot::{Loaded, Revision, Snapshot};

use super::build::{build, loaded};
use super::source::SourceFiles;
use super::status::{LastReload, ReloadResult, SharedStatus, Status};
use super::wake::{Wake, Wakes};
use super::watch::Watch;
use super::{ReloadOptions, report};

/// How often the files are read in search of two equal readings, before giving up until the next wake-up.
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
    /// What was rejected last: a poll that finds it again says nothing. Never taken for accepted.
    pub(super) rejected: Option<Revision>,
}

/// What came of reading until two readings are equal.
enum Reading {
    /// They are.
    Settled(Settled),
    /// They never were.
    Restless,
    /// The thread is to end.
    Stopped,
}

/// The last of two equal readings.
struct Settled {
    files: SourceFiles,
    /// The greatest wake until it.
    wake: Wake,
    /// When it started.
    started: Instant,
}

impl<F: Fn(&LastReload)> Cycle<F> {
    /// The first look is for what changed between the load at the start and now, and arms the watch.
    pub(super) fn run(mut self) {
        let mut wake = Wake::Poll;
        while wake != Wake::Stop {
            // A fault of ours in one round (already printed by the panic hook) must not end all later ones.
            if catch_unwind(AssertUnwindSafe(|| self.look(wake))).is_err() {
                tracing::error!("a reload failed by an internal error, the last good snapshot keeps answering");
            }
            wake = self.next_wake();
        }
    }

    fn next_wake(&self) -> Wake {
        match self.wakes.within(self.options.poll_interval) {
            None => Wake::Poll,
            Some(wake) => self.wakes.until_quiet(wake, self.options.debounce),
        }
    }

    fn look(&mut self, wake: Wake) {
        if wake == Wake::Poll && !self.finds_news() {
            return;
        }
        let started = Instant::now();
        match self.settle(wake) {
            Reading::Settled(settled) => self.judge(settled),
            Reading::Restless => {
                self.rejected = None;
                self.reject(vec![unsettled(started.elapsed())], started);
            }
            Reading::Stopped => {}
        }
    }

    /// Whether a poll finds anything to look at more closely.
    fn finds_news(&mut self) -> bool {
        let found = SourceFiles::fingerprint(&self.options.directory);
        let came_in = self.watch.arm(found.reach, false);
        let known = self.rejected.unwrap_or_else(|| self.active());
        came_in || found.revision != known || self.rejected.is_none() && self.is_stale()
    }

    /// Reads until two readings in a row, a debounce apart, are equal: so that several files written one after the
    /// other, or one written slowly, become one step.
    fn settle(&mut self, mut wake: Wake) -> Reading {
        let mut before = None;
        for _ in 0..SETTLE_TRIES {
            let started = Instant::now();
            let files = SourceFiles::read(&self.options.directory);
            let came_in = self.watch.arm(files.reach.clone(), true);
            if before == Some(files.revision) && !came_in {
                return Reading::Settled(Settled { files, wake, started });
            }
            before = Some(files.revision);
            drop(files);
            wake = self.wakes.pause(wake, self.options.debounce);
            if wake == Wake::Stop {
                self.wakes.ring(Wake::Stop);
                return Reading::Stopped;
            }
        }
        Reading::Restless
    }

    fn judge(&mut self, Settled { files, wake, started }: Settled) {
        if files.revision == self.active() {
            let was_stale = self.is_stale();
            self.rejected = None;
            if was_stale || wake != Wake::Poll {
                report::unchanged(was_stale || wake == Wake::Asked);
                self.record(ReloadResult::Unchanged, Vec::new(), started);
            }
            return;
        }
        if self.rejected == Some(files.revision) && wake != Wake::Asked {
            return;
        }
        let revision = files.revision;
        match guarded(|| build(&files, &self.options.store).map(|built| loaded(&files, built))) {
            Ok(loaded) => {
                drop(files);
                self.install(loaded, started);
            }
            Err(errors) => {
                self.rejected = Some(revision);
                self.reject(errors, started);
            }
        }
    }

    fn install(&mut self, loaded: Loaded, started: Instant) {
        let active = self.engine.install(loaded);
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
        self.status.store(Arc::new(Status { last_reload: Some(Arc::clone(&last_reload)), stale_since }));
        (self.reloaded)(&last_reload);
    }

    fn active(&self) -> Revision {
        self.engine.load().snapshot.revision
    }

    fn is_stale(&self) -> bool {
        self.status.load().stale_since.is_some()
    }
}

/// A fault of ours in building refuses the files, as theirs do.
fn guarded<T>(build: impl FnOnce() -> Result<T, Vec<Finding>>) -> Result<T, Vec<Finding>> {
    catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err(vec![internal_error()]))
}

fn internal_error() -> Finding {
    store_finding(
        "internal-error",
        "the files cannot be loaded because of a fault in this program".to_owned(),
        "please report it, with the log's lines before this one",
    )
}

fn unsettled(waited: Duration) -> Finding {
    store_finding(
        "unsettled",
        format!("the files have kept changing for {:.1} s", waited.as_secs_f64()),
        "they are looked at again when they rest",
    )
}

fn store_finding(code: &'static str, message: String, hint: &str) -> Finding {
    let hint = Some(hint.to_owned());
    Finding { file: WHOLE_STORE.into(), position: Position::START, severity: Severity::Error, code, message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_building_is_a_finding() {
        let built: Result<(), _> = guarded(|| panic!("a fault, on purpose"));
        let errors = built.unwrap_err();
        assert_eq!(errors[0].message, "the files cannot be loaded because of a fault in this program");
    }
}
