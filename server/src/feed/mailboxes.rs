//! A bounded mailbox for each subscriber, found by its filter, so that an event wakes only those that it concerns. A
//! subscriber whose mailbox is full is cut off, and no other one waits for it. The mailbox is emptied then: the subscriber may
//! not read for long, and would keep events in memory that the service needs no more.

use super::filter::{Filter, agents};
use super::queue::{Receiver, Sender, queue};
use domain::{AgentId, CallId, Entry, RecordedEvent};
use engine::follower::Counted;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

/// Why a subscriber is sent nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// More waited for it than may.
    TooSlow,
    /// The store is not what it was.
    StoreChanged,
    /// The store cannot be read just now.
    StoreUnavailable,
    /// The key may not any more.
    KeyRevoked,
    /// The service ends.
    Stopping,
}

/// All mailboxes.
#[derive(Default)]
pub(super) struct Mailboxes {
    next_number: u64,
    open: HashMap<u64, Mailbox>,
    /// Whom every event may concern.
    of_everything: Vec<u64>,
    of_call: HashMap<CallId, Vec<u64>>,
    of_agent: HashMap<AgentId, Vec<u64>>,
}

struct Mailbox {
    filter: Filter,
    /// The number of events that its subscriber had when it joined.
    after: u64,
    sender: Sender<Arc<Counted>>,
    why: Arc<OnceLock<Reason>>,
}

impl Reason {
    /// In a word, for programs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Reason::TooSlow => "too_slow",
            Reason::StoreChanged => "store_changed",
            Reason::StoreUnavailable => "store_unavailable",
            Reason::KeyRevoked => "key_revoked",
            Reason::Stopping => "stopping",
        }
    }
}

impl Mailboxes {
    /// One more: its number, where to take out what is put in, and why nothing more is, once that is so.
    pub(super) fn open(
        &mut self,
        filter: Filter,
        after: u64,
        capacity: usize,
    ) -> (u64, Receiver<Arc<Counted>>, Arc<OnceLock<Reason>>) {
        let number = self.next_number;
        self.next_number += 1;
        let (sender, waiting) = queue(capacity.max(1));
        let why = Arc::new(OnceLock::new());
        self.listed_under(&filter).push(number);
        let mailbox = Mailbox {
            filter,
            after,
            sender,
            why: Arc::clone(&why),
        };
        self.open.insert(number, mailbox);
        (number, waiting, why)
    }

    /// Whether it is open, and was given what it is for of so many events.
    pub(super) fn has(&self, number: u64, delivered: u64) -> bool {
        let mailbox = self.open.get(&number);
        mailbox.is_some_and(|mailbox| mailbox.after <= delivered)
    }

    pub(super) fn close(&mut self, number: u64) {
        let Some(Mailbox { filter, .. }) = self.open.remove(&number) else {
            return;
        };
        self.listed_under(&filter)
            .retain(|listed| *listed != number);
        if let Some(call) = &filter.call {
            forget_if_empty(&mut self.of_call, call);
        } else if let Some(agent) = &filter.agent {
            forget_if_empty(&mut self.of_agent, agent);
        }
    }

    /// Puts the event into each mailbox whose filter it passes.
    pub(super) fn deliver(&mut self, counted: &Arc<Counted>) {
        let mut concerned = match &counted.entry {
            Entry::Event(event) => self.concerned(&event.recorded),
            // Whom it concerns cannot be read, so each mailbox's filter decides.
            Entry::Damaged(_) => self.open.keys().copied().collect(),
        };
        // An event may name an agent twice.
        concerned.sort_unstable();
        concerned.dedup();
        for number in concerned {
            if !self.put(number, counted) {
                self.close(number);
            }
        }
    }

    fn concerned(&self, event: &RecordedEvent) -> Vec<u64> {
        let of_call = self.of_call.get(&event.cause.call);
        let of_call = of_call.into_iter().flatten();
        let mut concerned: Vec<_> = self.of_everything.iter().chain(of_call).copied().collect();
        for agent in agents(event) {
            concerned.extend(self.of_agent.get(agent).into_iter().flatten());
        }
        concerned
    }

    pub(super) fn cut_off_all(&mut self, reason: Reason) {
        for (_, mailbox) in self.open.drain() {
            // Who was cut off before is not among them.
            let _ = mailbox.why.set(reason);
        }
        self.of_everything.clear();
        self.of_call.clear();
        self.of_agent.clear();
    }

    /// Whether the mailbox stays open.
    fn put(&self, number: u64, counted: &Arc<Counted>) -> bool {
        let Some(mailbox) = self.open.get(&number) else {
            return true;
        };
        if counted.up_to.count <= mailbox.after || !mailbox.filter.lets_through(&counted.entry) {
            return true;
        }
        let sent = mailbox.sender.send(Arc::clone(counted));
        if sent.is_err() {
            let _ = mailbox.why.set(Reason::TooSlow);
        }
        sent.is_ok()
    }

    /// The one list that has the mailbox.
    fn listed_under(&mut self, filter: &Filter) -> &mut Vec<u64> {
        match filter {
            Filter {
                call: Some(call), ..
            } => self.of_call.entry(call.clone()).or_default(),
            Filter {
                agent: Some(agent), ..
            } => self.of_agent.entry(agent.clone()).or_default(),
            Filter { .. } => &mut self.of_everything,
        }
    }
}

fn forget_if_empty<K: Hash + Eq>(lists: &mut HashMap<K, Vec<u64>>, key: &K) {
    if lists.get(key).is_some_and(Vec::is_empty) {
        lists.remove(key);
    }
}
