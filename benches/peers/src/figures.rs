//! Figures of several rounds, and how people read them.

use std::fmt;
use std::time::Duration;

/// What several rounds came to: the median, and between what they lay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut rounds: Vec<f64> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        Self {
            median: rounds[rounds.len() / 2],
            least: rounds[0],
            most: rounds[rounds.len() - 1],
        }
    }

    /// Round by round, for rounds are neighbours in time.
    pub(crate) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Self {
        Self::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median,
            least,
            most,
        } = *self;
        write!(f, "{} ({}..{})", shown(median), shown(least), shown(most))
    }
}

/// Three digits that count, or whole numbers in groups of three.
pub(crate) fn shown(figure: f64) -> String {
    let decimals = match figure {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let text = format!("{figure:.decimals$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (place, digit) in text.char_indices() {
        if place > 0 && place < whole && (whole - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn figure(count: u64) -> f64 {
    count as f64
}

/// So many a second.
pub(crate) fn rate(count: u64, took: Duration) -> f64 {
    figure(count) / took.as_secs_f64()
}

pub(crate) fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// The median and the 99th percentile, in microseconds.
pub(crate) fn percentiles(mut latencies: Vec<Duration>) -> [f64; 2] {
    latencies.sort_unstable();
    [50, 99].map(|percent| micros(latencies[(latencies.len() - 1) * percent / 100]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_that_count_or_groups_of_three() {
        let figures = [0.666, 9.999, 66.66, 666.6, 6_666.6, 1_234_567.0];
        let expected = ["0.67", "10.00", "66.7", "667", "6,667", "1,234,567"];
        assert_eq!(figures.map(shown), expected);
    }
}
