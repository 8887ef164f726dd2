//! Chance from a seed: what a change of a scene throws is repeated when proptest shrinks the scene.

pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `end`; 0 if there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // xorshift64: any seed but 0 walks through all numbers.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }

    /// The same letters, some in upper case and some in lower case.
    pub(super) fn respell(&mut self, text: &str) -> String {
        let letter = |c: char| if self.below(2) == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        text.chars().map(letter).collect()
    }
}
