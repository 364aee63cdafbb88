//! The rows of `handle-times`.

use super::ended::EndedCall;
use super::parts::{AgentParts, CallParts, Parts};
use super::summary::Summary;
use super::window::{Key, Window};
use crate::row::{Cell, Facets, Followed, Place, Row, RowKey, key, sorted_by};
use crate::shape::{Type, row};
use domain::json::{AgentText, Text};
use domain::{AgentId, CallId, Queue, Timestamp};

row! {
    /// One ended call: talking + conference + wrap_up_assist = handle; thereof customer_held and consult.
    #[expect(clippy::doc_markdown, reason = "the document of the interface shows this text as it stands")]
    #[derive(Clone, PartialEq, Eq)]
    pub struct CallTimes<'a> as "CallTimes" {
        pub call: Text<&'a CallId>,
        pub queue: Option<Text<&'a Queue>>,
        pub answered_at: Text<Timestamp>,
        pub ended_at: Text<Timestamp>,
        pub talking_ms: u64,
        pub conference_ms: u64,
        pub wrap_up_assist_ms: u64,
        pub handle_ms: u64,
        pub customer_held_ms: u64,
        pub consult_ms: u64,
        /// How many agents still owe wrap-up on it; its own figures are final.
        pub open: u64,
    }
    beside {
        parts: &'a Parts,
    }
}

row! {
    /// One agent's part in one ended call: engaged + held + wrap_up = handle; thereof the rest.
    #[expect(clippy::doc_markdown, reason = "the document of the interface shows this text as it stands")]
    #[derive(Clone, PartialEq, Eq)]
    pub struct AgentTimes<'a> as "AgentTimes" {
        pub call: Text<&'a CallId>,
        pub agent: AgentText<'a>,
        pub queue: Option<Text<&'a Queue>>,
        pub answered_at: Text<Timestamp>,
        pub ended_at: Text<Timestamp>,
        pub engaged_ms: u64,
        pub held_ms: u64,
        pub wrap_up_ms: u64,
        pub handle_ms: u64,
        pub conference_ms: u64,
        pub consult_ms: u64,
        pub wrap_up_assist_ms: u64,
        /// 1 as long as the agent owes wrap-up on the call, which is not summed until then.
        pub open: u64,
    }
    beside {
        parts: &'a AgentParts,
    }
}

row! {
    /// One metric of what ended in one window.
    #[derive(Clone, PartialEq, Eq)]
    pub struct WindowRow as "WindowTimes" {
        pub key: Key,
        pub from: Text<Timestamp>,
        pub to: Text<Timestamp>,
        pub metric: &'static str,
        pub count: u64,
        pub sum_ms: u64,
        /// To the nearest millisecond, half a one upwards; like what follows null if nothing was counted.
        pub mean_ms: Option<u64>,
        pub p50_ms: Option<u64>,
        pub p90_ms: Option<u64>,
        pub p95_ms: Option<u64>,
        pub p99_ms: Option<u64>,
        pub max_ms: Option<u64>,
        /// How many agents' parts will be counted here once their wrap-up is settled.
        pub open: u64,
    }
    or { calls: &Type::List(&Type::AnyOf(&["CallTimes", "AgentTimes"])) }
}

impl<'a> CallTimes<'a> {
    pub(super) fn new(ended: EndedCall<'a>) -> Self {
        let parts = &ended.parts.call;
        Self {
            call: Text(ended.id),
            queue: ended.queue.map(Text),
            answered_at: Text(ended.answered_at),
            ended_at: Text(ended.ended_at),
            talking_ms: parts.talking_ms,
            conference_ms: parts.conference_ms,
            wrap_up_assist_ms: parts.wrap_up_assist_ms,
            handle_ms: parts.handle_ms(),
            customer_held_ms: parts.customer_held_ms,
            consult_ms: parts.consult_ms,
            open: ended.open(),
            parts: ended.parts,
        }
    }

    /// Who was in the call or was consulted, in the order they first appeared.
    pub fn agents(&self) -> impl Iterator<Item = &'a AgentId> + use<'a> {
        self.parts.agents.iter().map(|parts| &parts.agent)
    }
}

impl<'a> AgentTimes<'a> {
    pub(super) fn new(ended: EndedCall<'a>, parts: &'a AgentParts) -> Self {
        Self {
            call: Text(ended.id),
            agent: AgentText(&parts.agent),
            queue: ended.queue.map(Text),
            answered_at: Text(ended.answered_at),
            ended_at: Text(ended.ended_at),
            engaged_ms: parts.engaged_ms,
            held_ms: parts.held_ms,
            wrap_up_ms: parts.wrap_up_ms,
            handle_ms: parts.handle_ms(),
            conference_ms: parts.conference_ms,
            consult_ms: parts.consult_ms,
            wrap_up_assist_ms: parts.wrap_up_assist_ms,
            open: u64::from(ended.owes(&parts.agent)),
            parts,
        }
    }

    /// Whether it adds to that metric.
    pub fn has(&self, metric: &str) -> bool {
        self.parts.has(metric)
    }
}

impl WindowRow {
    /// The place of its metric among those of its window and key.
    pub fn place(&self) -> usize {
        let metrics: &[&str] = match self.key {
            Key::All | Key::Queue(_) => &CallParts::METRICS,
            Key::Agent(_) => &AgentParts::METRICS,
        };
        let mut metrics = metrics.iter();
        let place = metrics.position(|metric| *metric == self.metric);
        place.expect("a row's metric is one of its kind")
    }

    pub(super) fn new(
        key: Key,
        (window, from): (Window, Timestamp),
        metric: &'static str,
        summary: &Summary,
        open: u64,
    ) -> Self {
        Self {
            key,
            from: Text(from),
            to: Text(from.plus_millis(window.ms())),
            metric,
            count: summary.count(),
            sum_ms: summary.sum_ms(),
            mean_ms: summary.mean_ms(),
            p50_ms: summary.percentile_ms(50),
            p90_ms: summary.percentile_ms(90),
            p95_ms: summary.percentile_ms(95),
            p99_ms: summary.percentile_ms(99),
            max_ms: summary.max_ms(),
            open,
        }
    }
}

impl Row for CallTimes<'_> {
    const LIST: &'static str = "handle-times-by-call";

    sorted_by!(
        ended_at,
        call,
        queue,
        answered_at,
        talking_ms,
        conference_ms,
        wrap_up_assist_ms,
        handle_ms,
        customer_held_ms,
        consult_ms,
        open,
    );

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Row for AgentTimes<'_> {
    const LIST: &'static str = "handle-times-by-agent";

    sorted_by!(
        ended_at,
        call,
        agent,
        queue,
        answered_at,
        engaged_ms,
        held_ms,
        wrap_up_ms,
        handle_ms,
        conference_ms,
        consult_ms,
        wrap_up_assist_ms,
        open,
    );

    fn key(&self) -> RowKey {
        key(self.call, (&self.agent).into())
    }
}

impl Row for WindowRow {
    const LIST: &'static str = "handle-times-by-window";

    sorted_by!(
        from, key, metric, count, sum_ms, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, max_ms, open
    );

    fn key(&self) -> RowKey {
        let place = Cell::Number(self.place() as u64);
        [(&self.from).into(), (&self.key).into(), place]
    }
}

impl Followed for CallTimes<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: self.agents().cloned().collect(),
            ended_at: Some(self.ended_at.0),
            ..Facets::of(self.call, self.queue)
        }
    }

    fn place(&self) -> Place<'_> {
        (self.ended_at.0, self.call.0, None)
    }
}

impl Followed for AgentTimes<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: vec![self.agent.0.clone()],
            ended_at: Some(self.ended_at.0),
            ..Facets::of(self.call, self.queue)
        }
    }

    fn place(&self) -> Place<'_> {
        (self.ended_at.0, self.call.0, Some(self.agent.0))
    }
}
