//! Reading a stream or `$all`, to an end or for ever.

use super::event::Recorded;
use super::filter::Filter;
use super::log::{Found, Log};
use super::protocol::shared::{StreamIdentifier, Uuid as WireUuid, uuid};
use super::protocol::streams::ReadResp;
use super::protocol::streams::read_req::options::{
    AllOptions, StreamOptions, all_options::AllOption, stream_options::RevisionOption,
};
use super::protocol::streams::read_resp::read_event::{self, RecordedEvent};
use super::protocol::streams::read_resp::{
    CaughtUp, Checkpoint, Content, Position, ReadEvent, StreamNotFound, SubscriptionConfirmation,
};
use super::server::Member;
use super::status;
use ::uuid::Uuid;
use std::collections::HashMap;
use std::ops::Range;
use std::time::SystemTime;
use tokio::sync::mpsc::Sender;
use tonic::Status;

/// How many events are taken from the log at a time.
const PAGE: usize = 256;

/// Nobody listens any more, or an error was said.
pub(super) struct Over;

/// How the client would like ids to be written.
#[derive(Clone, Copy)]
pub(super) enum Ids {
    /// As two numbers.
    Structured,
    /// As text.
    Text,
}

/// Which way, and how many events at most.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) backwards: bool,
    pub(super) count: u64,
}

/// One read or subscription that is being answered.
pub(super) struct Reading {
    pub(super) member: Member,
    pub(super) ids: Ids,
    /// Whether the client understands where a stream begins and ends.
    pub(super) told_positions: bool,
    pub(super) answers: Sender<Result<ReadResp, Status>>,
}

impl Reading {
    /// Reads a stream: missing and deleted ones are told apart.
    pub(super) async fn read_stream(
        self,
        options: StreamOptions,
        extent: Extent,
    ) -> Result<(), Over> {
        let stream = name(options.stream_identifier);
        let found = self.log().records().find(&stream);
        let readable = match found {
            Found::Nothing => return self.say(not_found(stream)).await,
            Found::Tombstone => return self.fail(status::stream_deleted(&stream)).await,
            Found::Revisions(readable) => readable,
        };
        let mut wanted = wanted(options.revision_option, &readable, extent);
        if wanted.start > readable.end && self.told_positions {
            self.say(Content::FirstStreamPosition(readable.end)).await?;
        }
        while !wanted.is_empty() {
            let length = (wanted.end - wanted.start).min(PAGE as u64);
            let page = if extent.backwards {
                wanted.end -= length;
                wanted.end..wanted.end + length
            } else {
                wanted.start += length;
                wanted.start - length..wanted.start
            };
            let mut page = self.log().records().of_stream(&stream, page);
            if extent.backwards {
                page.reverse();
            }
            self.say_events(page).await?;
        }
        if self.told_positions {
            let last = readable.end.saturating_sub(1);
            self.say(Content::LastStreamPosition(last)).await?;
        }
        Ok(())
    }

    /// Reads `$all`: forwards from a position including it, backwards from a position without it.
    pub(super) async fn read_all(
        self,
        options: AllOptions,
        filter: Option<Filter>,
        extent: Extent,
    ) -> Result<(), Over> {
        let mut at = match self.place(options.all_option, extent.backwards) {
            Ok(place) => place,
            Err(status) => return self.fail(status).await,
        };
        let mut left = extent.count;
        while left > 0 {
            let page = self.page(at, extent.backwards);
            if page.is_empty() {
                break;
            }
            at = if extent.backwards {
                at - page.len()
            } else {
                at + page.len()
            };
            let wants = |event: &Recorded| {
                !event.scavenged && filter.as_ref().is_none_or(|filter| filter.wants(event))
            };
            let mut page: Vec<_> = page.into_iter().filter(wants).collect();
            page.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= page.len() as u64;
            self.say_events(page).await?;
        }
        Ok(())
    }

    /// Follows a stream from after a revision, whether or not it exists yet, until it is gone for good.
    pub(super) async fn follow_stream(self, options: StreamOptions) -> Result<(), Over> {
        let stream = name(options.stream_identifier);
        let mut grown = self.log().grown();
        let mut next = match options.revision_option {
            Some(RevisionOption::Revision(after)) => after.saturating_add(1),
            Some(RevisionOption::End(())) => match self.log().records().find(&stream) {
                Found::Revisions(readable) => readable.end,
                Found::Nothing | Found::Tombstone => 0,
            },
            Some(RevisionOption::Start(())) | None => 0,
        };
        self.confirm().await?;
        let mut live = false;
        loop {
            let Some(page) = self.stream_page(&stream, next) else {
                return self.fail(status::stream_deleted(&stream)).await;
            };
            if let Some(last) = page.last() {
                next = last.revision + 1;
                self.say_events(page).await?;
                continue;
            }
            if !live {
                live = true;
                let revision = next.checked_sub(1).map(u64::cast_signed);
                self.say_caught_up(revision, None).await?;
            }
            grown.changed().await.map_err(|_| Over)?;
        }
    }

    /// Follows `$all` from after a position. With a filter, it tells from time to time how far it has looked.
    pub(super) async fn follow_all(
        self,
        options: AllOptions,
        filter: Option<Filter>,
    ) -> Result<(), Over> {
        let mut grown = self.log().grown();
        let from_here = match self.place_after(options.all_option) {
            Ok(place) => place,
            Err(status) => return self.fail(status).await,
        };
        self.confirm().await?;
        let mut next = from_here;
        let mut live = false;
        let mut considered = 0;
        loop {
            let page = self.page(next, false);
            next += page.len();
            if !page.is_empty() {
                self.say_wanted(page, filter.as_ref(), &mut considered)
                    .await?;
                continue;
            }
            if !live {
                live = true;
                let last = next.checked_sub(1);
                let last = last.map(|last| self.log().records().all()[last].position);
                if let Some(last) = last.filter(|_| filter.is_some() && next > from_here) {
                    self.say_checkpoint(last).await?;
                }
                self.say_caught_up(None, last).await?;
            }
            grown.changed().await.map_err(|_| Over)?;
        }
    }

    /// Says those that the filter wants, and after so many events, wanted or not, how far it has looked.
    async fn say_wanted(
        &self,
        page: Vec<Recorded>,
        filter: Option<&Filter>,
        considered: &mut u64,
    ) -> Result<(), Over> {
        let Some(filter) = filter else {
            let kept = page.into_iter().filter(|event| !event.scavenged);
            return self.say_events(kept.collect()).await;
        };
        for event in page {
            let position = event.position;
            if !event.scavenged && filter.wants(&event) {
                self.say_events(vec![event]).await?;
            }
            *considered += 1;
            if considered.is_multiple_of(filter.checkpoint_every) {
                self.say_checkpoint(position).await?;
            }
        }
        Ok(())
    }

    /// What can be read of a stream from a revision on; none if it is gone for good.
    fn stream_page(&self, stream: &str, from: u64) -> Option<Vec<Recorded>> {
        let records = self.log().records();
        match records.find(stream) {
            Found::Nothing => Some(Vec::new()),
            Found::Tombstone => None,
            Found::Revisions(readable) => {
                let from = from.max(readable.start);
                let to = readable.end.min(from.saturating_add(PAGE as u64));
                Some(records.of_stream(stream, from..to))
            }
        }
    }

    fn log(&self) -> &Log {
        &self.member.cluster.log
    }

    /// How many events stand before the one to begin with.
    fn place(&self, from: Option<AllOption>, backwards: bool) -> Result<usize, Status> {
        let records = self.log().records();
        match from {
            Some(AllOption::Position(at)) if at.commit_position == at.prepare_position => {
                let place = records.place(at.commit_position);
                place.ok_or_else(invalid_position)
            }
            Some(AllOption::Position(_)) => Err(invalid_position()),
            Some(AllOption::Start(())) => Ok(0),
            Some(AllOption::End(())) => Ok(records.all().len()),
            None => Ok(if backwards { records.all().len() } else { 0 }),
        }
    }

    /// The same for a subscription, which begins after the event at its position.
    fn place_after(&self, from: Option<AllOption>) -> Result<usize, Status> {
        let position = match &from {
            Some(AllOption::Position(at)) => Some(at.commit_position),
            _ => None,
        };
        let place = self.place(from, false)?;
        let records = self.log().records();
        let there = records.all().get(place).map(|event| event.position);
        Ok(if there.is_some() && there == position {
            place + 1
        } else {
            place
        })
    }

    fn page(&self, at: usize, backwards: bool) -> Vec<Recorded> {
        let records = self.log().records();
        let all = records.all();
        if backwards {
            let page = &all[at.saturating_sub(PAGE)..at];
            return page.iter().rev().cloned().collect();
        }
        all[at..].iter().take(PAGE).cloned().collect()
    }

    async fn confirm(&self) -> Result<(), Over> {
        let subscription_id = Uuid::new_v4().to_string();
        let confirmation = SubscriptionConfirmation { subscription_id };
        self.say(Content::Confirmation(confirmation)).await
    }

    async fn say_events(&self, events: Vec<Recorded>) -> Result<(), Over> {
        let hides_positions = self.member.cluster.faults.hides_positions();
        for mut event in events {
            if hides_positions {
                event.position = u64::MAX;
            }
            self.say(Content::Event(read_event(event, self.ids)))
                .await?;
        }
        Ok(())
    }

    async fn say_checkpoint(&self, position: u64) -> Result<(), Over> {
        let checkpoint = Checkpoint {
            commit_position: position,
            prepare_position: position,
            timestamp: self.timestamp(),
        };
        self.say(Content::Checkpoint(checkpoint)).await
    }

    async fn say_caught_up(
        &self,
        revision: Option<i64>,
        position: Option<u64>,
    ) -> Result<(), Over> {
        let mut caught_up = CaughtUp::default();
        if let Some(now) = self.timestamp() {
            caught_up.timestamp = Some(now);
            caught_up.stream_revision = revision;
            caught_up.position = position.map(|position| Position {
                commit_position: position,
                prepare_position: position,
            });
        }
        self.say(Content::CaughtUp(caught_up)).await
    }

    /// Servers tell when and where since version 25.
    fn timestamp(&self) -> Option<prost_types::Timestamp> {
        let version = &self.member.cluster.config.version;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major >= 25).then(|| SystemTime::now().into())
    }

    async fn say(&self, content: Content) -> Result<(), Over> {
        let content = Some(content);
        let said = self.answers.send(Ok(ReadResp { content })).await;
        said.map_err(|_| Over)
    }

    async fn fail(&self, status: Status) -> Result<(), Over> {
        let _ = self.answers.send(Err(status)).await;
        Err(Over)
    }
}

/// Which revisions of a stream a reader asked for; it begins behind the end if that is where he wants to begin.
fn wanted(from: Option<RevisionOption>, readable: &Range<u64>, extent: Extent) -> Range<u64> {
    let Extent { backwards, count } = extent;
    if backwards {
        let end = match from {
            Some(RevisionOption::Revision(from)) => readable.end.min(from.saturating_add(1)),
            _ => readable.end,
        };
        return readable.start.max(end.saturating_sub(count))..end;
    }
    let start = match from {
        Some(RevisionOption::Revision(from)) => readable.start.max(from),
        Some(RevisionOption::End(())) => readable.end,
        Some(RevisionOption::Start(())) | None => readable.start,
    };
    start..readable.end.min(start.saturating_add(count))
}

fn not_found(stream: String) -> Content {
    let stream_name = stream.into();
    Content::StreamNotFound(StreamNotFound {
        stream_identifier: Some(StreamIdentifier { stream_name }),
    })
}

/// No event starts there. Clients know the words, and nothing better than "unknown" of it.
fn invalid_position() -> Status {
    Status::unknown("Unexpected FilteredReadAllResult: InvalidPosition")
}

fn read_event(recorded: Recorded, ids: Ids) -> ReadEvent {
    let event = recorded.event;
    let content_type = if event.json {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let metadata = [
        ("type", event.event_type),
        ("created", recorded.created.to_string()),
        ("content-type", content_type.to_owned()),
    ];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value));
    let stream_name = recorded.stream.into();
    let event = RecordedEvent {
        id: Some(match ids {
            Ids::Structured => structured(event.id),
            Ids::Text => WireUuid {
                value: Some(uuid::Value::String(event.id.to_string())),
            },
        }),
        stream_identifier: Some(StreamIdentifier { stream_name }),
        stream_revision: recorded.revision,
        prepare_position: recorded.position,
        commit_position: recorded.position,
        metadata: HashMap::from(metadata),
        custom_metadata: event.metadata,
        data: event.data,
    };
    ReadEvent {
        event: Some(event),
        link: None,
        position: Some(read_event::Position::CommitPosition(recorded.position)),
    }
}

/// An id as two numbers.
pub(super) fn structured(id: Uuid) -> WireUuid {
    let (most, least) = id.as_u64_pair();
    WireUuid {
        value: Some(uuid::Value::Structured(uuid::Structured {
            most_significant_bits: most.cast_signed(),
            least_significant_bits: least.cast_signed(),
        })),
    }
}

/// An id however it was written; none is nil.
pub(super) fn plain(id: Option<WireUuid>) -> Uuid {
    match id.and_then(|id| id.value) {
        Some(uuid::Value::Structured(halves)) => Uuid::from_u64_pair(
            halves.most_significant_bits.cast_unsigned(),
            halves.least_significant_bits.cast_unsigned(),
        ),
        Some(uuid::Value::String(text)) => text.parse().unwrap_or_default(),
        None => Uuid::nil(),
    }
}

/// The name of a stream, which is text though it travels as bytes.
pub(super) fn name(stream: Option<StreamIdentifier>) -> String {
    let name = stream.map(|stream| stream.stream_name).unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}
