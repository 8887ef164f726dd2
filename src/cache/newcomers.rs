//! Who asked before: where room is short, only what is asked a second time is let in.
//!
//! Most requests that are asked once are never asked again. To remember them would cost as much as deciding them, in memory
//! that others are in, and push those out. A mark for each is enough to know it when it comes back: if it is taken for another
//! one, or its mark was written over, it is let in too early or too late, and no answer depends on it.

use std::sync::atomic::{AtomicU16, Ordering};

use super::table::Place;

/// The marks of those that came last.
pub(super) struct Newcomers {
    /// Relaxed throughout: a mark guards no other memory. As many as a power of two.
    marks: Box<[AtomicU16]>,
}

/// One mark for so many bytes of the budget: somewhat more marks than there are entries, so that who comes back while they
/// are all replaced once is known.
const MARK_SHARE_BYTES: usize = 256;

impl Newcomers {
    /// For a cache of this budget.
    pub(super) fn new(budget_bytes: usize) -> Self {
        let count = (budget_bytes / MARK_SHARE_BYTES).next_power_of_two() / 2;
        Self { marks: (0..count).map(|_| AtomicU16::new(0)).collect() }
    }

    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.marks)
    }

    /// Whether it came before; if not, it has now.
    pub(super) fn came_before(&self, place: Place) -> bool {
        let [low, rest @ ..] = place.hash.to_le_bytes();
        let [a, b, c] = rest;
        let index = u32::from_le_bytes([a, b, c, place.tag]) as usize & self.marks.len().wrapping_sub(1);
        let mark = u16::from_le_bytes([low, place.tag]).max(1);
        self.marks.get(index).is_none_or(|slot| slot.swap(mark, Ordering::Relaxed) == mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_is_known() {
        let newcomers = Newcomers::new(1 << 20);
        assert_eq!(newcomers.bytes(), 4096);
        let places: Vec<Place> = (1..=500_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).into()).collect();
        let known = || places.iter().filter(|place| newcomers.came_before(**place)).count();
        assert_eq!(known(), 0);
        assert!(known() > 300, "few were written over");
    }

    #[test]
    fn without_marks_everybody_is_let_in() {
        assert!(Newcomers::new(0).came_before(7.into()));
    }
}
