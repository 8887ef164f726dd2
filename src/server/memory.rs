//! Refuses calls before the memory runs out: whoever is killed for it answers nobody.
//!
//! A thread of its own looks at what is used, and so does whoever has read a lot; calls read one number when they come in, and when
//! they would keep a part of a long message: a thousand may be let in before any of them takes memory.

use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::{MemoryLimit, Overload};
use crate::metrics::Rpc;

mod usage;

use usage::Source;

/// How often it is looked, whatever is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// It is not looked before so much was read, which takes a thread a millisecond; a look takes a tenth of that.
const SHORTEST_STEP: u64 = 1 << 20;

/// The allocator gives a piece of this size pages of its own.
const OWN_PAGES_BYTES: usize = 1 << 20;

/// How tight memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tightness {
    /// Every call is taken.
    None,
    /// Batches and streams are refused, and parts of long messages: what they hold is large.
    High,
    /// Every call is refused.
    Critical,
}

impl Tightness {
    /// Whether such a call finds no room. Health always does.
    pub fn refuses(self, rpc: Rpc) -> bool {
        match self {
            Self::None => false,
            Self::High => matches!(rpc, Rpc::BatchIsAuthorized | Rpc::StreamIsAuthorized),
            Self::Critical => !rpc.is_health(),
        }
    }
}

/// How much memory is used, of how much. Written by whoever looks, read by calls and scrapes.
#[derive(Debug)]
pub struct Memory {
    source: Option<Source>,
    marks: Marks,
    used: AtomicU64,
    /// What was read from peers since then.
    read: AtomicU64,
    tightness: AtomicU8,
    /// Rings when that changes.
    changed: Notify,
}

/// From how many bytes on it is how tight.
#[derive(Clone, Copy, Debug)]
struct Marks {
    limit: u64,
    high: u64,
    critical: u64,
    /// It has to fall by so much below a mark to be less tight, so that not every look changes it.
    slack: u64,
}

impl Marks {
    fn new(limit: u64, high_percent: u8) -> Self {
        let hundredth = limit / 100;
        let high = hundredth * u64::from(high_percent);
        Self { limit, high, critical: high + (limit - high) / 2, slack: hundredth * 2 }
    }

    /// How much may be read until it has to be looked again: what is read takes up to twice its size, as what keeps it grows.
    fn step(&self, used: u64) -> u64 {
        (self.high.saturating_sub(used) / 2).max(SHORTEST_STEP)
    }

    fn tightness(&self, used: u64, before: Tightness) -> Tightness {
        let reached = |mark: u64, this: Tightness| {
            let mark = if before >= this { mark.saturating_sub(self.slack) } else { mark };
            used >= mark
        };
        if reached(self.critical, Tightness::Critical) {
            Tightness::Critical
        } else if reached(self.high, Tightness::High) {
            Tightness::High
        } else {
            Tightness::None
        }
    }
}

impl Memory {
    /// As the flags say; without a limit where none is known.
    pub fn new(options: &Overload) -> Self {
        let source = match options.memory {
            MemoryLimit::Auto => Source::cgroup(),
            MemoryLimit::Bytes(limit) => Some(Source::process(limit)),
            MemoryLimit::None => None,
        };
        let marks = Marks::new(source.as_ref().map_or(0, Source::limit), options.memory_high);
        let (used, read) = (AtomicU64::new(0), AtomicU64::new(0));
        let tightness = AtomicU8::new(Tightness::None as u8);
        Self { source, marks, used, read, tightness, changed: Notify::new() }
    }

    /// Looks from now on, as long as somebody else holds the memory.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        if self.source.is_none() {
            return Ok(());
        }
        self.look();
        let memory = Arc::downgrade(self);
        thread::Builder::new().name("iamd-memory".to_owned()).spawn(move || {
            while let Some(memory) = memory.upgrade() {
                memory.look();
                if memory.is_tight() {
                    give_back();
                }
                drop(memory);
                thread::sleep(INTERVAL);
            }
        })?;
        Ok(())
    }

    /// So much was read from peers, who may fill memory before the thread has its turn.
    pub fn note_read(&self, bytes: u64) {
        if self.source.is_none() {
            return;
        }
        let read = self.read.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if read >= self.marks.step(self.used()) {
            self.look();
        }
    }

    fn look(&self) {
        self.read.store(0, Ordering::Relaxed);
        let Some(used) = self.source.as_ref().and_then(Source::used) else { return };
        self.used.store(used, Ordering::Relaxed);
        let tightness = self.marks.tightness(used, self.tightness());
        // Two may look at a time: one of them reports what is new.
        if self.tightness.swap(tightness as u8, Ordering::Relaxed) != tightness as u8 {
            self.changed.notify_waiters();
            self.report(tightness, used);
        }
    }

    /// Ends when it is nearly used up.
    pub async fn runs_out(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // INVARIANT: it listens before it looks, or it might miss what happens in between.
            changed.as_mut().enable();
            if self.tightness() == Tightness::Critical {
                return;
            }
            changed.await;
        }
    }

    fn report(&self, tightness: Tightness, used: u64) {
        let limit = self.marks.limit;
        match tightness {
            Tightness::None => tracing::info!(used, limit, "memory is no longer tight: all calls are taken again"),
            Tightness::High => tracing::warn!(used, limit, "memory is tight: batches and streams are refused"),
            Tightness::Critical => tracing::error!(used, limit, "memory is nearly used up: all calls are refused"),
        }
    }

    /// How tight it is.
    pub fn tightness(&self) -> Tightness {
        match self.tightness.load(Ordering::Relaxed) {
            0 => Tightness::None,
            1 => Tightness::High,
            _ => Tightness::Critical,
        }
    }

    /// Whether some calls are refused.
    pub fn is_tight(&self) -> bool {
        self.tightness() != Tightness::None
    }

    /// Bytes that are used; 0 without a limit.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be used; 0: any.
    pub fn limit(&self) -> u64 {
        self.marks.limit
    }
}

/// Makes the allocator give back what is free. mimalloc does so a second after it became free, but only when somebody frees pages:
/// where all calls are refused nobody does, and memory would stay tight though nothing is held.
fn give_back() {
    let mut pages = Vec::<u8>::new();
    // Nothing is written to them, so they take no memory. Where there are none, there are none to free.
    pages.try_reserve_exact(OWN_PAGES_BYTES).ok();
    drop(black_box(pages));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tight_from_a_mark_on_until_well_below_it() {
        let marks = Marks::new(1_000, 90);
        let steps = [
            (899, Tightness::None),
            (900, Tightness::High),
            (881, Tightness::High),
            (949, Tightness::High),
            (950, Tightness::Critical),
            (931, Tightness::Critical),
            (929, Tightness::High),
            (950, Tightness::Critical),
            (1_200, Tightness::Critical),
            (879, Tightness::None),
            (899, Tightness::None),
        ];
        let mut now = Tightness::None;
        for (used, expected) in steps {
            now = marks.tightness(used, now);
            assert_eq!(now, expected, "{used}");
        }
    }

    #[test]
    fn it_is_looked_before_what_is_read_can_reach_the_mark() {
        let marks = Marks::new(200 << 20, 90);
        for (used_mib, step_mib) in [(0, 90), (100, 40), (160, 10), (179, 1), (185, 1), (300, 1)] {
            let step = marks.step(used_mib << 20);
            assert!(step.abs_diff(step_mib << 20) < 100, "{used_mib}: {step}");
        }
    }

    #[test]
    fn whoever_has_read_that_much_looks() {
        let options = Overload { queue_time: None, memory: MemoryLimit::Bytes(1 << 40), memory_high: 90 };
        let memory = Memory::new(&options);
        memory.note_read(memory.marks.step(0) - 1);
        assert_eq!(memory.used(), 0);
        memory.note_read(1);
        assert!(memory.used() > 1 << 20, "{}", memory.used());
        // From there on it is counted anew.
        memory.used.store(1, Ordering::Relaxed);
        memory.note_read(1);
        assert_eq!(memory.used(), 1);
    }

    #[test]
    fn large_calls_are_refused_first_and_health_never() {
        let refused =
            |tightness: Tightness| Rpc::ALL.into_iter().filter(|rpc| tightness.refuses(*rpc)).collect::<Vec<_>>();
        assert_eq!(refused(Tightness::None), []);
        assert_eq!(refused(Tightness::High), [Rpc::BatchIsAuthorized, Rpc::StreamIsAuthorized]);
        let taken = Rpc::ALL.into_iter().filter(|rpc| !Tightness::Critical.refuses(*rpc));
        assert_eq!(taken.collect::<Vec<_>>(), [Rpc::HealthCheck]);
    }

    #[test]
    fn what_this_process_uses_is_known() {
        let options = Overload { queue_time: None, memory: MemoryLimit::Bytes(1 << 20), memory_high: 90 };
        let memory = Memory::new(&options);
        assert_eq!((memory.limit(), memory.tightness()), (1 << 20, Tightness::None));
        memory.look();
        assert!(memory.used() > 1 << 20, "{}", memory.used());
        assert_eq!(memory.tightness(), Tightness::Critical);
    }
}
