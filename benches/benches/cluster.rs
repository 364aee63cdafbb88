//! A durable append to a cluster, side by side: a plain gRPC client generated from the published protocol, the vendor's
//! client as it is, its batch session, and our store, which reads back what it wrote. Against the stand-in server of
//! the tests on the same two cores, so only the ratios mean something; each side has a server of its own.
//!
//! Then new calls, each opened by one command, and a rebuild: every event folded into a read model, in pages and by
//! reading ahead, with and without a wait for each answer.

use async_trait::async_trait;
use domain::json::write_parts;
use domain::{Batch, EventStore, Followed, Follower, Handler, Head, Position};
use eventstore::{AppendToStreamOptions, BatchAppendClient, Client, EventData, StreamState};
use projections::{ActiveCalls, Checkpointed};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_eventstoredb::ClusterStore;
use tests::contract::{batches, chatter, request};
use tests::standin::StandIn;
use tests::standin::protocol::shared::{StreamIdentifier, Uuid as WireUuid, uuid as wire};
use tests::standin::protocol::streams::append_req::options::ExpectedStreamRevision;
use tests::standin::protocol::streams::append_req::{Content, Options, ProposedMessage};
use tests::standin::protocol::streams::read_req::options::stream_options::RevisionOption;
use tests::standin::protocol::streams::read_req::options::{
    ControlOption, CountOption, FilterOption, StreamOption, StreamOptions, UuidOption, uuid_option,
};
use tests::standin::protocol::streams::streams_client::StreamsClient;
use tests::standin::protocol::streams::{AppendReq, ReadReq, read_req};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// How many events a read model takes at once, as in a service.
const PAGE: usize = 1024;

/// One way of appending.
#[async_trait]
trait Side: Send + Sync {
    async fn append(&self, batch: &Batch);
}

fn main() {
    // `cargo test --benches` asks only whether it runs.
    let measured = std::env::args().any(|arg| arg == "--bench");
    let runtime = Runtime::new().expect("threads can be started");
    println!("at once   side                                   p50 ms    p99 ms   appends/s");
    for (at_once, appends) in [(1, 300), (64, 60), (512, 12)] {
        let appends = if measured { appends } else { 2 };
        runtime.block_on(compare(at_once, appends));
    }
    let (calls, events, rounds) = if measured {
        (6400, 100_000, 3)
    } else {
        (64, 2000, 1)
    };
    runtime.block_on(open_calls(64, calls));
    runtime.block_on(rebuild(events, rounds));
}

/// New calls, each opened by one command, with `at_once` under way.
async fn open_calls(at_once: usize, calls: usize) {
    let server = StandIn::start();
    let store = ClusterStore::open(&server.url())
        .await
        .expect("it is there");
    let handler = Arc::new(Handler::new(Arc::new(store)));
    let before = server.seen();
    let began = Instant::now();
    let mut openers = JoinSet::new();
    for opener in 0..at_once {
        let handler = Arc::clone(&handler);
        openers.spawn(async move {
            for turn in 0..calls / at_once {
                let call = format!("new-{opener}-{turn}").parse().expect("a call");
                let request = request(&call, chatter(1).swap_remove(0));
                let opened = handler.handle(&request, handler.random_id(), handler.now());
                opened.await.expect("accepted");
            }
        });
    }
    openers.join_all().await;
    let rate = number(calls) / began.elapsed().as_secs_f64();
    let reads = server.seen().reads - before.reads;
    let reads = number(usize::try_from(reads).expect("not so many")) / number(calls);
    println!("{at_once:7}   new calls: {rate:.0} commands/s, {reads:.2} reads each");
}

/// All events folded into a read model, in pages and by reading ahead, in turn.
async fn rebuild(events: usize, rounds: usize) {
    let server = StandIn::start();
    let store = ClusterStore::open(&server.url())
        .await
        .expect("it is there");
    let store: Arc<dyn EventStore> = Arc::new(store);
    fill(&*store, events).await;
    println!("answer after   pages, events/s   reading ahead, events/s");
    for latency_ms in [0, 20, 200] {
        server.set_latency(Duration::from_millis(latency_ms));
        for _ in 0..rounds {
            let pages = rate(events, in_pages(&*store)).await;
            let ahead = rate(events, reading_ahead(Arc::clone(&store))).await;
            println!("{latency_ms:9} ms   {pages:15.0}   {ahead:23.0}");
        }
    }
}

/// Calls of a hundred events each.
async fn fill(store: &dyn EventStore, events: usize) {
    const LENGTH: usize = 100;
    for number in 0..events / LENGTH {
        let call = format!("c{number}").parse().expect("a call");
        let history = batches(&call, chatter(LENGTH)).await;
        let events = history.iter().flat_map(Batch::events).cloned().collect();
        let whole = Batch::new(Head::NONE, events).expect("one call's events");
        store.append(whole).await.expect("kept");
    }
}

/// Events a second.
async fn rate(events: usize, read: impl Future<Output = usize>) -> f64 {
    let began = Instant::now();
    assert_eq!(read.await, events);
    number(events) / began.elapsed().as_secs_f64()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("not so many"))
}

async fn in_pages(store: &dyn EventStore) -> usize {
    let mut model = Checkpointed::<ActiveCalls>::new(store.id());
    let mut folded = 0;
    loop {
        let page = store.read_all(model.position(), PAGE).await;
        let page = page.expect("readable");
        if page.is_empty() {
            return folded;
        }
        folded += page.len();
        model.fold(&page);
    }
}

async fn reading_ahead(store: Arc<dyn EventStore>) -> usize {
    let mut model = Checkpointed::<ActiveCalls>::new(store.id());
    let mut follower = Follower::new(store, Position::START, PAGE);
    let mut folded = 0;
    while let Followed::Events(page) = follower.next().await.expect("readable") {
        folded += page.len();
        model.fold(&page);
    }
    folded
}

async fn compare(at_once: usize, appends: usize) {
    let (one, two, three, four, five) = (
        StandIn::start(),
        StandIn::start(),
        StandIn::start(),
        StandIn::start(),
        StandIn::start(),
    );
    let plain = measure(
        at_once,
        appends,
        "plain gRPC client",
        Arc::new(Plain::to(&one, false).await),
    )
    .await;
    let read = measure(
        at_once,
        appends,
        "plain gRPC client, read back",
        Arc::new(Plain::to(&two, true).await),
    )
    .await;
    measure(
        at_once,
        appends,
        "vendor's client, as it is",
        Arc::new(Vendor::to(&three)),
    )
    .await;
    measure(
        at_once,
        appends,
        "vendor's client, one batch session",
        Arc::new(Session::to(&four).await),
    )
    .await;
    let store = ClusterStore::open(&five.url()).await.expect("it is there");
    let ours = measure(at_once, appends, "kaigi, read back", Arc::new(Ours(store))).await;
    println!(
        "{at_once:7}   kaigi's p50 is {:.2} times the plain client's, {:.2} times that of the same work",
        ours / plain,
        ours / read
    );
}

/// Answers the median in milliseconds.
async fn measure(at_once: usize, appends: usize, name: &str, side: Arc<dyn Side>) -> f64 {
    let mut writers = JoinSet::new();
    let mut histories = Vec::new();
    for writer in 0..at_once {
        let call = format!("{}-{writer}", Uuid::new_v4())
            .parse()
            .expect("a call");
        histories.push(batches(&call, chatter(appends + 5)).await);
    }
    let began = Instant::now();
    for history in histories {
        let side = Arc::clone(&side);
        writers.spawn(async move {
            let mut took = Vec::with_capacity(history.len());
            for batch in &history {
                let began = Instant::now();
                side.append(batch).await;
                took.push(began.elapsed());
            }
            // The first ones wait for connections.
            took.split_off(5)
        });
    }
    let mut latencies: Vec<Duration> = writers.join_all().await.concat();
    let appended = u32::try_from(at_once * (appends + 5)).expect("not so many");
    let rate = f64::from(appended) / began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[latencies.len() * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{at_once:7}   {name:36} {:8.2}  {:8.2}  {rate:10.0}",
        at(50),
        at(99)
    );
    at(50)
}

/// What our store does, by nothing but generated code.
struct Plain {
    client: StreamsClient<Channel>,
    read_back: bool,
}

impl Plain {
    async fn to(server: &StandIn, read_back: bool) -> Self {
        let address = format!("http://127.0.0.1:{}", server.ports()[0]);
        let endpoint = Endpoint::try_from(address).expect("an address");
        let channel = endpoint.connect().await.expect("it is there");
        let client = StreamsClient::new(channel);
        Self { client, read_back }
    }
}

#[async_trait]
impl Side for Plain {
    async fn append(&self, batch: &Batch) {
        let mut client = self.client.clone();
        let answer = client.append(tokio_stream::iter(requests(batch))).await;
        answer.expect("written");
        if self.read_back {
            let read = client.read(read_request(batch)).await.expect("readable");
            let mut read = read.into_inner();
            while read.message().await.expect("readable").is_some() {}
        }
    }
}

fn stream(batch: &Batch) -> String {
    format!("call-{}", batch.call())
}

fn named(batch: &Batch) -> StreamIdentifier {
    StreamIdentifier {
        stream_name: stream(batch).into_bytes().into(),
    }
}

fn requests(batch: &Batch) -> Vec<AppendReq> {
    let expected = match batch.expected().revision.0 {
        0 => ExpectedStreamRevision::NoStream(()),
        revision => ExpectedStreamRevision::Revision(revision - 1),
    };
    let options = Options {
        stream_identifier: Some(named(batch)),
        expected_stream_revision: Some(expected),
    };
    let mut contents = vec![Content::Options(options)];
    let mut previous = batch.expected().hash;
    for event in batch.events() {
        let parts = write_parts(event, previous);
        previous = event.hash;
        let metadata = [
            (
                "type".to_owned(),
                event.payload.event_type.name().to_owned(),
            ),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        contents.push(Content::ProposedMessage(ProposedMessage {
            id: Some(WireUuid {
                value: Some(wire::Value::String(Uuid::new_v4().to_string())),
            }),
            metadata: HashMap::from(metadata),
            custom_metadata: parts.metadata.into_bytes().into(),
            data: parts.data.into_bytes().into(),
        }));
    }
    let request = |content| AppendReq {
        content: Some(content),
    };
    contents.into_iter().map(request).collect()
}

fn read_request(batch: &Batch) -> ReadReq {
    let from = StreamOptions {
        stream_identifier: Some(named(batch)),
        revision_option: Some(RevisionOption::Revision(batch.expected().revision.0)),
    };
    ReadReq {
        options: Some(read_req::Options {
            stream_option: Some(StreamOption::Stream(from)),
            read_direction: 0,
            resolve_links: false,
            count_option: Some(CountOption::Count(batch.events().len() as u64)),
            filter_option: Some(FilterOption::NoFilter(())),
            uuid_option: Some(UuidOption {
                content: Some(uuid_option::Content::String(())),
            }),
            control_option: Some(ControlOption { compatibility: 1 }),
        }),
    }
}

/// The vendor's client does not turn Nagle's algorithm off.
struct Vendor(Client);

impl Vendor {
    fn to(server: &StandIn) -> Self {
        let settings = server.url().parse().expect("a connection string");
        Self(Client::new(settings).expect("a client"))
    }
}

fn events(batch: &Batch) -> Vec<EventData> {
    let mut previous = batch.expected().hash;
    let mut events = Vec::new();
    for event in batch.events() {
        let parts = write_parts(event, previous);
        previous = event.hash;
        let data: serde_json::Value = serde_json::from_str(&parts.data).expect("JSON");
        let data = EventData::json(event.payload.event_type.name(), &data).expect("JSON");
        events.push(
            data.id(Uuid::new_v4())
                .metadata(parts.metadata.into_bytes().into()),
        );
    }
    events
}

fn state(batch: &Batch) -> StreamState {
    match batch.expected().revision.0 {
        0 => StreamState::NoStream,
        revision => StreamState::StreamRevision(revision - 1),
    }
}

#[async_trait]
impl Side for Vendor {
    async fn append(&self, batch: &Batch) {
        let options = AppendToStreamOptions::default().stream_state(state(batch));
        let written = self
            .0
            .append_to_stream(stream(batch), &options, events(batch))
            .await;
        written.expect("written");
    }
}

/// One call to the server that all appends go through.
struct Session {
    session: BatchAppendClient,
    /// Keeps the connection.
    _client: Client,
}

impl Session {
    async fn to(server: &StandIn) -> Self {
        let client = Vendor::to(server).0;
        let session = client
            .batch_append(&eventstore::BatchAppendOptions::default())
            .await;
        Self {
            session: session.expect("a session"),
            _client: client,
        }
    }
}

#[async_trait]
impl Side for Session {
    async fn append(&self, batch: &Batch) {
        let written = self
            .session
            .append_to_stream(stream(batch), state(batch), events(batch))
            .await;
        written.expect("written");
    }
}

struct Ours(ClusterStore);

#[async_trait]
impl Side for Ours {
    async fn append(&self, batch: &Batch) {
        self.0.append(batch.clone()).await.expect("kept");
    }
}
