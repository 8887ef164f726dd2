//! Who asked before: where room is short, only what is asked a second time is let in.
//!
//! Most requests that are asked once are never asked again. To remember them would cost as much as deciding them, in memory
//! that others are in, and push those out. A mark for each is enough to know it when it comes back: if it is taken for another
//! one, or its mark was written over, it is let in too early or too late, and no answer depends on it.

use super::table::Place;

/// The marks of the two that came last to a set of the cache, in one number; 0 is nobody's. The set has them in the line of memory
/// that was looked at for the request anyway. There are about two for three entries, and one in 512 newcomers is taken for another
/// one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newcomers(pub(super) u32);

/// Bits of a mark.
const MARK: u32 = 10;

impl Newcomers {
    /// Bits of both marks.
    pub(super) const BITS: u32 = 2 * MARK;

    /// Whether it came before; if not, it has now.
    pub(super) fn came_before(&mut self, place: Place) -> bool {
        // Of bits that do not say which set: else it would be the same for all in a set.
        let mark = ((place.hash >> (u32::BITS - MARK)) ^ u32::from(place.tag)).max(1);
        let last = self.0 & ((1 << MARK) - 1);
        let known = mark == last || mark == self.0 >> MARK;
        if !known {
            self.0 = last << MARK | mark;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_are_known() {
        let place = |mark: u32| Place { hash: mark << (u32::BITS - MARK), tag: 0 };
        let mut newcomers = Newcomers::default();
        let mut came = |mark| newcomers.came_before(place(mark));
        assert!(!came(0) && came(0), "no mark at all is nobody's");
        assert!(!came(1023) && !came(2) && came(1023) && came(2));
        assert!(!came(4) && came(2) && came(4) && !came(1023) && !came(2));
        assert!(newcomers.0 >> Newcomers::BITS == 0);
    }
}
