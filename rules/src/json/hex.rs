//! Bytes as hexadecimal digits.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Text(pub [u8; 32]);

/// A text that is not the bytes it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {expected} lower-case hexadecimal digits")]
pub struct NotHex {
    expected: &'static str,
}

impl fmt::Display for Sha256Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Text {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NotHex { expected: "64" })
    }
}

impl TryFrom<String> for Sha256Text {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        text.parse()
    }
}

impl From<Sha256Text> for String {
    fn from(hash: Sha256Text) -> String {
        hash.to_string()
    }
}

/// Any bytes, written as two hexadecimal digits each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hex(pub(super) Box<[u8]>);

impl TryFrom<String> for Hex {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        let bytes = unhex(&text);
        bytes.map(|bytes| Self(bytes.into())).ok_or(NotHex {
            expected: "an even number of",
        })
    }
}

impl From<Hex> for String {
    fn from(bytes: Hex) -> String {
        hex(&bytes.0)
    }
}

/// Two lower-case digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let text = String::with_capacity(bytes.len() * 2);
    bytes.iter().fold(text, |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that lower-case digits stand for; `None` for any other text.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    bytes.collect::<Option<_>>().filter(|_| rest.is_empty())
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Hex, Sha256Text, hex, unhex};

    #[test]
    fn hexadecimal_digits_say_bytes_and_nothing_else_does() {
        let all: Vec<_> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), Some(all));
        for text in ["0", "0g", "0A", " 0", "é", "000"] {
            assert!(Hex::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!("00".parse::<Sha256Text>().is_err());
    }
}
