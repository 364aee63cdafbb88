//! `wrap-up-queue`: which agents owe wrap-up on which calls, and what others suggest to them.

use crate::description::{
    Description, Operation, Parameter, RowKind, ShowCommand, ShowOption, Values, paths,
};
use crate::live::{KeptCall, LiveModel};
use crate::read_model::Projection;
use crate::row::{Facets, Followed, Place, Row, RowKey, key, sorted_by};
use crate::shape::{Shaped, row};
use crate::table::{Column, Table, age, each, id, text};
use domain::event::Personal;
use domain::json::{AgentText, Text};
use domain::{AgentId, Call, CallId, Event, Note, Queue, Reason, Timestamp, suggestion_recipients};
use serde::{Deserialize, Serialize};

/// The wrap-ups that no reason was applied to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapUpQueue;

/// What was suggested on a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestions(Vec<Suggestion>);

/// A suggested reason, kept as long as somebody it reached may owe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Suggestion {
    by: AgentId,
    reason: Reason,
    note: Option<Note>,
    at: Timestamp,
    to: Vec<AgentId>,
}

row! {
    /// A wrap-up that an agent owes.
    pub struct OwedWrapUp<'a> as "OwedWrapUp" {
        pub call: Text<&'a CallId>,
        pub agent: AgentText<'a>,
        pub queue: Option<Text<&'a Queue>>,
        pub since: Text<Timestamp>,
        pub why: &'static str,
        pub suggestions: Vec<SuggestedReason<'a>>,
    }
}

row! {
    /// A reason that somebody suggests.
    pub struct SuggestedReason<'a> as "SuggestedReason" {
        pub by: AgentText<'a>,
        pub reason: Text<&'a Reason>,
        pub note: Option<Text<&'a Note>>,
        pub at: Text<Timestamp>,
    }
}

impl LiveModel for WrapUpQueue {
    type Row<'a> = OwedWrapUp<'a>;

    const DESCRIPTION: Description = Description {
        name: Self::NAME,
        title: "WRAP-UP QUEUE",
        paths: paths!("wrap-up-queue"),
        changes_path: "/v1/wrap-up-queue/changes",
        list: Operation {
            id: "listWrapUpQueue",
            summary: "The wrap-ups that agents owe",
            about: "The oldest first.",
            parameters: &[Parameter::AGENT, Parameter::QUEUE, Parameter::CALL],
        },
        changes: Operation {
            id: "followWrapUpQueue",
            summary: "Follow the wrap-ups that agents owe",
            about: "",
            parameters: &[Parameter::AGENT, Parameter::QUEUE, Parameter::CALL],
        },
        schema: "WrapUpQueue",
        rows: &[RowKind {
            shape: OwedWrapUp::SHAPE,
            sorts: OwedWrapUp::SORTS,
            table: TABLE,
        }],
        parts: &[SuggestedReason::SHAPE],
        about_sort: "By which column; without it by since",
        command: ShowCommand {
            about: "The wrap-ups that are owed, oldest first",
            examples: None,
            options: &[
                ShowOption::new(
                    "agent",
                    "AGENT",
                    Values::Agent,
                    "Only those this agent owes",
                ),
                ShowOption::new("queue", "QUEUE", Values::Queue, "Only calls of that queue"),
            ],
            demo: &[],
        },
    };

    const HAS_A_ROW_PER_LIVE_CALL: bool = false;

    /// By since when they are owed; of equal ones by call, then agent.
    fn rows<'a>(calls: impl Iterator<Item = KeptCall<'a, Self>>) -> Vec<OwedWrapUp<'a>> {
        let mut rows = Vec::new();
        for (id, call, suggestions) in calls {
            let owed = call.open_wrap_ups();
            rows.extend(owed.map(|wrap_up| OwedWrapUp {
                call: Text(id),
                agent: AgentText(&wrap_up.agent),
                queue: call.queue().map(Text),
                since: Text(wrap_up.since),
                why: wrap_up.why.name(),
                suggestions: suggestions.reaching(&wrap_up.agent),
            }));
        }
        rows.sort_unstable_by_key(|row| (row.since.0, row.call.0, row.agent.0));
        rows
    }
}

const TABLE: Table = Table {
    none: "no wrap-up is owed",
    columns: &[
        Column::number("OWED", |row, as_of| vec![age(as_of, &row["since"])]),
        Column::text("AGENT", |row, _| vec![id(&row["agent"])]),
        Column::text("CALL", |row, _| vec![text(&row["call"])]),
        Column::list("QUEUE", |row, _| {
            let queue = row["queue"].as_str();
            queue.map(str::to_owned).into_iter().collect()
        }),
        Column::text("LEFT BY", |row, _| vec![text(&row["why"])]),
        Column::list("SUGGESTED", |row, _| {
            let suggested = each(&row["suggestions"]);
            suggested
                .map(|one| format!("{} (by {})", text(&one["reason"]), id(&one["by"])))
                .collect()
        }),
    ],
};

impl Row for OwedWrapUp<'_> {
    const LIST: &'static str = WrapUpQueue::NAME;

    sorted_by!(since, call, agent, queue, why);

    fn key(&self) -> RowKey {
        key(self.call, (&self.agent).into())
    }
}

impl Followed for OwedWrapUp<'_> {
    fn facets(&self) -> Facets {
        Facets {
            agents: vec![self.agent.0.clone()],
            ..Facets::of(self.call, self.queue)
        }
    }

    fn place(&self) -> Place<'_> {
        (self.since.0, self.call.0, Some(self.agent.0))
    }
}

impl Projection for WrapUpQueue {
    const NAME: &'static str = "wrap-up-queue";
    const VERSION: u32 = 1;

    type OfCall = Suggestions;

    fn take_in(suggestions: &mut Suggestions, before: &Call, event: &Event, at: Timestamp) {
        match event {
            Event::WrapUpSuggested { by, reason, note } => suggestions.0.push(Suggestion {
                by: by.clone(),
                reason: reason.clone(),
                note: note.as_ref().and_then(Personal::clear).cloned(),
                at,
                to: suggestion_recipients(before, by).cloned().collect(),
            }),
            Event::WrapUpApplied { agent, .. } => suggestions.settled(agent),
            Event::CallConnected { .. }
            | Event::ConsultRequested { .. }
            | Event::ConsultStarted { .. }
            | Event::ConsultEnded { .. }
            | Event::PartyJoined { .. }
            | Event::ConferenceStarted { .. }
            | Event::PartyHeld { .. }
            | Event::PartyReleased { .. }
            | Event::PartyLeft { .. }
            | Event::ControlTransferred { .. }
            | Event::ControlVacated { .. }
            | Event::ConferenceDissolved
            | Event::WrapUpAssistEntered
            | Event::CallEnded { .. }
            | Event::CallCompleted
            | Event::WrapUpOwed { .. }
            | Event::MonitoringStarted { .. }
            | Event::SupervisorBargedIn { .. }
            | Event::MonitoringMoved { .. }
            | Event::MonitoringEnded { .. } => {}
        }
    }

    /// R52: nothing is owed on it, nor ever will be.
    fn is_over(call: &Call) -> bool {
        call.completed_at().is_some()
    }

    fn let_go(&mut self, _: &CallId, _: &Call, _: Suggestions) {}

    fn forget(&mut self, _: &CallId) {}
}

impl Suggestions {
    /// What was suggested for a settled wrap-up does not reach the next one of the same agent.
    fn settled(&mut self, agent: &AgentId) {
        for suggestion in &mut self.0 {
            suggestion.to.retain(|recipient| recipient != agent);
        }
        self.0.retain(|suggestion| !suggestion.to.is_empty());
    }

    fn reaching(&self, agent: &AgentId) -> Vec<SuggestedReason<'_>> {
        let reaching = self.0.iter().filter(|one| one.to.contains(agent));
        reaching.map(SuggestedReason::from).collect()
    }
}

impl<'a> From<&'a Suggestion> for SuggestedReason<'a> {
    fn from(suggestion: &'a Suggestion) -> Self {
        Self {
            by: AgentText(&suggestion.by),
            reason: Text(&suggestion.reason),
            note: suggestion.note.as_ref().map(Text),
            at: Text(suggestion.at),
        }
    }
}
