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
    /// Whether there was a call ever.
    called: AtomicBool,
    /// Grows with calls.
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
        self.called.store(true, Ordering::Relaxed);
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
        () = usage.is_sent_away() => Grace::None,
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

/// The connections that have not made a call yet. Where all places are taken, a newcomer gets that of the oldest of them,
/// of one that has not even introduced itself if there is such: whoever opens connections for their own sake takes
/// places from himself.
#[derive(Debug, Default)]
pub struct Silent {
    /// The oldest first.
    newcomers: VecDeque<Weak<Use>>,
    /// Those that have introduced themselves, as far as is known: the oldest first.
    greeted: VecDeque<Weak<Use>>,
}

impl Silent {
    /// A connection has been opened; `most` can be open at a time.
    pub fn add(&mut self, usage: &Arc<Use>, most: usize) {
        // Those that have called or gone leave when they are met; before there are twice as many as there can be, all of
        // them.
        if self.newcomers.len() + self.greeted.len() >= most.saturating_mul(2) {
            for queue in [&mut self.newcomers, &mut self.greeted] {
                queue.retain(|usage| silent(usage).is_some());
            }
        }
        self.newcomers.push_back(Arc::downgrade(usage));
    }

    /// Closes one; false if there is none.
    pub fn send_oldest_away(&mut self) -> bool {
        while let Some(oldest) = self.newcomers.pop_front() {
            match silent(&oldest) {
                Some(usage) if usage.greeted.load(Ordering::Relaxed) => self.greeted.push_back(oldest),
                Some(usage) => return usage.send_away(),
                None => {}
            }
        }
        let oldest = std::iter::from_fn(|| self.greeted.pop_front()).find_map(|oldest| silent(&oldest));
        oldest.is_some_and(|usage| usage.send_away())
    }
}

/// It, if it is still there and has not made a call.
fn silent(usage: &Weak<Use>) -> Option<Arc<Use>> {
    usage.upgrade().filter(|usage| !usage.called.load(Ordering::Relaxed))
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
        assert!(silent.send_oldest_away());
        fourth.sent_away.notified().await;
        assert!(silent.send_oldest_away());
        third.sent_away.notified().await;
        assert!(!silent.send_oldest_away());
    }
}
