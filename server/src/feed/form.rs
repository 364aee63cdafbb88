//! How an event is told: as the interface shows it, as a line of a dump, or as a `CloudEvent`.

use super::prefix::Prefix;
use crate::sse;
use bytes::Bytes;
use domain::envelope::Hash;
use domain::json::{EventJson, Text, write_line};
use domain::{Actor, CommandId, Correlation, EventId, StoreId, StoredEvent, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::str::FromStr;
use std::sync::OnceLock;

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

/// An event of the feed, written at most once in each form however many are told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) event: StoredEvent,
    /// All events up to it.
    pub(super) up_to: Prefix,
    frames: [OnceLock<Bytes>; Form::NAMES.len()],
}

impl Form {
    pub(super) const NAMES: [&str; 3] = ["plain", "whole", "cloudevents"];

    /// Adds the event as JSON, on one line without its end.
    pub(super) fn write(
        self,
        to: &mut Vec<u8>,
        event: &StoredEvent,
        up_to: Prefix,
        store: StoreId,
    ) {
        match self {
            Form::Plain => json(to, &EventJson(event)),
            Form::Whole => to.extend_from_slice(write_line(event).trim_end().as_bytes()),
            Form::CloudEvents => json(to, &CloudEvent::of(event, up_to, store)),
        }
    }

    /// The event as a stream has it: with the proof up to it.
    pub(super) fn frame(self, event: &StoredEvent, up_to: Prefix, store: StoreId) -> Bytes {
        let mut data = Vec::with_capacity(1024);
        match self {
            Form::Plain => json(&mut data, &Counted::of(event, up_to)),
            Form::Whole => {
                let Prefix {
                    count,
                    rolling_hash,
                    ..
                } = up_to;
                let head = format!(r#"{{"count":{count},"rolling_hash":"{rolling_hash}","line":"#);
                data.extend_from_slice(head.as_bytes());
                self.write(&mut data, event, up_to, store);
                data.push(b'}');
            }
            Form::CloudEvents => self.write(&mut data, event, up_to, store),
        }
        let data = String::from_utf8(data).expect("JSON is UTF-8");
        let name = event.recorded.payload.event_type.name();
        sse::event(Some(&event.position), name, &data)
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

impl Told {
    pub(super) fn new(event: StoredEvent, up_to: Prefix) -> Self {
        Self {
            event,
            up_to,
            frames: Default::default(),
        }
    }

    /// The event as a stream has it. Whoever asks first has it written.
    pub(super) fn frame(&self, form: Form, store: StoreId) -> Bytes {
        let frame =
            self.frames[form as usize].get_or_init(|| form.frame(&self.event, self.up_to, store));
        frame.clone()
    }
}

fn json(to: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(to, value).expect("an event is JSON, and a growing buffer takes it");
}

/// An event and the proof up to it.
#[derive(Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    event: EventJson<'a>,
    count: u64,
    rolling_hash: Text<Hash>,
}

impl<'a> Counted<'a> {
    fn of(event: &'a StoredEvent, up_to: Prefix) -> Self {
        Self {
            event: EventJson(event),
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

impl<'a> CloudEvent<'a, ()> {
    fn of(event: &'a StoredEvent, up_to: Prefix, store: StoreId) -> CloudEvent<'a, impl Serialize> {
        let recorded = &event.recorded;
        let (cause, payload) = (&*recorded.cause, &recorded.payload);
        let call = cause.call.as_str();
        CloudEvent {
            specversion: "1.0",
            id: Text(recorded.id()),
            source: format!("/v1/calls/{}", utf8_percent_encode(call, PART_OF_A_PATH)),
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
}
