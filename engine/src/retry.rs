//! Retrying commands while the store is away: until one is decided, or none was decided for too long.

use domain::{Answer, Backoff, HandleError, StoreError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// The pauses between attempts of a command.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// How long undecided commands are retried; shared by all commands of one input.
pub struct Retry {
    patience: Duration,
    state: Mutex<State>,
    stopped: watch::Sender<bool>,
}

/// What the retried commands wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Why the latest attempt failed.
    pub why: HandleError,
    /// When the last command was decided, or the waiting one was first tried if that was later.
    pub since: Instant,
}

struct State {
    decided_at: Instant,
    wait: Option<Wait>,
}

impl Retry {
    /// Retries until no command was decided for this long. Zero never retries.
    pub fn until_idle_for(patience: Duration) -> Self {
        Self {
            patience,
            state: Mutex::new(State {
                decided_at: Instant::now(),
                wait: None,
            }),
            stopped: watch::Sender::new(false),
        }
    }

    /// Ends all retries; the commands that were being retried stay undecided.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// What commands wait for at the moment, if any was tried in vain since the last decision.
    pub fn waiting(&self) -> Option<Wait> {
        self.state().wait.clone()
    }

    /// Attempts a command until it is decided or patience ends. An attempt must be safe to repeat.
    pub(crate) async fn decided<F>(&self, attempt: impl Fn() -> F) -> Result<Answer, HandleError>
    where
        F: Future<Output = Result<Answer, HandleError>>,
    {
        let began = Instant::now();
        let mut result = attempt().await;
        let (mut backoff, mut was_passing) = (BACKOFF, false);
        while let Err(error) = &result
            && is_worth_retrying(error, was_passing)
            && !self.is_over(began)
        {
            was_passing = is_passing(error);
            self.note_wait(error, began);
            let pause = backoff.pause();
            let again = async {
                sleep(pause).await;
                attempt().await
            };
            tokio::select! {
                biased;
                decided = again => result = decided,
                // Dropping an attempt loses its answer, not its events: the command is reported as undecided.
                () = self.over(began) => break,
            }
        }
        self.note_result(&result);
        result
    }

    fn note_wait(&self, error: &HandleError, began: Instant) {
        let mut state = self.state();
        let since = match &state.wait {
            Some(wait) => wait.since,
            None => state.decided_at.max(began),
        };
        let why = error.clone();
        state.wait = Some(Wait { why, since });
    }

    fn note_result(&self, result: &Result<Answer, HandleError>) {
        if self.patience.is_zero() || result.as_ref().is_err_and(is_passing) {
            return;
        }
        let mut state = self.state();
        state.decided_at = Instant::now();
        state.wait = None;
    }

    fn ends_at(&self, began: Instant) -> Instant {
        self.state().decided_at.max(began) + self.patience
    }

    fn is_over(&self, began: Instant) -> bool {
        *self.stopped.borrow() || Instant::now() >= self.ends_at(began)
    }

    /// Waits until there is no more patience with a command that was first tried at `began`.
    async fn over(&self, began: Instant) {
        let mut stopped = self.stopped.subscribe();
        while !self.is_over(began) {
            tokio::select! {
                // Another command may have been decided meanwhile, which moves the end.
                () = sleep_until(self.ends_at(began)) => {}
                _ = stopped.changed() => {}
            }
        }
    }

    /// No code panics while this is locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same command may be decided later.
fn is_passing(error: &HandleError) -> bool {
    match error {
        HandleError::Store(StoreError::Unavailable(_)) | HandleError::Unsettled { .. } => true,
        HandleError::Store(
            StoreError::Corrupt(_) | StoreError::DamagedEvent(_) | StoreError::Refused(_),
        )
        | HandleError::Rejected { .. }
        | HandleError::Expected { .. }
        | HandleError::CommandIdReused(_) => false,
    }
}

/// An earlier attempt that was written late can stand where the next one writes, and looks like damage to it. The
/// attempt after that finds the command in the call; real damage is found again.
fn is_worth_retrying(error: &HandleError, was_passing: bool) -> bool {
    let is_damage = matches!(error, HandleError::Store(error) if error.is_damage());
    is_passing(error) || (was_passing && is_damage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::CommandId;

    #[test]
    fn patience_counts_from_the_last_command_that_was_decided() {
        let retry = Retry::until_idle_for(Duration::from_mins(2));
        let began = Instant::now();
        let ends_at = retry.ends_at(began);
        let unavailable = HandleError::Store(StoreError::Unavailable("it is away".to_owned()));
        retry.note_wait(&unavailable, began);
        retry.note_result(&Err(unavailable));
        assert_eq!(retry.ends_at(began), ends_at);
        assert!(retry.waiting().is_some());
        let refused = HandleError::CommandIdReused(CommandId(uuid::Uuid::nil()));
        retry.note_result(&Err(refused));
        assert!(retry.ends_at(began) > ends_at);
        assert_eq!(retry.waiting(), None);
    }

    #[test]
    fn a_command_that_is_first_tried_after_a_pause_of_the_input_has_all_patience() {
        let retry = Retry::until_idle_for(Duration::from_mins(2));
        let began = Instant::now() + Duration::from_hours(1);
        assert_eq!(retry.ends_at(began), began + Duration::from_mins(2));
    }

    #[test]
    fn only_a_store_that_is_away_and_a_contested_call_are_worth_retrying() {
        let damaged = HandleError::Store(StoreError::Corrupt("a block is missing".to_owned()));
        let away = HandleError::Store(StoreError::Unavailable("it is away".to_owned()));
        let refused = HandleError::Store(StoreError::Refused("a right is missing".to_owned()));
        assert!(is_worth_retrying(&away, false));
        assert!(!is_worth_retrying(&refused, true));
        assert!(!is_worth_retrying(&damaged, false));
        // An attempt whose answer was lost may have been written since.
        assert!(is_worth_retrying(&damaged, true));
    }
}
