//! API keys: the text is told once, only its hash is kept.

use super::Grant;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is called in lists and logs; the first part of its text.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// SHA-256 of its text, which is random enough that nothing slower is needed.
    pub sha256: [u8; 32],
}

/// The keys that are known.
#[derive(Debug, Default)]
pub struct Keys {
    by_id: HashMap<String, Key>,
}

impl Key {
    /// A new key, and its text, which nobody can tell again.
    pub fn create(name: &str, grants: Vec<Grant>) -> (Self, String) {
        let mut random = [0; 38];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let id: String = random[..6]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = format!("kaigi_{id}_{}", URL_SAFE_NO_PAD.encode(&random[6..]));
        let sha256 = Sha256::digest(&text).into();
        let name = name.to_owned();
        (
            Self {
                id,
                name,
                grants,
                sha256,
            },
            text,
        )
    }
}

impl Keys {
    /// Those keys.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Self {
        let by_id = keys.into_iter().map(|key| (key.id.clone(), key));
        Self {
            by_id: by_id.collect(),
        }
    }

    /// The key with that text. What is compared is its hash, so that the time it takes tells nothing of the text.
    pub fn find(&self, text: &str) -> Option<Key> {
        let id = text.strip_prefix("kaigi_")?.split('_').next()?;
        let key = self.by_id.get(id)?;
        let hash: [u8; 32] = Sha256::digest(text).into();
        (key.sha256 == hash).then(|| key.clone())
    }
}
