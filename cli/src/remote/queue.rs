//! The order in which a run sends its commands to a service.

use domain::CallId;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// The numbers of the commands that are not decided.
#[derive(Default)]
pub(super) struct Queue {
    /// Can be sent.
    pub(super) ready: VecDeque<u64>,
    /// Were sent in this request, in this order.
    pub(super) awaited: VecDeque<u64>,
    /// Were not decided, and are sent again at that time; what the service said about the first of them.
    pub(super) retried: Vec<u64>,
    pub(super) retried_at: Option<Instant>,
    pub(super) said: String,
    /// Calls with a command in one of the above, and the later commands of each.
    calls: HashMap<CallId, VecDeque<u64>>,
    /// How many later commands there are.
    held_back: usize,
}

impl Queue {
    /// One more command of the call.
    pub(super) fn add(&mut self, call: &CallId, number: u64) {
        if let Some(later) = self.calls.get_mut(call) {
            later.push_back(number);
            self.held_back += 1;
        } else {
            self.calls.insert(call.clone(), VecDeque::new());
            self.ready.push_back(number);
        }
    }

    /// The call's next command can be sent.
    pub(super) fn go_on(&mut self, call: &CallId) {
        let next = self.calls.get_mut(call).and_then(VecDeque::pop_front);
        if let Some(next) = next {
            self.held_back -= 1;
            self.ready.push_back(next);
        } else {
            self.calls.remove(call);
        }
    }

    /// The later commands of a call that does not go on.
    pub(super) fn remove(&mut self, call: &CallId) -> VecDeque<u64> {
        let later = self.calls.remove(call).unwrap_or_default();
        self.held_back -= later.len();
        later
    }

    /// That command has to be sent again, at that time unless others are sent again earlier.
    pub(super) fn retry(&mut self, number: u64, at: Instant, said: String) {
        if self.retried.is_empty() {
            (self.retried_at, self.said) = (Some(at), said);
        }
        self.retried.push(number);
    }

    /// The time for that has come.
    pub(super) fn send_again(&mut self) {
        self.ready.extend(self.retried.drain(..));
        self.retried_at = None;
    }

    /// The request broke off: what it did not answer is sent again, before all that was not sent.
    pub(super) fn take_back(&mut self) {
        while let Some(number) = self.awaited.pop_back() {
            self.ready.push_front(number);
        }
    }

    /// Whether each command was sent and not put off.
    pub(super) fn is_sent(&self) -> bool {
        self.ready.is_empty() && self.retried.is_empty() && self.held_back == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> CallId {
        name.parse().expect("it is a call")
    }

    #[test]
    fn a_command_is_ready_once_the_one_before_it_of_its_call_is_decided() {
        let mut queue = Queue::default();
        for (number, name) in (0..).zip(["c1", "c2", "c1", "c1"]) {
            queue.add(&call(name), number);
        }
        assert_eq!(queue.ready, [0, 1]);
        queue.ready.clear();
        queue.go_on(&call("c2"));
        assert!(queue.ready.is_empty() && !queue.is_sent());
        queue.go_on(&call("c1"));
        assert_eq!(queue.ready, [2]);
        assert_eq!(queue.remove(&call("c1")), [3]);
        queue.ready.clear();
        assert!(queue.is_sent());
    }

    #[test]
    fn what_a_broken_request_did_not_answer_is_sent_before_the_rest() {
        let mut queue = Queue::default();
        (queue.awaited, queue.ready) = ([3, 5].into(), [7].into());
        queue.take_back();
        assert_eq!(queue.ready, [3, 5, 7]);
        assert!(queue.awaited.is_empty());
    }
}
