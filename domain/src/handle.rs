//! The one loop that does the I/O: load, decide, append, and again on a conflict.

use crate::store::{AppendError, EventStore, StoreError};
use foldhash::fast::RandomState;
use lru::LruCache;
use rules::DamagedEvent;
use rules::Timestamp;
use rules::call::Call;
use rules::command::Request;
use rules::envelope::{Altered, Batch, Cause, Head, PersonalPart, StoredEvent};
use rules::evolve_in_place;
use rules::ids::{CallId, CommandId, KeyId, Revision};
use rules::rejection::Rejection;
use rules::stored::digest;
use rules::{clamped, decide};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use uuid::Uuid;

/// How many conflicts in a row are worth another attempt before the caller should hear of them. Whoever wins goes on
/// from what it knows while the loser still reads, and so may win several times.
const ATTEMPTS: usize = 32;

/// How many calls are kept in memory unless said otherwise, those that were asked for last; one that talks takes about
/// a kilobyte.
const CACHED_CALLS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// Takes commands for the calls of one store. Commands for one call are taken one after the other, others side by side.
pub struct Handler {
    store: Arc<dyn EventStore>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    random: Box<dyn Fn() -> [u8; 32] + Send + Sync>,
    cache: Mutex<LruCache<CallId, Arc<Slot>>>,
    /// Calls with a damaged event: their commands are refused, even if they are cached.
    damaged: RwLock<HashMap<CallId, DamagedEvent>>,
}

/// Holds what is known of a call, if anything; locked while a command for it is under way.
type Slot = tokio::sync::Mutex<Option<Known>>;

/// A call as its events in the store tell it.
#[derive(Default)]
struct Known {
    call: Call,
    head: Option<Head>,
    commands: HashMap<CommandId, Taken, RandomState>,
    /// One key for all personal texts of a call.
    key: Option<KeyId>,
}

/// An accepted command and the events it brought about.
#[derive(Clone, Copy)]
struct Taken {
    after: Revision,
    events: usize,
}

/// An accepted command and what it brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The call.
    pub call: CallId,
    /// The command, by the sender's id or a random one.
    pub command: CommandId,
    /// Its events, durable; there is at least one.
    pub events: Vec<StoredEvent>,
}

impl Answer {
    /// The call's revision after the last of them.
    pub fn revision(&self) -> Revision {
        self.events
            .last()
            .map_or(Revision(0), |stored| stored.recorded.revision)
    }
}

/// Why a command was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// A rule refuses it; nothing changed.
    #[error("{rejection}")]
    Rejected {
        /// Which rule, and what to do instead.
        rejection: Rejection,
        /// Where the call was when it was judged.
        revision: Revision,
    },
    /// The call is not at the revision the command expects; nothing changed.
    #[error(
        "the call is at revision {actual}, and the command expects {expected}; look at the call again and decide anew"
    )]
    Expected {
        /// What the command expects.
        expected: Revision,
        /// Where the call is.
        actual: Revision,
    },
    /// Another command of this call had that id; nothing changed.
    #[error(
        "this call accepted command {0} before with other content; give a new command a new id"
    )]
    CommandIdReused(CommandId),
    /// Others kept writing to the call; nothing changed.
    #[error("others keep writing to call {call}; send the command again")]
    Unsettled {
        /// The call.
        call: CallId,
    },
    /// The store failed; send the same command id again to learn whether it was accepted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HandleError {
    /// The code in the interface.
    pub fn code(&self) -> &'static str {
        match self {
            HandleError::Rejected { rejection, .. } => rejection.code.name(),
            HandleError::Expected { .. } => "conflict",
            HandleError::CommandIdReused(_) => "command_id_reused",
            HandleError::Unsettled { .. } => "unsettled",
            HandleError::Store(error) => error.code(),
        }
    }
}

impl Handler {
    /// Takes commands for that store, by the machine's clock and randomness.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            clock: Box::new(crate::clock::now),
            random: Box::new(random),
            cache: Mutex::new(LruCache::new(CACHED_CALLS)),
            damaged: RwLock::default(),
        }
    }

    /// Refuses commands for these calls from now on, and for no others. A reader of all events finds damage that the
    /// cached state of a call does not show.
    pub fn refuse_damaged(&self, damaged: HashMap<CallId, DamagedEvent>) {
        let mut refused = self.damaged.write().unwrap_or_else(PoisonError::into_inner);
        *refused = damaged;
    }

    /// Reads the time elsewhere, for tests that must not depend on it.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Draws salts, keys and ids elsewhere, for tests that must know them.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> [u8; 32] + Send + Sync + 'static) -> Self {
        self.random = Box::new(random);
        self
    }

    /// Keeps at most so many calls in memory.
    #[must_use]
    pub fn with_cached_calls(mut self, calls: NonZeroUsize) -> Self {
        self.cache = Mutex::new(LruCache::new(calls));
        self
    }

    /// What the clock shows: when a command that says nothing else happened.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// A random id, for a command that came without one.
    pub fn random_id(&self) -> CommandId {
        CommandId(self.uuid())
    }

    /// Takes a command that was read at `read_at` under `id`: the sender's, or a random one. An accepted command that
    /// is sent again is answered as before and writes nothing.
    pub async fn handle(
        &self,
        request: &Request,
        id: CommandId,
        read_at: Timestamp,
    ) -> Result<Answer, HandleError> {
        self.refuse_if_damaged(&request.call)?;
        let slot = self.slot(&request.call);
        let mut slot = slot.lock().await;
        // Until this is settled, nobody knows where the call stands. Whoever fails here, or is dropped while waiting,
        // leaves an empty slot, and the next command asks the store.
        let mut grounds = match slot.take() {
            Some(known) => Grounds::Cached(known),
            None => Grounds::Read(self.load(&request.call).await?),
        };
        for _ in 0..ATTEMPTS {
            match self.attempt(grounds, request, id, read_at).await? {
                Attempt::Settled(known, answer) => {
                    *slot = Some(known);
                    return answer;
                }
                Attempt::Stale(known) => {
                    grounds = Grounds::Read(self.refreshed(known, &request.call).await?);
                }
            }
        }
        Err(HandleError::Unsettled {
            call: request.call.clone(),
        })
    }

    fn refuse_if_damaged(&self, call: &CallId) -> Result<(), StoreError> {
        let damaged = self.damaged.read().unwrap_or_else(PoisonError::into_inner);
        match damaged.get(call) {
            Some(event) => Err(event.clone().into()),
            None => Ok(()),
        }
    }

    /// The slot of a call. Two slots of one call can live for a moment after the cache dropped one; the store's
    /// expected revision keeps them honest.
    fn slot(&self, call: &CallId) -> Arc<Slot> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = cache.get(call) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::default());
        cache.put(call.clone(), Arc::clone(&slot));
        slot
    }

    /// Accepts on what the cache says, which the store guards by the expected revision, and refuses on nothing older
    /// than the command: others may have written to the call since.
    async fn attempt(
        &self,
        grounds: Grounds,
        request: &Request,
        id: CommandId,
        read_at: Timestamp,
    ) -> Result<Attempt, StoreError> {
        let (mut known, cached) = match grounds {
            Grounds::Cached(known) => (known, true),
            Grounds::Read(known) => (known, false),
        };
        if let Some(taken) = known.commands.get(&id) {
            return Ok(match self.taken_before(request, id, *taken).await? {
                Some(events) => Attempt::Settled(known, repeated(request, id, events)),
                None => Attempt::Stale(known),
            });
        }
        let batch = match self.decided(&known, request, id, read_at) {
            Ok(batch) => batch,
            Err(_) if cached => return Ok(Attempt::Stale(known)),
            Err(refusal) => return Ok(Attempt::Settled(known, Err(refusal))),
        };
        match self.store.append(batch).await {
            Ok(events) => {
                known.fold(&events);
                let answer = Answer {
                    call: request.call.clone(),
                    command: id,
                    events,
                };
                Ok(Attempt::Settled(known, Ok(answer)))
            }
            Err(AppendError::Conflict { .. }) => Ok(Attempt::Stale(known)),
            // A hash that the store does not know may be the cache's, of before the store was restored.
            Err(AppendError::Store(error)) if cached && error.is_damage() => {
                Ok(Attempt::Stale(known))
            }
            Err(AppendError::Store(error)) => Err(error),
        }
    }

    fn decided(
        &self,
        known: &Known,
        request: &Request,
        id: CommandId,
        read_at: Timestamp,
    ) -> Result<Batch, HandleError> {
        let revision = known.call.revision();
        expected_holds(request, revision)?;
        let events =
            decide(&known.call, &request.command).map_err(|rejection| HandleError::Rejected {
                rejection,
                revision,
            })?;
        let personal = self.personal_part(request, known.key);
        let cause = self.cause(known, request, id, read_at, personal.as_ref());
        let batch = Batch::finish(known.head(), cause, events, personal);
        Ok(batch.expect("an accepted command has events, and they are numbered here"))
    }

    async fn load(&self, call: &CallId) -> Result<Known, StoreError> {
        let mut known = Known::default();
        known.fold(&self.store.read_call(call, Revision(0)).await?);
        Ok(known)
    }

    /// The call once what others wrote to it is folded. The last event is read again with what follows it: a store
    /// that was restored meanwhile tells another, or none, and then the whole call is read.
    async fn refreshed(&self, mut known: Known, call: &CallId) -> Result<Known, StoreError> {
        let Some(head) = known.head else {
            return self.load(call).await;
        };
        let before = Revision(head.revision.0 - 1);
        let events = self.store.read_call(call, before).await?;
        match events.split_first() {
            Some((last, new)) if last.recorded.head() == head => {
                known.fold(new);
                Ok(known)
            }
            Some(_) | None => self.load(call).await,
        }
    }

    /// The command's events as they are stored; none if they are not there, because the store was restored meanwhile.
    async fn taken_before(
        &self,
        request: &Request,
        id: CommandId,
        taken: Taken,
    ) -> Result<Option<Vec<StoredEvent>>, StoreError> {
        let mut events = self.store.read_call(&request.call, taken.after).await?;
        events.truncate(taken.events);
        let brought_about = |stored: &StoredEvent| stored.recorded.cause.command == id;
        let there = events.len() == taken.events && events.iter().all(brought_about);
        Ok(there.then_some(events))
    }

    fn personal_part(&self, request: &Request, key: Option<KeyId>) -> Option<PersonalPart> {
        request.command.personal_text().map(|text| PersonalPart {
            key: key.unwrap_or_else(|| KeyId(self.uuid())),
            salt: (self.random)(),
            text: text.into(),
        })
    }

    fn cause(
        &self,
        known: &Known,
        request: &Request,
        id: CommandId,
        read_at: Timestamp,
        personal: Option<&PersonalPart>,
    ) -> Cause {
        let reported = request.at.unwrap_or(read_at);
        let at = clamped(&known.call, reported);
        Cause {
            call: request.call.clone(),
            command: id,
            digest: digest(request, personal),
            at,
            reported_at: (at != reported).then_some(reported),
            recorded_at: self.now(),
            correlation: request.correlation.clone(),
            actor: request.command.actor(),
        }
    }

    fn uuid(&self) -> Uuid {
        let random = (self.random)();
        let bytes = *random.first_chunk().expect("32 bytes have a first 16");
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// What a command is judged by.
enum Grounds {
    /// The call as it stood after an earlier command.
    Cached(Known),
    /// The call as it was read since the command came.
    Read(Known),
}

/// What one attempt came to.
enum Attempt {
    /// The command's answer, and how the call stands then.
    Settled(Known, Result<Answer, HandleError>),
    /// Others may have written to the call: read on and judge again.
    Stale(Known),
}

impl Known {
    fn head(&self) -> Head {
        self.head.unwrap_or(Head::NONE)
    }

    fn fold(&mut self, events: &[StoredEvent]) {
        for StoredEvent { recorded, .. } in events {
            let cause = &recorded.cause;
            let taken = self.commands.entry(cause.command).or_insert(Taken {
                after: self.call.revision(),
                events: 0,
            });
            taken.events += 1;
            if let Some(part) = &recorded.personal {
                self.key = Some(part.key);
            }
            evolve_in_place(&mut self.call, &recorded.event, cause.at);
            self.head = Some(recorded.head());
        }
    }
}

/// The stored answer, if the content is the same; an erased text cannot be compared, and the id is known.
fn repeated(
    request: &Request,
    id: CommandId,
    events: Vec<StoredEvent>,
) -> Result<Answer, HandleError> {
    let personal = events
        .iter()
        .find_map(|stored| stored.recorded.personal.as_ref());
    let erased = personal.is_none() && events.iter().any(commits);
    let given = request.command.personal_text().map(|text| PersonalPart {
        key: personal.map_or(KeyId(Uuid::nil()), |part| part.key),
        salt: personal.map_or([0; 32], |part| part.salt),
        text: text.into(),
    });
    let same =
        |stored: &StoredEvent| stored.recorded.cause.digest == digest(request, given.as_ref());
    if erased || events.first().is_some_and(same) {
        Ok(Answer {
            call: request.call.clone(),
            command: id,
            events,
        })
    } else {
        Err(HandleError::CommandIdReused(id))
    }
}

fn expected_holds(request: &Request, actual: Revision) -> Result<(), HandleError> {
    match request.expect {
        Some(expected) if expected != actual => Err(HandleError::Expected { expected, actual }),
        Some(_) | None => Ok(()),
    }
}

fn commits(stored: &StoredEvent) -> bool {
    crate::stored::commitment(&stored.recorded.payload).is_some()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A call that is rebuilt from its events part by part, each part verified.
#[derive(Debug, Clone, Default)]
pub struct Rebuilding {
    /// The call so far.
    pub call: Call,
    /// The head of its chain so far.
    pub head: Option<Head>,
}

impl Rebuilding {
    /// Takes the next events in, if their hashes continue the chain.
    pub fn take_in(&mut self, events: &[StoredEvent]) -> Result<(), Altered> {
        self.verify(events)?;
        for stored in events {
            evolve_in_place(
                &mut self.call,
                &stored.recorded.event,
                stored.recorded.cause.at,
            );
        }
        Ok(())
    }

    /// Follows the chain through the next events, and leaves the call as it is.
    pub fn verify(&mut self, events: &[StoredEvent]) -> Result<(), Altered> {
        let recorded = events.iter().map(|stored| &stored.recorded);
        self.head = Some(rules::envelope::verify(self.head(), recorded)?);
        Ok(())
    }

    /// The head of its chain so far.
    pub fn head(&self) -> Head {
        self.head.unwrap_or(Head::NONE)
    }
}

/// The call after the events, and the head of its chain, verified; for whoever explains a call rather than runs it.
pub fn rebuild(events: &[StoredEvent]) -> Result<(Call, Head), Altered> {
    let recorded = events.iter().map(|stored| &stored.recorded);
    let head = rules::envelope::verify(Head::NONE, recorded)?;
    let mut known = Known::default();
    known.fold(events);
    Ok((known.call, head))
}
