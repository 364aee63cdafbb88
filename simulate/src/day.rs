//! When the customers of a day are to be answered.

use super::random::Random;
use domain::Timestamp;

/// The day that is made up: a Monday.
const DATE: &str = "2026-03-02T00:00:00.000Z";

pub(super) const HALF_HOUR_MS: u64 = 30 * 60 * 1000;

/// The busiest moment, half past ten: the peak of [`CURVE`].
pub(super) const BUSIEST_MS: u64 = 21 * HALF_HOUR_MS;

/// How many of the day's calls each half hour brings, relative to the others: few at night, a peak in the morning, a
/// dip at lunch, a lower peak in the afternoon.
const CURVE: [u64; 48] = [
    3, 2, 2, 2, 2, 1, 1, 2, 2, 2, 3, 4, 6, 9, 14, 21, 32, 42, 50, 54, 55, 53, 49, 44, 35, 32, 36,
    42, 47, 49, 48, 46, 43, 40, 35, 29, 24, 20, 17, 15, 13, 11, 9, 8, 6, 5, 4, 3,
];

/// How many calls are thrown at once: within a block they fall as they like, so that moments are crowded or empty as
/// in life, and no more of the day than this is ever in memory.
const BLOCK: u64 = 64;

/// When the day begins.
pub(super) fn midnight() -> Timestamp {
    DATE.parse().expect("the date is a valid time")
}

/// The times at which customers come, in order; as many as the day has calls.
pub(super) struct Arrivals {
    calls: u64,
    thrown: u64,
    random: Random,
    midnight: Timestamp,
    /// The rest of the block, the latest first.
    block: Vec<Timestamp>,
}

impl Arrivals {
    pub(super) fn new(calls: u64, random: Random) -> Self {
        Self {
            calls,
            thrown: 0,
            random,
            midnight: midnight(),
            block: Vec::new(),
        }
    }

    /// A block of `size` calls has its share of the day's, and each call a place in it.
    fn throw_block(&mut self) {
        let size = BLOCK.min(self.calls - self.thrown);
        let first = u128::from(self.thrown) << 32;
        for _ in 0..size {
            let place = first + u128::from(self.random.below(size << 32));
            let place = u64::try_from(place / u128::from(self.calls)).expect("below 1, in 2^32nds");
            self.block
                .push(self.midnight.plus_millis(ms_into_the_day(place)));
        }
        self.block.sort_unstable_by(|a, b| b.cmp(a));
        self.thrown += size;
    }
}

impl Iterator for Arrivals {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        if self.block.is_empty() {
            self.throw_block();
        }
        self.block.pop()
    }
}

/// When that share of the day's calls, in 2^32nds, has come.
fn ms_into_the_day(share: u64) -> u64 {
    let mut rest = share * CURVE.iter().sum::<u64>();
    let mut half_hours = 0;
    for weight in CURVE {
        let here = weight << 32;
        if rest < here {
            return half_hours * HALF_HOUR_MS + rest * HALF_HOUR_MS / here;
        }
        rest -= here;
        half_hours += 1;
    }
    half_hours * HALF_HOUR_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_calls_come_within_the_day_in_order_and_most_of_them_by_daylight() {
        let times: Vec<Timestamp> = Arrivals::new(10_000, Random::new(1, 0)).collect();
        assert_eq!(times.len(), 10_000);
        assert!(times.is_sorted());
        assert!(times[9_999] < midnight().plus_millis(48 * HALF_HOUR_MS));
        let before = |hour: u64| {
            times.partition_point(|at| *at < midnight().plus_millis(hour * 2 * HALF_HOUR_MS))
        };
        assert!(before(6) < 300, "{} at night", before(6));
        assert!(
            before(18) - before(8) > 8_000,
            "{} by day",
            before(18) - before(8)
        );
        assert!(
            before(13) - before(12) < before(11) - before(10),
            "no lunch dip"
        );
    }
}
