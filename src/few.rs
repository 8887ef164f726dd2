//! A list that needs no memory of its own while it is short.

use std::ops::{Deref, DerefMut};

use arrayvec::ArrayVec;

/// How many elements it holds by itself, unless it says otherwise: an ordinary request has fewer condition keys.
pub const FEW: usize = 8;

/// As `SmallVec`, but covariant: a list of borrowed texts can stand for one that is borrowed for a shorter time.
#[derive(Debug)]
pub enum Few<T, const N: usize = FEW> {
    /// In place.
    Short(ArrayVec<T, N>),
    /// On the heap.
    Long(Vec<T>),
}

impl<T, const N: usize> Few<T, N> {
    /// Adds one at the end.
    #[inline]
    pub fn push(&mut self, element: T) {
        match self {
            Self::Short(elements) if elements.is_full() => self.spill().push(element),
            // INVARIANT: there is room.
            Self::Short(elements) => drop(elements.try_push(element)),
            Self::Long(elements) => elements.push(element),
        }
    }

    #[cold]
    fn spill(&mut self) -> &mut Self {
        let mut longer = Vec::with_capacity(4 * N);
        if let Self::Short(elements) = self {
            longer.extend(elements.take());
            *self = Self::Long(longer);
        }
        self
    }
}

impl<K: Ord, V, const N: usize> Few<(K, V), N> {
    /// Whether no two pairs have the same key; pairs of more than [`FEW`] keys are sorted by them.
    pub fn has_each_key_once(&mut self) -> bool {
        if self.len() > FEW {
            self.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            return self.is_sorted_by(|(a, _), (b, _)| a < b);
        }
        let mut rest = &**self;
        while let [(key, _), others @ ..] = rest {
            if others.iter().any(|(other, _)| key == other) {
                return false;
            }
            rest = others;
        }
        true
    }
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self::Short(ArrayVec::new())
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Short(elements) => elements,
            Self::Long(elements) => elements,
        }
    }
}

impl<T, const N: usize> DerefMut for Few<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Short(elements) => elements,
            Self::Long(elements) => elements,
        }
    }
}

impl<T, const N: usize> Extend<T> for Few<T, N> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        elements.into_iter().for_each(|element| self.push(element));
    }
}

impl<T, const N: usize> FromIterator<T> for Few<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Self::default();
        few.extend(elements);
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_whatever_the_number() {
        for count in [0, 1, FEW - 1, FEW, FEW + 1, 100] {
            let mut few: Few<usize> = (0..count).collect();
            assert_eq!(*few, *(0..count).collect::<Vec<_>>());
            assert_eq!(matches!(few, Few::Short(_)), count <= FEW);
            few.reverse();
            assert_eq!(few.first().copied(), count.checked_sub(1));
        }
    }

    #[test]
    fn keys_are_told_apart_whatever_their_number() {
        for count in [0, 1, 2, FEW, FEW + 1, 100] {
            let mut few: Few<(usize, ())> = (0..count).rev().map(|key| (key, ())).collect();
            assert!(few.has_each_key_once(), "{count}");
            if count > 0 {
                few.push((count / 2, ()));
                assert!(!few.has_each_key_once(), "{count}");
            }
        }
    }
}
