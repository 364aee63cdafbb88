//! Reading a store command by command: a page may end within one, what is copied may not.

use domain::{DamagedEvent, EventStore, Position, StoreError, StoredEvent};
use std::collections::VecDeque;

/// How many events are read at once.
const PAGE: usize = 2048;

/// The events of a store up to a position, all of a command's together.
pub(crate) struct Commands<'s> {
    store: &'s dyn EventStore,
    after: Position,
    until: Position,
    page: VecDeque<StoredEvent>,
    /// The damaged event that stands after the page.
    damaged: Option<DamagedEvent>,
}

/// What reading comes to next.
pub(crate) enum Step {
    /// All events of a command, or those of them that stand between damaged ones.
    Command(Vec<StoredEvent>),
    /// An event that cannot be read.
    Damaged(DamagedEvent),
}

impl<'s> Commands<'s> {
    /// A command that stands across `until` comes whole.
    pub(crate) fn new(store: &'s dyn EventStore, after: Position, until: Position) -> Self {
        Self {
            store,
            after,
            until,
            page: VecDeque::new(),
            damaged: None,
        }
    }

    /// All events of the next command, or none once everything was read. A damaged event is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<StoredEvent>>, StoreError> {
        match self.step().await? {
            None => Ok(None),
            Some(Step::Command(command)) => Ok(Some(command)),
            Some(Step::Damaged(event)) => Err(event.into()),
        }
    }

    /// The next command or damaged event, or none once everything was read.
    pub(crate) async fn step(&mut self) -> Result<Option<Step>, StoreError> {
        let within = |event: &StoredEvent, until| event.position <= until;
        let until = self.until;
        let Some(first) = self.next_if(|event| within(event, until)).await? else {
            return Ok(self.damaged.take().map(Step::Damaged));
        };
        let mut command = vec![first];
        while let Some(event) = self.next_if(|event| continues(&command, event)).await? {
            command.push(event);
        }
        Ok(Some(Step::Command(command)))
    }

    async fn next_if(
        &mut self,
        wanted: impl Fn(&StoredEvent) -> bool,
    ) -> Result<Option<StoredEvent>, StoreError> {
        if self.page.is_empty() && self.damaged.is_none() {
            self.turn().await?;
        }
        Ok(self.page.pop_front_if(|event| wanted(event)))
    }

    /// Stores read on the caller's thread, and whoever else runs there must have their turn.
    async fn turn(&mut self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        match self.store.read_all(self.after, PAGE).await {
            Ok(page) => self.page = page.into(),
            Err(StoreError::DamagedEvent(event)) if event.position > self.after => {
                self.after = event.position;
                self.damaged = Some(*event);
            }
            Err(error) => return Err(error),
        }
        if let Some(last) = self.page.back() {
            self.after = last.position;
        }
        Ok(())
    }
}

/// Puts the events that one command brought about together again, as they come out of a file.
#[derive(Default)]
pub(crate) struct Gathering(Vec<StoredEvent>);

impl Gathering {
    /// The command before, if this event begins another.
    pub(crate) fn take(&mut self, event: StoredEvent) -> Option<Vec<StoredEvent>> {
        if continues(&self.0, &event) {
            self.0.push(event);
            return None;
        }
        let before = std::mem::replace(&mut self.0, vec![event]);
        Some(before).filter(|before| !before.is_empty())
    }

    /// The last command.
    pub(crate) fn rest(self) -> Option<Vec<StoredEvent>> {
        Some(self.0).filter(|rest| !rest.is_empty())
    }
}

/// Whether the event was recorded with those before it.
fn continues(command: &[StoredEvent], event: &StoredEvent) -> bool {
    let Some(last) = command.last().map(|stored| &stored.recorded) else {
        return false;
    };
    let next = &event.recorded;
    next.cause.command == last.cause.command
        && next.cause.call == last.cause.call
        && next.revision == last.revision.plus(1)
        && Some(next.index) == last.index.checked_add(1)
}
