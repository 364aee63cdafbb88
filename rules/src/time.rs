//! Times of a call: milliseconds since 1970, UTC, never beyond the year 9999.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A point in time in whole milliseconds since 1970, UTC; at most the last of the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Timestamp(u64);

/// A text or number that is no time this system can keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// The text is not RFC 3339.
    #[error("{0:?} is not a time like 2026-11-22T09:00:00.000Z, between the years 1970 and 9999")]
    NotATime(String),
    /// The time lies before 1970 or beyond the year 9999.
    #[error("{0} is not between the years 1970 and 9999")]
    OutOfRange(String),
}

impl Timestamp {
    /// The first time there is: 1970 began.
    pub const MIN: Timestamp = Timestamp(0);
    /// The last time there is: the year 9999 ends.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    /// The time that many milliseconds after 1970 began, if it lies before the year 10000.
    pub fn from_millis(ms: u64) -> Result<Self, InvalidTime> {
        if ms <= Self::MAX.0 {
            Ok(Self(ms))
        } else {
            Err(InvalidTime::OutOfRange(format!("{ms} ms since 1970")))
        }
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this time; 0 if `earlier` is later.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time and `ms` more, at most the end of the year 9999.
    #[must_use]
    pub fn plus_millis(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms).min(Self::MAX.0))
    }

    /// This time less `ms`, at least 1970.
    #[must_use]
    pub fn minus_millis(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }
}

impl TryFrom<u64> for Timestamp {
    type Error = InvalidTime;

    fn try_from(ms: u64) -> Result<Self, InvalidTime> {
        Self::from_millis(ms)
    }
}

impl From<Timestamp> for u64 {
    fn from(time: Timestamp) -> u64 {
        time.0
    }
}

/// RFC 3339 with any offset; what is finer than a millisecond is cut off.
impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let ms = millis_of(text)
            .ok_or_else(|| InvalidTime::NotATime(text.chars().take(80).collect()))?;
        u64::try_from(ms)
            .ok()
            .and_then(|ms| Self::from_millis(ms).ok())
            .ok_or_else(|| InvalidTime::OutOfRange(text.chars().take(80).collect()))
    }
}

/// Milliseconds since 1970 of an RFC 3339 text; negative before.
fn millis_of(text: &str) -> Option<i64> {
    let (date_and_time, tail) = text.as_bytes().split_at_checked(19)?;
    let [year, month, day, hour, minute, second] = numbers(date_and_time, b"0000-00-00T00:00:00")?;
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let (fraction_ms, offset) = split_fraction(tail)?;
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute;
    Some(((minutes - offset_minutes(offset)?) * 60 + second) * 1000 + fraction_ms)
}

/// The numbers that stand where the shape has zeros; all else must be as in the shape.
fn numbers<const N: usize>(text: &[u8], shape: &[u8]) -> Option<[i64; N]> {
    if text.len() != shape.len() {
        return None;
    }
    let mut found = [0; N];
    let mut index = 0;
    for (byte, expected) in text.iter().zip(shape) {
        match expected {
            b'0' if byte.is_ascii_digit() => {
                found[index] = found[index] * 10 + i64::from(byte - b'0');
            }
            b'0' => return None,
            _ if byte == expected => index += usize::from(index + 1 < N),
            _ => return None,
        }
    }
    Some(found)
}

fn split_fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = tail.strip_prefix(b".") else {
        return Some((0, tail));
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let ms = (0..3).fold(0, |ms, place| {
        let digit = rest[..digits].get(place).map_or(0, |b| b - b'0');
        ms * 10 + i64::from(digit)
    });
    Some((ms, &rest[digits..]))
}

fn offset_minutes(offset: &[u8]) -> Option<i64> {
    let (sign, clock) = match offset {
        b"Z" => return Some(0),
        [b'+', clock @ ..] => (1, clock),
        [b'-', clock @ ..] => (-1, clock),
        _ => return None,
    };
    let [hours, minutes] = numbers(clock, b"00:00")?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// Days of the year before each month begins; the second row for leap years.
const DAYS_BEFORE_MONTH: [[i64; 13]; 2] = [
    [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365],
    [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366],
];

fn days_before_months(year: i64) -> &'static [i64; 13] {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    &DAYS_BEFORE_MONTH[usize::from(leap)]
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let before = days_before_months(year);
    let month = usize::try_from(month).expect("checked to be 1 to 12");
    before[month] - before[month - 1]
}

fn days_before_year(year: i64) -> i64 {
    let leap_days =
        |years: i64| years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let month = usize::try_from(month).expect("checked to be 1 to 12");
    days_before_year(year) + days_before_months(year)[month - 1] + day - 1
}

/// Year, month and day of a day counted from 1970.
fn civil(days: i64) -> (i64, usize, i64) {
    // Gregorian years repeat every 400, which have 146,097 days; the estimate is off by one at the most.
    let mut year = 1970 + days * 400 / 146_097;
    while days_before_year(year) > days {
        year -= 1;
    }
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let of_year = days - days_before_year(year);
    let before = days_before_months(year);
    let month = (1..12)
        .rfind(|&month| before[month] <= of_year)
        .unwrap_or(0);
    (year, month + 1, of_year - before[month] + 1)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0 / 86_400_000;
        let (year, month, day) = civil(i64::try_from(days).expect("the year 9999 fits"));
        let (ms, seconds) = (self.0 % 1000, self.0 / 1000 % 86_400);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<u64, InvalidTime> {
        text.parse::<Timestamp>().map(Timestamp::as_millis)
    }

    #[test]
    fn rfc_3339_is_read_with_any_offset_and_fraction() {
        assert_eq!(parsed("1970-01-01T00:00:00.001Z"), Ok(1));
        assert_eq!(
            parsed("2026-11-22T09:00:00Z"),
            parsed("2026-11-22T18:00:00.000999+09:00")
        );
        assert_eq!(parsed("9999-12-31T23:59:59.999Z"), Ok(Timestamp::MAX.0));
    }

    #[test]
    fn times_outside_1970_to_9999_are_refused() {
        for text in [
            "1969-12-31T23:59:59.999Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert!(
                matches!(parsed(text), Err(InvalidTime::OutOfRange(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22 09:00:00Z",
            "2026-11-22T09:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-11-22T09:00:00.Z",
            "2026-11-22T09:00:00Z[UTC]",
            "+002026-11-22T09:00:00Z",
            "2026-11-22T09:00:00.é",
        ] {
            assert!(
                matches!(parsed(text), Err(InvalidTime::NotATime(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_time_is_shown_with_milliseconds_in_utc() {
        let time: Timestamp = "2026-11-22T10:30:00.5+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T09:30:00.500Z");
    }

    #[test]
    fn every_day_until_the_year_9999_is_shown_as_it_is_read() {
        let mut last = String::new();
        for day in 0..2_932_897 {
            let time = Timestamp::from_millis(day * 86_400_000 + 3_723_004).unwrap();
            let shown = time.to_string();
            assert!(shown > last, "{shown} after {last}");
            assert_eq!(shown.parse(), Ok(time));
            last = shown;
        }
        assert_eq!(last, "9999-12-31T01:02:03.004Z");
    }
}
