//! What identifies a customer, apart from the rest of an event.

use crate::ids::KeyId;
use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;

/// The part of an event that identifies a customer, kept beside the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalPart {
    /// The key it is, or later will be, encrypted with.
    pub key: KeyId,
    /// 32 random bytes, so that the commitment does not give the text away.
    pub salt: [u8; 32],
    /// The text.
    pub text: SmolStr,
}

/// What stands in a payload for a personal text: SHA-256 of its salt and itself.
pub type Commitment = [u8; 32];

impl PersonalPart {
    /// What payload and digest cover in the text's place: SHA-256 of salt and text.
    pub fn commitment(&self) -> Commitment {
        let mut hasher = Sha256::new();
        hasher.update(self.salt);
        hasher.update(self.text.as_bytes());
        hasher.finalize().into()
    }
}
