//! Why the reload thread wakes up, and where it sleeps until then.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A reason to look at the files; of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// The poll interval passed.
    Poll,
    /// The file system says that something happened.
    Event,
    /// Somebody asks for it (SIGHUP).
    Asked,
    /// The thread is to end.
    Stop,
}

/// Why the thread goes on after it has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Woken {
    /// The greatest wake that came.
    pub(super) wake: Wake,
    /// Whether none came for as long as was asked for.
    pub(super) quiet: bool,
}

/// Holds the greatest wake that has not been taken. However many events arrive, it takes no more room.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    pending: Mutex<Option<Wake>>,
    bell: Condvar,
}

impl Wakes {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes the thread. Whether nothing was pending before.
    pub(super) fn ring(&self, wake: Wake) -> bool {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let first = pending.is_none();
        *pending = (*pending).max(Some(wake));
        self.bell.notify_one();
        first
    }

    /// Sleeps until something is pending, at most this long, and takes it.
    pub(super) fn within(&self, timeout: Duration) -> Option<Wake> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(pending, timeout, |pending| pending.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    /// Whether something is pending.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Sleeps until nothing has come for `quiet`, at most ten times as long; the greatest wake that came, or `wake`.
    pub(super) fn until_quiet(&self, wake: Wake, quiet: Duration) -> Woken {
        self.gather(wake, quiet, quiet.saturating_mul(10))
    }

    /// Sleeps for the whole time, unless told to stop; the greatest wake that came, or `wake`.
    pub(super) fn pause(&self, wake: Wake, time: Duration) -> Woken {
        self.gather(wake, time, time)
    }

    fn gather(&self, mut wake: Wake, quiet: Duration, most: Duration) -> Woken {
        let started = Instant::now();
        loop {
            let left = most.saturating_sub(started.elapsed());
            if wake == Wake::Stop || left.is_zero() {
                return Woken { wake, quiet: quiet.is_zero() };
            }
            match self.within(quiet.min(left)) {
                Some(more) => wake = wake.max(more),
                None => return Woken { wake, quiet: quiet <= left },
            }
        }
    }
}
