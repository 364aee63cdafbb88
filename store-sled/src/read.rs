//! Reading the events of all calls, past damage.

use crate::block::Groups;
use crate::damage::Damage;
use crate::gap::Gap;
use crate::locks;
use crate::log::{End, Frames, Log, LogError};
use crate::shared::{Shared, wanted};
use domain::{DamagedEvent, Position, StoreError, StoredEvent};
use std::sync::{Arc, Mutex};

/// Reads the log from any position on.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    /// The last damaged stretch of the log that was read, since readers go through it event by event.
    gap: Mutex<Option<Arc<Gap>>>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let gap = Mutex::new(None);
        Self { shared, gap }
    }

    /// At most `max` events of all calls after that position, up to a damaged one.
    pub(crate) fn read_all(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        // Taken once: what is committed from here on belongs to the next page.
        let end = self.shared.end();
        let wanted = wanted(after.0, end.position, max);
        // A closed store returns an error, also where no event is wanted.
        self.shared.with_rows(|_| Ok(()))?;
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let start = self.start_for(after.0 + 1, end.address)?;
        let mut between = Between {
            after: after.0,
            until: after.0 + wanted as u64,
            next: start.position,
            events: Vec::with_capacity(wanted),
        };
        self.read_between(&mut between, start, end)?;
        Ok(between.events)
    }

    /// Reads what is wanted, or up to a damaged event, which is the error if no event is before it.
    fn read_between(&self, between: &mut Between, start: End, end: End) -> Result<(), StoreError> {
        let at_once = between.events.capacity() * 192;
        let log = &self.shared.log;
        let mut frames = log.frames(start.address, end.address).at_once(at_once);
        let mut last = start;
        while between.next <= between.until {
            last = between.reached(&frames);
            match between.take(&mut frames) {
                Ok(()) => {}
                // A frame is taken whole or not at all, so nothing of the damaged one is in the page yet.
                Err(LogError::Damage(damage)) => {
                    let gap = self.gap(last, end, &damage)?;
                    if let Err(damaged) = between.pass(&gap, log) {
                        return between.stop_before(damaged);
                    }
                    frames = log.frames(gap.end, end.address).at_once(at_once);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if between.next == between.until + 1 {
            last = between.reached(&frames);
        }
        // Readers mostly go on where they stopped, so the next page is found without a search.
        log.remember(last.position, last.address);
        Ok(())
    }

    /// Where reading begins to come to that position.
    fn start_for(&self, position: u64, end: u64) -> Result<End, LogError> {
        // Within a gap nothing can be located. It is read once and then gone through from its start.
        let gap = self.last_gap();
        if let Some(gap) = gap.filter(|gap| gap.positions.contains(&position)) {
            let (position, address) = (gap.positions.start, gap.start);
            return Ok(End { position, address });
        }
        let (position, address) = self.shared.log.locate(position, end)?;
        Ok(End { position, address })
    }

    /// The damaged stretch of the log that begins there.
    fn gap(&self, from: End, end: End, damage: &Damage) -> Result<Arc<Gap>, StoreError> {
        if let Some(gap) = self.last_gap().filter(|gap| gap.start == from.address) {
            return Ok(gap);
        }
        let shared = &self.shared;
        let gap = shared.with_rows(|rows| Gap::read(shared, rows, from, end))?;
        // No position is lost, so no event can be reported in the place of the damage.
        if gap.positions.is_empty() {
            return Err(damage.clone().into());
        }
        let gap = Arc::new(gap);
        *locks::lock(&self.gap) = Some(Arc::clone(&gap));
        Ok(gap)
    }

    fn last_gap(&self) -> Option<Arc<Gap>> {
        locks::lock(&self.gap).clone()
    }
}

/// Events of all calls as they are read, frame by frame.
struct Between {
    after: u64,
    until: u64,
    /// Where the next frame has to begin.
    next: u64,
    events: Vec<StoredEvent>,
}

impl Between {
    fn reached(&self, frames: &Frames<'_>) -> End {
        End {
            position: self.next,
            address: frames.address(),
        }
    }

    fn take(&mut self, frames: &mut Frames<'_>) -> Result<(), LogError> {
        let had = self.events.len();
        let taken = self.take_frame(frames);
        if taken.is_err() {
            self.events.truncate(had);
        }
        taken
    }

    fn take_frame(&mut self, frames: &mut Frames<'_>) -> Result<(), LogError> {
        let read = frames.next(self.next)?;
        let read = read.ok_or_else(|| missing(self.next))?;
        let mut groups = Groups::new(self.next, read.block)?;
        while let Some(group) = groups.next()? {
            if groups.next_position() <= self.after + 1 || group.first > self.until {
                continue;
            }
            let wanted = |position, _| position > self.after && position <= self.until;
            let events = &mut self.events;
            group.open()?.each(wanted, |event| events.push(event))?;
        }
        self.next = groups.next_position();
        Ok(())
    }

    /// Takes what is whole of a gap, up to the first event that is not.
    fn pass(&mut self, gap: &Gap, log: &Log) -> Result<(), DamagedEvent> {
        let from = gap.positions.start.max(self.after + 1);
        for position in from..gap.positions.end.min(self.until + 1) {
            self.events.push(gap.event(log, position)?);
        }
        self.next = gap.positions.end;
        Ok(())
    }

    fn stop_before(&self, damaged: DamagedEvent) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Err(damaged.into());
        }
        Ok(())
    }
}

fn missing(position: u64) -> Damage {
    Damage::new("the events from there on are missing").at(position)
}
