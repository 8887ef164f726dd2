//! Whether the service wants calls: a latch that only moves forward.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the service stands. A bad file after the first snapshot changes nothing here: the last good snapshot serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No snapshot is active yet.
    Starting,
    /// A snapshot is active.
    Ready,
    /// The service is stopping.
    Draining,
}

/// The latch. Written by the start and by the signal, read by probes.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// The first snapshot is active.
    pub fn ready(&self) {
        self.0.fetch_max(Stage::Ready as u8, Ordering::AcqRel);
    }

    /// The service is stopping.
    pub fn drain(&self) {
        self.0.fetch_max(Stage::Draining as u8, Ordering::AcqRel);
    }

    /// Where the service stands.
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_moves_forward() {
        let readiness = Readiness::default();
        assert_eq!(readiness.stage(), Stage::Starting);
        readiness.ready();
        assert_eq!(readiness.stage(), Stage::Ready);
        readiness.drain();
        readiness.ready();
        assert_eq!(readiness.stage(), Stage::Draining);
    }
}
