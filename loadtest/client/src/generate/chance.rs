//! Chance that is the same everywhere: no library may change what a seed means.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Of a seed, for one of many things.
    pub(super) fn of(seed: u64, kind: u64, number: u64) -> Self {
        let mut chance = Self::new(seed ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let first = chance.next();
        Self(first ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is at least 1.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The bias is below 2^-40 for what is counted here.
        self.next() % end
    }

    /// From 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `count` different numbers below `end`, in the order in which they were drawn.
    pub(super) fn several(&mut self, count: u64, end: u64) -> Vec<u64> {
        let mut drawn = Vec::new();
        for last in end - count..end {
            // Floyd's: one draw for each.
            let one = self.below(last + 1);
            drawn.push(if drawn.contains(&one) { last } else { one });
        }
        drawn
    }
}

/// Ranks by Zipf's law: the k-th has a weight of k^-s.
#[derive(Clone, Debug)]
pub(super) struct Zipf(Vec<f64>);

impl Zipf {
    pub(super) fn new(count: u64, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    /// From 0.
    pub(super) fn draw(&self, chance: &mut Chance) -> u64 {
        let at = chance.share() * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut chance = Chance::new(0);
        assert_eq!([chance.next(), chance.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn several_are_different() {
        for number in 0..100 {
            let mut drawn = Chance::of(1, 2, number).several(10, 12);
            drawn.sort_unstable();
            drawn.dedup();
            assert!(drawn.len() == 10 && drawn.iter().all(|one| *one < 12));
        }
    }

    #[test]
    fn ranks_follow_the_law() {
        let zipf = Zipf::new(1000, 1.0);
        let mut chance = Chance::new(7);
        let mut counts = vec![0_u32; 1000];
        (0..100_000).for_each(|_| counts[zipf.draw(&mut chance) as usize] += 1);
        // The sum of 1/k to 1000 is 7.485: the first has 13,359 of 100,000, the tenth a tenth of that.
        assert!((13_000..13_720).contains(&counts[0]), "{}", counts[0]);
        assert!((1_220..1_450).contains(&counts[9]), "{}", counts[9]);
        let even = Zipf::new(2, 0.0);
        let ones = (0..1000).filter(|_| even.draw(&mut chance) == 1).count();
        assert!((430..570).contains(&ones), "{ones}");
    }
}
