//! The only mutable cell: the active snapshot with its cache.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quanta::Clock;

use crate::access::{AccessRequest, Detail, InvalidField, Outcome};
use crate::cache::{DecisionCache, Key};
use crate::evaluate::{self, Evaluation, LastCaller, SessionPolicies};
use crate::snapshot::{Loaded, Snapshot};

mod retire;
mod sessions;

use retire::Retirement;
use sessions::CompiledSessions;

/// Compiled session policies may take this part of what decisions may.
const SESSIONS_DIVISOR: usize = 4;

/// A snapshot that serves, and what it has decided so far.
#[derive(Debug)]
pub struct Active {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Its decisions.
    pub cache: DecisionCache,
    /// Shared with the snapshots before and after.
    sessions: Arc<CompiledSessions>,
    /// Times evaluation.
    clock: Clock,
    /// Counts it among the living.
    _live: Live,
}

/// How the cache took part in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// The outcome was remembered.
    Hit,
    /// It was not, and is now.
    Miss,
    /// It may not be remembered: it depends on the clock, or there is no cache.
    Bypass,
}

impl CacheStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Bypass];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// An outcome and how it came about.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was decided.
    pub outcome: Outcome,
    /// How the cache took part.
    pub cache: CacheStatus,
    /// How long evaluation took; None on a hit.
    pub evaluation: Option<Duration>,
}

impl Answer {
    /// Of the cache.
    pub fn remembered(outcome: Outcome) -> Self {
        Self { outcome, cache: CacheStatus::Hit, evaluation: None }
    }
}

impl Active {
    /// Decides, and remembers it by this key, which must be the request's. A session policy that does not parse is an error.
    pub fn decide_and_remember<'s, 'm>(
        &'s self,
        request: &AccessRequest<'m>,
        detail: Detail,
        key: &Key<'_>,
        last: &mut LastCaller<'s, 'm>,
    ) -> Result<Answer, InvalidField> {
        let (answer, read_clock) = self.decide(request, detail, last)?;
        if read_clock || !self.cache.is_enabled() {
            return Ok(answer);
        }
        self.cache.insert(key, &answer.outcome);
        Ok(Answer { cache: CacheStatus::Miss, ..answer })
    }

    /// Decides past the cache; also whether the clock was looked at.
    fn decide<'s, 'm>(
        &'s self,
        request: &AccessRequest<'m>,
        detail: Detail,
        last: &mut LastCaller<'s, 'm>,
    ) -> Result<(Answer, bool), InvalidField> {
        if request.session_policies.is_empty() {
            return Ok(self.decide_within(request, &SessionPolicies::default(), detail, last));
        }
        let session = self.sessions.get(request.session_policies)?;
        Ok(self.decide_within(request, &session, detail, last))
    }

    fn decide_within<'s, 'm>(
        &'s self,
        request: &AccessRequest<'m>,
        session: &SessionPolicies,
        detail: Detail,
        last: &mut LastCaller<'s, 'm>,
    ) -> (Answer, bool) {
        let started = self.clock.raw();
        let Evaluation { outcome, read_clock } =
            evaluate::decide_next(&self.snapshot, request, session, &jiff::Timestamp::now, detail, last);
        let evaluation = Some(self.clock.delta(started, self.clock.raw()));
        (Answer { outcome, cache: CacheStatus::Bypass, evaluation }, read_clock)
    }
}

/// Holds the active snapshot; requests load it once, a reload swaps it.
#[derive(Debug)]
pub struct Engine {
    active: ArcSwap<Active>,
    sessions: Arc<CompiledSessions>,
    /// What the caches of old snapshots have evicted while they were active. Written by `install`, read for metrics.
    evicted_before: AtomicU64,
    /// Written when a snapshot is made and when it is freed, read for metrics.
    live: Arc<AtomicUsize>,
    /// Locked by `install` alone, so that versions follow each other; no request ever waits for it.
    retirement: Mutex<Retirement>,
}

impl Engine {
    /// An engine with its first snapshot, version 1, and a cache of this many bytes (0: none) per snapshot. Compiled session
    /// policies are remembered besides, over all snapshots, in a quarter of that.
    pub fn new(loaded: Loaded, cache_bytes: usize) -> Self {
        let live = Arc::new(AtomicUsize::new(0));
        let sessions = Arc::new(CompiledSessions::new(cache_bytes / SESSIONS_DIVISOR));
        let active = ArcSwap::from_pointee(activate(loaded, 1, DecisionCache::new(cache_bytes), &sessions, &live));
        let evicted_before = AtomicU64::new(0);
        Self { active, sessions, evicted_before, live, retirement: Mutex::new(Retirement::new()) }
    }

    /// The active snapshot, cheaply: for one request, dropped before anything is awaited.
    pub fn load(&self) -> arc_swap::Guard<Arc<Active>> {
        self.active.load()
    }

    /// The active snapshot, to be kept over several requests.
    pub fn load_full(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Makes this the active snapshot, in one step. Requests that hold the old one finish with it; it is freed on a
    /// thread of its own when the last of them is done.
    pub fn install(&self, loaded: Loaded) -> Arc<Active> {
        let mut retirement = self.retirement.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.active.load();
        let version = before.snapshot.version.saturating_add(1);
        let next = Arc::new(activate(loaded, version, before.cache.successor(), &self.sessions, &self.live));
        drop(before);
        let old = self.active.swap(Arc::clone(&next));
        self.evicted_before.fetch_add(old.cache.evictions(), Ordering::Relaxed);
        retirement.retire(old);
        next
    }

    /// How many outcomes caches have evicted since the start. Between a swap and its count it is too low for a moment.
    pub fn cache_evictions(&self) -> u64 {
        self.evicted_before.load(Ordering::Relaxed) + self.active.load().cache.evictions()
    }

    /// How many snapshots exist: the active one, and old ones that are still held.
    pub fn snapshots_live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

fn activate(
    loaded: Loaded,
    version: u64,
    cache: DecisionCache,
    sessions: &Arc<CompiledSessions>,
    live: &Arc<AtomicUsize>,
) -> Active {
    let (snapshot, sessions) = (loaded.into_snapshot(version), Arc::clone(sessions));
    Active { snapshot, cache, sessions, clock: Clock::new(), _live: Live::new(live) }
}

/// One living snapshot.
#[derive(Debug)]
struct Live {
    count: Arc<AtomicUsize>,
}

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count: Arc::clone(count) }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        #[cfg(test)]
        tests::freed_here();
    }
}

#[cfg(test)]
mod tests;
