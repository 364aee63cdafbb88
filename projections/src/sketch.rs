//! Percentiles that can be kept, merged and rebuilt to the same number on any machine.

use serde::{Deserialize, Serialize};

/// A distribution of durations in milliseconds that answers every percentile within 1 %: `DDSketch` (Masson, Rim and Lee,
/// 2019) on whole numbers.
///
/// Buckets grow by 1.01/0.99, zero has its own, and none is ever given up to save room: so it does not matter in what
/// order values come or in what parts they were counted. Bounds are computed in integers, without a logarithm that
/// another machine might round otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    zeros: u64,
    /// Bucket and how many values fell into it, in the order of buckets; empty ones are left out.
    counts: Vec<(u16, u64)>,
}

impl Sketch {
    /// Counts a duration.
    pub fn add(&mut self, ms: u64) {
        if ms == 0 {
            self.zeros += 1;
        } else {
            self.add_to(bucket_of(ms), 1);
        }
    }

    /// Counts all that the other counted.
    pub fn merge(&mut self, other: &Sketch) {
        self.zeros += other.zeros;
        for &(bucket, count) in &other.counts {
            self.add_to(bucket, count);
        }
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        let counts = self.counts.iter();
        self.zeros + counts.map(|(_, count)| count).sum::<u64>()
    }

    /// The least duration that at least `percent` % of those counted do not exceed, within 1 %; none if none was.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(percent))
            .div_ceil(100)
            .max(1);
        let mut passed = u128::from(self.zeros);
        if rank <= passed {
            return Some(0);
        }
        let mut counts = self.counts.iter();
        let reached = counts.find(|(_, count)| {
            passed += u128::from(*count);
            rank <= passed
        });
        reached.map(|(bucket, _)| estimate(shortest(usize::from(*bucket))))
    }

    fn add_to(&mut self, bucket: u16, count: u64) {
        match self
            .counts
            .binary_search_by_key(&bucket, |(bucket, _)| *bucket)
        {
            Ok(place) => self.counts[place].1 += count,
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }
}

/// What a bucket that begins there is told as: 1 % above its shortest duration.
const fn estimate(shortest: u64) -> u64 {
    shortest.saturating_add(shortest / 100)
}

/// The longest duration of a bucket that begins there: 1 % above what the bucket is told as, by its own measure.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what does not fit is capped"
)]
const fn longest(shortest: u64) -> u64 {
    let longest = estimate(shortest) as u128 * 100 / 99;
    if longest > u64::MAX as u128 {
        u64::MAX
    } else {
        longest as u64
    }
}

/// How many buckets reach from 1 ms to the longest duration a `u64` holds.
const BUCKETS: usize = {
    let mut end = longest(1);
    let mut count = 1;
    while end < u64::MAX {
        end = longest(end + 1);
        count += 1;
    }
    count
};

/// The longest duration of each bucket.
static LONGEST: [u64; BUCKETS] = {
    let mut ends = [longest(1); BUCKETS];
    let mut bucket = 1;
    while bucket < BUCKETS {
        ends[bucket] = longest(ends[bucket - 1] + 1);
        bucket += 1;
    }
    ends
};

/// For each number of binary digits, the bucket of the shortest duration that has as many.
static BY_DIGITS: [usize; 65] = {
    let mut first = [0; 65];
    let mut digits = 1;
    let mut bucket = 0;
    while digits < 65 {
        while LONGEST[bucket] < 1 << (digits - 1) {
            bucket += 1;
        }
        first[digits] = bucket;
        digits += 1;
    }
    first
};

fn shortest(bucket: usize) -> u64 {
    match bucket {
        0 => 1,
        _ => LONGEST[bucket - 1] + 1,
    }
}

fn bucket_of(ms: u64) -> u16 {
    let digits = (u64::BITS - ms.leading_zeros()) as usize;
    let first = BY_DIGITS[digits];
    let end = BY_DIGITS.get(digits + 1).copied().unwrap_or(BUCKETS);
    let bucket = first + LONGEST[first..end].partition_point(|longest| *longest < ms);
    u16::try_from(bucket).expect("there are about two thousand buckets")
}
