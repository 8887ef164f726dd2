//! What waits to be written: bounded in bytes, over all threads.
//!
//! Each thread that serves has a lane of its own, so that none waits for another; the writer goes from lane to lane and takes
//! a chunk at a time. It is woken only when it sleeps, which it does when all lanes are empty.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::Unlogged;
use super::counts::{Counts, Lost};
use super::entry::{Chunk, New};
use crate::config::WhenFull;

/// Lanes of its own for more threads than this are not worth the memory.
const MOST_LANES: usize = 64;

/// The writer looks up now and then, though nobody wakes it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

static NEXT_LANE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which lane is this thread's, before the number of lanes is heeded.
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    when_full: WhenFull,
    /// Bytes that it takes at most.
    limit: usize,
    /// Bytes that it holds, those in the writer's hands included.
    held: AtomicUsize,
    /// Bytes of chunks that wait to be filled again.
    spare: AtomicUsize,
    /// Decisions in the writer's hands.
    in_hand: AtomicUsize,
    /// Since when the oldest of them has waited. By the writer.
    in_hand_since: Mutex<Option<Instant>>,
    lanes: Box<[Lane]>,
    /// The writer, once it runs.
    writer: OnceLock<Thread>,
    /// Whether it has to be woken.
    asleep: AtomicBool,
    reopen: AtomicBool,
    stop: AtomicBool,
    /// How often the writer has made room, for those who wait for it.
    progress: Mutex<u64>,
    room: Condvar,
    /// The progress at which somebody has waited long enough, plus 1: nobody else waits until there is more.
    gave_up: AtomicU64,
}

/// Apart from each other, as far as caches are concerned.
#[repr(align(128))]
#[derive(Debug)]
struct Lane(Mutex<Chunks>);

#[derive(Debug)]
struct Chunks {
    closed: VecDeque<Chunk>,
    open: Chunk,
    /// Written and emptied, to be filled again: fresh memory costs more than what is written into it. They are given up
    /// where decisions want their room.
    spare: Vec<Chunk>,
}

/// Chunks that a lane keeps to fill them again.
const MOST_SPARE: usize = 16;

impl Queue {
    pub(super) fn new(when_full: WhenFull, limit: usize, threads: usize) -> Self {
        let lane = || Lane(Mutex::new(Chunks { closed: VecDeque::new(), open: Chunk::new(), spare: Vec::new() }));
        Self {
            when_full,
            limit,
            held: AtomicUsize::new(0),
            spare: AtomicUsize::new(0),
            in_hand: AtomicUsize::new(0),
            in_hand_since: Mutex::new(None),
            lanes: (0..threads.clamp(1, MOST_LANES)).map(|_| lane()).collect(),
            writer: OnceLock::new(),
            asleep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            progress: Mutex::new(0),
            room: Condvar::new(),
            gave_up: AtomicU64::new(0),
        }
    }

    // --- threads that serve -----------------------------------------------------------------------------------------

    /// Queues a decision; what finds no room is counted. An error if it must not be given then.
    pub(super) fn push(&self, new: &New<'_>, counts: &Counts) -> Result<(), Unlogged> {
        let weight = new.weight();
        let failing = self.when_full == WhenFull::Error && counts.is_failing();
        if failing || !self.reserve(weight) && !self.make_room(weight, counts) {
            return self.without_room(weight, counts);
        }
        let mut lane = self.lock(self.own_lane());
        if !lane.open.takes(new, weight) {
            let full = lane.turn_over(&self.spare);
            lane.closed.push_back(full);
        }
        lane.open.append(new, weight);
        drop(lane);
        // INVARIANT: what is held was counted before, so that the writer, who says that it sleeps and then looks at what is
        // held, sees it or is woken here.
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Ok(())
    }

    /// Whether there was room, and is taken. No lane is to be locked meanwhile.
    fn reserve(&self, weight: usize) -> bool {
        self.try_reserve(weight) || self.give_up_spare() && self.try_reserve(weight)
    }

    fn try_reserve(&self, weight: usize) -> bool {
        let held = self.held.fetch_add(weight, Ordering::SeqCst).saturating_add(weight);
        let fits = held.saturating_add(self.spare.load(Ordering::Relaxed)) <= self.limit;
        if !fits {
            self.held.fetch_sub(weight, Ordering::SeqCst);
        }
        fits
    }

    /// Whether room was made, and taken.
    #[cold]
    fn make_room(&self, weight: usize, counts: &Counts) -> bool {
        match self.when_full {
            _ if weight > self.limit => false,
            WhenFull::DropNewest | WhenFull::Error => false,
            WhenFull::DropOldest => self.drop_oldest(weight, counts),
            WhenFull::Block(timeout) => self.wait_for_room(weight, timeout),
        }
    }

    /// Whether there was any.
    #[cold]
    fn give_up_spare(&self) -> bool {
        let lanes = 0..self.lanes.len();
        let given_up = lanes.map(|lane| {
            let spare = std::mem::take(&mut self.lock(lane).spare);
            spare.iter().map(Chunk::capacity).sum::<usize>()
        });
        let bytes = given_up.sum();
        self.spare.fetch_sub(bytes, Ordering::Relaxed);
        bytes > 0
    }

    #[cold]
    fn without_room(&self, weight: usize, counts: &Counts) -> Result<(), Unlogged> {
        if self.when_full == WhenFull::Error {
            counts.refused();
            return Err(Unlogged);
        }
        let why = match self.when_full {
            _ if weight > self.limit => Lost::TooLarge,
            _ if counts.is_failing() => Lost::WriteFailed,
            WhenFull::Block(_) => Lost::BlockTimeout,
            WhenFull::DropNewest | WhenFull::DropOldest | WhenFull::Error => Lost::QueueFull,
        };
        counts.lost(why, 1);
        Ok(())
    }

    /// Gives up the oldest chunk of this thread, or if it has none, of another.
    fn drop_oldest(&self, weight: usize, counts: &Counts) -> bool {
        let own = self.own_lane();
        let why = if counts.is_failing() { Lost::WriteFailed } else { Lost::QueueFull };
        for lane in (0..self.lanes.len()).map(|step| (own + step) % self.lanes.len()) {
            while let Some(chunk) = self.take_oldest(lane) {
                self.held.fetch_sub(chunk.weight(), Ordering::SeqCst);
                counts.lost(why, chunk.len());
                if self.reserve(weight) {
                    return true;
                }
            }
        }
        false
    }

    /// The lane is free again when this returns: what has become of the chunk may be logged.
    fn take_oldest(&self, lane: usize) -> Option<Chunk> {
        self.lock(lane).oldest(&self.spare)
    }

    fn wait_for_room(&self, weight: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.reserve(weight) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let stalled_at = progress.saturating_add(1);
            if left == Duration::ZERO {
                self.gave_up.store(stalled_at, Ordering::Relaxed);
            }
            if self.gave_up.load(Ordering::Relaxed) == stalled_at {
                return false;
            }
            progress = self.room.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn own_lane(&self) -> usize {
        let number = LANE.get().unwrap_or_else(|| {
            let number = NEXT_LANE.fetch_add(1, Ordering::Relaxed);
            LANE.set(Some(number));
            number
        });
        number % self.lanes.len().max(1)
    }

    #[expect(clippy::indexing_slicing, reason = "INVARIANT: every number of a lane was taken modulo their number")]
    fn lock(&self, lane: usize) -> MutexGuard<'_, Chunks> {
        self.lanes[lane].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- everybody --------------------------------------------------------------------------------------------------

    /// How many decisions wait.
    pub(super) fn entries(&self) -> usize {
        let waiting: usize = (0..self.lanes.len()).map(|lane| self.lock(lane).len()).sum();
        waiting + self.in_hand.load(Ordering::Relaxed)
    }

    /// For how long the oldest of them has waited; zero if none waits.
    pub(super) fn oldest_waits(&self) -> Duration {
        // INVARIANT: the writer's hands come last: what it takes from a lane meanwhile is there.
        let in_lanes = (0..self.lanes.len()).filter_map(|lane| self.lock(lane).since()).min();
        let in_hand = *self.lock_in_hand_since();
        in_lanes.into_iter().chain(in_hand).min().map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn lock_in_hand_since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.in_hand_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The memory that is kept to be filled again.
    #[cfg(test)]
    pub(super) fn spare_bytes(&self) -> usize {
        self.spare.load(Ordering::Relaxed)
    }

    pub(super) fn ask_to_reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    // --- the writer -------------------------------------------------------------------------------------------------

    /// This thread is the writer.
    pub(super) fn claim(&self) {
        // Only the first one counts, and there is one.
        self.writer.set(thread::current()).ok();
    }

    /// What has waited longest in a lane, and whether that was all.
    pub(super) fn take(&self, lane: usize) -> Option<(Chunk, bool)> {
        let mut lane = self.lock(lane);
        let is_last = lane.closed.is_empty();
        let chunk = lane.oldest(&self.spare)?;
        self.in_hand.fetch_add(chunk.len(), Ordering::Relaxed);
        let mut since = self.lock_in_hand_since();
        *since = Some(since.map_or(chunk.since(), |since| since.min(chunk.since())));
        Some((chunk, is_last))
    }

    pub(super) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// A chunk that was taken from a lane is written.
    pub(super) fn done(&self, lane: usize, chunk: Chunk) {
        if self.in_hand.fetch_sub(chunk.len(), Ordering::Relaxed) == chunk.len() {
            *self.lock_in_hand_since() = None;
        }
        let held = self.held.fetch_sub(chunk.weight(), Ordering::SeqCst).saturating_sub(chunk.weight());
        let emptied = chunk.emptied();
        let bytes = emptied.capacity();
        let taken = held.saturating_add(self.spare.load(Ordering::Relaxed)).saturating_add(bytes);
        let mut lane = self.lock(lane);
        if lane.spare.len() < MOST_SPARE && taken <= self.limit {
            // INVARIANT: under the lane's lock, so that whoever takes it out takes it off afterwards.
            self.spare.fetch_add(bytes, Ordering::Relaxed);
            lane.spare.push(emptied);
        }
        drop(lane);
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        *progress = progress.wrapping_add(1);
        self.room.notify_all();
    }

    /// Sleeps until there is something to do.
    pub(super) fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        let nothing = self.held.load(Ordering::SeqCst) == 0;
        if nothing && !self.is_stopping() && !self.reopen.load(Ordering::SeqCst) {
            thread::park_timeout(LONGEST_SLEEP);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Whether the file is to be opened anew; asked once.
    pub(super) fn takes_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::SeqCst)
    }
}

impl Chunks {
    fn len(&self) -> usize {
        self.closed.iter().map(Chunk::len).sum::<usize>() + self.open.len()
    }

    /// When the oldest one was made.
    fn since(&self) -> Option<Instant> {
        let oldest = self.closed.front().unwrap_or(&self.open);
        (!oldest.is_empty()).then(|| oldest.since())
    }

    fn oldest(&mut self, spare: &AtomicUsize) -> Option<Chunk> {
        if let Some(chunk) = self.closed.pop_front() {
            return Some(chunk);
        }
        (!self.open.is_empty()).then(|| self.turn_over(spare))
    }

    /// Puts an empty chunk in place of the open one: a spare one, if there is one, of which so many bytes are counted.
    fn turn_over(&mut self, spare: &AtomicUsize) -> Chunk {
        let empty = self.spare.pop();
        spare.fetch_sub(empty.as_ref().map_or(0, Chunk::capacity), Ordering::Relaxed);
        std::mem::replace(&mut self.open, empty.unwrap_or_else(Chunk::new))
    }
}
