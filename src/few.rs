//! A list that needs no memory of its own while it is short.

use std::ops::{Deref, DerefMut};

use arrayvec::ArrayVec;

/// How many elements it holds by itself: an ordinary request has fewer condition keys.
pub const FEW: usize = 8;

/// As `SmallVec`, but covariant: a list of borrowed texts can stand for one that is borrowed for a shorter time.
#[derive(Debug)]
pub enum Few<T> {
    /// In place.
    Short(ArrayVec<T, FEW>),
    /// On the heap.
    Long(Vec<T>),
}

impl<T> Few<T> {
    /// Adds one at the end.
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
        let mut longer = Vec::with_capacity(4 * FEW);
        if let Self::Short(elements) = self {
            longer.extend(elements.take());
            *self = Self::Long(longer);
        }
        self
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Short(ArrayVec::new())
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Short(elements) => elements,
            Self::Long(elements) => elements,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Short(elements) => elements,
            Self::Long(elements) => elements,
        }
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        elements.into_iter().for_each(|element| self.push(element));
    }
}

impl<T> FromIterator<T> for Few<T> {
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
}
