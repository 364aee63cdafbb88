//! The loop that takes commands, where others write to its store, and where the store or its caller does not behave.

use async_trait::async_trait;
use domain::json::parse_command;
use domain::{
    Answer, AppendError, Batch, CallId, CommandId, EventStore, HandleError, Handler, MemoryStore,
    Position, RejectionCode, Revision, StoreError, StoreId, StoreInfo, StoredEvent,
};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use uuid::Uuid;

/// A store that notes from which revisions calls are read, and behaves as it is told to.
#[derive(Default)]
struct Watched {
    store: Mutex<Arc<MemoryStore>>,
    reads: Mutex<Vec<u64>>,
    mood: Mutex<Mood>,
    kept: Notify,
}

/// How a store answers to an append.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Willing,
    /// Keeps what it is given, and never answers.
    Silent,
    /// Keeps what it is given, and says that it failed.
    Failing,
    /// Keeps nothing, and says that somebody else was quicker.
    Conflicting,
}

impl Watched {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn handler(self: &Arc<Self>) -> Handler {
        Handler::new(Arc::clone(self) as Arc<dyn EventStore>)
    }

    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The revisions after which calls were read since the last time this was asked.
    fn reads(&self) -> Vec<u64> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }

    /// How many events there are.
    async fn size(&self) -> usize {
        let events = self.store().read_all(Position::START, usize::MAX).await;
        events.expect("memory").len()
    }

    /// What is there gives way to a copy of the first events of it.
    async fn restore(&self, events: usize) {
        let there = self.store().read_all(Position::START, events).await;
        let copy = MemoryStore::new();
        for stored in there.expect("memory") {
            let call = stored.recorded.cause.call.clone();
            let before = copy.read_call(&call, Revision(0)).await.expect("memory");
            let head = before.last().map(|last| last.recorded.head());
            let head = head.unwrap_or(domain::Head::NONE);
            let batch = Batch::new(head, vec![stored.recorded]).expect("the next event");
            copy.append(batch).await.expect("memory");
        }
        *self.store.lock().unwrap() = Arc::new(copy);
    }
}

#[async_trait]
impl EventStore for Watched {
    fn id(&self) -> StoreId {
        self.store().id()
    }

    async fn append(&self, batch: Batch) -> Result<Vec<StoredEvent>, AppendError> {
        let mood = *self.mood.lock().unwrap();
        if mood == Mood::Conflicting {
            let expected = batch.expected().revision;
            let actual = expected.plus(1);
            return Err(AppendError::Conflict { expected, actual });
        }
        let stored = self.store().append(batch).await;
        match mood {
            Mood::Silent => {
                self.kept.notify_one();
                std::future::pending().await
            }
            Mood::Failing => Err(StoreError::Unavailable("it went away".to_owned()).into()),
            Mood::Willing | Mood::Conflicting => stored,
        }
    }

    async fn read_call(
        &self,
        call: &CallId,
        after: Revision,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.reads.lock().unwrap().push(after.0);
        self.store().read_call(call, after).await
    }

    async fn read_all(&self, after: Position, max: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.store().read_all(after, max).await
    }

    async fn wait_past(&self, position: Position) -> Result<Position, StoreError> {
        self.store().wait_past(position).await
    }

    async fn info(&self) -> Result<StoreInfo, StoreError> {
        self.store().info().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.store().close().await
    }
}

const CONNECT: &str = r#"{"call":"c1","type":"connect_call","agent":"agent:ana"}"#;
const HOLD: &str = r#"{"call":"c1","type":"hold","by":"agent:ana","party":"customer"}"#;
const RESUME: &str = r#"{"call":"c1","type":"resume","by":"agent:ana","party":"customer"}"#;
const RESUME_AT_2: &str =
    r#"{"call":"c1","type":"resume","by":"agent:ana","party":"customer","expect":2}"#;

async fn ask(handler: &Handler, line: &str) -> Result<Answer, HandleError> {
    ask_as(handler, line, handler.random_id()).await
}

async fn ask_as(handler: &Handler, line: &str, id: CommandId) -> Result<Answer, HandleError> {
    let request = parse_command(line).expect("the test writes commands");
    handler.handle(&request, id, handler.now()).await
}

/// The revision that the command brings the call to.
async fn told(handler: &Handler, line: &str) -> u64 {
    ask(handler, line).await.expect("accepted").revision().0
}

/// The code of the rule that refuses the command.
async fn refused(handler: &Handler, line: &str) -> RejectionCode {
    match ask(handler, line).await {
        Err(HandleError::Rejected { rejection, .. }) => rejection.code,
        other => panic!("no rule refuses it: {other:?}"),
    }
}

fn an_id() -> CommandId {
    CommandId(Uuid::new_v4())
}

#[tokio::test]
async fn nothing_is_refused_for_what_another_handler_has_changed_since() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    assert_eq!(told(&one, CONNECT).await, 1);
    assert_eq!(told(&other, HOLD).await, 2);
    // By what the first handler knows, the customer is not held.
    assert_eq!(told(&one, RESUME).await, 3);
    assert_eq!(told(&one, HOLD).await, 4);
    // And by what the second one knows, the customer was never released.
    assert_eq!(refused(&other, HOLD).await, refused(&one, HOLD).await);
    assert_eq!(store.size().await, 4);
}

#[tokio::test]
async fn a_command_expects_the_revision_that_another_handler_brought_about() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    told(&one, CONNECT).await;
    told(&other, HOLD).await;
    assert_eq!(told(&one, RESUME_AT_2).await, 3);
    let late = HandleError::Expected {
        expected: Revision(2),
        actual: Revision(3),
    };
    assert_eq!(ask(&other, RESUME_AT_2).await, Err(late));
}

#[tokio::test]
async fn a_refusal_says_at_which_revision_even_where_another_handler_wrote_last() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    told(&one, CONNECT).await;
    told(&other, HOLD).await;
    let refused = ask(&one, HOLD).await;
    assert!(
        matches!(
            refused,
            Err(HandleError::Rejected {
                revision: Revision(2),
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_id_that_another_handler_accepted_is_answered_as_before() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    told(&one, CONNECT).await;
    let (holds, resumes) = (an_id(), an_id());
    let held = ask_as(&other, HOLD, holds).await.expect("accepted");
    // What the first handler knows accepts this, and would refuse the next.
    assert_eq!(ask_as(&one, HOLD, holds).await.as_ref(), Ok(&held));
    let released = ask_as(&other, RESUME, resumes).await.expect("accepted");
    told(&other, HOLD).await;
    told(&other, RESUME).await;
    told(&one, HOLD).await;
    told(&other, RESUME).await;
    assert_eq!(store.size().await, 7);
    assert_eq!(ask_as(&one, RESUME, resumes).await.as_ref(), Ok(&released));
    let reused = Err(HandleError::CommandIdReused(resumes));
    assert_eq!(ask_as(&one, HOLD, resumes).await, reused);
    assert_eq!(store.size().await, 7);
}

#[tokio::test]
async fn an_id_that_another_handler_accepted_is_known_where_a_rule_would_refuse() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    told(&one, CONNECT).await;
    told(&other, HOLD).await;
    let id = an_id();
    let resumed = ask_as(&other, RESUME, id).await;
    assert_eq!(ask_as(&one, RESUME, id).await, resumed);
    assert_eq!(store.size().await, 3);
}

#[tokio::test]
async fn accepting_reads_a_call_once_and_refusing_reads_on_from_its_last_event() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    told(&one, CONNECT).await;
    assert_eq!(store.reads(), [0]);
    told(&one, HOLD).await;
    told(&one, RESUME).await;
    assert!(store.reads().is_empty());
    // The last event itself is read again, so that its hash proves the cache.
    refused(&one, RESUME).await;
    assert_eq!(store.reads(), [2]);
    refused(
        &one,
        RESUME_AT_2
            .replace(r#""expect":2"#, r#""expect":3"#)
            .as_str(),
    )
    .await;
    assert_eq!(store.reads(), [2]);
    // What was read for the command itself is not read again to refuse it.
    refused(&other, RESUME).await;
    assert_eq!(store.reads(), [0]);
    told(&other, HOLD).await;
    assert!(store.reads().is_empty());
    // A conflict, and a refusal after it.
    refused(&one, HOLD).await;
    assert_eq!(store.reads(), [2]);
}

#[tokio::test]
async fn a_call_nobody_wrote_to_is_looked_for_again_before_it_is_refused() {
    let store = Watched::new();
    let (one, other) = (store.handler(), store.handler());
    assert_eq!(refused(&one, HOLD).await, RejectionCode::CallNotFound);
    assert_eq!(store.reads(), [0]);
    told(&other, CONNECT).await;
    assert_eq!(told(&one, HOLD).await, 2);
}

#[tokio::test]
async fn others_that_keep_writing_are_not_waited_for_without_end() {
    let store = Watched::new();
    let handler = store.handler();
    told(&handler, CONNECT).await;
    store.reads();
    store.be(Mood::Conflicting);
    let unsettled = HandleError::Unsettled {
        call: "c1".parse().expect("a call"),
    };
    assert_eq!(ask(&handler, HOLD).await, Err(unsettled));
    let reads = store.reads();
    assert!(
        reads.len() < 40 && reads.iter().all(|after| *after == 0),
        "{reads:?}"
    );
    store.be(Mood::Willing);
    assert_eq!(told(&handler, HOLD).await, 2);
}

#[tokio::test]
async fn a_restored_store_is_believed_and_not_what_was_known_before() {
    for restored in [0, 1, 2] {
        let store = Watched::new();
        let handler = store.handler();
        told(&handler, CONNECT).await;
        told(&handler, HOLD).await;
        let resumes = an_id();
        ask_as(&handler, RESUME, resumes).await.expect("accepted");
        store.restore(restored).await;
        store.reads();
        // A command that was lost is decided anew, and so is one that the cache would refuse.
        let again = ask_as(&handler, RESUME, resumes).await;
        match restored {
            0 => assert_eq!(refused(&handler, HOLD).await, RejectionCode::CallNotFound),
            1 => assert_eq!(told(&handler, HOLD).await, 2),
            _ => assert_eq!(again.expect("held").revision(), Revision(3)),
        }
        let whole = store.reads().iter().filter(|after| **after == 0).count();
        assert!(
            whole <= 2,
            "the call is read whole once, and again once it is lost"
        );
    }
}

#[tokio::test]
async fn another_history_of_the_same_length_takes_the_place_of_the_cache() {
    let (store, elsewhere) = (Watched::new(), Watched::new());
    let handler = store.handler();
    told(&handler, CONNECT).await;
    told(&elsewhere.handler(), &CONNECT.replace("ana", "ben")).await;
    *store.store.lock().unwrap() = elsewhere.store();
    // By what is known ana could hold; no store may be asked to keep that behind ben's call.
    let by_ana = refused(&handler, HOLD).await;
    assert_eq!(by_ana, refused(&elsewhere.handler(), HOLD).await);
    assert_eq!(told(&handler, &HOLD.replace("ana", "ben")).await, 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_leaves_nothing_stale() {
    let store = Watched::new();
    let handler = store.handler();
    told(&handler, CONNECT).await;
    store.be(Mood::Silent);
    tokio::select! {
        answer = ask(&handler, HOLD) => panic!("the store is silent: {answer:?}"),
        () = store.kept.notified() => {}
    }
    store.be(Mood::Willing);
    store.reads();
    // By what the handler knew before, the customer is not held, and a rule would refuse.
    assert_eq!(told(&handler, RESUME).await, 3);
    assert_eq!(store.reads(), [0]);
}

#[tokio::test]
async fn a_call_is_read_whole_after_an_append_whose_outcome_nobody_knows() {
    let store = Watched::new();
    let handler = store.handler();
    told(&handler, CONNECT).await;
    store.be(Mood::Failing);
    let id = an_id();
    let failed = ask_as(&handler, HOLD, id).await;
    assert!(matches!(
        failed,
        Err(HandleError::Store(StoreError::Unavailable(_)))
    ));
    store.be(Mood::Willing);
    store.reads();
    let held = ask_as(&handler, HOLD, id).await.expect("it was kept");
    assert_eq!(held.revision(), Revision(2));
    // The call, and then the answer that is known from it.
    assert_eq!(store.reads(), [0, 1]);
}
