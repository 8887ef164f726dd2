//! Refuses calls before the memory runs out: whoever is killed for it answers nobody.
//!
//! A thread of its own looks at what is used; calls read one number.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::config::{MemoryLimit, Overload};
use crate::metrics::Rpc;

mod usage;

use usage::Source;

/// How often it is looked: at 1 GB/s, more than loopback gives one thread, 100 MB can come in between.
const INTERVAL: Duration = Duration::from_millis(100);

/// How tight memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tightness {
    /// Every call is taken.
    None,
    /// Batches and streams are refused: what they hold is large.
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

/// How much memory is used, of how much. Written by one thread, read by calls and scrapes.
#[derive(Debug)]
pub struct Memory {
    source: Option<Source>,
    marks: Marks,
    used: AtomicU64,
    tightness: AtomicU8,
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
        Self { source, marks, used: AtomicU64::new(0), tightness: AtomicU8::new(Tightness::None as u8) }
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
                drop(memory);
                thread::sleep(INTERVAL);
            }
        })?;
        Ok(())
    }

    fn look(&self) {
        let Some(used) = self.source.as_ref().and_then(Source::used) else { return };
        self.used.store(used, Ordering::Relaxed);
        let before = self.tightness();
        let tightness = self.marks.tightness(used, before);
        if tightness != before {
            self.tightness.store(tightness as u8, Ordering::Relaxed);
            self.report(tightness, used);
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

    /// Bytes that are used; 0 without a limit.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be used; 0: any.
    pub fn limit(&self) -> u64 {
        self.marks.limit
    }
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
