//! A hash table of numbers, for things that lie elsewhere: it holds no keys, so that whoever asks compares.
//!
//! A million names cost it 16 bytes each at most, and a look-up touches one line of memory before the thing itself.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;

use foldhash::fast::{FoldHasher, RandomState};

use crate::arn::AccountId;

/// Full at three quarters: then a search ends after two or three slots.
const FULL: (usize, usize) = (3, 4);
const FEWEST_SLOTS: usize = 8;

/// Values by hash.
#[derive(Clone, Debug)]
pub(super) struct Table<V> {
    slots: Vec<Slot<V>>,
    len: usize,
}

/// Tag 0: nothing is here.
#[derive(Clone, Copy, Debug, Default)]
struct Slot<V> {
    tag: u32,
    value: V,
}

/// What a hash table goes by: the place in it and what is compared before the thing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

/// What all tags are made by, so that they can be kept: another one in each process, for nobody to choose names by.
static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl Tag {
    /// The tag of several texts in a row.
    pub(super) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::made(|hasher| {
            for text in texts {
                hasher.write(text.as_bytes());
                hasher.write_usize(text.len());
            }
        })
    }

    /// The tag of a text.
    pub(super) fn of(text: &str) -> Self {
        Self::of_texts([text])
    }

    /// The tag of a list of numbers, of either kind.
    pub(super) fn of_numbers(numbers: &[u32], kind: bool) -> Self {
        Self::made(|hasher| {
            hasher.write_u8(u8::from(kind));
            numbers.iter().for_each(|number| hasher.write_u32(*number));
        })
    }

    /// The tag of a name in an account, the same in whatever case.
    pub(super) fn of_name(owner: Option<AccountId>, name: &str) -> Self {
        Self::made(|hasher| {
            if let Some(owner) = &owner {
                hasher.write(owner.as_bytes());
            }
            let mut folded = [0; 64];
            for piece in name.as_bytes().chunks(folded.len()) {
                let Some(folded) = folded.get_mut(..piece.len()) else { continue };
                folded.copy_from_slice(piece);
                folded.make_ascii_lowercase();
                hasher.write(folded);
            }
        })
    }

    fn made(write: impl FnOnce(&mut FoldHasher<'_>)) -> Self {
        let mut hasher = RANDOM.build_hasher();
        write(&mut hasher);
        let hash = hasher.finish();
        let [high, low] = [hash >> 32, hash & u64::from(u32::MAX)];
        // 0 marks what is free.
        Self(u32::try_from(high ^ low).unwrap_or_default().max(1))
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0 }
    }
}

impl<V: Copy + Default> Table<V> {
    /// An empty table with room for so many values.
    pub(super) fn with_capacity(values: usize) -> Self {
        let mut table = Self::default();
        table.resize(values.saturating_mul(FULL.1).div_ceil(FULL.0).next_power_of_two().max(FEWEST_SLOTS));
        table
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What is in each slot; a power of two of them.
    pub(super) fn slots(&self) -> impl Iterator<Item = Option<(Tag, V)>> {
        self.slots.iter().map(|slot| (slot.tag != 0).then_some((Tag(slot.tag), slot.value)))
    }

    /// The first value with this tag that is the right one.
    pub(super) fn find(&self, tag: Tag, is_right: impl Fn(V) -> bool) -> Option<V> {
        let mut at = self.home(tag);
        loop {
            // INVARIANT: `home` and `next` are within the slots, and one of these is free unless there are none.
            let slot = self.slots.get(at)?;
            if slot.tag == tag.0 && is_right(slot.value) {
                return Some(slot.value);
            }
            if slot.tag == 0 {
                return None;
            }
            at = self.next(at);
        }
    }

    /// Adds a value, which [`Table::find`] has not found.
    pub(super) fn insert(&mut self, tag: Tag, value: V) {
        if (self.len + 1).saturating_mul(FULL.1) > self.slots.len().saturating_mul(FULL.0) {
            self.resize((self.slots.len() * 2).max(FEWEST_SLOTS));
        }
        self.put(Slot { tag: tag.0, value });
        self.len += 1;
    }

    fn put(&mut self, new: Slot<V>) {
        let mut at = self.home(Tag(new.tag));
        while self.slots.get(at).is_some_and(|slot| slot.tag != 0) {
            at = self.next(at);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = new;
        }
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        old.into_iter().filter(|slot| slot.tag != 0).for_each(|slot| self.put(slot));
    }

    /// Where a search begins: the number of slots is a power of two.
    fn home(&self, tag: Tag) -> usize {
        // The bits of a tag are equally random; the highest ones are compared by nobody else.
        (tag.0 as usize) & self.slots.len().wrapping_sub(1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & self.slots.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let names: Vec<String> = (0..10_000).map(|n| format!("name-{n}")).collect();
        let mut table = Table::default();
        let find = |table: &Table<u32>, name: &str| {
            table.find(Tag::of(name), |n| names.get(n as usize).is_some_and(|known| known == name))
        };
        for (n, name) in (0..).zip(&names) {
            assert_eq!(find(&table, name), None);
            table.insert(Tag::of(name), n);
        }
        for (n, name) in (0..).zip(&names) {
            assert_eq!(find(&table, name), Some(n));
        }
        assert_eq!((find(&table, "name-10000"), table.len(), table.slots().flatten().count()), (None, 10_000, 10_000));
        assert_eq!(Table::<u32>::default().find(Tag(1), |_| true), None);
    }

    #[test]
    fn a_name_is_the_same_in_whatever_case_and_length() {
        let account = AccountId::parse("123456789012");
        for name in ["Bob".to_owned(), "x".repeat(63), "Y".repeat(200)] {
            let tag = Tag::of_name(account, &name);
            assert_eq!(tag, Tag::of_name(account, &name.to_uppercase()));
            assert_ne!(tag, Tag::of_name(None, &name));
        }
    }
}
