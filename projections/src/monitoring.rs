//! `monitoring`: where a supervisor may begin to listen or to speak, and if not, by which rule.

use crate::{Projection, ReadModel, Row};
use domain::call::Session;
use domain::json::{AgentText, SupervisorText, Text};
use domain::{Call, CallId, Event, Rule, Timestamp, barge_in_allowed, monitoring_allowed};
use serde::{Deserialize, Serialize};

/// What supervisors do on the calls that go on, and what they may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitoring;

/// A call that goes on, as a supervisor sees it.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct MonitoredCall<'a> {
    pub call: Text<&'a CallId>,
    pub may_start: bool,
    pub rule: Option<Text<Rule>>,
    pub sessions: Vec<MonitoredSession<'a>>,
    /// What rows are sorted by; no column.
    #[serde(skip)]
    pub answered_at: Timestamp,
}

impl Row for MonitoredCall<'_> {
    const COLUMNS: &'static [&'static str] = &["call", "may_start", "rule", "sessions"];
}

/// A supervisor's session, and whether it may begin to speak.
#[derive(Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the names are the interface's, which explains them"
)]
pub struct MonitoredSession<'a> {
    pub supervisor: SupervisorText<'a>,
    pub agent: AgentText<'a>,
    pub mode: &'static str,
    pub since: Text<Timestamp>,
    pub may_barge_in: bool,
    pub rule: Option<Text<Rule>>,
}

impl Projection for Monitoring {
    const NAME: &'static str = "monitoring";
    const VERSION: u32 = 1;

    type OfCall = ();

    /// Nothing beside the call is kept, and `domain`, which evolves that, names every event.
    fn take_in((): &mut (), _: &Call, _: &Event, _: Timestamp) {}

    fn is_over(call: &Call) -> bool {
        !call.is_live()
    }

    fn let_go(&mut self, _: &CallId, _: &Call, (): ()) {}

    fn forget(&mut self, _: &CallId) {}
}

impl ReadModel<Monitoring> {
    /// Every call, the longest-running first.
    pub fn rows(&self) -> Vec<MonitoredCall<'_>> {
        rows(self)
    }
}

pub(crate) fn rows<P: Projection>(model: &ReadModel<P>) -> Vec<MonitoredCall<'_>> {
    let calls = model.live_calls().into_iter();
    calls
        .map(|(id, call)| MonitoredCall::new(id, call))
        .collect()
}

pub(crate) fn row<'a>(id: &'a CallId, call: &'a Call) -> Option<MonitoredCall<'a>> {
    call.is_live().then(|| MonitoredCall::new(id, call))
}

impl<'a> MonitoredCall<'a> {
    fn new(id: &'a CallId, call: &'a Call) -> Self {
        let refused = monitoring_allowed(call).err();
        let sessions = call.sessions().iter();
        Self {
            call: Text(id),
            may_start: refused.is_none(),
            rule: refused.map(Text),
            sessions: sessions
                .map(|session| MonitoredSession::new(call, session))
                .collect(),
            answered_at: call.answered_at(),
        }
    }
}

impl<'a> MonitoredSession<'a> {
    fn new(call: &Call, session: &'a Session) -> Self {
        let refused = barge_in_allowed(call, session).err();
        Self {
            supervisor: SupervisorText(&session.supervisor),
            agent: AgentText(&session.agent),
            mode: session.mode.name(),
            since: Text(session.since),
            may_barge_in: refused.is_none(),
            rule: refused.map(Text),
        }
    }
}
