//! Writing and reading.

use super::{append, collect, event, events, kinds, of, read, read_all};
use eventstore::StreamState::{Any, NoStream, StreamExists, StreamRevision};
use eventstore::{
    BatchAppendOptions, Client, CurrentRevision, DeleteStreamOptions, Error, Position,
    ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition, StreamState,
    SubscriptionFilter, TombstoneStreamOptions,
};
use std::time::SystemTime;
use tests::standin::{END_OF_STREAM, Expected, Proposed, StandIn};

/// What a writer is told who expected something else.
fn conflict(error: &Error) -> (StreamState, CurrentRevision) {
    match error {
        Error::WrongExpectedVersion { expected, current } => (*expected, *current),
        other => panic!("{other}"),
    }
}

async fn delete(client: &Client, stream: &str, state: StreamState) -> eventstore::Result<()> {
    let options = DeleteStreamOptions::default().stream_state(state);
    client.delete_stream(stream, &options).await.map(drop)
}

#[tokio::test]
async fn what_is_appended_is_read_back_as_it_was_written() {
    let standin = StandIn::start();
    let client = of(&standin);
    let id = uuid::Uuid::new_v4();
    let data = serde_json::json!({ "agent": "agent:ana" });
    let connected = eventstore::EventData::json("call-connected", &data).unwrap();
    let connected = connected.id(id).metadata("{\"who\":1}".into());
    let written = append(&client, "call-1", NoStream, vec![connected])
        .await
        .unwrap();
    let read = read(&client, "call-1").await.unwrap();
    let [event] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((event.id, event.revision), (id, 0));
    assert_eq!(event.event_type, "call-connected");
    assert_eq!(event.as_json::<serde_json::Value>().unwrap(), data);
    assert_eq!(&event.custom_metadata[..], b"{\"who\":1}");
    assert_eq!(event.position, written.position);
    assert!(event.is_json);
    let age = SystemTime::now()
        .duration_since(event.created.into())
        .unwrap();
    assert!(age.as_secs() < 60, "{age:?}");
}

#[tokio::test]
async fn a_writer_who_expects_something_else_is_told_where_the_stream_is() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    for expected in [NoStream, StreamRevision(0), StreamRevision(7)] {
        let refused = append(&client, "call-1", expected, events(["c"])).await;
        let told = conflict(&refused.unwrap_err());
        assert_eq!(told, (expected, CurrentRevision::Current(1)));
    }
    for expected in [StreamExists, StreamRevision(0)] {
        let refused = append(&client, "call-2", expected, events(["c"])).await;
        let told = conflict(&refused.unwrap_err());
        assert_eq!(told, (expected, CurrentRevision::NoStream));
    }
    let written = append(&client, "call-1", StreamRevision(1), events(["c", "d"])).await;
    assert_eq!(written.unwrap().next_expected_version, 3);
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_time_and_writes_nothing() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let both = events(["b", "c"]);
    for expected in [StreamRevision(0), Any, StreamExists] {
        let first = append(&client, "call-1", StreamRevision(0), both.clone())
            .await
            .unwrap();
        let again = append(&client, "call-1", expected, both.clone())
            .await
            .unwrap();
        assert_eq!(again.next_expected_version, first.next_expected_version);
        assert_eq!(again.position, first.position);
    }
    append(&client, "call-1", StreamRevision(2), events(["d"]))
        .await
        .unwrap();
    append(&client, "call-1", StreamRevision(0), both)
        .await
        .unwrap();
    assert_eq!(
        kinds(&read(&client, "call-1").await.unwrap()),
        ["a", "b", "c", "d"]
    );
}

#[tokio::test]
async fn a_retry_that_differs_is_a_conflict() {
    let standin = StandIn::start();
    let client = of(&standin);
    let both = events(["a", "b"]);
    append(&client, "call-1", NoStream, both.clone())
        .await
        .unwrap();
    let other_end = vec![both[0].clone(), event("c")];
    let longer = [&both[..], &[event("c")]].concat();
    for retry in [other_end.clone(), longer.clone()] {
        let refused = append(&client, "call-1", NoStream, retry)
            .await
            .unwrap_err();
        assert_eq!(conflict(&refused).1, CurrentRevision::Current(1));
    }
    for retry in [other_end, longer] {
        let refused = append(&client, "call-1", Any, retry).await.unwrap_err();
        assert_eq!(conflict(&refused).1, CurrentRevision::Current(1));
    }
    assert_eq!(standin.log().stream("call-1").len(), 2);
}

#[tokio::test]
async fn an_append_of_nothing_says_where_the_stream_is() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    let nothing = append(&client, "call-1", StreamRevision(1), Vec::new())
        .await
        .unwrap();
    assert_eq!(nothing.next_expected_version, 1);
    let refused = append(&client, "call-1", StreamRevision(0), Vec::new()).await;
    assert_eq!(
        conflict(&refused.unwrap_err()).1,
        CurrentRevision::Current(1)
    );
}

#[tokio::test]
async fn an_append_beyond_the_limit_writes_nothing() {
    let standin = StandIn::start();
    let client = of(&standin);
    let half = eventstore::EventData::binary("half", vec![0; 600 << 10].into());
    let refused = append(
        &client,
        "call-1",
        NoStream,
        vec![half.clone(), half.clone()],
    )
    .await;
    let Err(Error::Grpc { code, message }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(format!("{code:?}"), "InvalidArgument");
    assert_eq!(message, "Maximum Append Size of 1048576 Exceeded.");
    assert_eq!(standin.log().stream("call-1"), []);
    append(&client, "call-1", NoStream, vec![half])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stream_is_read_both_ways_from_anywhere() {
    let standin = StandIn::start();
    let client = of(&standin);
    let many: Vec<_> = (0..600)
        .map(|number| event(&format!("e{number}")))
        .collect();
    append(&client, "call-1", NoStream, many).await.unwrap();
    let revisions = async |options: ReadStreamOptions| {
        let read = client.read_stream("call-1", &options).await.unwrap();
        let read = collect(read).await.unwrap();
        read.iter().map(|event| event.revision).collect::<Vec<_>>()
    };
    let from = |revision| ReadStreamOptions::default().position(StreamPosition::Position(revision));
    let end = ReadStreamOptions::default().position(StreamPosition::End);
    assert_eq!(
        revisions(ReadStreamOptions::default()).await,
        (0..600).collect::<Vec<_>>()
    );
    assert_eq!(
        revisions(end.clone()).await,
        (0..600).rev().collect::<Vec<_>>()
    );
    assert_eq!(revisions(end.max_count(1)).await, [599]);
    assert_eq!(revisions(from(598)).await, [598, 599]);
    assert_eq!(revisions(from(1).backwards()).await, [1, 0]);
    assert_eq!(revisions(from(3).max_count(2)).await, [3, 4]);
    assert_eq!(revisions(from(600)).await, [0; 0]);
}

#[tokio::test]
async fn a_stream_that_nobody_wrote_is_not_found() {
    let standin = StandIn::start();
    let missing = read(&of(&standin), "call-1").await.unwrap_err();
    assert!(matches!(missing, Error::ResourceNotFound), "{missing}");
}

#[tokio::test]
async fn all_has_everything_in_order_at_positions_with_gaps() {
    let standin = StandIn::start();
    let client = of(&standin);
    for number in 0..30 {
        let stream = format!("call-{}", number % 3);
        append(&client, &stream, Any, events(["a", "b"]))
            .await
            .unwrap();
    }
    let all = read_all(&client, ReadAllOptions::default()).await.unwrap();
    let systems = all
        .iter()
        .filter(|event| event.event_type.starts_with('$'))
        .count();
    assert_eq!(all.len(), 60 + systems);
    assert!(systems > 3, "some events of the server's own stand between");
    let gap = |pair: &[RecordedEvent]| pair[1].position.commit - pair[0].position.commit;
    assert!(all.windows(2).all(|pair| gap(pair) > 1));
    let mut backwards = read_all(
        &client,
        ReadAllOptions::default().position(StreamPosition::End),
    )
    .await
    .unwrap();
    backwards.reverse();
    let ids = |events: &[RecordedEvent]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(&backwards), ids(&all));
}

#[tokio::test]
async fn all_is_read_from_a_position_with_it_and_backwards_without_it() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    let last = append(&client, "call-1", StreamRevision(1), events(["c"]))
        .await
        .unwrap()
        .position;
    let from = |position| ReadAllOptions::default().position(StreamPosition::Position(position));
    let forwards = read_all(&client, from(last)).await.unwrap();
    assert_eq!(kinds(&forwards), ["c"]);
    let backwards = read_all(&client, from(last).backwards().max_count(2))
        .await
        .unwrap();
    assert_eq!(kinds(&backwards), ["b", "a"]);
    for nowhere in [(last.commit + 1, last.prepare + 1), (last.commit, 0)] {
        let (commit, prepare) = nowhere;
        let refused = read_all(&client, from(Position { commit, prepare })).await;
        assert!(matches!(refused, Err(Error::ServerError(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_filter_asks_for_streams_or_types_and_a_regex_beats_prefixes() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b"]))
        .await
        .unwrap();
    append(&client, "queue-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let by = async |filter: SubscriptionFilter| {
        let read = read_all(&client, ReadAllOptions::default().filter(filter))
            .await
            .unwrap();
        read.into_iter()
            .map(|event| format!("{} {}", event.stream_id(), event.event_type))
            .collect::<Vec<_>>()
    };
    let stream = SubscriptionFilter::on_stream_name;
    let kind = SubscriptionFilter::on_event_type;
    assert_eq!(
        by(stream().add_prefix("call-")).await,
        ["call-1 a", "call-1 b"]
    );
    assert_eq!(
        by(kind().add_prefix("a").add_prefix("c")).await,
        ["call-1 a", "queue-1 a"]
    );
    let no_system = ["call-1 a", "call-1 b", "queue-1 a"];
    assert_eq!(by(kind().exclude_system_events()).await, no_system);
    assert_eq!(by(kind().regex(r"^(?!\$)")).await, no_system);
    assert_eq!(
        by(stream().exclude_system_events().add_prefix("call-")).await,
        no_system
    );
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_its_numbering_goes_on() {
    let standin = StandIn::start();
    let client = of(&standin);
    let first = events(["a", "b"]);
    append(&client, "call-1", NoStream, first.clone())
        .await
        .unwrap();
    let early = delete(&client, "call-1", StreamRevision(0)).await;
    assert!(
        matches!(early, Err(Error::Grpc { .. })),
        "not a conflict: {early:?}"
    );
    delete(&client, "call-1", StreamRevision(1)).await.unwrap();
    let gone = read(&client, "call-1").await.unwrap_err();
    assert!(matches!(gone, Error::ResourceNotFound), "{gone}");
    let written = append(&client, "call-1", NoStream, events(["c"]))
        .await
        .unwrap();
    assert_eq!(written.next_expected_version, 2);
    assert_eq!(kinds(&read(&client, "call-1").await.unwrap()), ["c"]);
    let all = read_all(&client, ReadAllOptions::default()).await.unwrap();
    let kept = all
        .iter()
        .filter(|event| event.stream_id() == "call-1")
        .count();
    assert_eq!(kept, 3, "the log keeps what the stream hides");
}

#[tokio::test]
async fn a_tombstone_is_for_ever() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a"]))
        .await
        .unwrap();
    let options = TombstoneStreamOptions::default();
    client.tombstone_stream("call-1", &options).await.unwrap();
    let refused = append(&client, "call-1", Any, events(["b"]))
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::ResourceDeleted), "{refused}");
    let gone = read(&client, "call-1").await.unwrap_err();
    assert!(matches!(gone, Error::ResourceDeleted), "{gone}");
    let last = standin.log().events().pop().unwrap();
    assert_eq!(
        (last.revision, &last.event.event_type[..]),
        (END_OF_STREAM, "$streamDeleted")
    );
}

#[tokio::test]
async fn metadata_hides_the_beginning_of_a_stream() {
    let standin = StandIn::start();
    let client = of(&standin);
    append(&client, "call-1", NoStream, events(["a", "b", "c"]))
        .await
        .unwrap();
    standin.log().truncate("call-1", 1);
    assert_eq!(kinds(&read(&client, "call-1").await.unwrap()), ["b", "c"]);
    let newest = eventstore::StreamMetadata::builder().max_count(1).build();
    let options = eventstore::AppendToStreamOptions::default();
    client
        .set_stream_metadata("call-1", &options, &newest)
        .await
        .unwrap();
    assert_eq!(kinds(&read(&client, "call-1").await.unwrap()), ["c"]);
    let written = append(&client, "call-1", StreamRevision(2), events(["d"]))
        .await
        .unwrap();
    assert_eq!(written.next_expected_version, 3);
}

#[tokio::test]
async fn tests_reach_the_log_past_the_protocol() {
    let standin = StandIn::start();
    let client = of(&standin);
    let foreign = Proposed::json("order-placed", &serde_json::json!({ "order": 1 }));
    let written = standin
        .log()
        .append("order-1", Expected::NoStream, vec![foreign])
        .unwrap();
    assert_eq!(written.revision, Some(0));
    assert!(
        standin
            .log()
            .alter("order-1", 0, |event| event.data = "{".into())
    );
    assert!(!standin.log().alter("order-1", 1, |_| ()));
    let read = read(&client, "order-1").await.unwrap();
    assert_eq!(&read[0].data[..], b"{");
    assert_eq!((standin.seen().appends, standin.seen().reads), (0, 1));
}

#[tokio::test]
async fn a_session_appends_to_many_streams_and_recognises_retries() {
    let standin = StandIn::start();
    let client = of(&standin);
    let session = client
        .batch_append(&BatchAppendOptions::default())
        .await
        .unwrap();
    let both = events(["a", "b"]);
    let first = session
        .append_to_stream("call-1", NoStream, both.clone())
        .await
        .unwrap();
    let again = session
        .append_to_stream("call-1", NoStream, both)
        .await
        .unwrap();
    assert_eq!(first.current_revision(), Some(1));
    assert_eq!(again, first);
    session
        .append_to_stream("call-2", Any, events(["a"]))
        .await
        .unwrap();
    assert_eq!(standin.log().stream("call-1").len(), 2);
    let refused = session
        .append_to_stream("call-1", NoStream, events(["c"]))
        .await;
    let Err(Error::Grpc { code, message }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (format!("{code:?}").as_str(), &message[..]),
        ("AlreadyExists", "WrongExpectedVersion")
    );
    assert_eq!(standin.seen().batch_appends, 4);
}
