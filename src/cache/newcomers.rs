//! Who asked before: where room is short, only what is asked a second time is let in.
//!
//! Most requests that are asked once are never asked again. To remember them would cost as much as deciding them, in memory
//! that others are in, and push those out. A mark for each is enough to know it when it comes back: if it is taken for another
//! one, or its mark was written over, it is let in too early or too late, and no answer depends on it.

use super::table::Place;

/// The marks of the two that came last to a set of the cache: it has them in the line of memory that was looked at for the request
/// anyway. There are about two for three entries, and one in 128 newcomers is taken for another one.
#[derive(Debug, Default)]
pub(super) struct Newcomers([u8; 2]);

impl Newcomers {
    /// Whether it came before; if not, it has now.
    pub(super) fn came_before(&mut self, place: Place) -> bool {
        // Of bits that do not say which set: else it would be the same for all in a set. 0 is nobody.
        let [.., mark] = place.hash.to_le_bytes();
        let mark = (mark ^ place.tag).max(1);
        let known = self.0.contains(&mark);
        if !known {
            let [last, _] = self.0;
            self.0 = [mark, last];
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_are_known() {
        let place = |mark| Place { hash: u32::from_le_bytes([0, 0, 0, mark]), tag: 0 };
        let mut newcomers = Newcomers::default();
        let mut came = |mark| newcomers.came_before(place(mark));
        assert!(!came(0) && came(0), "no mark at all is nobody's");
        assert!(!came(3) && !came(2) && came(3) && came(2));
        assert!(!came(4) && came(2) && came(4) && !came(3) && !came(2));
    }
}
