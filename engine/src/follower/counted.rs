//! An event of the store, counted.

use bytes::Bytes;
use domain::{Entry, Prefix, StoredEvent};
use std::sync::OnceLock;

/// The forms in which an event can be sent.
const FORMS: usize = 3;

/// An event or a damaged one, with the prefix that it ends. All subscribers share it.
#[derive(Debug)]
pub struct Counted {
    /// The event.
    pub entry: Entry,
    /// All events up to it.
    pub up_to: Prefix,
    frames: [OnceLock<Bytes>; FORMS],
}

impl Counted {
    /// The next entry after that prefix.
    pub fn after(before: Prefix, entry: Entry) -> Self {
        Self {
            up_to: before.plus_entry(&entry),
            entry,
            frames: Default::default(),
        }
    }

    /// The event, unless it is damaged.
    pub fn event(&self) -> Option<&StoredEvent> {
        match &self.entry {
            Entry::Event(event) => Some(event),
            Entry::Damaged(_) => None,
        }
    }

    /// The event as it is sent in one of the forms: written once, however many subscribers it is sent to.
    ///
    /// # Panics
    /// If there is no form with that number.
    pub fn frame(&self, form: usize, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.frames[form].get_or_init(|| write(self)).clone()
    }
}
