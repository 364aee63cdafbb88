//! Percentiles within 1 %, in whatever order and parts values are counted.

use projections::Sketch;
use proptest::collection::vec;
use proptest::prelude::*;

fn sketch(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    for &ms in values {
        sketch.add(ms);
    }
    sketch
}

fn merged(one: &Sketch, other: &Sketch) -> Sketch {
    let mut merged = one.clone();
    merged.merge(other);
    merged
}

/// The least value that at least so many per cent do not exceed.
fn exact(values: &[u64], percent: u8) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100);
    sorted[rank.max(1) - 1]
}

/// Durations of every size: as many of some milliseconds as of some years.
fn ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        (0_u32..64, any::<u64>()).prop_map(|(digits, bits)| bits >> digits),
        0_u64..7_200_000,
    ]
}

#[test]
fn nothing_counted_has_no_percentile() {
    assert_eq!(Sketch::default().percentile(50), None);
    assert_eq!(sketch(&[0]).percentile(50), Some(0));
}

#[test]
fn short_durations_are_told_exactly() {
    for ms in 0..100 {
        assert_eq!(sketch(&[ms]).percentile(50), Some(ms));
    }
}

#[test]
fn the_longest_durations_are_counted_too() {
    let told = sketch(&[u64::MAX])
        .percentile(100)
        .expect("one was counted");
    assert!(u64::MAX - told <= u64::MAX / 100);
}

proptest! {
    #[test]
    fn every_percentile_is_within_one_per_cent(values in vec(ms(), 1..200)) {
        let sketch = sketch(&values);
        prop_assert_eq!(sketch.count(), values.len() as u64);
        for percent in [0, 1, 50, 90, 95, 99, 100] {
            let exact = u128::from(exact(&values, percent));
            let told = u128::from(sketch.percentile(percent).expect("something was counted"));
            prop_assert!(told.abs_diff(exact) * 100 <= exact, "{}: {} for {}", percent, told, exact);
        }
    }

    #[test]
    fn any_order_and_any_split_give_the_same(
        values in vec(ms(), 0..100),
        order in any::<prop::sample::Index>(),
        cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let whole = sketch(&values);
        let mut turned = values.clone();
        turned.rotate_left(order.index(values.len() + 1) % values.len().max(1));
        turned.reverse();
        prop_assert_eq!(&sketch(&turned), &whole);
        let (one, other) = (cuts.0.index(values.len() + 1), cuts.1.index(values.len() + 1));
        let (one, other) = (one.min(other), one.max(other));
        let parts = [&values[..one], &values[one..other], &values[other..]].map(sketch);
        let [a, b, c] = &parts;
        prop_assert_eq!(&merged(&merged(a, b), c), &whole);
        prop_assert_eq!(&merged(a, &merged(b, c)), &whole);
        prop_assert_eq!(&merged(&merged(c, b), a), &whole);
    }
}
