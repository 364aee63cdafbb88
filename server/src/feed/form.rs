//! How an event is told: as the interface shows it, as a line of a dump, or as a `CloudEvent`.

use crate::sse;
use bytes::Bytes;
use domain::envelope::Hash;
use domain::json::{DamagedJson, EventJson, Text, write_line};
use domain::{
    Actor, CallId, CommandId, Correlation, DamagedEvent, Entry, EventId, Prefix, StoreId,
    StoredEvent, Timestamp,
};
use engine::follower::Counted;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;
use std::str::FromStr;

/// How events are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As the interface shows them.
    Plain,
    /// As a dump has them, so that every hash can be verified.
    Whole,
    /// As `CloudEvents` 1.0, in their JSON.
    CloudEvents,
}

/// A text that names no form.
#[derive(Debug, thiserror::Error)]
#[error("must be one of {}", Form::NAMES.join(", "))]
pub(super) struct NoForm;

impl Form {
    pub(super) const NAMES: [&str; 3] = ["plain", "whole", "cloudevents"];

    /// Adds the event as JSON, on one line without its end. Every form writes a damaged event as `damaged_event`.
    pub(super) fn write(self, to: &mut Vec<u8>, entry: &Entry, up_to: Prefix, store: StoreId) {
        match (self, entry) {
            (Form::Plain, Entry::Event(event)) => write_json(to, &EventJson(event)),
            (Form::Whole, Entry::Event(event)) => {
                to.extend_from_slice(write_line(event).trim_end().as_bytes());
            }
            (Form::CloudEvents, Entry::Event(event)) => {
                write_json(to, &CloudEvent::of(event, up_to, store));
            }
            (Form::Plain | Form::Whole, Entry::Damaged(event)) => {
                write_json(to, &DamagedJson(event));
            }
            (Form::CloudEvents, Entry::Damaged(event)) => {
                write_json(to, &CloudEvent::of_damaged(event, up_to, store));
            }
        }
    }

    /// The same, written by the first subscriber that it is sent to.
    pub(super) fn shared_frame(self, counted: &Counted, store: StoreId) -> Bytes {
        counted.frame(self as usize, |counted| {
            self.frame(&counted.entry, counted.up_to, store)
        })
    }

    /// The event as a stream has it: with the proof up to it.
    pub(super) fn frame(self, entry: &Entry, up_to: Prefix, store: StoreId) -> Bytes {
        let mut data = Vec::with_capacity(1024);
        match (self, entry) {
            (Form::Plain, Entry::Event(event)) => {
                write_json(&mut data, &WithProof::of(EventJson(event), up_to));
            }
            (Form::Plain, Entry::Damaged(event)) => {
                write_json(&mut data, &WithProof::of(DamagedJson(event), up_to));
            }
            (Form::Whole, _) => {
                let Prefix {
                    count,
                    rolling_hash,
                    ..
                } = up_to;
                let head = format!(r#"{{"count":{count},"rolling_hash":"{rolling_hash}","line":"#);
                data.extend_from_slice(head.as_bytes());
                self.write(&mut data, entry, up_to, store);
                data.push(b'}');
            }
            (Form::CloudEvents, _) => self.write(&mut data, entry, up_to, store),
        }
        let data = String::from_utf8(data).expect("JSON is UTF-8");
        let name = match entry {
            Entry::Event(event) => event.recorded.payload.event_type.name(),
            Entry::Damaged(_) => DamagedJson::TYPE,
        };
        sse::event(Some(&entry.position()), name, &data)
    }
}

impl FromStr for Form {
    type Err = NoForm;

    fn from_str(text: &str) -> Result<Self, NoForm> {
        match text {
            "plain" => Ok(Form::Plain),
            "whole" => Ok(Form::Whole),
            "cloudevents" => Ok(Form::CloudEvents),
            _ => Err(NoForm),
        }
    }
}

fn write_json(to: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(to, value).expect("an event is JSON, and a growing buffer takes it");
}

/// An event and the proof up to it.
#[derive(Serialize)]
struct WithProof<E> {
    #[serde(flatten)]
    event: E,
    count: u64,
    rolling_hash: Text<Hash>,
}

impl<E> WithProof<E> {
    fn of(event: E, up_to: Prefix) -> Self {
        Self {
            event,
            count: up_to.count,
            rolling_hash: Text(up_to.rolling_hash),
        }
    }
}

/// The JSON of `CloudEvents` 1.0. Names of attributes are lower-case letters and digits there, an integer has 32 bits,
/// so that larger ones are text, and an attribute without a value is left out.
#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'static str,
    id: Text<EventId>,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: &'a str,
    time: Text<Timestamp>,
    datacontenttype: &'static str,
    store: Text<StoreId>,
    position: String,
    revision: u64,
    count: String,
    rollinghash: Text<Hash>,
    hash: Text<Hash>,
    recordedat: Text<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reportedat: Option<Text<Timestamp>>,
    command: Text<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<Text<&'a Correlation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Text<&'a Actor>>,
    data: D,
}

/// What stands in a part of a path as it is, by RFC 3986.
const PART_OF_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn source(call: &str) -> String {
    format!("/v1/calls/{}", utf8_percent_encode(call, PART_OF_A_PATH))
}

impl<'a> CloudEvent<'a, ()> {
    fn of(event: &'a StoredEvent, up_to: Prefix, store: StoreId) -> CloudEvent<'a, impl Serialize> {
        let recorded = &event.recorded;
        let (cause, payload) = (&*recorded.cause, &recorded.payload);
        let call = cause.call.as_str();
        CloudEvent {
            specversion: "1.0",
            id: Text(recorded.id()),
            source: source(call),
            event_type: format!("kaigi.{}.v{}", payload.event_type.name(), payload.version),
            subject: call,
            time: Text(cause.at),
            datacontenttype: "application/json",
            store: Text(store),
            position: event.position.to_string(),
            revision: recorded.revision.0,
            count: up_to.count.to_string(),
            rollinghash: Text(up_to.rolling_hash),
            hash: Text(recorded.hash),
            recordedat: Text(cause.recorded_at),
            reportedat: cause.reported_at.map(Text),
            command: Text(cause.command),
            correlation: cause.correlation.as_ref().map(Text),
            actor: cause.actor.as_ref().map(Text),
            data: EventJson(event).data(),
        }
    }

    /// It has no time, no revision and no event's hash, so those attributes are left out.
    fn of_damaged(event: &'a DamagedEvent, up_to: Prefix, store: StoreId) -> impl Serialize {
        let call = event.call.as_ref().map(CallId::as_str);
        json!({
            "specversion": "1.0",
            "id": format!("{store}-{}", event.position),
            "source": call.map_or_else(|| "/v1/events".to_owned(), source),
            "type": format!("kaigi.{}.v1", DamagedJson::TYPE),
            "subject": call.unwrap_or_default(),
            "datacontenttype": "application/json",
            "store": store.to_string(),
            "position": event.position.to_string(),
            "count": up_to.count.to_string(),
            "rollinghash": up_to.rolling_hash.to_string(),
            "data": DamagedJson(event),
        })
    }
}
