//! How long something takes, as people write it.

use std::fmt;
use std::str::FromStr;

/// A whole number of one unit, as in `300ms`, `90s`, `30m`, `4h` or `2d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(u64);

/// A text that does not say how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of ms, s, m, h or d, such as 4h")]
pub struct InvalidTimeSpan;

impl TimeSpan {
    /// Milliseconds.
    pub fn as_millis(self) -> u64 {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = InvalidTimeSpan;

    fn from_str(text: &str) -> Result<Self, InvalidTimeSpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(InvalidTimeSpan),
        };
        // So large a number of days still is a number of milliseconds, for whoever reckons with a sign, too.
        let number: u32 = number.parse().map_err(|_| InvalidTimeSpan)?;
        Ok(Self(u64::from(number) * unit_ms))
    }
}

/// As it is read, in the smallest unit.
impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_is_a_whole_number_of_one_unit() {
        for (text, expected_ms) in [
            ("0ms", 0),
            ("300ms", 300),
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("4h", 14_400_000),
            ("2d", 172_800_000),
            ("4294967295d", 4_294_967_295 * 86_400_000),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.as_millis(), expected_ms, "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "4",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "4 h",
            "4H",
            "4hours",
            "4h30m",
            "4294967296s",
        ] {
            assert_eq!(text.parse::<TimeSpan>(), Err(InvalidTimeSpan), "{text}");
        }
    }

    #[test]
    fn a_time_span_is_read_as_it_is_shown() {
        let span: TimeSpan = "4h".parse().unwrap();
        assert_eq!(span.to_string(), "14400000ms");
        assert_eq!(span.to_string().parse(), Ok(span));
    }
}
