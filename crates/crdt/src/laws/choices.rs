//! [`Choices`]: what a history chooses, all of it from one seed.
//!
//! Invariant: the same seed chooses the same, on every machine. The generator is `SplitMix64` (Steele, Lea and Flood, "Fast
//! Splittable Pseudorandom Number Generators", 2014).

/// A source of choices.
#[derive(Debug, Clone)]
pub struct Choices {
    state: u64,
}

impl Choices {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number().checked_rem(bound).unwrap_or(0)
    }

    /// A place in a list of this length; 0 where the list is empty.
    pub fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn a_seed_chooses_the_same_and_all_of_it() {
        let chosen = |seed| {
            let mut choices = Choices::new(seed);
            (0..200).map(|_| choices.below(5)).collect::<Vec<_>>()
        };
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        assert!((0..5).all(|wanted| chosen(7).contains(&wanted)));
        assert_eq!(Choices::new(1).below(0), 0);
        // The first number of the published generator for the seed 0.
        assert_eq!(Choices::new(0).number(), 0xe220_a839_7b1d_cdaf);
    }
}
