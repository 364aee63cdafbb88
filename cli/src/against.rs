//! A count and a rolling hash that were noted elsewhere, and a store compared with them. The hash chain alone shows
//! damage and careless edits; a user who can write the store can make another chain. A hash that was kept elsewhere proves
//! every event up to its count.

use crate::exit::{altered, usage};
use crate::facts::Fact;
use client::StorePrefix;
use domain::StoreId;
use domain::envelope::Hash;
use serde_json::Value;
use std::path::Path;

/// What was noted of the first events of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Against {
    /// How many events.
    pub count: u64,
    rolling_hash: Hash,
    /// The store, where the note tells.
    store: Option<StoreId>,
}

impl Against {
    /// Reads `COUNT:ROLLING_HASH`, or a file: a checkpoint of `kaigi follow`, or lines like it; the last one counts.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        if let Some((count, hash)) = text.split_once(':')
            && let Ok(count) = count.parse()
        {
            let rolling_hash = Hash::from_hex(hash).ok_or_else(|| {
                usage(format!(
                    "{hash:?} is no rolling hash: it has 64 digits from 0 to 9 and a to f"
                ))
            })?;
            return Ok(Self {
                count,
                rolling_hash,
                store: None,
            });
        }
        Self::of_file(Path::new(text))
    }

    fn of_file(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let noted = std::fs::read_to_string(path).map_err(|error| {
            usage(format!(
                "cannot read {shown}: {error}; --against takes COUNT:ROLLING_HASH or a file"
            ))
        })?;
        let mut lines = noted.lines().rev();
        let last = lines.find(|line| !line.trim().is_empty());
        let prefix = last.and_then(|line| serde_json::from_str::<StorePrefix>(line).ok());
        let prefix =
            prefix.ok_or_else(|| usage(format!("{shown} is no checkpoint of `kaigi follow`")))?;
        Ok(Self {
            count: prefix.count,
            rolling_hash: Hash(prefix.rolling_hash.0),
            store: Some(prefix.store),
        })
    }

    /// Compares it with what the store has: how many events, and the rolling hash of the first `count` of them.
    pub fn compare(
        &self,
        store: StoreId,
        events: u64,
        found: Option<Hash>,
    ) -> anyhow::Result<Fact> {
        let Self {
            count,
            rolling_hash,
            ..
        } = *self;
        if let Some(noted) = self.store.filter(|noted| *noted != store) {
            return Err(altered(format!(
                "what was noted is of store {noted}, and this is store {store}"
            )));
        }
        match found {
            None => Err(altered(format!(
                "the store has {events} events, and {count} were noted: it has lost its end, or is an older copy"
            ))),
            Some(found) if found != rolling_hash => Err(altered(format!(
                "the first {count} events have the rolling hash {found}, and {rolling_hash} was noted: among them events \
                 were altered, removed or added since, or the note is of another store"
            ))),
            Some(_) => Ok(Fact::new("as noted", "same_up_to", count).shown(format!(
                "the first {count} events are those that were noted"
            ))),
        }
    }
}

/// What a comparison adds to the facts of a store; a difference is a fact, too, beside the error.
pub fn fact_of(compared: &anyhow::Result<Option<Fact>>) -> Option<Fact> {
    match compared {
        Ok(fact) => fact.clone(),
        Err(_) => Some(Fact::new("as noted", "same_up_to", Value::Null).shown("no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_a_count_and_a_hash_or_the_last_line_of_a_file() {
        let hash = "ab".repeat(32);
        let noted = Against::read(&format!("7:{hash}")).unwrap();
        assert_eq!(
            (noted.count, noted.rolling_hash.to_string()),
            (7, hash.clone())
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        let line = |count: u64| {
            format!(
                "{{\"store\":\"{}\",\"position\":9,\"count\":{count},\"rolling_hash\":\"{hash}\"}}\n",
                uuid::Uuid::nil()
            )
        };
        std::fs::write(&file, line(3) + &line(4) + "\n").unwrap();
        let noted = Against::read(file.to_str().unwrap()).unwrap();
        assert_eq!(noted.count, 4);
        for wrong in ["7:abc", "nowhere", "x:y"] {
            assert!(Against::read(wrong).is_err(), "{wrong}");
        }
    }
}
