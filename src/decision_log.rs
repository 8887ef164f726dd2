//! The decision log: one JSON line for each decision, written by one thread.
//!
//! A thread that serves copies a request's message, as it lies there, and what was decided into a queue; the writer reads the
//! message, masks what is not to be said, and writes. The queue is bounded, and what finds no room is counted and reported,
//! in the log itself too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue};

use crate::access::{Decision, Outcome, PolicyType};
use crate::config::DecisionLogOptions;
use crate::engine::CacheStatus;
use crate::snapshot::{Revision, Snapshot};

mod counts;
mod entry;
mod filter;
mod line;
mod lock;
mod mask;
mod origin;
mod queue;
pub mod read;
mod reserve;
mod rotate;
mod sink;
mod text;
mod writer;

use counts::Counts;
pub use counts::{Lost, Reading};
use entry::New;
use filter::Filter;
pub use origin::{Origin, trace_ids};
use queue::Queue;
use writer::Writer;

/// The log, as the threads that serve know it.
#[derive(Debug)]
pub struct DecisionLog {
    filter: Filter,
    statements: bool,
    /// Of calls that brought no id of their own.
    calls: AtomicU64,
    shared: Arc<Shared>,
    /// Until it begins.
    writer: Mutex<Option<Writer>>,
}

/// What the threads that serve share with the writer.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    counts: Counts,
    /// True once the writer has ended.
    ended: Mutex<bool>,
    end: Condvar,
}

/// Where among those of its call a request stands; says the method, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one of `IsAuthorized`.
    Alone,
    /// Position in a batch, from 0.
    Batch(u32),
    /// Id in a stream.
    Stream(u64),
}

/// What was decided, and by what.
#[derive(Clone, Copy, Debug)]
struct Decided {
    decision: Decision,
    decided_by: PolicyType,
    cache: CacheStatus,
    revision: Revision,
    version: u64,
    place: Place,
}

/// A decision that must not be given, since it could not be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlogged;

impl DecisionLog {
    /// Opens the log, as far as can be told without writing to it. `threads` is how many will serve. The error is for people.
    pub fn open(options: &DecisionLogOptions, threads: usize) -> Result<Arc<Self>, String> {
        let shared = Arc::new(Shared {
            queue: Queue::new(options.when_full, options.queue_bytes, threads),
            counts: Counts::default(),
            ended: Mutex::new(false),
            end: Condvar::new(),
        });
        let writer = Mutex::new(Some(writer::open(options, &shared)?));
        let filter = Filter::new(&options.filter);
        Ok(Arc::new(Self { filter, statements: options.statements, calls: AtomicU64::new(1), shared, writer }))
    }

    /// Begins to write. To be called when the service does what it is there for: one that cannot start leaves the log as it is.
    pub fn begin(&self) -> Result<(), String> {
        self.unbegun().map_or(Ok(()), Writer::start)
    }

    fn unbegun(&self) -> Option<Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Who asks, as their call says; and where a trace begins with the call, as that says.
    pub fn origin(&self, headers: &HeaderMap, peer: Option<&Arc<str>>, root: Option<HeaderValue>) -> Origin {
        Origin::new(headers, peer, root, || self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether statements are to be found out for every decision.
    pub fn wants_statements(&self) -> bool {
        self.statements
    }

    /// Logs what was decided about a request since `started`; an error if it must not be given then.
    pub fn record(&self, decided: &Made<'_>, started: Instant) -> Result<(), Unlogged> {
        let Made { outcome, cache, snapshot, message, origin, place } = *decided;
        if !self.filter.wants(outcome.decision, message) {
            return Ok(());
        }
        let at = Instant::now();
        let new = New {
            message,
            origin,
            decided: Decided {
                decision: outcome.decision,
                decided_by: outcome.decided_by,
                cache,
                revision: snapshot.revision,
                version: snapshot.version,
                place,
            },
            explanation: outcome.explanation.as_ref(),
            at,
            took: at.saturating_duration_since(started),
        };
        self.shared.queue.push(&new, &self.shared.counts)
    }

    /// Opens the file anew, before anything more is written: whoever rotates files has moved it away.
    pub fn reopen(&self) {
        self.shared.queue.ask_to_reopen();
    }

    /// Writes what waits, for as long as there is time. To be called when nothing more is decided.
    pub fn stop(&self, deadline: Instant) {
        let has_begun = self.unbegun().is_none();
        self.shared.queue.ask_to_stop();
        let mut ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while has_begun && !*ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                break;
            }
            ended = self.shared.end.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let unwritten = self.shared.queue.entries();
        if !*ended && unwritten > 0 {
            self.shared.counts.lost(Lost::Stopped, unwritten);
            tracing::error!(unwritten, "decisions were not logged: the decision log took too long at the end");
        }
    }

    /// What metrics read at a scrape.
    pub fn reading(&self) -> Reading {
        let Shared { queue, counts, .. } = &*self.shared;
        Reading {
            queue_entries: queue.entries(),
            queue_bytes: queue.held_bytes(),
            oldest_waits: queue.oldest_waits(),
            ..counts.reading()
        }
    }
}

/// A decision that is to be logged.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// What was decided.
    pub outcome: &'a Outcome,
    /// How the cache took part.
    pub cache: CacheStatus,
    /// What decided.
    pub snapshot: &'a Snapshot,
    /// The request, an `IsAuthorizedRequest`.
    pub message: &'a [u8],
    /// The call that it came in.
    pub origin: &'a Origin,
    /// Where in that call.
    pub place: Place,
}

/// Microseconds since 1970.
fn now_us() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
