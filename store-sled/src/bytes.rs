//! Writing and reading the few forms of which everything stored is made: bytes, texts by their length, and numbers in
//! seven bits a byte, lowest first (LEB128).

/// What is left to read. Every read answers nothing where the bytes end too early.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A text after its length in one byte.
    pub(crate) fn short_text(&mut self) -> Option<&'a str> {
        let length = self.byte()?;
        str::from_utf8(self.bytes(length.into())?).ok()
    }

    /// Bytes after their length.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.bytes(length)
    }

    /// A text after its length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.counted()?).ok()
    }
}

pub(crate) fn write_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

pub(crate) fn write_counted(into: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Writes a text that no identifier of this domain lets grow past 255 bytes.
pub(crate) fn write_short_text(into: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("an identifier is at most 128 bytes long");
    into.push(length);
    into.extend_from_slice(text.as_bytes());
}

/// The CRC-32 of two stretches of bytes together: what is stored, after what says where it belongs.
pub(crate) fn checksum_of(place: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(place);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_whatever_their_size() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint(), Some(value));
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_no_number() {
        assert_eq!(Cursor::new(&[0xff; 10]).varint(), None);
        assert_eq!(Cursor::new(&[0x80; 9]).varint(), None);
    }
}
