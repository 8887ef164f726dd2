//! How long calls wait for their turn.
//!
//! Calls are answered in the turn in which they are read, so what there is of a queue lies in sockets, and in what one
//! turn has read. When a call arrived is not known, but not before the connection was last read until nothing was left,
//! nor before the thread last had nothing to do, nor longer ago than one turn of the thread takes: that long it has waited
//! at most. How long a turn takes is measured by a task that does nothing but stand in line, now and then. The time is
//! what the last call to begin or to end has read of the clock, so that this costs no look at it.
//!
//! A call that is late may be the trace of a pause (a container's CPU quota, a neighbour). Only if every call has been
//! late for a while is there more to do than can be done. Then some are refused. Refusing takes time too, which the
//! others need, so there is a limit to that: what is left waits, and clients have limits of their own to what they send
//! (`--max-streams-per-connection`).

use std::cell::{Cell, RefCell};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// For how long calls have to be late before one is refused.
const PERSISTENCE: Duration = Duration::from_millis(100);

/// Calls that may be refused in an interval: at about 5 us for each, that takes a twentieth of it. And few at once, so that some
/// are answered in between: were all refused that wait, there would be nothing left to do.
const REFUSALS: u32 = 10;

/// How often that many may be refused.
const INTERVAL: Duration = Duration::from_millis(1);

/// How often in a row keepalive is told what was last seen of the clock: it asks in each turn of a connection, so that what it is
/// told is a few turns old at most, some milliseconds.
const MOST_ASKED: u32 = 16;

/// How often a turn is measured.
const BETWEEN_PROBES: Duration = Duration::from_millis(5);

thread_local! {
    static QUEUE: Queue = const { Queue::new() };
}

/// The queue of one thread.
struct Queue {
    /// The last that was seen of the clock.
    now: Cell<Option<Instant>>,
    /// Whether the thread has slept since then.
    slept: Cell<bool>,
    /// The last that calls or keepalive saw of the clock since the thread slept. What keepalive sees says nothing of calls.
    fresh: Cell<Option<Instant>>,
    /// How often keepalive was told that.
    asked: Cell<u32>,
    /// When it last had nothing to do.
    busy_since: Cell<Option<Instant>>,
    /// How long the last turn took that was measured.
    turn: Cell<Duration>,
    /// Since when the task that measures one stands in line; or when it had its turn.
    probe: Cell<Probe>,
    /// Puts that task in line.
    probing: RefCell<Option<Waker>>,
    /// Before this, none of the calls that are answered now can have arrived.
    arrived_after: Cell<Option<Instant>>,
    /// Since when every call is late.
    late_since: Cell<Option<Instant>>,
    /// When the interval began in which calls were last refused.
    interval_began: Cell<Option<Instant>>,
    refused: Cell<u32>,
}

#[derive(Clone, Copy)]
enum Probe {
    Ran(Option<Instant>),
    Waits(Instant),
}

/// Measures the turns of this thread; a task of its own, without end.
pub async fn probe() {
    std::future::poll_fn(|context| {
        QUEUE.with(|queue| queue.probe_ran(Instant::now(), context.waker()));
        Poll::Pending
    })
    .await
}

/// The thread has nothing to do.
pub fn thread_sleeps() {
    QUEUE.with(Queue::sleeps);
}

/// Somebody has looked at the clock.
pub fn now(now: Instant) {
    QUEUE.with(|queue| queue.saw(now));
}

/// The time, but for some turns of the thread, for keepalive, which counts in seconds. Never a time before the thread slept.
pub fn about_now() -> Instant {
    QUEUE.with(|queue| queue.about_now(Instant::now))
}

/// Calls of a connection are about to be answered, which was read to the end `drained` ago.
pub fn begin(drained: Option<Instant>) {
    QUEUE.with(|queue| queue.begin(drained));
}

/// What was last seen of the clock.
pub fn last_seen() -> Option<Instant> {
    QUEUE.with(|queue| queue.now.get())
}

/// Whether the call that is about to be answered is to be refused: it has waited for more than `limit`, and so had all
/// others lately. `waiting_since` is when it began to wait for its message; None: it came with it.
pub fn is_too_long(limit: Duration, waiting_since: Option<Instant>) -> bool {
    QUEUE.with(|queue| queue.is_too_long(limit, waiting_since))
}

/// Whether this thread has had too much to do since then: something all the time, or so much that calls were refused.
pub fn is_overworked_since(then: Instant) -> bool {
    QUEUE.with(|queue| queue.is_overworked_since(then))
}

impl Queue {
    const fn new() -> Self {
        Self {
            now: Cell::new(None),
            slept: Cell::new(false),
            fresh: Cell::new(None),
            asked: Cell::new(0),
            busy_since: Cell::new(None),
            turn: Cell::new(Duration::ZERO),
            probe: Cell::new(Probe::Ran(None)),
            probing: RefCell::new(None),
            arrived_after: Cell::new(None),
            late_since: Cell::new(None),
            interval_began: Cell::new(None),
            refused: Cell::new(0),
        }
    }

    fn sleeps(&self) {
        self.slept.set(true);
        self.fresh.set(None);
    }

    fn saw(&self, now: Instant) {
        self.now.set(Some(now));
        self.refresh(now);
    }

    fn refresh(&self, now: Instant) {
        self.fresh.set(Some(now));
        self.asked.set(0);
    }

    fn about_now(&self, look: impl FnOnce() -> Instant) -> Instant {
        let asked = self.asked.get();
        if let Some(fresh) = self.fresh.get().filter(|_| asked < MOST_ASKED) {
            self.asked.set(asked + 1);
            return fresh;
        }
        let now = look();
        self.refresh(now);
        now
    }

    fn begin(&self, drained: Option<Instant>) {
        let Some(now) = self.now.get() else { return };
        if self.slept.take() {
            self.busy_since.set(Some(now));
            self.turn.set(Duration::ZERO);
        }
        let turn_ago = now.checked_sub(self.turn_at(now));
        self.arrived_after.set(drained.max(self.busy_since.get()).max(turn_ago));
    }

    /// How long a turn takes; begins to measure one where that is long ago.
    fn turn_at(&self, now: Instant) -> Duration {
        match self.probe.get() {
            Probe::Waits(since) => self.turn.get().max(now.saturating_duration_since(since)),
            Probe::Ran(at) => {
                let due = at.is_none_or(|at| now.saturating_duration_since(at) >= BETWEEN_PROBES);
                if let (true, Some(probing)) = (due, &*self.probing.borrow()) {
                    self.probe.set(Probe::Waits(now));
                    probing.wake_by_ref();
                }
                self.turn.get()
            }
        }
    }

    fn probe_ran(&self, now: Instant, waker: &Waker) {
        if let Probe::Waits(since) = self.probe.get() {
            self.turn.set(now.saturating_duration_since(since));
        }
        self.probe.set(Probe::Ran(Some(now)));
        *self.probing.borrow_mut() = Some(waker.clone());
    }

    fn is_too_long(&self, limit: Duration, waiting_since: Option<Instant>) -> bool {
        let Some(now) = self.now.get() else { return false };
        let after = match waiting_since {
            None => self.arrived_after.get(),
            // The thread has slept, and nobody has looked at the clock since.
            Some(_) if self.slept.get() => return false,
            // While a thread has something to do all the time, messages wait for it, not it for them.
            since => since.max(self.busy_since.get()),
        };
        let Some(after) = after else { return false };
        if now.saturating_duration_since(after) <= limit {
            // Written only where it differs, as it seldom does.
            if self.late_since.get().is_some() {
                self.late_since.set(None);
            }
            return false;
        }
        self.is_late(now)
    }

    /// A call is late: whether that has been so for a while, and may be said once more.
    #[cold]
    fn is_late(&self, now: Instant) -> bool {
        let since = self.late_since.get().unwrap_or(now);
        self.late_since.set(Some(since));
        if now.saturating_duration_since(since) < PERSISTENCE {
            return false;
        }
        let began = self.interval_began.get();
        if began.is_none_or(|began| now.saturating_duration_since(began) >= INTERVAL) {
            self.interval_began.set(Some(now));
            self.refused.set(0);
        }
        let refused = self.refused.get();
        self.refused.set(refused.saturating_add(1));
        refused < REFUSALS
    }

    fn is_overworked_since(&self, then: Instant) -> bool {
        let is_busy = !self.slept.get() && self.busy_since.get().is_some_and(|since| since <= then);
        is_busy || self.interval_began.get().is_some_and(|began| began >= then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    /// A queue whose clock is `start`, and that has just slept.
    fn queue(start: Instant) -> Queue {
        let queue = Queue::new();
        queue.now.set(Some(start));
        queue.slept.set(true);
        queue
    }

    #[test]
    fn calls_are_refused_when_all_have_been_late_for_a_while() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let queue = queue(start);
        let asks = |drained: Option<u64>, now: u64| {
            queue.now.set(Some(at(now)));
            queue.begin(drained.map(at));
            queue.is_too_long(LIMIT, None)
        };
        queue.begin(None);
        queue.turn.set(Duration::from_secs(9));
        assert!(!asks(None, 50), "in time");
        assert!(!asks(None, 51), "late, but for the first time");
        assert!(!asks(Some(20), 150), "not for long enough");
        assert!(asks(Some(20), 151));
        assert!(!asks(Some(110), 160), "read later, waited for less");
        assert!(!asks(Some(20), 300), "the first again");
        assert!(asks(Some(20), 400));
        queue.slept.set(true);
        assert!(!asks(Some(20), 450), "the thread had nothing to do");
    }

    #[test]
    fn a_call_is_not_late_because_its_connection_was_quiet() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let queue = queue(start);
        queue.probe_ran(start, Waker::noop());
        queue.now.set(Some(at(10)));
        queue.begin(Some(start));
        assert!(matches!(queue.probe.get(), Probe::Waits(_)), "a turn is being measured");
        queue.probe_ran(at(15), Waker::noop());
        assert_eq!(queue.turn.get(), Duration::from_millis(5));
        for now in [1_000, 2_000, 3_000] {
            queue.now.set(Some(at(now)));
            queue.begin(Some(start));
            assert!(!queue.is_too_long(LIMIT, None));
            queue.probe_ran(at(now + 5), Waker::noop());
        }
        // It stands in line for longer than ever.
        for now in [4_000, 4_060, 4_200] {
            queue.now.set(Some(at(now)));
            queue.begin(Some(start));
            assert_eq!(queue.is_too_long(LIMIT, None), now == 4_200, "{now}");
        }
    }

    #[test]
    fn keepalive_looks_at_the_clock_now_and_then_and_after_sleep() {
        let start = Instant::now();
        let queue = queue(start);
        let asked_at = |seconds| queue.about_now(|| start + Duration::from_secs(seconds)) - start;
        assert_eq!(asked_at(1), Duration::from_secs(1), "it slept");
        for _ in 0..MOST_ASKED {
            assert_eq!(asked_at(2), Duration::from_secs(1));
        }
        assert_eq!(asked_at(3), Duration::from_secs(3), "often enough");
        queue.saw(start + Duration::from_secs(4));
        assert_eq!(asked_at(5), Duration::from_secs(4));
        queue.sleeps();
        assert_eq!(asked_at(6), Duration::from_secs(6));
        // What it saw is not when the thread began to have something to do.
        queue.begin(None);
        assert_eq!(queue.busy_since.get(), Some(start + Duration::from_secs(4)));
    }

    #[test]
    fn not_everybody_is_refused() {
        let start = Instant::now();
        let queue = queue(start);
        queue.begin(None);
        let refused = |at: u64| {
            // What one turn has read is answered late at its end.
            queue.now.set(Some(start + Duration::from_millis(at)));
            (0..2 * REFUSALS).filter(|_| queue.is_too_long(LIMIT, None)).count()
        };
        assert_eq!(refused(100), 0);
        assert_eq!(refused(200), REFUSALS as usize);
        assert_eq!(refused(200), 0);
        assert_eq!(refused(201), REFUSALS as usize);
    }

    #[test]
    fn a_thread_that_slept_had_not_too_much_to_do_unless_it_refused_calls() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let queue = queue(at(1));
        assert!(!queue.is_overworked_since(at(1)), "it sleeps");
        queue.begin(None);
        assert!(queue.is_overworked_since(at(1)) && !queue.is_overworked_since(start));
        queue.turn.set(Duration::from_secs(9));
        for now in [100, 200] {
            queue.now.set(Some(at(now)));
            queue.begin(None);
            assert_eq!(queue.is_too_long(LIMIT, None), now == 200);
        }
        queue.slept.set(true);
        assert!(queue.is_overworked_since(at(200)) && !queue.is_overworked_since(at(201)), "it sleeps again");
    }

    #[test]
    fn a_message_that_comes_late_is_not_late_by_that() {
        let start = Instant::now();
        let queue = queue(start);
        queue.begin(None);
        queue.slept.set(true);
        for wait in [500, 1_000, 1_500] {
            queue.now.set(Some(start + Duration::from_millis(wait)));
            assert!(!queue.is_too_long(LIMIT, Some(start)), "the thread had nothing to do meanwhile");
        }
        queue.begin(None);
        queue.turn.set(Duration::from_secs(9));
        for wait in [1_560, 1_700] {
            queue.now.set(Some(start + Duration::from_millis(wait)));
            assert_eq!(queue.is_too_long(LIMIT, Some(start)), wait == 1_700, "{wait}");
        }
    }
}
