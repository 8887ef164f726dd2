//! Decisions of one snapshot, remembered: bounded in bytes, born and dropped with the snapshot.
//!
//! A table of small sets, each of six slots that are read without a lock. The hash of a key says which set it
//! belongs to; an entry is found by comparing all of its key. `docs/cache.md` has the figures that this form was
//! chosen by.
//!
//! **Hostile requests** cannot make it slow, nor make it lie. The hash is fast, not cryptographic, and seeded at random for
//! each engine; but nothing depends on its strength: who finds keys that collide has them share one set of six slots,
//! where they evict each other. A look-up compares at most six keys, whatever was inserted, and it compares them in full, so
//! that a collision cannot lend one request the answer of another.

mod entry;
mod key;
mod newcomers;
mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrayvec::ArrayVec;

use crate::access::Outcome;
use entry::Entry;
pub use entry::explanation_bytes;
pub use key::{Key, Keys};
pub use table::Place;
use table::{Put, Set, Table};

/// A bounded map from whole requests to outcomes. Readers never wait.
///
/// Only what is a function of the snapshot and the request belongs into it: no answer that looked at the clock.
pub struct DecisionCache {
    budget_bytes: usize,
    hasher: foldhash::fast::RandomState,
    table: Table,
    /// Written by whoever inserts, read by whoever inserts or reports; hits do not touch them.
    tally: Tally,
}

/// Counters, on a cache line of their own: an insert on one core must not take the line from under a hit on another.
#[derive(Default)]
#[repr(align(64))]
struct Tally {
    /// Of the table, allocated or not, and of all entries. INVARIANT: never above the budget; room is reserved here
    /// before an entry is put into its slot, and returned after it was taken out. So is its count in `entries`.
    bytes: AtomicUsize,
    entries: AtomicUsize,
    evictions: AtomicU64,
    /// The set that eviction visits next; wraps.
    hand: AtomicUsize,
}

/// The table may grow to one set of 64 bytes for each kilobyte of the budget, rounded up to a power of two: to 1/16 of the
/// budget, or up to 1/8 where the budget is no power of two. A slot for every 171 bytes: few real requests have a smaller
/// entry (40 bytes, and a message of about 120: two ARNs and an action), hence the bytes run out before the
/// slots do.
const SET_SHARE_BYTES: usize = 1024;

/// The table grows when it holds more than this on average, of the six in a set. Sets that are not split yet have up to
/// twice as many.
const ENTRIES_PER_SET: usize = 2;

/// By how many sets it also grows when an entry has to go because its set is full by chance, though the budget is not
/// used up: else requests that fit into the budget with ease could keep evicting each other. A few microseconds, until
/// the table is full-grown.
const SETS_PER_EVICTION: usize = 32;

/// No entry may take more than this part of the budget: a few huge requests must not push out thousands of others.
const LARGEST_ENTRY_DIVISOR: usize = 1024;

/// What is never too large by the rule above, so that small budgets are of use: a request with a dozen context keys and
/// its explanation.
const LARGEST_ENTRY_FLOOR_BYTES: usize = 4096;

/// How many sets an insert may visit to make room before it gives up: a bound on the time of one insert. At the default
/// budget and with entries of 300 bytes a set holds three, so one visit is the rule.
const VISITS_PER_INSERT: usize = 32;

/// A table of so many sets, half a megabyte, stays in the processor's own cache while batches are decided. Where calls are, HTTP/2's
/// work comes in between and takes its room.
const NEAR_SETS: usize = 8 * 1024;

impl DecisionCache {
    /// A cache of at most this many bytes; 0 turns it off.
    pub fn new(budget_bytes: usize) -> Self {
        Self::with_sets(budget_bytes, foldhash::fast::RandomState::default(), 0)
    }

    /// An empty one of the same size, whose table has grown already for as many entries. Keys have the same places in it.
    pub fn successor(&self) -> Self {
        Self::with_sets(self.budget_bytes, self.hasher.clone(), self.entries().div_ceil(ENTRIES_PER_SET))
    }

    fn with_sets(budget_bytes: usize, hasher: foldhash::fast::RandomState, sets: usize) -> Self {
        let table = Table::new(budget_bytes / SET_SHARE_BYTES, sets);
        let fixed_bytes = table.bytes().min(budget_bytes);
        let tally = Tally { bytes: AtomicUsize::new(fixed_bytes), ..Tally::default() };
        Self { budget_bytes, hasher, table, tally }
    }

    /// Whether it remembers anything at all.
    pub fn is_enabled(&self) -> bool {
        self.budget_bytes > 0
    }

    /// The key of a request by its message.
    pub fn key<'a>(&self, message: &'a [u8]) -> Key<'a> {
        Key::of(message, &self.hasher)
    }

    /// Makes the keys of requests that come together.
    pub fn keys<'m>(&self) -> Keys<'_, 'm> {
        Keys::new(&self.hasher)
    }

    /// What is remembered for each of these keys. Their sets are fetched from memory first, unless all sets are near.
    pub fn get_all<const N: usize>(&self, keys: &ArrayVec<Key<'_>, N>) -> ArrayVec<Option<Outcome>, N> {
        if self.table.set_count() > NEAR_SETS {
            self.fetch(keys.iter().map(Key::place));
        }
        // Asked once, as in `fetch`.
        let numbering = self.table.numbering();
        let set = |key: &Key<'_>| self.table.set_at(numbering.index(key.place));
        let found = |key: &Key<'_>| set(key)?.find(key.place.tag, |entry| entry::answer(entry, key));
        keys.iter().map(found).collect()
    }

    /// Fetches from memory what is looked at first for the keys of these places, all of it at once; one after the other, each would
    /// be waited for.
    pub fn fetch(&self, places: impl Iterator<Item = Place>) {
        // Asked once: on x86, by instructions that every processor has, `leading_zeros` would have each look wait for the one before.
        let numbering = self.table.numbering();
        let set = |place| self.table.set_at(numbering.index(place));
        std::hint::black_box(places.filter_map(set).fold(0, |all, set| all ^ set.tags()));
    }

    /// The outcome remembered for exactly this key.
    pub fn get(&self, key: &Key<'_>) -> Option<Outcome> {
        self.table.set(key.place)?.find(key.place.tag, |entry| entry::answer(entry, key))
    }

    /// Remembers an outcome, evicting others where the budget demands it. Never blocks readers.
    ///
    /// It may also decline: when the entry is too large, when there is no room and it comes for the first time, when all that
    /// it could evict is in use, or when another thread writes to the same place.
    pub fn insert(&self, key: &Key<'_>, outcome: &Outcome) {
        if !self.is_enabled() {
            return;
        }
        let cost = entry::cost_bytes(key.message.len(), outcome);
        if cost > self.largest_entry_bytes() {
            return self.forget(key);
        }
        if !self.reserve(cost) {
            let set = self.table.set(key.place);
            // Who would be the first in its part of the table is let in.
            if set.is_some_and(|set| !set.came_before(key.place)) {
                return self.forget_in(set, key);
            }
            // By now, the key may belong into another set.
            if !self.make_room(cost) {
                return self.forget(key);
            }
        }
        let set = self.table.set_or_allocate(key.place);
        let sets_wanted = match set.map(|set| set.put(key, entry::new(key, outcome))) {
            Some(Put::Added) => usize::from(self.entries() > self.table.set_count() * ENTRIES_PER_SET),
            Some(Put::Evicted(old)) => {
                self.count_evicted(&old);
                SETS_PER_EVICTION
            }
            Some(Put::Replaced(old)) => {
                self.release(entry::held_bytes(&old));
                0
            }
            Some(Put::Busy) | None => {
                self.release(cost);
                0
            }
        };
        for _ in 0..sets_wanted {
            if !self.table.grow() {
                break;
            }
        }
    }

    /// How many outcomes it holds.
    pub fn entries(&self) -> usize {
        self.tally.entries.load(Ordering::Relaxed)
    }

    /// How many outcomes it has evicted so far.
    pub fn evictions(&self) -> u64 {
        self.tally.evictions.load(Ordering::Relaxed)
    }

    /// What it takes, the whole table included; never more than its budget.
    pub fn bytes(&self) -> usize {
        self.tally.bytes.load(Ordering::Relaxed)
    }

    /// What was not remembered must not leave an older outcome behind.
    fn forget(&self, key: &Key<'_>) {
        self.forget_in(self.table.set(key.place), key);
    }

    fn forget_in(&self, set: Option<&Set>, key: &Key<'_>) {
        if let Some(old) = set.and_then(|set| set.remove(key)) {
            self.count_evicted(&old);
        }
    }

    fn largest_entry_bytes(&self) -> usize {
        (self.budget_bytes / LARGEST_ENTRY_DIVISOR).max(LARGEST_ENTRY_FLOOR_BYTES)
    }

    /// Reserves so many bytes, evicting entries that were not used lately where there is not enough room.
    fn make_room(&self, cost: usize) -> bool {
        (0..VISITS_PER_INSERT).any(|_| self.reserve(cost) || self.evict_until_reserved(cost))
    }

    /// Visits one set. The sets are visited in turn by all that insert, like the hours by the hand of a clock.
    fn evict_until_reserved(&self, cost: usize) -> bool {
        let visited = self.tally.hand.fetch_add(1, Ordering::Relaxed) % self.table.set_count();
        let enough = |old: &Entry| {
            self.count_evicted(old);
            self.reserve(cost)
        };
        self.table.set_at(visited).is_some_and(|set| set.evict_unused(enough))
    }

    fn reserve(&self, cost: usize) -> bool {
        let within_budget = |bytes: usize| bytes.checked_add(cost).filter(|sum| *sum <= self.budget_bytes);
        let reserved = self.tally.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within_budget).is_ok();
        if reserved {
            self.tally.entries.fetch_add(1, Ordering::Relaxed);
        }
        reserved
    }

    fn release(&self, cost: usize) {
        self.tally.entries.fetch_sub(1, Ordering::Relaxed);
        self.tally.bytes.fetch_sub(cost, Ordering::Relaxed);
    }

    fn count_evicted(&self, old: &Entry) {
        self.tally.evictions.fetch_add(1, Ordering::Relaxed);
        self.release(entry::held_bytes(old));
    }
}

impl fmt::Debug for DecisionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionCache")
            .field("budget_bytes", &self.budget_bytes)
            .field("bytes", &self.bytes())
            .field("entries", &self.entries())
            .field("evictions", &self.evictions())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
