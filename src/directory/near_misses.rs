//! Near misses among many names, within a budget.

use crate::finding::near_miss;

/// How many comparisons all hints of one store may cost: about 30 times all of AWS's policies, some milliseconds each. A
/// store with thousands of slips is told of all of them, with hints for the first.
const BUDGET: usize = 50_000;

/// Finds what was meant, as long as that is cheap.
#[derive(Debug)]
pub(super) struct NearMisses {
    comparisons_left: usize,
}

impl Default for NearMisses {
    fn default() -> Self {
        Self { comparisons_left: BUDGET }
    }
}

impl NearMisses {
    pub(super) fn find<'a>(&mut self, written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let left = &mut self.comparisons_left;
        let affordable = known.take(*left).inspect(|_| *left = left.saturating_sub(1));
        near_miss(written, affordable)
    }
}
