//! Hashes, and the bytes they cover.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// SHA-256 over an event and its predecessor's hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// SHA-256 over a command.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// The bytes a hash covers: a tag, then fields, each preceded by its length in four bytes, so that no two lists of
/// fields give the same bytes. An optional field begins with 0 or 1.
pub(crate) struct HashInput(Vec<u8>);

/// The digest of a store's events in their order, one event further: SHA-256 of the digest before it, which is zeros
/// before the first, and its hash.
pub fn roll(before: Hash, event: Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before.0);
    hasher.update(event.0);
    Hash(hasher.finalize().into())
}

impl HashInput {
    pub(crate) fn new(tag: &str) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(tag.as_bytes());
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self, field: &[u8]) {
        self.length(field.len());
        self.0.extend_from_slice(field);
    }

    pub(crate) fn text(&mut self, field: &str) {
        self.bytes(field.as_bytes());
    }

    pub(crate) fn integer(&mut self, field: u64) {
        self.bytes(&field.to_be_bytes());
    }

    pub(crate) fn optional(&mut self, field: Option<&[u8]>) {
        match field {
            Some(field) => {
                self.length(field.len() + 1);
                self.0.push(1);
                self.0.extend_from_slice(field);
            }
            None => self.bytes(&[0]),
        }
    }

    pub(crate) fn optional_integer(&mut self, field: Option<u64>) {
        self.optional(field.map(u64::to_be_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a field is far shorter than 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
    }
}

macro_rules! shown_as_hex {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
shown_as_hex!(Hash, Digest);

impl Hash {
    /// The hash of 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(hash))
    }
}
