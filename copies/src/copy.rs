//! One store into another: every event unchanged, in the source's order.

use crate::commands::{Commands, Step};
use crate::damage::DamagedCalls;
use crate::error::CopyError;
use crate::error::altered_in;
use crate::heads::{Heads, StoreDigest};
use crate::progress::{Report, Told, Work};
use crate::survey::heads;
use crate::survey::{survey, surveyed};
use crate::window::Window;
use domain::{
    Batch, DamagedEvent, EventStore, Head, Position, RecordedEvent, StoreInfo, StoredEvent,
};

/// What was copied, proved by reading the destination again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// What the source held at the position it had when the work began.
    pub source: StoreDigest,
    /// What the destination holds of those calls, up to where the source then was; the same, or copying fails.
    pub destination: StoreDigest,
    /// How many events were sent; the destination had the others already.
    pub sent: u64,
}

/// Copies what the source holds now into the destination. Commands may go on at the source: a second pass copies what
/// came meanwhile. A copy that was interrupted goes on where it stopped, and calls of its own that the destination has
/// are left alone. Damage in the source ends it, and the error names all damaged calls.
pub async fn copy(
    from: &dyn EventStore,
    to: &dyn EventStore,
    report: Report<'_>,
) -> Result<Copied, CopyError> {
    different(from, to)?;
    let info = from.info().await?;
    let copied = copy_calls(from, to, &info, &DamagedCalls::default(), report).await;
    match copied {
        Err(error) if error.is_of_the_source() => Err(all_damage(from, error, report).await),
        copied => copied,
    }
}

/// Copies the whole calls only, and returns the damaged ones, which it does not send. The source is read twice: a
/// call is known to be whole only at the end.
pub async fn copy_whole_calls(
    from: &dyn EventStore,
    to: &dyn EventStore,
    report: Report<'_>,
) -> Result<(Copied, DamagedCalls), CopyError> {
    different(from, to)?;
    let info = from.info().await?;
    let told = Told::new(Work::Verifying, info.events, report);
    let survey = surveyed(from, info.last, |_| true, told, &mut |_| {}).await?;
    let damaged = survey.damaged;
    let copied = copy_calls(from, to, &info, &damaged, report).await?;
    Ok((copied, damaged))
}

fn different(from: &dyn EventStore, to: &dyn EventStore) -> Result<(), CopyError> {
    if from.id() == to.id() {
        return Err(CopyError::SameStore(from.id()));
    }
    Ok(())
}

/// Copies all calls but those.
async fn copy_calls(
    from: &dyn EventStore,
    to: &dyn EventStore,
    info: &StoreInfo,
    left_out: &DamagedCalls,
    report: Report<'_>,
) -> Result<Copied, CopyError> {
    let there = heads(to, Work::Looking, DESTINATION, |_| true, report).await?;
    let mut copying = Copying::new(to, there.heads);
    let mut commands = Commands::new(from, Position::START, info.last);
    let mut told = Told::new(Work::Copying, info.events, report);
    while let Some(step) = commands.step().await? {
        match step {
            Step::Command(command) => {
                told.more(command.len());
                if !left_out.holds(&command[0].recorded.cause.call) {
                    copying.take(command, || SOURCE.to_owned()).await?;
                }
            }
            Step::Damaged(event) if is_left_out(left_out, &event) => told.more(1),
            Step::Damaged(event) => return Err(CopyError::Store(event.into())),
        }
    }
    told.done();
    copying.finish(report).await
}

/// An event whose call cannot be told is left out with the others.
fn is_left_out(left_out: &DamagedCalls, event: &DamagedEvent) -> bool {
    match &event.call {
        Some(call) => left_out.holds(call),
        None => left_out.unknown() > 0,
    }
}

/// The error that names all damage in the source, which is read once more for it.
async fn all_damage(from: &dyn EventStore, first: CopyError, report: Report<'_>) -> CopyError {
    match survey(from, report, &mut |_| {}).await {
        Ok(survey) => survey.damaged.into_result(SOURCE).err().unwrap_or(first),
        Err(_) => first,
    }
}

const SOURCE: &str = "the source";
const DESTINATION: &str = "the destination";

/// A copy being made: what the destination has already is not sent again.
pub(crate) struct Copying<'s> {
    to: &'s dyn EventStore,
    /// What the destination had when this began.
    there: Heads,
    /// What was read of the source so far.
    read: Heads,
    last: Position,
    window: Window<'s>,
    sent: u64,
}

impl<'s> Copying<'s> {
    pub(crate) fn new(to: &'s dyn EventStore, there: Heads) -> Self {
        Self {
            to,
            there,
            read: Heads::default(),
            last: Position::START,
            window: Window::new(to),
            sent: 0,
        }
    }

    /// Takes the next command of the source, and sends what the destination lacks of it.
    pub(crate) async fn take(
        &mut self,
        command: Vec<StoredEvent>,
        place: impl Fn() -> String,
    ) -> Result<(), CopyError> {
        let mut expected = None;
        let mut lacking = Vec::new();
        for StoredEvent { position, recorded } in command {
            self.last = position;
            let before = self.read.follow(&recorded);
            let before = before.map_err(|altered| altered_in(place())(altered))?;
            if self.lacks(&recorded)? {
                expected.get_or_insert(before);
                lacking.push(recorded);
            }
        }
        match expected {
            Some(expected) => self.send(expected, lacking).await,
            None => Ok(()),
        }
    }

    /// Whether the event is beyond what the destination had of its call. Where that ends, the hashes must be the same,
    /// which proves all before it.
    fn lacks(&self, event: &RecordedEvent) -> Result<bool, CopyError> {
        let there = self.there.of(&event.cause.call);
        if event.revision == there.revision && event.hash != there.hash {
            return Err(CopyError::Diverged {
                call: event.cause.call.clone(),
                revision: event.revision,
            });
        }
        Ok(event.revision > there.revision)
    }

    async fn send(&mut self, expected: Head, events: Vec<RecordedEvent>) -> Result<(), CopyError> {
        self.sent += events.len() as u64;
        let batch = Batch::new(expected, events);
        let batch = batch.expect("verified events of one call continue its head");
        self.window.send(batch).await
    }

    /// Waits until all is kept, and reads the destination again to prove it.
    pub(crate) async fn finish(mut self, report: Report<'_>) -> Result<Copied, CopyError> {
        self.window.settle(0).await?;
        let read = &self.read;
        let copied = |event: &RecordedEvent| event.revision <= read.of(&event.cause.call).revision;
        let found = heads(self.to, Work::Comparing, DESTINATION, copied, report).await?;
        let source = StoreDigest {
            last: self.last,
            ..read.digest()
        };
        let destination = found.digest();
        if source.sha256 != destination.sha256 {
            return Err(unlike(read, &found.heads));
        }
        Ok(Copied {
            source,
            destination,
            sent: self.sent,
        })
    }
}

/// Which call the destination holds otherwise, or both digests if it is not one call's history.
fn unlike(read: &Heads, found: &Heads) -> CopyError {
    let mut calls = read.iter();
    let other = calls.find(|(call, head)| {
        let there = found.of(call);
        there.revision == head.revision && there.hash != head.hash
    });
    match other {
        Some((call, head)) => CopyError::Diverged {
            call: call.clone(),
            revision: head.revision,
        },
        None => CopyError::Differs {
            expected: read.digest().sha256,
            found: found.digest().sha256,
        },
    }
}
