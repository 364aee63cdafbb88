//! The heads of all calls: what a store holds, in as little as proves it.

use domain::envelope::{Altered, verify};
use domain::json::Sha256Text;
use domain::{CallId, Head, Position, RecordedEvent};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// What a store held at a position, in one number: two stores with the same digest hold the same calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreDigest {
    /// SHA-256 over one line a call, in the order of the calls' bytes: call, tab, revision, tab, hash of the last event.
    pub sha256: Sha256Text,
    /// How many calls it covers.
    pub calls: u64,
    /// How many events they have.
    pub events: u64,
    /// The position of the last of them in that store.
    pub last: Position,
}

/// Where every call stands, each event verified on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(HashMap<CallId, Head>);

impl Heads {
    /// Where that call stands.
    pub fn of(&self, call: &CallId) -> Head {
        self.0.get(call).copied().unwrap_or(Head::NONE)
    }

    /// Where each call stands.
    pub fn iter(&self) -> impl Iterator<Item = (&CallId, Head)> {
        self.0.iter().map(|(call, head)| (call, *head))
    }

    /// Takes the call's next event and answers the head before it, if the event continues that.
    pub fn follow(&mut self, event: &RecordedEvent) -> Result<Head, Altered> {
        let before = self.of(&event.cause.call);
        let after = verify(before, [event])?;
        match self.0.get_mut(&event.cause.call) {
            Some(head) => *head = after,
            None => self.begin(event.cause.call.clone(), after),
        }
        Ok(before)
    }

    /// Takes it for granted that the call stands there.
    pub(crate) fn begin(&mut self, call: CallId, head: Head) {
        self.0.insert(call, head);
    }

    /// What all of it comes to. No position is known here.
    pub fn digest(&self) -> StoreDigest {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_unstable_by_key(|(call, _)| call.as_str());
        let mut hasher = Sha256::new();
        for (call, head) in &sorted {
            hasher.update(format!("{call}\t{}\t{}\n", head.revision, head.hash));
        }
        StoreDigest {
            sha256: Sha256Text(hasher.finalize().into()),
            calls: sorted.len() as u64,
            events: sorted.iter().map(|(_, head)| head.revision.0).sum(),
            last: Position::START,
        }
    }
}
