//! What has become of decisions: written, or lost and why.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Why a decision was given and not logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The queue was full: decisions come faster than they are written.
    QueueFull,
    /// The queue was full, and stayed so for as long as is waited.
    BlockTimeout,
    /// It alone is larger than the queue.
    TooLarge,
    /// The queue was full, since nothing can be written.
    WriteFailed,
    /// It was not written before the service ended.
    Stopped,
    /// A fault of ours.
    Fault,
}

impl Lost {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::QueueFull, Self::BlockTimeout, Self::TooLarge, Self::WriteFailed, Self::Stopped, Self::Fault];

    /// The label, and the word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::BlockTimeout => "block_timeout",
            Self::TooLarge => "too_large",
            Self::WriteFailed => "write_failed",
            Self::Stopped => "stopped",
            Self::Fault => "fault",
        }
    }
}

/// How many were lost, by reason.
pub(super) type LostCounts = [u64; Lost::ALL.len()];

/// What metrics read at a scrape.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Decisions that were written.
    pub written: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Decisions that were lost, in the order of [`Lost::ALL`].
    pub lost: [u64; Lost::ALL.len()],
    /// Decisions that were not given, since they could not be logged.
    pub refused: u64,
    /// Decisions that wait.
    pub queue_entries: usize,
    /// Memory that they take.
    pub queue_bytes: usize,
    /// For how long the oldest of them has waited.
    pub oldest_waits: Duration,
    /// Whether the last attempt to write failed.
    pub failing: bool,
}

/// How often it is said that decisions are lost.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Relaxed throughout: no number guards other memory.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By the writer.
    written: AtomicU64,
    /// By the writer.
    bytes: AtomicU64,
    /// By all threads.
    lost: [AtomicU64; Lost::ALL.len()],
    /// By threads that serve.
    refused: AtomicU64,
    /// By the writer.
    failing: AtomicBool,
    /// When it was last said that decisions are lost, in seconds since 1970. By all threads.
    complained_at: AtomicU64,
}

impl Counts {
    /// Counts decisions that are given and not logged, and says so now and then.
    pub(super) fn lost(&self, why: Lost, decisions: usize) {
        if let Some(count) = self.lost.get(why as usize) {
            count.fetch_add(u64::try_from(decisions).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if self.may_complain() {
            let total: u64 = self.lost_so_far().iter().sum();
            tracing::warn!(reason = why.as_str(), total, "decisions are missing in the decision log");
        }
    }

    /// Counts a decision that is not given.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if self.may_complain() {
            let total = self.refused.load(Ordering::Relaxed);
            tracing::warn!(total, "requests are refused: their decisions cannot be logged");
        }
    }

    fn may_complain(&self) -> bool {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
        let last = self.complained_at.load(Ordering::Relaxed);
        // A clock that was set back must not silence it.
        let due = now.abs_diff(last) >= COMPLAINT_INTERVAL.as_secs();
        due && self.complained_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn lost_so_far(&self) -> LostCounts {
        std::array::from_fn(|index| self.lost.get(index).map_or(0, |count| count.load(Ordering::Relaxed)))
    }

    pub(super) fn wrote(&self, decisions: u64, bytes: usize) {
        self.written.fetch_add(decisions, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the last attempt to write failed; says what was so before.
    pub(super) fn set_failing(&self, failing: bool) -> bool {
        self.failing.swap(failing, Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// All but what the queue holds.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            written: self.written.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            lost: self.lost_so_far(),
            refused: self.refused.load(Ordering::Relaxed),
            failing: self.is_failing(),
            ..Reading::default()
        }
    }
}
