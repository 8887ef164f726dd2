//! What a throw of the dice decides.

use super::dice::Dice;

impl Dice {
    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// One to `most` of a list, perhaps one of them twice.
    pub(super) fn some<T: Copy>(&mut self, list: &[T], most: usize) -> Vec<T> {
        (0..=self.below(most)).map(|_| self.pick(list)).collect()
    }

    /// One of the ways, each as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, ways: &[(usize, T)]) -> T {
        let mut at = self.below(ways.iter().map(|(weight, _)| weight).sum());
        let hit = |(weight, _): &&(usize, T)| {
            let hit = at < *weight;
            at = at.saturating_sub(*weight);
            hit
        };
        ways.iter().find(hit).unwrap().1
    }

    /// The text with one to three wildcards in it, some of which stand for what was there.
    pub(super) fn blur(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        for _ in 0..=self.below(3) {
            let start = self.below(letters.len() + 1);
            if self.chance(30) && start < letters.len() {
                letters[start] = '?';
            } else {
                let end = (start + self.below(6)).min(letters.len());
                letters.splice(start..end, ['*']);
            }
        }
        letters.into_iter().collect()
    }
}
