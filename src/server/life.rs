//! How long a connection lasts: until the service stops, its age, or the end of its use; or until a newcomer needs its
//! place.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::config::ConnectionLimits;

/// How a connection is used. Written by the thread that serves it.
#[derive(Debug, Default)]
pub struct Use {
    /// Whether the peer has introduced itself.
    greeted: AtomicBool,
    /// Grows with calls; 0 as long as there was none.
    calls: AtomicU64,
    /// Whoever holds it is a call that is not answered yet.
    open: Arc<()>,
    /// Rings when its place is wanted.
    sent_away: Notify,
}

impl Use {
    /// The peer has introduced itself.
    pub fn note_greeting(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// Calls have come.
    pub fn note_calls(&self) {
        // One writer: nothing is lost between load and store.
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// To be held by a call as long as it is not answered.
    pub fn open(&self) -> Arc<()> {
        Arc::clone(&self.open)
    }

    /// Ends when its place is wanted.
    pub async fn is_sent_away(&self) {
        self.sent_away.notified().await;
    }

    fn send_away(&self) -> bool {
        self.sent_away.notify_one();
        true
    }

    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.open) > 1
    }

    fn has_called(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > 0
    }

    /// Of one that is sent away: whoever has called may be about to call again, and is told to do that elsewhere.
    fn grace(&self, grace: Duration) -> Grace {
        if self.has_called() { Grace::For(grace) } else { Grace::None }
    }
}

/// When a connection that takes no more calls is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// At once, and without a word.
    None,
    /// When its calls are answered, or after this long.
    For(Duration),
    /// When its calls are answered.
    Unlimited,
}

/// Ends when the connection is to take no more calls.
pub async fn end_of_calls(limits: ConnectionLimits, usage: Arc<Use>, stopped: impl Future<Output = ()>) -> Grace {
    tokio::select! {
        () = stopped => Grace::Unlimited,
        () = usage.is_sent_away() => usage.grace(limits.grace),
        () = age(limits.age) => Grace::For(limits.grace),
        () = idleness(limits.idle_timeout, &usage) => Grace::For(limits.grace),
    }
}

/// Ends when the connection is to be closed.
pub async fn end_of_grace(grace: Grace) {
    match grace {
        Grace::None => {}
        Grace::For(grace) => sleep(grace).await,
        Grace::Unlimited => std::future::pending().await,
    }
}

async fn age(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(give_or_take_a_tenth(limit)).await,
        None => std::future::pending().await,
    }
}

/// So that connections that were opened together do not all come back together.
fn give_or_take_a_tenth(duration: Duration) -> Duration {
    // Each state has other keys.
    let thousandth = u32::try_from(RandomState::new().hash_one(0) % 201).unwrap_or_default();
    duration * 9 / 10 + duration * thousandth / 1000
}

async fn idleness(limit: Option<Duration>, usage: &Use) {
    let Some(limit) = limit else { return std::future::pending().await };
    let (mut seen, mut quiet_since) = (usage.calls.load(Ordering::Relaxed), Instant::now());
    loop {
        // Looking costs calls nothing; it makes a limit late by a quarter at most.
        sleep(limit / 4).await;
        let calls = usage.calls.load(Ordering::Relaxed);
        if calls != seen || usage.is_in_use() {
            (seen, quiet_since) = (calls, Instant::now());
        } else if quiet_since.elapsed() >= limit {
            return;
        }
    }
}

/// How long a connection makes no call before a newcomer may have its place.
const QUIET: Duration = Duration::from_secs(5);

/// So many that have called are looked at for a newcomer: whoever opens connections fast must not make that expensive.
const LOOKS: usize = 16;

/// The connections that have not made a call yet, or not for a while. Where all places are taken, a newcomer gets that of the
/// oldest that never called, of one that has not even introduced itself if there is such; else that of one that is quiet.
/// Whoever opens connections for their own sake takes places from himself.
#[derive(Debug, Default)]
pub struct Silent {
    /// The oldest first.
    newcomers: VecDeque<Weak<Use>>,
    /// Those that have introduced themselves, as far as is known: the oldest first.
    greeted: VecDeque<Weak<Use>>,
    /// Those that have called, as far as is known: what was not looked at for the longest time is first.
    callers: VecDeque<Caller>,
}

/// A connection that has called.
#[derive(Debug)]
struct Caller {
    usage: Weak<Use>,
    /// How many calls there were when it was looked at, and since when there were no others.
    calls: u64,
    since: Instant,
}

impl Silent {
    /// A connection has been opened; `most` can be open at a time.
    pub fn add(&mut self, usage: &Arc<Use>, most: usize) {
        // Those that have gone leave when they are met; before there are twice as many as there can be, all of them.
        if self.newcomers.len() + self.greeted.len() + self.callers.len() >= most.saturating_mul(2) {
            for queue in [&mut self.newcomers, &mut self.greeted] {
                queue.retain(|usage| usage.strong_count() > 0);
            }
            self.callers.retain(|caller| caller.usage.strong_count() > 0);
        }
        self.newcomers.push_back(Arc::downgrade(usage));
    }

    /// Closes one; false if there is none.
    pub fn send_one_away(&mut self, now: Instant) -> bool {
        self.send_silent_away(now) || self.send_quiet_away(now)
    }

    fn send_silent_away(&mut self, now: Instant) -> bool {
        while let Some((oldest, is_newcomer)) = self.next_silent() {
            let Some(usage) = oldest.upgrade() else { continue };
            if usage.has_called() {
                self.callers.push_back(Caller { usage: oldest, calls: 0, since: now });
            } else if is_newcomer && usage.greeted.load(Ordering::Relaxed) {
                self.greeted.push_back(oldest);
            } else {
                return usage.send_away();
            }
        }
        false
    }

    /// The next one that was silent when it was last looked at; whether it was never looked at.
    fn next_silent(&mut self) -> Option<(Weak<Use>, bool)> {
        let newcomer = self.newcomers.pop_front().map(|usage| (usage, true));
        newcomer.or_else(|| Some((self.greeted.pop_front()?, false)))
    }

    fn send_quiet_away(&mut self, now: Instant) -> bool {
        for _ in 0..LOOKS.min(self.callers.len()) {
            let Some(mut caller) = self.callers.pop_front() else { break };
            let Some(usage) = caller.usage.upgrade() else { continue };
            let calls = usage.calls.load(Ordering::Relaxed);
            if calls != caller.calls || usage.is_in_use() {
                (caller.calls, caller.since) = (calls, now);
            } else if now.saturating_duration_since(caller.since) >= QUIET {
                return usage.send_away();
            }
            self.callers.push_back(caller);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    fn limits(idle_timeout: Option<Duration>, age: Option<Duration>) -> ConnectionLimits {
        ConnectionLimits { idle_timeout, age, grace: TICK, ..ConnectionLimits::default() }
    }

    #[tokio::test]
    async fn it_ends_by_age_and_by_idleness_but_not_in_use() {
        let never = std::future::pending::<()>;
        let aged = end_of_calls(limits(None, Some(TICK)), Arc::default(), never()).await;
        assert_eq!(aged, Grace::For(TICK));
        let idle = end_of_calls(limits(Some(TICK), None), Arc::default(), never()).await;
        assert_eq!(idle, Grace::For(TICK));
        assert_eq!(end_of_calls(limits(None, None), Arc::default(), async {}).await, Grace::Unlimited);

        let usage = Arc::new(Use::default());
        let call = usage.open();
        let ends = end_of_calls(limits(Some(TICK), None), Arc::clone(&usage), never());
        tokio::pin!(ends);
        tokio::time::timeout(TICK * 5, &mut ends).await.unwrap_err();
        drop(call);
        ends.await;
    }

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let ages: Vec<_> = (0..100).map(|_| give_or_take_a_tenth(Duration::from_secs(100))).collect();
        assert!(ages.iter().all(|age| (Duration::from_secs(90)..=Duration::from_secs(110)).contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age != ages[0]));
    }

    #[tokio::test]
    async fn the_oldest_goes_first_of_those_that_never_called_or_spoke() {
        let mut silent = Silent::default();
        let uses: Vec<Arc<Use>> = (0..4).map(|_| Arc::default()).collect();
        uses.iter().for_each(|usage| silent.add(usage, 2));
        uses[0].note_calls();
        let [_, second, third, fourth] = uses.try_into().unwrap();
        drop(second);
        third.note_greeting();
        let now = Instant::now();
        assert!(silent.send_one_away(now));
        fourth.sent_away.notified().await;
        assert!(silent.send_one_away(now));
        third.sent_away.notified().await;
        assert!(!silent.send_one_away(now));
    }

    #[tokio::test]
    async fn where_all_have_called_a_quiet_one_goes() {
        let mut silent = Silent::default();
        let [quiet, busy, late] = std::array::from_fn(|_| Arc::new(Use::default()));
        for usage in [&quiet, &busy, &late] {
            silent.add(usage, 4);
            usage.note_calls();
        }
        let start = Instant::now();
        let call = busy.open();
        assert!(!silent.send_one_away(start), "all have called a moment ago");
        assert!(!silent.send_one_away(start + QUIET / 2));
        late.note_calls();
        assert!(!silent.send_one_away(start + QUIET - TICK));
        assert!(silent.send_one_away(start + QUIET));
        quiet.sent_away.notified().await;
        assert_eq!(quiet.grace(TICK), Grace::For(TICK), "it is told");
        assert!(!silent.send_one_away(start + QUIET), "one calls, one has just called");
        assert!(silent.send_one_away(start + QUIET * 2));
        late.sent_away.notified().await;
        drop(call);
        assert!(!silent.send_one_away(start + QUIET * 3 - TICK));
        assert!(silent.send_one_away(start + QUIET * 3));
        busy.sent_away.notified().await;
    }

    #[test]
    fn a_newcomer_costs_a_few_looks() {
        let mut silent = Silent::default();
        let uses: Vec<Arc<Use>> = (0..3 * LOOKS).map(|_| Arc::default()).collect();
        for usage in &uses {
            silent.add(usage, uses.len());
            usage.note_calls();
        }
        let start = Instant::now();
        let looked_at = |silent: &Silent| silent.callers.iter().filter(|caller| caller.calls > 0).count();
        for asked in 1..4 {
            assert!(!silent.send_one_away(start));
            assert_eq!(looked_at(&silent), asked * LOOKS);
        }
        drop(uses);
        assert!(!silent.send_one_away(start + QUIET));
        assert_eq!(silent.callers.len(), 2 * LOOKS, "who has gone is forgotten");
    }
}
