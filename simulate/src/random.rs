//! Chance that is the same on every machine: whole numbers only, since `ln` and `exp` differ between platforms.

use domain::CommandId;
use uuid::Builder;

/// What a log-normal value (sigma 0.6, as call times are spread) is at each 32nd of its distribution, in thousandths
/// of the median. The two ends are chosen so that straight lines between the points keep the mean.
const LOG_NORMAL: [u64; 33] = [
    201, 327, 398, 453, 501, 546, 587, 628, 667, 706, 746, 786, 826, 867, 910, 954, 1000, 1048,
    1099, 1153, 1211, 1273, 1341, 1415, 1499, 1593, 1703, 1833, 1994, 2205, 2510, 3058, 4860,
];

/// A generator of numbers: `SplitMix64`, with the constants of its authors (Steele, Lea, Flood 2014).
pub(super) struct Random(u64);

impl Random {
    /// One of the streams of a seed; each is its own.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let seed = Self(seed).word();
        let stream = Self(!stream).word();
        Self(Self(seed ^ stream).word())
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number from 0 to one less than the limit. The remainder's bias is far below what a day could show.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    /// A number from the first to the last.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether it happens, that many times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of them; `None` of none.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(self.below(count))
            .ok()
            .map(|index| &of[index])
    }

    /// One of them, each as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let mut rest = self.below(of.iter().map(|(weight, _)| weight).sum());
        for &(weight, value) in of {
            if rest < weight {
                return value;
            }
            rest -= weight;
        }
        unreachable!("the rest is below the sum of the weights")
    }

    /// In any order, each as likely.
    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for index in (1..values.len()).rev() {
            let other = self.below(index as u64 + 1);
            values.swap(index, usize::try_from(other).expect("below a length"));
        }
    }

    /// A log-normal time around the median.
    pub(super) fn spread(&mut self, median_ms: u64) -> u64 {
        let place = self.below(32 << 10);
        let (interval, offset) = (place >> 10, place & 1023);
        let interval = usize::try_from(interval).expect("below 32");
        let (from, to) = (LOG_NORMAL[interval], LOG_NORMAL[interval + 1]);
        median_ms * (from * 1024 + (to - from) * offset) / (1024 * 1000)
    }

    /// An identifier of UUID version 8: made by a rule of our own, and so the same again for the same seed.
    pub(super) fn command_id(&mut self) -> CommandId {
        let bytes = (u128::from(self.word()) << 64 | u128::from(self.word())).to_be_bytes();
        CommandId(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_times_lie_below_the_median_and_the_mean_is_that_of_a_log_normal() {
        let mut random = Random::new(1, 1);
        let times: Vec<u64> = (0..100_000).map(|_| random.spread(60_000)).collect();
        let below = times.iter().filter(|time| **time < 60_000).count();
        let mean = times.iter().sum::<u64>() / 100_000;
        assert!((49_000..51_000).contains(&below), "{below}");
        assert!((71_000..73_000).contains(&mean), "{mean}");
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = Random(1_234_567);
        let words = [random.word(), random.word(), random.word()];
        assert_eq!(
            words,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }
}
