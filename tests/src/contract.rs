//! What every store promises, as checks that any store can be put to: [`store_contract!`](crate::store_contract) makes
//! each a test of its own, and [`checks`] has them for whoever runs them otherwise. A store may hold other calls already
//! and others may write to it meanwhile: a check looks at its own calls only, and takes positions for nothing but
//! ascending.

use crate::scenario::{
    ANA, BEN, CUSTOMER, EXPERT, SAM, SUE, a_conference, apply_wrap_up, connect_call, end_call,
    hang_up, hold, merging, resume, start, start_consult, start_monitoring, stop_monitoring,
    suggest_wrap_up_noting,
};
use async_trait::async_trait;
use domain::command::Command;
use domain::envelope::verify;
use domain::{
    AppendError, Batch, CallId, CommandId, EventStore, Followed, Follower, HandleError, Handler,
    Head, MemoryStore, Position, RecordedEvent, Request, Revision, StoreError, StoredEvent,
};
use futures_util::future::join_all;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinSet, yield_now};
use uuid::Uuid;

/// How a kind of store is opened.
#[async_trait]
pub trait Opener: Send + Sync {
    /// A store to be put to a check.
    async fn open(&self) -> Arc<dyn EventStore>;

    /// The same store, closed and opened again. One that lives only as long as it is open stays as it is.
    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore>;

    /// The same store as another process has it, while this one is open. A store that is open once is shared.
    async fn beside(&self, store: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        Arc::clone(store)
    }

    /// What the names of a check's calls begin with: another text for each check, and none the beginning of another.
    fn prefix(&self) -> String {
        Uuid::new_v4().to_string()
    }

    /// How many events one batch may have, of those that have two thousand or fewer; a longer one is refused.
    fn longest_batch(&self) -> usize {
        2000
    }

    /// How many turns a long check takes of those that it takes usually: fewer where every answer takes long.
    fn turns(&self, usual: usize) -> usize {
        usual
    }
}

/// Every check there is, listed once: hands the names on to another macro, behind what that was given.
#[macro_export]
macro_rules! each_check {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            $($given)*
            one_of_many_writers_at_the_same_head_wins_and_the_others_are_told,
            a_batch_is_whole_or_absent,
            nothing_appears_at_or_below_a_position_that_a_reader_has_seen,
            an_event_that_was_seen_is_found_wherever_one_looks,
            a_repeated_batch_writes_nothing_and_is_answered_as_before,
            batches_repeated_side_by_side_are_kept_once,
            other_events_after_the_same_head_conflict,
            the_same_ids_with_other_content_conflict,
            a_batch_of_another_history_is_refused,
            a_batch_ahead_of_the_call_conflicts,
            reopening_gives_the_same_events,
            a_call_nobody_wrote_to_has_no_events,
            followers_see_every_event_once_and_in_order,
            a_follower_is_told_once_when_it_has_caught_up,
            waiting_ends_when_there_is_something_and_not_before,
            a_call_is_read_from_any_revision,
            every_page_size_gives_the_same_events,
            calls_side_by_side_keep_their_own_chains,
            a_long_call_comes_back_whole,
            a_long_batch_comes_back_whole,
            personal_parts_and_correlations_come_back,
            the_events_of_a_batch_stand_next_to_each_other,
            a_store_counts_what_it_holds,
            a_command_sent_again_is_answered_as_before,
            an_id_used_for_something_else_is_refused,
            a_command_that_expects_another_revision_is_refused,
            two_handlers_of_one_store_settle_their_conflicts,
            a_handler_refuses_nothing_for_what_another_has_changed,
        }
    };
}

/// Makes a test of every check, for the store that the opener opens.
#[macro_export]
macro_rules! store_contract {
    ($($store:ident: $opener:expr;)*) => {
        $($crate::each_check!([$crate::store_contract] @checks $store, $opener,);)*
    };
    (@checks $store:ident, $opener:expr, $($check:ident,)*) => {
        mod $store {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $check() {
                    let check = $crate::contract::check(stringify!($check));
                    check.put_to(std::sync::Arc::new($opener)).await;
                }
            )*
        }
    };
}

/// One promise, and what puts a store to it.
#[derive(Clone, Copy)]
pub struct Check {
    /// The promise, as the name of a test.
    pub name: &'static str,
    run: fn(Arc<dyn Opener>) -> Running,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Check {
    /// Panics if the store does not hold it.
    pub async fn put_to(self, opener: Arc<dyn Opener>) {
        in_time((self.run)(opener)).await;
    }
}

/// Fails what would otherwise never end; nothing here takes a fraction of it.
pub async fn in_time<T>(check: impl Future<Output = T>) -> T {
    let limit = Duration::from_mins(5);
    let ended = tokio::time::timeout(limit, check).await;
    ended.unwrap_or_else(|_| panic!("it did not end within {} s", limit.as_secs()))
}

macro_rules! as_checks {
    ($($check:ident,)*) => {
        vec![$(Check {
            name: stringify!($check),
            run: |opener| Box::pin(async move { $check(&*opener).await }),
        },)*]
    };
}

/// The contract: a check that is not listed is never used, which the compiler tells.
pub fn checks() -> Vec<Check> {
    each_check!([as_checks])
}

/// The check of that name.
pub fn check(name: &str) -> Check {
    let checks = checks();
    let check = checks.iter().find(|check| check.name == name);
    *check.unwrap_or_else(|| panic!("{name} is no check"))
}

/// A store and calls in it that are nobody else's.
struct Subject {
    store: Arc<dyn EventStore>,
    prefix: String,
    began: Position,
}

impl Subject {
    async fn open(opener: &dyn Opener) -> Self {
        let store = opener.open().await;
        let info = store.info().await.expect("it tells");
        Self {
            store,
            prefix: opener.prefix(),
            began: info.last,
        }
    }

    async fn reopen(self, opener: &dyn Opener) -> Self {
        Self {
            store: opener.reopen(self.store).await,
            ..self
        }
    }

    fn call(&self, name: impl Display) -> CallId {
        let call = format!("{}-{name}", self.prefix);
        call.parse().expect("a call's identifier")
    }

    fn owns(&self, event: &StoredEvent) -> bool {
        let call = event.recorded.cause.call.as_str();
        call.starts_with(&self.prefix)
    }

    async fn append(&self, batch: &Batch) -> Result<Vec<StoredEvent>, AppendError> {
        self.store.append(batch.clone()).await
    }

    async fn append_all(&self, batches: &[Batch]) -> Vec<StoredEvent> {
        let mut stored = Vec::new();
        for batch in batches {
            stored.extend(self.append(batch).await.expect("kept"));
        }
        stored
    }

    async fn events_of(&self, call: &CallId) -> Vec<StoredEvent> {
        let events = self.store.read_call(call, Revision(0)).await;
        events.expect("readable")
    }

    /// Whether the event is found after that position, now.
    async fn is_among_all(&self, after: Position, event: &StoredEvent) -> bool {
        let mut follower = Follower::new(Arc::clone(&self.store), after, 100);
        while let Followed::Events(next) = follower.next().await.expect("readable") {
            if next.contains(event) {
                return true;
            }
        }
        false
    }

    /// Its own events in the store's order.
    async fn events(&self) -> Vec<StoredEvent> {
        self.events_in_pages_of(1000).await
    }

    async fn events_in_pages_of(&self, page: usize) -> Vec<StoredEvent> {
        let mut follower = Follower::new(Arc::clone(&self.store), self.began, page);
        let mut events = Vec::new();
        loop {
            let Followed::Events(next) = follower.next().await.expect("readable") else {
                events.retain(|event| self.owns(event));
                return events;
            };
            assert!(next.len() <= page, "a page is as long as it was asked for");
            events.extend(next);
        }
    }
}

/// A command for a call, and nothing else said.
pub fn request(call: &CallId, command: Command) -> Request {
    Request {
        call: call.clone(),
        id: None,
        at: None,
        correlation: None,
        expect: None,
        command,
    }
}

/// What the commands bring about, one batch each, as the loop finishes them; kept nowhere yet.
pub async fn batches(call: &CallId, commands: impl IntoIterator<Item = Command>) -> Vec<Batch> {
    batches_after(&[], call, commands).await
}

/// The same, once those others are kept.
pub async fn batches_after(
    before: &[Batch],
    call: &CallId,
    commands: impl IntoIterator<Item = Command>,
) -> Vec<Batch> {
    let requests = commands.into_iter().map(|command| request(call, command));
    batches_of(before, requests).await
}

async fn batches_of(before: &[Batch], requests: impl IntoIterator<Item = Request>) -> Vec<Batch> {
    let store = Arc::new(MemoryStore::new());
    for batch in before {
        store.append(batch.clone()).await.expect("kept");
    }
    let mut head = before.last().map_or(Head::NONE, Batch::head);
    let handler = Handler::new(store);
    let mut batches = Vec::new();
    for request in requests {
        let taken = handler.handle(&request, handler.random_id(), handler.now());
        let events = recorded(taken.await.expect("accepted").events);
        let batch = Batch::new(head, events).expect("as the loop made it");
        head = batch.head();
        batches.push(batch);
    }
    batches
}

fn recorded(stored: Vec<StoredEvent>) -> Vec<RecordedEvent> {
    stored.into_iter().map(|event| event.recorded).collect()
}

/// An agent answers, and then holds and resumes the customer until there are that many commands with one event each.
pub fn chatter(commands: usize) -> Vec<Command> {
    let turns = [hold(ANA, CUSTOMER), resume(ANA, CUSTOMER)];
    let turns = turns.into_iter().cycle();
    let connected = [connect_call(ANA)];
    connected.into_iter().chain(turns).take(commands).collect()
}

/// A call with everything in it: a conference, its end and its wrap-up, with one to a dozen events a command.
pub fn a_whole_call() -> Vec<Command> {
    let mut story = a_conference([ANA, BEN, EXPERT]);
    story.extend([
        start_monitoring(SAM, ANA),
        hang_up(CUSTOMER),
        suggest_wrap_up_noting(BEN, "billing", "asked for Ms Sato"),
        end_call(ANA),
        apply_wrap_up(ANA, "billing"),
    ]);
    story
}

fn positions(events: &[StoredEvent]) -> Vec<Position> {
    events.iter().map(|event| event.position).collect()
}

#[track_caller]
fn assert_ascending(events: &[StoredEvent]) {
    let ascending = events
        .windows(2)
        .all(|two| two[0].position < two[1].position);
    assert!(ascending, "{:?}", positions(events));
}

#[track_caller]
fn assert_verifies(events: &[StoredEvent]) {
    let recorded = events.iter().map(|event| &event.recorded);
    verify(Head::NONE, recorded).expect("an unaltered chain");
}

/// Of writers that continue the same head one is kept, and every other hears what it expected and where the call is.
async fn one_of_many_writers_at_the_same_head_wins_and_the_others_are_told(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let begun = batches(&call, [connect_call(ANA)]).await;
    subject.append_all(&begun).await;
    for _ in 0..20 {
        let before = subject.events_of(&call).await;
        let head = before.last().expect("begun").recorded.head();
        let mut writers = JoinSet::new();
        for _ in 0..16 {
            let batch = next_turn(&before).await;
            let store = Arc::clone(&subject.store);
            writers.spawn(async move { store.append(batch).await });
        }
        let answers = writers.join_all().await;
        let kept: Vec<_> = answers.iter().flatten().collect();
        assert_eq!(kept.len(), 1, "{answers:?}");
        let conflict = AppendError::Conflict {
            expected: head.revision,
            actual: head.revision.plus(1),
        };
        let told = answers.iter().filter_map(|answer| answer.as_ref().err());
        assert!(
            told.into_iter().all(|error| *error == conflict),
            "{answers:?}"
        );
        let after = subject.events_of(&call).await;
        assert_eq!(after.len(), before.len() + 1);
        assert_eq!(after.last(), kept[0].last());
        assert_verifies(&after);
    }
}

/// A batch of its own that continues the events.
async fn next_turn(events: &[StoredEvent]) -> Batch {
    let call = &events[0].recorded.cause.call;
    let before = Batch::new(Head::NONE, recorded(events.to_vec())).expect("a call's events");
    let turn = chatter(events.len() + 1).pop().expect("a turn");
    let mut next = batches_after(&[before], call, [turn]).await;
    next.pop().expect("one command, one batch")
}

/// A reader sees all of a command's events or none of them, whatever others write.
async fn a_batch_is_whole_or_absent(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    let mut tasks = JoinSet::new();
    for writer in 0..8 {
        let call = subject.call(writer);
        let history = batches(&call, a_whole_call()).await;
        let whole: Vec<_> = history.iter().map(|batch| batch.head().revision).collect();
        let last = *whole.last().expect("it has some");
        let reader = Arc::clone(&subject);
        tasks.spawn(async move {
            loop {
                let events = reader.events_of(&call).await;
                let Some(seen) = events.last() else {
                    yield_now().await;
                    continue;
                };
                let seen = seen.recorded.revision;
                assert!(whole.contains(&seen), "{seen} is within a batch");
                if seen == last {
                    return;
                }
                yield_now().await;
            }
        });
        let writer = Arc::clone(&subject);
        tasks.spawn(async move {
            writer.append_all(&history).await;
        });
    }
    tasks.join_all().await;
}

/// Readers that poll while others write see exactly what is there in the end, in the same order.
async fn nothing_appears_at_or_below_a_position_that_a_reader_has_seen(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    let turns = opener.turns(30);
    let writers = 16;
    let mut readers = JoinSet::new();
    for page in [1, 7, 64, 1000] {
        let subject = Arc::clone(&subject);
        readers.spawn(async move {
            let mut after = subject.began;
            let mut seen = Vec::new();
            while seen.len() < turns * writers {
                let events = subject.store.read_all(after, page).await.expect("readable");
                after = events.last().map_or(after, |last| last.position);
                seen.extend(events.into_iter().filter(|event| subject.owns(event)));
                yield_now().await;
            }
            seen
        });
    }
    write_side_by_side(&subject, writers, turns).await;
    let there = subject.events().await;
    assert_eq!(there.len(), turns * writers);
    assert_ascending(&there);
    for seen in readers.join_all().await {
        assert_eq!(positions(&seen), positions(&there));
        assert!(seen == there);
    }
}

/// So many writers, each with a call of its own, each with so many turns.
async fn write_side_by_side(subject: &Arc<Subject>, writers: usize, turns: usize) {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let call = subject.call(writer);
        let history = batches(&call, chatter(turns)).await;
        let subject = Arc::clone(subject);
        tasks.spawn(async move {
            subject.append_all(&history).await;
        });
    }
    tasks.join_all().await;
}

/// What is among all events is among its call's, and the other way round, from the moment somebody saw it.
async fn an_event_that_was_seen_is_found_wherever_one_looks(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    let (turns, writers) = (opener.turns(30), 8);
    let mut readers = JoinSet::new();
    let everything = Arc::clone(&subject);
    readers.spawn(async move {
        let mut follower = Follower::new(Arc::clone(&everything.store), everything.began, 3);
        let mut seen = 0;
        while seen < turns * writers {
            let events = next_events(&mut follower).await;
            for event in events.iter().filter(|event| everything.owns(event)) {
                let in_call = everything.events_of(&event.recorded.cause.call).await;
                assert!(in_call.contains(event), "{event:?}");
                seen += 1;
            }
        }
    });
    let one_call = Arc::clone(&subject);
    readers.spawn(async move {
        let (mut seen, mut before) = (0, one_call.began);
        while seen < turns {
            let events = one_call.events_of(&one_call.call(0)).await;
            for event in events.iter().skip(seen) {
                assert!(one_call.is_among_all(before, event).await, "{event:?}");
                before = event.position;
            }
            seen = events.len();
            yield_now().await;
        }
    });
    write_side_by_side(&subject, writers, turns).await;
    readers.join_all().await;
}

/// Whoever did not hear the answer sends again and hears the same, also after the store was opened again.
async fn a_repeated_batch_writes_nothing_and_is_answered_as_before(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let history = batches(&call, a_whole_call()).await;
    let mut answers = Vec::new();
    for batch in &history {
        let first = subject.append(batch).await.expect("kept");
        assert_eq!(subject.append(batch).await.as_ref(), Ok(&first));
        answers.push(first);
    }
    let there = subject.events_of(&call).await;
    assert_eq!(there, answers.concat());
    for (batch, answer) in history.iter().zip(&answers) {
        assert_eq!(subject.append(batch).await.as_ref(), Ok(answer));
    }
    let subject = subject.reopen(opener).await;
    for (batch, answer) in history.iter().zip(&answers) {
        assert_eq!(subject.append(batch).await.as_ref(), Ok(answer));
    }
    assert_eq!(subject.events_of(&call).await, there);
    assert_eq!(subject.events().await, there);
}

/// A retry that overtakes its original is the same batch still.
async fn batches_repeated_side_by_side_are_kept_once(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    // One process may send equal batches once, so another one sends them, too.
    let stores = [
        Arc::clone(&subject.store),
        opener.beside(&subject.store).await,
    ];
    let call = subject.call("c");
    let history = batches(&call, chatter(20)).await;
    for batch in &history {
        let mut senders = JoinSet::new();
        for store in stores.iter().cycle().take(8) {
            let (store, batch) = (Arc::clone(store), batch.clone());
            senders.spawn(async move { store.append(batch).await.expect("kept") });
        }
        let answers = senders.join_all().await;
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:?}"
        );
    }
    assert_eq!(subject.events_of(&call).await.len(), history.len());
}

/// The call went on otherwise.
async fn other_events_after_the_same_head_conflict(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let history = batches(&call, chatter(3)).await;
    subject.append_all(&history).await;
    let other = batches_after(&history[..1], &call, [start_consult(ANA, BEN)]).await;
    let refused = subject.append(&other[0]).await;
    let conflict = AppendError::Conflict {
        expected: Revision(1),
        actual: Revision(3),
    };
    assert_eq!(refused, Err(conflict));
    assert_eq!(subject.events_of(&call).await.len(), 3);
}

/// An id says which event it is, so another event under it is none that was kept.
async fn the_same_ids_with_other_content_conflict(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let history = batches(&call, chatter(2)).await;
    subject.append_all(&history).await;
    for (batch, actual) in [(&history[0], Revision(2)), (&history[1], Revision(2))] {
        let mut events = batch.events().to_vec();
        events[0].hash.0[0] ^= 1;
        let other = Batch::new(batch.expected(), events).expect("well-formed");
        let conflict = AppendError::Conflict {
            expected: batch.expected().revision,
            actual,
        };
        assert_eq!(subject.append(&other).await, Err(conflict));
    }
    assert_eq!(recorded(subject.events_of(&call).await).len(), 2);
}

/// The revision is right and the history behind it is not: no writer of this store can bring that.
async fn a_batch_of_another_history_is_refused(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let ours = batches(&call, chatter(1)).await;
    let others = batches(&call, chatter(2)).await;
    let not_at_all = Head {
        hash: others[0].head().hash,
        ..Head::NONE
    };
    let rootless = Batch::new(not_at_all, ours[0].events().to_vec()).expect("well-formed");
    assert_refused_as_damage(&subject.append(&rootless).await);
    subject.append_all(&ours).await;
    assert_refused_as_damage(&subject.append(&others[1]).await);
    assert_eq!(subject.events_of(&call).await.len(), 1);
}

#[track_caller]
fn assert_refused_as_damage(answer: &Result<Vec<StoredEvent>, AppendError>) {
    let refused = matches!(answer, Err(AppendError::Store(StoreError::Corrupt(_))));
    assert!(refused, "{answer:?}");
}

/// Whoever knows more of the call than the store is told where the store is.
async fn a_batch_ahead_of_the_call_conflicts(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let history = batches(&call, chatter(3)).await;
    let conflict = |expected, actual| {
        Err(AppendError::Conflict {
            expected: Revision(expected),
            actual: Revision(actual),
        })
    };
    assert_eq!(subject.append(&history[1]).await, conflict(1, 0));
    subject.append(&history[0]).await.expect("kept");
    assert_eq!(subject.append(&history[2]).await, conflict(2, 1));
}

/// Opening again changes nothing, and the call goes on where it was.
async fn reopening_gives_the_same_events(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let (call, other) = (subject.call("c"), subject.call("d"));
    let history = batches(&call, a_whole_call()).await;
    let (before, after) = history.split_at(5);
    subject.append_all(before).await;
    subject
        .append_all(&batches(&other, chatter(30)).await)
        .await;
    let there = subject.events().await;
    let id = subject.store.id();
    let subject = subject.reopen(opener).await;
    assert_eq!(subject.store.id(), id);
    assert_eq!(subject.events().await, there);
    let went_on = subject.append_all(after).await;
    assert_eq!(subject.events().await, [there, went_on].concat());
    let subject = subject.reopen(opener).await;
    let events = subject.events_of(&call).await;
    assert_verifies(&events);
    let kept: Vec<_> = history.iter().flat_map(Batch::events).cloned().collect();
    assert_eq!(recorded(events), kept);
}

/// Such a call is at revision 0, before and after it was asked for.
async fn a_call_nobody_wrote_to_has_no_events(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    for revision in [Revision(0), Revision(7)] {
        let events = subject.store.read_call(&call, revision).await;
        assert_eq!(events, Ok(Vec::new()));
    }
    assert_eq!(subject.events().await, []);
}

/// A follower begins with what is there, waits, and goes on.
async fn followers_see_every_event_once_and_in_order(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    let (turns, writers) = (opener.turns(25), 16);
    let before = subject.call("before");
    subject
        .append_all(&batches(&before, chatter(turns)).await)
        .await;
    let mut followers = JoinSet::new();
    for page in [1, 10, 500] {
        let subject = Arc::clone(&subject);
        followers.spawn(async move {
            let mut follower = Follower::new(Arc::clone(&subject.store), subject.began, page);
            let mut seen = Vec::new();
            while seen.len() < turns * (writers + 1) {
                let events = next_events(&mut follower).await;
                seen.extend(events.into_iter().filter(|event| subject.owns(event)));
            }
            seen
        });
    }
    write_side_by_side(&subject, writers, turns).await;
    let there = subject.events().await;
    for seen in followers.join_all().await {
        assert!(seen == there);
    }
}

/// A follower is told where what was there ends, and not before it has seen all of it; once, and then it waits.
async fn a_follower_is_told_once_when_it_has_caught_up(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let history = batches(&call, chatter(40)).await;
    let (there, to_come) = history.split_at(20);
    let stored = subject.append_all(there).await;
    let mut follower = Follower::new(Arc::clone(&subject.store), subject.began, 3);
    let mut seen = rest(&mut follower).await;
    seen.retain(|event| subject.owns(event));
    assert_eq!(seen, stored);
    for batch in to_come {
        let waiting = tokio::spawn(async move {
            let told = follower.next().await.expect("readable");
            (follower, told)
        });
        yield_now().await;
        let stored = subject.append(batch).await.expect("kept");
        let (back, told) = waiting.await.expect("it waits");
        let Followed::Events(mut seen) = told else {
            panic!("it is told twice");
        };
        follower = back;
        seen.extend(rest(&mut follower).await);
        seen.retain(|event| subject.owns(event));
        assert_eq!(seen, stored);
    }
}

/// The next events, however long they take.
async fn next_events(follower: &mut Follower) -> Vec<StoredEvent> {
    loop {
        if let Followed::Events(events) = follower.next().await.expect("readable") {
            return events;
        }
    }
}

/// What the follower has not seen of what is there.
async fn rest(follower: &mut Follower) -> Vec<StoredEvent> {
    let mut rest = Vec::new();
    loop {
        match follower.next().await.expect("readable") {
            Followed::Events(events) => rest.extend(events),
            Followed::Damaged(event) => panic!("{event}"),
            Followed::CaughtUp(position) => {
                assert_eq!(position, follower.position());
                return rest;
            }
        }
    }
}

/// Whoever waits is woken by the next event, and is not while nothing happens.
async fn waiting_ends_when_there_is_something_and_not_before(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    for batch in batches(&call, chatter(20)).await {
        let last = subject.store.info().await.expect("it tells").last;
        let store = Arc::clone(&subject.store);
        let waiting = tokio::spawn(async move { store.wait_past(last).await.expect("woken") });
        yield_now().await;
        let stored = subject.append(&batch).await.expect("kept");
        let reached = waiting.await.expect("it waits");
        assert!(reached > last);
        let there = subject.store.read_all(last, 10).await.expect("readable");
        assert!(there.iter().any(|event| *event == stored[0]));
        let at_once = subject.store.wait_past(last).await.expect("there already");
        assert!(at_once > last);
    }
}

/// Only what comes after is read.
async fn a_call_is_read_from_any_revision(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    subject
        .append_all(&batches(&call, a_whole_call()).await)
        .await;
    let all = subject.events_of(&call).await;
    for after in 0..all.len() + 2 {
        let events = subject.store.read_call(&call, Revision(after as u64)).await;
        let expected = all.get(after..).unwrap_or_default();
        assert_eq!(events.as_deref(), Ok(expected));
    }
}

/// Pages are cut anywhere, also within a command's events.
async fn every_page_size_gives_the_same_events(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    for call in 0..5 {
        let call = subject.call(format!("whole-{call}"));
        subject
            .append_all(&batches(&call, a_whole_call()).await)
            .await;
    }
    write_side_by_side(&subject, 8, 10).await;
    let there = subject.events().await;
    assert_ascending(&there);
    let pages = (1..40).chain([100, 1000, usize::MAX]);
    let read = pages.map(|page| subject.events_in_pages_of(page));
    for read in join_all(read).await {
        assert_eq!(read, there);
    }
    let after = there
        .iter()
        .map(|event| subject.store.read_all(event.position, 3));
    for (place, after) in join_all(after).await.into_iter().enumerate() {
        let mut own = after.expect("readable");
        own.retain(|event| subject.owns(event));
        assert!(there[place + 1..].starts_with(&own));
    }
    assert_eq!(
        subject.store.read_all(subject.began, 0).await,
        Ok(Vec::new())
    );
}

/// What is written in turns to two calls is read of each as if it were alone.
async fn calls_side_by_side_keep_their_own_chains(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let (one, other) = (subject.call("c"), subject.call("cc"));
    let first = batches(&one, a_whole_call()).await;
    let second = batches(&other, a_whole_call()).await;
    for (first, second) in first.iter().zip(&second) {
        let (first, second) = tokio::join!(subject.append(first), subject.append(second));
        first.expect("kept");
        second.expect("kept");
    }
    for (call, history) in [(&one, &first), (&other, &second)] {
        let events = subject.events_of(call).await;
        assert_ascending(&events);
        assert_verifies(&events);
        let kept: Vec<_> = history.iter().flat_map(Batch::events).cloned().collect();
        assert_eq!(recorded(events), kept);
    }
}

/// Two thousand commands to one call.
async fn a_long_call_comes_back_whole(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let turns = opener.turns(2000);
    let history = batches(&call, chatter(turns)).await;
    let mut senders = JoinSet::new();
    // Other calls' events lie between its own.
    for other in 0..3 {
        let (store, call) = (Arc::clone(&subject.store), subject.call(other));
        let turns = batches(&call, chatter(turns / 10)).await;
        senders.spawn(async move {
            for batch in turns {
                store.append(batch).await.expect("kept");
            }
        });
    }
    let stored = subject.append_all(&history).await;
    senders.join_all().await;
    assert_eq!(subject.events_of(&call).await, stored);
    let subject = subject.reopen(opener).await;
    let events = subject.events_of(&call).await;
    assert_eq!(events, stored);
    assert_verifies(&events);
    let early = turns - 10;
    let tail = subject.store.read_call(&call, Revision(early as u64)).await;
    assert_eq!(tail.as_deref(), Ok(&stored[early..]));
}

/// A batch far longer than a command's is kept whole. A store may have a limit: a longer one is refused, and nothing of
/// it is kept.
async fn a_long_batch_comes_back_whole(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let (call, longer) = (subject.call("c"), subject.call("d"));
    let batch = one_batch(&call, opener.longest_batch()).await;
    let stored = subject.append(&batch).await.expect("kept");
    assert_eq!(subject.append(&batch).await.as_ref(), Ok(&stored));
    if opener.longest_batch() < 2000 {
        let refused = subject.append(&one_batch(&longer, 2000).await).await;
        let whole = matches!(refused, Err(AppendError::Store(StoreError::Refused(_))));
        assert!(whole, "{refused:?}");
    }
    let subject = subject.reopen(opener).await;
    assert_eq!(subject.events().await, stored);
    assert_eq!(subject.events_of(&call).await, stored);
    assert_eq!(subject.events_of(&longer).await, []);
    assert_verifies(&stored);
}

/// So many commands' events as one batch, as a restored call may bring them.
async fn one_batch(call: &CallId, commands: usize) -> Batch {
    let history = batches(call, chatter(commands)).await;
    let events = history.iter().flat_map(Batch::events).cloned().collect();
    Batch::new(Head::NONE, events).expect("one call's events")
}

/// What surrounds an event comes back as it was given, of any length that is allowed and in any script.
async fn personal_parts_and_correlations_come_back(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let longest = 128 - subject.call("").as_str().len();
    let call = subject.call("x".repeat(longest));
    let connect = Command::ConnectCall {
        agent: ANA.party(),
        customer: Some("+81312345678".parse().expect("a number")),
        queue: Some("サポート".parse().expect("a queue")),
    };
    let suggest = suggest_wrap_up_noting(BEN, "請求", &"佐藤".repeat(500));
    let mut story = vec![connect];
    story.extend(merging(ANA, BEN));
    story.extend([hang_up(CUSTOMER), suggest]);
    let texts = [
        None,
        Some(String::new()),
        Some("w3c".to_owned()),
        Some("界".repeat(256)),
    ];
    let requests = story.into_iter().zip(texts.into_iter().cycle());
    let requests = requests.map(|(command, text)| Request {
        correlation: text.map(|text| text.parse().expect("a correlation")),
        at: Some(start()),
        ..request(&call, command)
    });
    let history = batches_of(&[], requests).await;
    let sent: Vec<_> = history.iter().flat_map(Batch::events).cloned().collect();
    assert_eq!(
        sent.iter().filter(|event| event.personal.is_some()).count(),
        2
    );
    subject.append_all(&history).await;
    let subject = subject.reopen(opener).await;
    let events = subject.events_of(&call).await;
    assert_verifies(&events);
    assert_eq!(recorded(events), sent);
}

/// No other event comes between those of one batch, wherever a copy looks at them.
async fn the_events_of_a_batch_stand_next_to_each_other(opener: &dyn Opener) {
    let subject = Arc::new(Subject::open(opener).await);
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let history = batches(&subject.call(writer), a_whole_call()).await;
        let subject = Arc::clone(&subject);
        writers.spawn(async move { subject.append_all(&history).await });
    }
    writers.join_all().await;
    let mut follower = Follower::new(Arc::clone(&subject.store), subject.began, 1000);
    let all = recorded(rest(&mut follower).await);
    for two in all.windows(2).filter(|two| two[1].index > 0) {
        assert_eq!(two[0].cause, two[1].cause);
        assert_eq!(two[0].index + 1, two[1].index);
    }
}

/// Its counts grow by what it took; one that would have to read everything does not count.
async fn a_store_counts_what_it_holds(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let before = subject.store.info().await.expect("it tells");
    let stored = subject
        .append_all(&batches(&subject.call("c"), chatter(5)).await)
        .await;
    subject
        .append_all(&batches(&subject.call("d"), chatter(2)).await)
        .await;
    let after = subject.store.info().await.expect("it tells");
    assert_eq!(after.id, subject.store.id());
    assert_eq!(after.events.is_some(), before.events.is_some());
    assert_eq!(after.calls.is_some(), before.calls.is_some());
    let grew = |before: Option<u64>, after: Option<u64>, by: u64| {
        before.zip(after).is_none_or(|two| two.1 >= two.0 + by)
    };
    assert!(grew(before.events, after.events, 7), "{after:?}");
    assert!(grew(before.calls, after.calls, 2), "{after:?}");
    assert_eq!(subject.events().await.len(), 7);
    assert!(after.last > stored[4].position);
    assert!(!after.format.is_empty());
    let nobody = subject
        .store
        .read_call(&subject.call("e"), Revision(0))
        .await;
    assert_eq!(nobody, Ok(Vec::new()));
}

/// What was accepted once is answered by the same events, however often it is sent, also after opening again.
async fn a_command_sent_again_is_answered_as_before(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let handler = Handler::new(Arc::clone(&subject.store));
    let mut accepted = Vec::new();
    for command in a_whole_call() {
        let (request, id) = (request(&call, command), handler.random_id());
        let answer = handler
            .handle(&request, id, handler.now())
            .await
            .expect("accepted");
        accepted.push((request, id, answer));
    }
    let there = subject.events_of(&call).await;
    let subject = subject.reopen(opener).await;
    let handler = Handler::new(Arc::clone(&subject.store));
    for (request, id, answer) in accepted {
        let again = handler.handle(&request, id, handler.now()).await;
        assert_eq!(again, Ok(answer));
    }
    assert_eq!(subject.events_of(&call).await, there);
}

/// An id belongs to the command that was accepted under it, for ever.
async fn an_id_used_for_something_else_is_refused(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let id = CommandId(Uuid::new_v4());
    let handler = Handler::new(Arc::clone(&subject.store));
    let connected = handler
        .handle(&request(&call, connect_call(ANA)), id, handler.now())
        .await;
    connected.expect("accepted");
    let subject = subject.reopen(opener).await;
    let handler = Handler::new(Arc::clone(&subject.store));
    let other = handler
        .handle(&request(&call, connect_call(BEN)), id, handler.now())
        .await;
    assert_eq!(other, Err(HandleError::CommandIdReused(id)));
    assert_eq!(subject.events_of(&call).await.len(), 1);
}

/// The sender decided on what is not so any more.
async fn a_command_that_expects_another_revision_is_refused(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let handler = Handler::new(Arc::clone(&subject.store));
    let expecting = |revision, command| Request {
        expect: Some(Revision(revision)),
        ..request(&call, command)
    };
    let take = async |request: Request| {
        let taken = handler.handle(&request, handler.random_id(), handler.now());
        taken.await.map(|answer| answer.revision())
    };
    let wrong = |expected, actual| {
        Err(HandleError::Expected {
            expected: Revision(expected),
            actual: Revision(actual),
        })
    };
    assert_eq!(take(expecting(1, connect_call(ANA))).await, wrong(1, 0));
    assert_eq!(take(expecting(0, connect_call(ANA))).await, Ok(Revision(1)));
    assert_eq!(take(expecting(0, hold(ANA, CUSTOMER))).await, wrong(0, 1));
    assert_eq!(
        take(expecting(1, hold(ANA, CUSTOMER))).await,
        Ok(Revision(2))
    );
}

/// Two processes take commands for the same call: each command is decided on what is so, and none is lost.
async fn two_handlers_of_one_store_settle_their_conflicts(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let handlers = [(); 2].map(|()| Arc::new(Handler::new(Arc::clone(&subject.store))));
    take_until_settled(&handlers[0], &request(&call, connect_call(ANA))).await;
    let mut takers = JoinSet::new();
    for (handler, supervisor) in handlers.iter().zip([SAM, SUE]) {
        let (handler, call) = (Arc::clone(handler), call.clone());
        takers.spawn(async move {
            for turn in 0..40 {
                let command = match turn % 2 {
                    0 => start_monitoring(supervisor, ANA),
                    _ => stop_monitoring(supervisor),
                };
                take_until_settled(&handler, &request(&call, command)).await;
            }
        });
    }
    takers.join_all().await;
    let events = subject.events_of(&call).await;
    assert_eq!(events.len(), 1 + 2 * 40);
    assert_verifies(&events);
}

/// What one process has accepted the other sees before it refuses, and answers by it if the command is the same.
async fn a_handler_refuses_nothing_for_what_another_has_changed(opener: &dyn Opener) {
    let subject = Subject::open(opener).await;
    let call = subject.call("c");
    let handlers = [(); 2].map(|()| Handler::new(Arc::clone(&subject.store)));
    let [connect, hold, resume] = [
        connect_call(ANA),
        hold(ANA, CUSTOMER),
        resume(ANA, CUSTOMER),
    ]
    .map(|command| request(&call, command));
    take_until_settled(&handlers[0], &connect).await;
    let turns = opener.turns(20);
    for turn in 0..turns {
        let [one, other] = [&handlers[turn % 2], &handlers[(turn + 1) % 2]];
        take_until_settled(one, &hold).await;
        let id = one.random_id();
        let released = other.handle(&resume, id, other.now()).await;
        assert!(released.is_ok(), "{released:?}");
        let again = one.handle(&resume, id, one.now()).await;
        assert_eq!(again, released);
    }
    assert_eq!(subject.events_of(&call).await.len(), 1 + 2 * turns);
}

/// The same id again for as long as others keep writing.
async fn take_until_settled(handler: &Handler, request: &Request) {
    let id = handler.random_id();
    loop {
        match handler.handle(request, id, handler.now()).await {
            Ok(_) => return,
            Err(HandleError::Unsettled { .. }) => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}
