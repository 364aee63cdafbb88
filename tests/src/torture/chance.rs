//! Chance that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers that look drawn and follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of that seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed that `KAIGI_TORTURE_SEED` names, or one that nobody had before.
    pub fn seed() -> u64 {
        if let Ok(seed) = std::env::var("KAIGI_TORTURE_SEED") {
            return seed.parse().expect("KAIGI_TORTURE_SEED is a number");
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        u64::from(since_1970.expect("it is later").subsec_nanos())
    }

    /// A number below that one.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number of that range.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// One of them.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let choices_there = choices.len() as u64;
        choices[usize::try_from(self.below(choices_there)).expect("there are few")]
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
