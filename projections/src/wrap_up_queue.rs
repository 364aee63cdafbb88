//! `wrap-up-queue`: which agents owe wrap-up on which calls, and what others suggest to them.

use crate::{Projection, ReadModel, Row};
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

/// A wrap-up that an agent owes.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct OwedWrapUp<'a> {
    pub call: Text<&'a CallId>,
    pub agent: AgentText<'a>,
    pub queue: Option<Text<&'a Queue>>,
    pub since: Text<Timestamp>,
    pub why: &'static str,
    pub suggestions: Vec<SuggestedReason<'a>>,
}

impl Row for OwedWrapUp<'_> {
    const COLUMNS: &'static [&'static str] =
        &["call", "agent", "queue", "since", "why", "suggestions"];
}

/// A reason that somebody suggests for it.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct SuggestedReason<'a> {
    pub by: AgentText<'a>,
    pub reason: Text<&'a Reason>,
    pub note: Option<Text<&'a Note>>,
    pub at: Text<Timestamp>,
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

impl ReadModel<WrapUpQueue> {
    /// Every wrap-up that is owed, the oldest first; of equal ones by call, then agent.
    pub fn rows(&self) -> Vec<OwedWrapUp<'_>> {
        let calls = self.kept();
        rows(calls.map(|(id, kept)| (id, &kept.call, &kept.of_call)))
    }
}

pub(crate) fn rows<'a>(
    calls: impl Iterator<Item = (&'a CallId, &'a Call, &'a Suggestions)>,
) -> Vec<OwedWrapUp<'a>> {
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
