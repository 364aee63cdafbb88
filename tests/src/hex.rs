//! Bytes as hexadecimal digits, as golden files have them.

use std::fmt::Write as _;

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of such digits, between which there may be spaces and line feeds.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "half a byte in {text}");
    let byte = |pair: &[u8; 2]| str::from_utf8(pair).map(|pair| u8::from_str_radix(pair, 16));
    let bytes = pairs.iter().map(|pair| byte(pair).unwrap().unwrap());
    bytes.collect()
}
