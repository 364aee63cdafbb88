//! How long a connection may do nothing, in each of its states.

use super::places::Seat;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The headers of a request, from its first byte; and the first request, or the handshake, from the connection on.
    pub(super) header: Duration,
    /// Taking nothing of an answer.
    pub(super) idle: Duration,
    /// Having no request under way.
    pub(super) keep_alive: Duration,
    /// The same before a request was admitted with a key.
    pub(super) keep_alive_anonymous: Duration,
}

/// What a connection is late with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// Nothing was asked of it for long; it can be closed in good order.
    Quiet,
    /// It does not go on with what it began.
    Stuck,
}

/// What happens on one connection, told by its bytes and by its requests.
pub(super) struct Pulse {
    patience: Patience,
    /// None for a connection that is not served; it ends with its first answer.
    seat: Option<Arc<Seat>>,
    state: Mutex<State>,
    /// It can be late sooner than it could before.
    is_sooner: Notify,
}

#[derive(Debug)]
struct State {
    between: Between,
    /// Requests that are not wholly answered.
    under_way: usize,
    /// Several requests share the connection, and its bytes are not of one.
    is_shared: bool,
    /// Since when bytes cannot be written.
    writing_waits: Option<Instant>,
    /// Since when a piece of an answer was not followed by the next.
    answers_wait: HashMap<u64, Instant>,
    next_answer: u64,
    /// Until when whoever waits for it to be late sleeps; none for as long as nothing happens.
    wakes: Option<Instant>,
}

/// While no request is under way.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// One is coming in since then, or due.
    Arriving(Instant),
    /// None is.
    Quiet(Instant),
}

/// A request under way; it ends when this is dropped.
pub(super) struct UnderWay {
    pulse: Arc<Pulse>,
    answer: u64,
}

impl Pulse {
    pub(super) fn new(patience: Patience, seat: Option<Arc<Seat>>) -> Self {
        let state = State {
            between: Between::Arriving(Instant::now()),
            under_way: 0,
            is_shared: false,
            writing_waits: None,
            answers_wait: HashMap::new(),
            next_answer: 0,
            wakes: None,
        };
        Self {
            patience,
            seat,
            state: Mutex::new(state),
            is_sooner: Notify::new(),
        }
    }

    /// How long it may have no request under way.
    fn keep_alive(&self) -> Duration {
        match &self.seat {
            Some(seat) if seat.is_admitted() => self.patience.keep_alive,
            Some(_) => self.patience.keep_alive_anonymous,
            None => Duration::ZERO,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened; whoever sleeps too long for it wakes.
    fn happened<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let due = state.due(&self.patience, self.keep_alive());
        let due = due.map(|(due, _)| due);
        if due.is_some_and(|due| state.wakes.is_none_or(|wakes| due < wakes)) {
            state.wakes = due;
            self.is_sooner.notify_one();
        }
        changed
    }

    /// The next is due now: the handshake is done, or the connection is to end.
    pub(super) fn begin(&self) {
        self.happened(|state| state.between = Between::Arriving(Instant::now()));
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        self.happened(|state| {
            if let (Between::Quiet(_), false) = (state.between, state.is_shared) {
                state.between = Between::Arriving(Instant::now());
            }
        });
    }

    /// Bytes went out.
    pub(super) fn wrote(&self) {
        let mut state = self.state();
        state.writing_waits = None;
        if let (Between::Quiet(_), false) = (state.between, state.is_shared) {
            state.between = Between::Quiet(Instant::now());
        }
    }

    /// Bytes cannot go out.
    pub(super) fn cannot_write(&self) {
        self.happened(|state| {
            state.writing_waits.get_or_insert_with(Instant::now);
        });
    }

    /// A request has come in; `is_shared` if others may come before it is answered.
    pub(super) fn asked(self: &Arc<Self>, is_shared: bool) -> UnderWay {
        if let Some(seat) = &self.seat {
            seat.request_began();
        }
        let mut state = self.state();
        state.under_way += 1;
        state.is_shared = is_shared;
        state.next_answer += 1;
        UnderWay {
            pulse: Arc::clone(self),
            answer: state.next_answer,
        }
    }

    /// Waits until it is late with something.
    pub(super) async fn late(&self) -> Late {
        loop {
            match self.due() {
                Some((due, late)) if due <= Instant::now() => return late,
                Some((due, _)) => {
                    // Whichever comes first, what is due is looked at anew.
                    let _ = timeout_at(due, self.is_sooner.notified()).await;
                }
                None => self.is_sooner.notified().await,
            }
        }
    }

    /// What it will be late with first, and when, for whoever sleeps until then.
    fn due(&self) -> Option<(Instant, Late)> {
        let mut state = self.state();
        let due = state.due(&self.patience, self.keep_alive());
        state.wakes = due.map(|(due, _)| due);
        due
    }
}

impl State {
    /// What it will be late with first, and when.
    fn due(&self, patience: &Patience, keep_alive: Duration) -> Option<(Instant, Late)> {
        let between = (self.under_way == 0).then(|| match self.between {
            Between::Arriving(since) => (since + patience.header, Late::Stuck),
            Between::Quiet(since) => (since + keep_alive, Late::Quiet),
        });
        let waiting = self.writing_waits.iter().chain(self.answers_wait.values());
        let stuck = waiting
            .min()
            .map(|since| (*since + patience.idle, Late::Stuck));
        between.into_iter().chain(stuck).min_by_key(|(due, _)| *due)
    }
}

impl UnderWay {
    /// A piece of the answer was handed over; whoever takes it comes for the next.
    pub(super) fn handed_over(&self) {
        self.pulse
            .happened(|state| state.answers_wait.insert(self.answer, Instant::now()));
    }

    /// They came.
    pub(super) fn asked_for_more(&self) {
        self.pulse.state().answers_wait.remove(&self.answer);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(seat) = &self.pulse.seat {
            seat.request_ended();
        }
        self.pulse.happened(|state| {
            state.answers_wait.remove(&self.answer);
            state.under_way -= 1;
            state.between = Between::Quiet(Instant::now());
        });
    }
}
