//! Appends in flight: many at once, begun and settled in order.

use crate::error::CopyError;
use domain::{AppendError, Batch, EventStore, Revision, StoreError, StoredEvent};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many batches are in flight: enough that each commit of a store takes hundreds.
pub(crate) const WINDOW: usize = 512;

type Kept = Result<Vec<StoredEvent>, AppendError>;

/// Batches that are being appended, the earliest first.
///
/// They are polled in their order on every turn, and by nothing else: so they reach a store in that order, also where
/// the runtime lets only some of them go on in one turn. A queue that polls what was woken would mix them up.
pub(crate) struct Window<'s> {
    to: &'s dyn EventStore,
    in_flight: VecDeque<InFlight<'s>>,
}

struct InFlight<'s> {
    /// Kept to be sent once more, or to be compared with what is there.
    batch: Batch,
    append: Pin<Box<dyn Future<Output = Kept> + Send + 's>>,
    answer: Option<Kept>,
    attempt: Attempt,
}

/// Whether a batch may have overtaken the one before it on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    /// All before it were kept when it was sent.
    Second,
}

impl<'s> Window<'s> {
    pub(crate) fn new(to: &'s dyn EventStore) -> Self {
        Self {
            to,
            in_flight: VecDeque::with_capacity(WINDOW),
        }
    }

    /// Sends the batch, waiting for others to be kept if too many are in flight.
    pub(crate) async fn send(&mut self, batch: Batch) -> Result<(), CopyError> {
        self.settle(WINDOW - 1).await?;
        let sent = InFlight::new(self.to, batch, Attempt::First);
        self.in_flight.push_back(sent);
        Ok(())
    }

    /// Waits until at most so many are in flight.
    pub(crate) async fn settle(&mut self, most: usize) -> Result<(), CopyError> {
        while self.in_flight.len() > most {
            poll_fn(|context| self.turn(context)).await;
            while let Some(answered) = self.in_flight.pop_front_if(|first| first.answer.is_some()) {
                self.settled(answered).await?;
            }
        }
        Ok(())
    }

    /// Ready once the earliest is answered.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for waiting in &mut self.in_flight {
            waiting.poll(context);
        }
        match self.in_flight.front() {
            Some(first) if first.answer.is_none() => Poll::Pending,
            Some(_) | None => Poll::Ready(()),
        }
    }

    /// A batch that overtook the one before it on the way is sent again: all before it are kept now. It stays the first
    /// of those in flight, which go on meanwhile: they may hold what a store has not enough of for all.
    async fn settled(&mut self, answered: InFlight<'s>) -> Result<(), CopyError> {
        match (answered.answer, answered.attempt) {
            (Some(Ok(_)), _) => Ok(()),
            (Some(Err(AppendError::Store(error @ StoreError::Unavailable(_)))), _) => {
                Err(error.into())
            }
            (Some(Err(why)), Attempt::Second) => {
                // Nobody polls them any more.
                self.in_flight.clear();
                Err(self.refused(&answered.batch, why).await?)
            }
            (Some(Err(_)), Attempt::First) | (None, _) => {
                let again = InFlight::new(self.to, answered.batch, Attempt::Second);
                self.in_flight.push_front(again);
                Ok(())
            }
        }
    }

    /// What the destination holds in place of the batch, or before it.
    async fn refused(&self, batch: &Batch, why: AppendError) -> Result<CopyError, StoreError> {
        let call = batch.call().clone();
        let expected = batch.expected();
        let there = self.to.read_call(&call, Revision(0)).await?;
        let differs = |stored: &&StoredEvent| {
            let found = stored.recorded.head();
            let offered = batch.events().iter().map(domain::RecordedEvent::head);
            let known = std::iter::once(expected).chain(offered);
            known
                .into_iter()
                .any(|head| head.revision == found.revision && head.hash != found.hash)
        };
        Ok(match there.iter().find(differs) {
            Some(other) => CopyError::Diverged {
                call,
                revision: other.recorded.revision,
            },
            None => CopyError::NotKept { call, why },
        })
    }
}

impl<'s> InFlight<'s> {
    fn new(to: &'s dyn EventStore, batch: Batch, attempt: Attempt) -> Self {
        Self {
            append: to.append(batch.clone()),
            batch,
            answer: None,
            attempt,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.append.as_mut().poll(context)
        {
            self.answer = Some(answer);
        }
    }
}
