//! Where the entries stand: many small sets, each of six slots, each slot readable without a lock.
//!
//! A key belongs into one set only, which its hash says. A set is one cache line, so that finding an entry costs one
//! line for the set and those of the entry itself.
//!
//! The table grows with what it holds, one set at a time (linear hashing): while all its lines stay in the processor's
//! caches a look-up is several times as fast. The first sets are split one after the other; of the entries of a set
//! that is split, those whose hash has the next bit set go to the new set at the end.

use std::mem::{self, ManuallyDrop};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use arc_swap::ArcSwapAny;

use super::entry::{self, Entry};
use super::key::Key;
use super::newcomers::Newcomers;

/// A pointer to an entry that can be exchanged under its readers. One that is dropped first looks at what each thread reads,
/// which takes a microsecond: an empty one is let go of without.
type Slot = ManuallyDrop<ArcSwapAny<Option<Entry>>>;

/// Slots of a set: six pointers, one word of tags and the lock fill 64 bytes.
pub(super) const WAYS: usize = 6;

/// Sets that are allocated together, and those that a table starts with: 256 of 64 bytes are 16 KiB.
const SEGMENT_SETS: usize = 256;

/// All sets. A segment of them is allocated when the first entry comes into it: a table that nobody uses takes a
/// few kilobytes, however large it may become.
pub(super) struct Table {
    segments: Box<[OnceLock<Box<[Set]>>]>,
    /// Sets in use, at least one; only grows. Read by all, written by whoever holds `growing`.
    set_count: AtomicUsize,
    /// What `set_count` may grow to: a power of two, so that a table that is full-grown fills evenly.
    max_sets: usize,
    growing: Mutex<()>,
}

impl Table {
    /// A table that may grow to `max_sets`, rounded up to a power of two, and has `sets` from the start, or a segment of them if
    /// that is more.
    pub(super) fn new(max_sets: usize, sets: usize) -> Self {
        let max_sets = max_sets.next_power_of_two();
        Self {
            segments: (0..max_sets.div_ceil(SEGMENT_SETS)).map(|_| OnceLock::new()).collect(),
            set_count: AtomicUsize::new(sets.max(SEGMENT_SETS).min(max_sets)),
            max_sets,
            growing: Mutex::default(),
        }
    }

    /// How many sets are in use.
    pub(super) fn set_count(&self) -> usize {
        self.set_count.load(Ordering::Acquire)
    }

    /// What the table takes once it is full-grown, without its entries.
    pub(super) fn bytes(&self) -> usize {
        self.max_sets * size_of::<Set>() + self.segments.len() * SEGMENT_OVERHEAD_BYTES
    }

    /// How the sets that are in use now are numbered.
    pub(super) fn numbering(&self) -> Numbering {
        let set_count = self.set_count();
        // All ones, up to the highest bit of the last number; 0 for a single set.
        Numbering { set_count, mask: usize::MAX.checked_shr((set_count - 1).leading_zeros()).unwrap_or(0) }
    }

    /// The set of a place, if its segment has ever been written to.
    pub(super) fn set(&self, place: Place) -> Option<&Set> {
        self.set_at(self.numbering().index(place))
    }

    /// The set of a place, to be written to. Two threads that need the same new segment wait for the one that
    /// allocates it; readers do not.
    pub(super) fn set_or_allocate(&self, place: Place) -> Option<&Set> {
        self.set_at_or_allocate(self.numbering().index(place))
    }

    /// A set by its number.
    pub(super) fn set_at(&self, index: usize) -> Option<&Set> {
        self.segments.get(index / SEGMENT_SETS)?.get()?.get(index % SEGMENT_SETS)
    }

    /// Adds one set, and moves into it what belongs there now. False if there are enough, or if another thread is writing
    /// to the sets concerned: there will be another insert.
    pub(super) fn grow(&self) -> bool {
        let Ok(_growing) = self.growing.try_lock() else { return false };
        let added = self.set_count();
        if added >= self.max_sets {
            return false;
        }
        // The set that was asked for these entries until now: the number of the new one without its highest bit.
        let highest_bit = 1 << added.ilog2();
        let moves = |place: Place| place.hash as usize % (highest_bit * 2) == added;
        let (from, to) = (self.set_at_or_allocate(added - highest_bit), self.set_at_or_allocate(added));
        let publish = || self.set_count.store(added + 1, Ordering::Release);
        from.zip(to).is_some_and(|(from, to)| from.split(to, moves, publish))
    }

    fn set_at_or_allocate(&self, index: usize) -> Option<&Set> {
        let segment = self.segments.get(index / SEGMENT_SETS)?;
        let allocate = || (0..self.max_sets.min(SEGMENT_SETS)).map(|_| Set::default()).collect();
        segment.get_or_init(allocate).get(index % SEGMENT_SETS)
    }
}

/// Which set a place belongs to, of so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    set_count: usize,
    mask: usize,
}

impl Numbering {
    /// By as many of the lowest bits of the hash as it takes to number the sets; by one less where that is a set that
    /// does not exist yet.
    pub(super) fn index(self, place: Place) -> usize {
        let Self { set_count, mask } = self;
        // Without a branch: while the table grows, which of the two it is cannot be predicted.
        let beyond = u32::from(place.hash as usize & mask >= set_count);
        place.hash as usize & (mask >> beyond)
    }
}

/// The cell that points to a segment, and what the allocator adds to align one to 64 bytes.
const SEGMENT_OVERHEAD_BYTES: usize = size_of::<OnceLock<Box<[Set]>>>() + 64;

/// Where a key belongs, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Says which set.
    pub(super) hash: u32,
    /// Tells the slots of a set apart; of bits that do not say which set, or it would be the same for all in a set.
    pub(super) tag: u8,
}

impl From<u64> for Place {
    fn from(hash: u64) -> Self {
        let [a, b, c, d, .., tag] = hash.to_le_bytes();
        Self { hash: u32::from_le_bytes([a, b, c, d]), tag }
    }
}

/// What became of an entry that was to be put into a set.
pub(super) enum Put {
    /// It stands in a slot that was empty.
    Added,
    /// It stands where an older entry of the same key stood.
    Replaced(Entry),
    /// It stands where an entry of another key stood.
    Evicted(Entry),
    /// Another thread is writing to this set; the entry is not in it.
    Busy,
}

/// Six slots and what is needed to find and replace entries in them; who asked for something else of this set last.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Set {
    /// A byte for each slot, of the hash of the key that stands there. Only a hint for which slots are worth a look:
    /// readers may see it older or newer than the slot, and then miss an entry or look at one in vain; which key an
    /// entry has is said by the entry alone.
    tags: AtomicU64,
    slots: [Slot; WAYS],
    /// Held by the one thread that writes to this set, and only ever tried. Readers do not know of it.
    hand: Mutex<Hand>,
}

/// What only writers know of a set, in the three bytes that are left of its line: who came last, and in the bits above the slot that
/// eviction looks at next.
#[derive(Debug, Default)]
struct Hand([u8; 3]);

impl Set {
    /// A byte for each slot.
    pub(super) fn tags(&self) -> u64 {
        self.tags.load(Ordering::Relaxed)
    }

    /// The entry of a key, as `answer` makes something of it. Takes no lock and does not wait.
    pub(super) fn find<T>(&self, tag: u8, answer: impl Fn(&Entry) -> Option<T>) -> Option<T> {
        let slots = Matches::of(tag, self.tags.load(Ordering::Acquire)).filter_map(|index| self.slots.get(index));
        slots.map(|slot| slot.load()).find_map(|entry| entry.as_ref().and_then(&answer))
    }

    /// Puts an entry where its key stands already; else into an empty slot; else where the first entry stands that was
    /// not used since the hand passed it last.
    pub(super) fn put(&self, key: &Key<'_>, entry: Entry) -> Put {
        let Ok(mut hand) = self.hand.try_lock() else { return Put::Busy };
        let empty = |slot: &Slot| slot.load().is_none();
        let same = self.position(key);
        let free = || self.slots.iter().position(empty);
        let index = same.or_else(free).unwrap_or_else(|| self.advance(&mut hand));
        match self.replace(index, entry) {
            None => Put::Added,
            Some(old) if same.is_some() => Put::Replaced(old),
            Some(old) => Put::Evicted(old),
        }
    }

    /// Whether a request of this place came before; if not, it has now. False if another thread is writing to this set.
    pub(super) fn came_before(&self, place: Place) -> bool {
        self.hand.try_lock().is_ok_and(|mut hand| hand.came_before(place))
    }

    /// Takes out the entry of a key, unless another thread is writing to this set.
    pub(super) fn remove(&self, key: &Key<'_>) -> Option<Entry> {
        // Mostly there is none, which is seen without the hand.
        self.position(key)?;
        let Ok(_hand) = self.hand.try_lock() else { return None };
        self.slots.get(self.position(key)?)?.swap(None)
    }

    /// Where the entry of a key stands, for whoever holds the hand: the tags are as they are, and an entry with another one need
    /// not be fetched from memory. For others, where it stood a moment ago.
    fn position(&self, key: &Key<'_>) -> Option<usize> {
        let tags = self.tags().to_le_bytes();
        let has_key = |slot: &Slot| slot.load().as_ref().is_some_and(|entry| entry::has_key(entry, key));
        self.slots.iter().zip(tags).position(|(slot, tag)| tag == key.place.tag && has_key(slot))
    }

    /// Hands over to a new set what belongs there; `publish` makes the new set known. Entries stand in both sets
    /// meanwhile: only a reader that began before and ends after misses one.
    ///
    /// A writer that chose this set before and writes to it after leaves an entry that nobody will look for here; it goes as
    /// what is not used goes.
    fn split(&self, to: &Self, moves: impl Fn(Place) -> bool, publish: impl FnOnce()) -> bool {
        let (Ok(_from_hand), Ok(_to_hand)) = (self.hand.try_lock(), to.hand.try_lock()) else { return false };
        let moving = || {
            let entries = self.slots.iter().enumerate().filter_map(|(n, slot)| Some((n, slot, slot.load_full()?)));
            entries.filter(|(_, _, entry)| moves(entry::place(entry)))
        };
        for (index, _, entry) in moving() {
            to.replace(index, entry);
        }
        publish();
        for (_, slot, _) in moving() {
            slot.store(None);
        }
        true
    }

    /// Takes out what was not used since the hand passed it last, until `enough` says so of what was taken out; what was
    /// used is passed, and must be used again before the next visit. False if there was not enough, or if another thread
    /// is writing to this set.
    pub(super) fn evict_unused(&self, mut enough: impl FnMut(&Entry) -> bool) -> bool {
        let Ok(mut hand) = self.hand.try_lock() else { return false };
        (0..WAYS).any(|_| self.take_if_unused(hand.step()).is_some_and(|entry| enough(&entry)))
    }

    fn take_if_unused(&self, index: usize) -> Option<Entry> {
        let slot = self.slots.get(index)?;
        let unused = slot.load().as_ref().is_some_and(|entry| !entry::take_used(entry));
        if unused { slot.swap(None) } else { None }
    }

    /// The next slot whose entry was not used. Ends after one round, which has cleared what it passed.
    fn advance(&self, hand: &mut Hand) -> usize {
        let used = |slot: &Slot| slot.load().as_ref().is_some_and(entry::take_used);
        let unused = |index: &usize| !self.slots.get(*index).is_some_and(used);
        (0..WAYS).map(|_| hand.step()).find(unused).unwrap_or_else(|| hand.step())
    }

    /// Only the holder of `hand` comes here, hence no other thread writes to the tags.
    fn replace(&self, index: usize, entry: Entry) -> Option<Entry> {
        let tag = entry::place(&entry).tag;
        let old = self.slots.get(index)?.swap(Some(entry));
        let mut tags = self.tags().to_le_bytes();
        if let Some(there) = tags.get_mut(index) {
            *there = tag;
        }
        self.tags.store(u64::from_le_bytes(tags), Ordering::Release);
        old
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.load().is_some()) {
            drop(ManuallyDrop::into_inner(mem::take(slot)));
        }
    }
}

/// The slots of a set whose tag is a given one, as the highest bits of eight bytes. All are compared at once: which slot it
/// is cannot be predicted, that it is one of them can.
struct Matches(u64);

impl Matches {
    /// May name a slot in vain: one above a slot that it names rightly, or one that there is not.
    fn of(tag: u8, tags: u64) -> Self {
        const LOWEST_BITS: u64 = u64::from_le_bytes([1; 8]);
        // A byte is zero where the tag is the same. To take 1 from a byte sets its highest bit if it was zero.
        let difference = tags ^ u64::from_le_bytes([tag; 8]);
        Self(difference.wrapping_sub(LOWEST_BITS) & !difference & (LOWEST_BITS << 7))
    }
}

impl Iterator for Matches {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.0.trailing_zeros() / u8::BITS;
        self.0 &= self.0.checked_sub(1)?;
        Some(index as usize)
    }
}

impl Hand {
    fn read(&self) -> (u32, Newcomers) {
        let [a, b, c] = self.0;
        let bits = u32::from_le_bytes([a, b, c, 0]);
        (bits >> Newcomers::BITS, Newcomers(bits & ((1 << Newcomers::BITS) - 1)))
    }

    fn write(&mut self, slot: u32, Newcomers(marks): Newcomers) {
        let [a, b, c, _] = (slot << Newcomers::BITS | marks).to_le_bytes();
        self.0 = [a, b, c];
    }

    /// Where it points; it then points to the next slot.
    fn step(&mut self) -> usize {
        let (slot, newcomers) = self.read();
        let next = slot + 1;
        self.write(if (next as usize) < WAYS { next } else { 0 }, newcomers);
        slot as usize
    }

    /// Whether a request of this place came before; if not, it has now.
    fn came_before(&mut self, place: Place) -> bool {
        let (slot, mut newcomers) = self.read();
        let known = newcomers.came_before(place);
        self.write(slot, newcomers);
        known
    }
}

#[cfg(test)]
impl Table {
    /// Everything that stands in it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let sets = self.segments.iter().filter_map(OnceLock::get).flatten();
        sets.flat_map(|set| &set.slots).filter_map(|slot| slot.load_full()).collect()
    }

    /// How many sets are allocated.
    pub(super) fn allocated_sets(&self) -> usize {
        self.segments.iter().filter_map(OnceLock::get).map(|segment| segment.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use triomphe::ThinArc;

    use super::*;
    use crate::access::{Decision, Outcome, PolicyType};

    const ALLOW: Outcome = Outcome { decision: Decision::Allow, decided_by: PolicyType::Identity, explanation: None };

    fn key(tag: u8, text: &str) -> Key<'_> {
        Key { message: text.as_bytes(), place: Place { hash: 0, tag }, any_order: false }
    }

    fn put(set: &Set, key: &Key<'_>) -> Put {
        set.put(key, entry::new(key, &ALLOW))
    }

    fn has(set: &Set, tag: u8, text: &str) -> bool {
        set.find(tag, |entry| entry::answer(entry, &key(tag, text))).is_some()
    }

    #[test]
    fn a_set_is_one_cache_line() {
        assert_eq!(size_of::<Set>(), 64);
        assert_eq!(align_of::<Set>(), 64);
    }

    #[test]
    fn a_table_grows_to_its_size_and_every_place_has_one_set() {
        for max_sets in [1, 2, 200, 256, 257, 1000, 1024] {
            let table = Table::new(max_sets, 0);
            for _ in 0..1000 {
                let before_growing = table.set_count();
                let indexes: Vec<usize> = (0..table.set_count())
                    .map(|n| table.numbering().index(Place { hash: u32::try_from(n).unwrap(), tag: 0 }))
                    .collect();
                assert!(indexes.into_iter().eq(0..table.set_count()));
                table.set_or_allocate(Place { hash: 0, tag: 0 }).unwrap();
                assert_eq!(table.grow(), table.set_count() > before_growing);
            }
            assert_eq!(table.set_count(), max_sets.next_power_of_two());
            assert_eq!(table.allocated_sets(), max_sets.next_power_of_two());
            assert!((0..10_000).all(|n| table.set(Place { hash: n * 429_497, tag: 0 }).is_some()));
        }
    }

    #[test]
    fn what_a_set_holds_goes_with_it() {
        let set = Set::default();
        assert!(matches!(put(&set, &key(1, "a")), Put::Added));
        let entry = set.slots.iter().find_map(|slot| slot.load_full()).unwrap();
        assert_eq!(ThinArc::strong_count(&entry), 2);
        drop(set);
        assert_eq!(ThinArc::strong_count(&entry), 1);
    }

    #[test]
    fn growing_loses_nothing() {
        let table = Table::new(4096, 0);
        let place = |n: u32| Place::from(u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(20));
        let with_key = |n: u32, work: &dyn Fn(&Key<'_>) -> bool| {
            work(&Key { message: &n.to_le_bytes(), place: place(n), any_order: false })
        };
        let found = |n: u32| {
            with_key(n, &|key| {
                let answer = |entry: &Entry| entry::answer(entry, key);
                table.set(key.place).and_then(|set| set.find(key.place.tag, answer)).is_some()
            })
        };
        for n in 0..400 {
            with_key(n, &|key| matches!(put(table.set_or_allocate(key.place).unwrap(), key), Put::Added));
        }
        let before: Vec<u32> = (0..400).filter(|n| found(*n)).collect();
        assert!(before.len() > 390);
        while table.grow() {
            assert!(before.iter().all(|n| found(*n)), "{} sets", table.set_count());
        }
        assert_eq!((table.set_count(), table.entries().len()), (4096, before.len()));
    }

    #[test]
    fn a_reader_finds_entries_while_a_writer_holds_the_set_and_a_second_writer_goes_away() {
        let set = Set::default();
        assert!(matches!(put(&set, &key(7, "a")), Put::Added));
        let _writer = set.hand.lock().unwrap();
        assert!(has(&set, 7, "a"));
        assert!(matches!(put(&set, &key(7, "b")), Put::Busy));
        assert!(!set.came_before(key(7, "b").place) && !set.came_before(key(7, "b").place));
        assert!(set.remove(&key(7, "a")).is_none());
        assert!(!set.evict_unused(|_| true));
    }

    #[test]
    fn a_full_set_gives_up_what_was_not_used() {
        let set = Set::default();
        for text in ["a", "b", "c", "d", "e", "f"] {
            assert!(matches!(put(&set, &key(7, text)), Put::Added));
        }
        assert!(["a", "b", "d", "e", "f"].iter().all(|key| has(&set, 7, key)));
        assert!(matches!(put(&set, &key(7, "g")), Put::Evicted(old) if entry::has_key(&old, &key(7, "c"))));
        // `a` and `b` were passed; `d` is next and still marked, as are those after it: all are passed once, and then
        // `a`, which nobody asked for again.
        assert!(matches!(put(&set, &key(8, "h")), Put::Evicted(old) if entry::has_key(&old, &key(7, "a"))));
        assert!(["b", "d", "e", "f", "g"].iter().all(|key| has(&set, 7, key)));
        assert!(has(&set, 8, "h") && !has(&set, 7, "a") && !has(&set, 7, "c"));
    }

    #[test]
    fn when_all_are_used_one_goes_nevertheless() {
        let set = Set::default();
        for text in ["a", "b", "c", "d", "e", "f"] {
            put(&set, &key(7, text));
            assert!(has(&set, 7, text));
        }
        assert!(matches!(put(&set, &key(7, "g")), Put::Evicted(old) if entry::has_key(&old, &key(7, "a"))));
    }

    #[test]
    fn a_visit_clears_marks_and_the_next_one_evicts() {
        let set = Set::default();
        put(&set, &key(7, "a"));
        assert!(has(&set, 7, "a"));
        assert!(!set.evict_unused(|_| true));
        assert!(set.evict_unused(|old| entry::has_key(old, &key(7, "a"))));
        assert!(!has(&set, 7, "a"));
    }
}
