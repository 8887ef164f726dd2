//! When the next request is due. Time is in nanoseconds since the run began, and comes from the caller.

/// The pace of a run.
#[derive(Clone, Debug)]
pub enum Pace {
    /// As soon as an answer makes room: so many at a time. A service that stalls is asked less, so its stall hardly shows:
    /// good for throughput, and for the latency of a caller that waits, not of one that does not.
    Closed,
    /// At fixed times, whatever the service does. Latency counts from the time at which a request was due, not from when it
    /// could be sent: a stall is felt by everything that falls into it (no coordinated omission).
    Open(Schedule),
}

/// Evenly spaced times.
#[derive(Clone, Debug)]
pub struct Schedule {
    per_second: f64,
    taken: u64,
}

impl Schedule {
    pub fn new(per_second: f64) -> Self {
        Self { per_second, taken: 0 }
    }

    /// When the next request is due. Computed from the start, so that nothing adds up.
    fn next(&self) -> u64 {
        (self.taken as f64 * 1e9 / self.per_second) as u64
    }
}

impl Pace {
    /// Takes a request that is due by now, and says since when.
    pub fn take(&mut self, now: u64) -> Option<u64> {
        match self {
            Self::Closed => Some(now),
            Self::Open(schedule) => {
                let due = schedule.next();
                (due <= now).then(|| {
                    schedule.taken += 1;
                    due
                })
            }
        }
    }

    /// How long nothing will be due; `None` if only an answer makes something due.
    pub fn idle(&self, now: u64) -> Option<u64> {
        match self {
            Self::Closed => None,
            Self::Open(schedule) => Some(schedule.next().saturating_sub(now)),
        }
    }

    /// The last moment at which something was due and is not taken: what is due before `end` is still owed.
    pub fn owes(&self, end: u64) -> bool {
        match self {
            Self::Closed => false,
            Self::Open(schedule) => schedule.next() < end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::record::histogram;

    /// A service that takes 100 us for each request, one at a time, and stands still from second 1 to second 2; a client
    /// with one call at a time. Gives the latencies of five seconds, in virtual time.
    fn latencies(mut pace: Pace) -> Vec<u64> {
        const TAKES: u64 = 100_000;
        const SECOND: u64 = 1_000_000_000;
        let mut now = 0;
        let mut latencies = Vec::new();
        while now < 5 * SECOND {
            let Some(since) = pace.take(now) else {
                now += pace.idle(now).unwrap();
                continue;
            };
            if (SECOND..2 * SECOND).contains(&now) {
                now = 2 * SECOND;
            }
            now += TAKES;
            latencies.push(now - since);
        }
        latencies
    }

    #[test]
    fn a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() {
        let at = |latencies: &[u64], quantile: f64| {
            let mut histogram = histogram();
            latencies.iter().for_each(|latency| histogram.saturating_record(*latency));
            histogram.value_at_quantile(quantile) / 1000
        };
        let closed = latencies(Pace::Closed);
        assert_eq!(closed.len(), 40_000, "4 seconds of service");
        assert!(at(&closed, 0.999) < 101, "only one request noticed");

        let open = latencies(Pace::Open(Schedule::new(1000.0)));
        assert_eq!(open.len(), 5000, "every request that was due");
        assert!(at(&open, 0.5) < 101);
        // A second of five, and the tenth of a second that catching up takes: the worst 22 %.
        assert!((80_000..130_000).contains(&at(&open, 0.8)), "{} us", at(&open, 0.8));
        assert!((450_000..600_000).contains(&at(&open, 0.89)), "{} us", at(&open, 0.89));
        assert!(at(&open, 0.999) > 980_000, "{} us", at(&open, 0.999));
        // The request that was due when it began waited for all of it.
        assert_eq!(open.iter().max(), Some(&1_000_100_000));
    }

    #[test]
    fn a_schedule_owes_what_was_due_before_the_end() {
        let mut pace = Pace::Open(Schedule::new(10.0));
        assert_eq!(pace.idle(0), Some(0));
        assert_eq!(pace.take(0), Some(0));
        assert_eq!((pace.take(99_999_999), pace.idle(99_999_999)), (None, Some(1)));
        assert_eq!(pace.take(500_000_000), Some(100_000_000), "since when it was due, however late");
        assert!(pace.owes(200_000_001));
        assert!(!pace.owes(200_000_000));
        assert!(!Pace::Closed.owes(u64::MAX));
    }
}
