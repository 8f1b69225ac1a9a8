//! Chance that a seed repeats: when calls arrive, whom they are about, what they do.

use store::random::Random;

/// Throws, from one seeded stream.
#[derive(Debug)]
pub(crate) struct Dice(Random);

impl Dice {
    /// The same throws for the same seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Random::seeded(seed))
    }

    /// Others, that this one's next throw chooses: what is thrown with them disturbs nobody.
    pub(crate) fn another(&self) -> Self {
        Self::seeded(u64::from_be_bytes(self.0.bytes()))
    }

    /// A number of [0, 1), with 53 bits.
    pub(crate) fn unit(&self) -> f64 {
        let bits = u64::from_be_bytes(self.0.bytes()) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub(crate) fn below(&self, limit: usize) -> usize {
        ((self.unit() * limit as f64) as usize).min(limit.saturating_sub(1))
    }

    /// An exponential of mean 1: the gap between two arrivals of a Poisson process of rate 1.
    pub(crate) fn exponential(&self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// One of what is listed, by its weight; `None` when all weights are 0.
    pub(crate) fn weighted<T: Copy>(&self, choices: &[(T, u32)]) -> Option<T> {
        let total: u64 = choices.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = (self.unit() * total as f64) as u64;
        for (choice, weight) in choices {
            let weight = u64::from(*weight);
            if left < weight {
                return Some(*choice);
            }
            left -= weight;
        }
        None
    }
}

/// Zipf's law: the first is chosen most, the n-th 1/n^s times as often.
#[derive(Debug)]
pub(crate) struct Zipf {
    /// Sums of the weights up to each rank, of which the last is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Over `ranks` with the exponent `exponent`; 0 chooses all alike.
    pub(crate) fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|share| *share /= sum);
        Self { cumulative }
    }

    /// A rank, from 0.
    pub(crate) fn pick(&self, dice: &Dice) -> usize {
        let thrown = dice.unit();
        let rank = self.cumulative.partition_point(|share| *share <= thrown);
        rank.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

    use super::*;

    /// With exponent 1 over 100 ranks the first has 1/H(100) = 19.3 % of the choices, and the tenth a tenth of that.
    #[test]
    fn the_first_is_chosen_as_often_as_zipf_says() {
        let (zipf, dice) = (Zipf::new(100, 1.0), Dice::seeded(3));
        let mut chosen = vec![0_u32; 100];
        (0..100_000).for_each(|_| chosen[zipf.pick(&dice)] += 1);
        assert!((18_600..20_000).contains(&chosen[0]), "{}", chosen[0]);
        assert!((1_700..2_200).contains(&chosen[9]), "{}", chosen[9]);
        assert!(chosen.iter().all(|times| *times > 0), "nobody is left out");
    }

    #[test]
    fn without_an_exponent_all_are_alike() {
        let (zipf, dice) = (Zipf::new(4, 0.0), Dice::seeded(3));
        let mut chosen = [0_u32; 4];
        (0..40_000).for_each(|_| chosen[zipf.pick(&dice)] += 1);
        assert!(chosen.iter().all(|times| (9_500..10_500).contains(times)), "{chosen:?}");
    }

    #[test]
    fn weights_are_kept_and_zero_is_never_chosen() {
        let dice = Dice::seeded(5);
        let mut chosen = [0_u32; 3];
        (0..40_000).for_each(|_| chosen[dice.weighted(&[(0, 3), (1, 0), (2, 1)]).unwrap()] += 1);
        assert_eq!(chosen[1], 0);
        assert!((29_300..30_700).contains(&chosen[0]), "{chosen:?}");
        assert_eq!(dice.weighted::<u8>(&[]), None);
    }

    #[test]
    fn the_same_seed_throws_the_same() {
        let throws = |seed| {
            let dice = Dice::seeded(seed);
            (0..50).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
    }
}
