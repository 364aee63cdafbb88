//! A bounded queue between one sender and one receiver. It is emptied when it is full: the receiver learns only that it
//! is over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Where values are put in. Dropping it closes the queue; what is in it can still be taken.
pub(super) struct Sender<T>(Arc<Queue<T>>);

/// Where values are taken out.
pub(super) struct Receiver<T>(Arc<Queue<T>>);

/// The queue was full, and is empty and closed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    values: VecDeque<T>,
    is_closed: bool,
}

pub(super) fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        values: VecDeque::new(),
        is_closed: false,
    };
    let queue = Arc::new(Queue {
        capacity,
        state: Mutex::new(state),
        changed: Notify::new(),
    });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Puts a value in.
    pub(super) fn send(&self, value: T) -> Result<(), Full> {
        let mut state = self.0.state();
        if state.is_closed || state.values.len() >= self.0.capacity {
            state.values = VecDeque::new();
            state.is_closed = true;
            drop(state);
            self.0.changed.notify_one();
            return Err(Full);
        }
        state.values.push_back(value);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Waits for the next value; `None` once the queue is closed and empty.
    pub(super) async fn next(&mut self) -> Option<T> {
        loop {
            {
                let mut state = self.0.state();
                if let Some(value) = state.values.pop_front() {
                    return Some(value);
                }
                if state.is_closed {
                    return None;
                }
            }
            // A change since then has left a permit.
            self.0.changed.notified().await;
        }
    }

    /// The next value, if it is there.
    pub(super) fn next_now(&mut self) -> Option<T> {
        self.0.state().values.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.state().values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_full_keeps_nothing() {
        let value = Arc::new(1);
        let (sender, mut receiver) = queue(2);
        assert_eq!(sender.send(Arc::clone(&value)), Ok(()));
        assert_eq!(sender.send(Arc::clone(&value)), Ok(()));
        assert_eq!(sender.send(Arc::clone(&value)), Err(Full));
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(receiver.next().await, None);
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_arrives() {
        let (sender, mut receiver) = queue(2);
        assert_eq!(sender.send(1), Ok(()));
        drop(sender);
        assert_eq!(receiver.next().await, Some(1));
        assert_eq!(receiver.next().await, None);
    }
}
