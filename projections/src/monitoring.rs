//! `monitoring`: where a supervisor may begin to listen or to speak, and if not, by which rule.

use crate::description::{Description, Operation, Parameter, RowKind, ShowCommand, Values, paths};
use crate::live::{KeptCall, LiveModel, going_on};
use crate::read_model::Projection;
use crate::row::{Cell, Facets, Followed, Place, Row, RowKey, key, sorted_by};
use crate::shape::{Shaped, row};
use crate::table::{Column, Table, each, id, session, text};
use domain::call::Session;
use domain::json::{AgentText, SupervisorText, Text};
use domain::{Call, CallId, Event, Rule, Timestamp, barge_in_allowed, monitoring_allowed};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What supervisors do on the calls that go on, and what they may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Monitoring;

row! {
    /// Where a supervisor may listen, and if not, by which rule.
    pub struct MonitoredCall<'a> as "MonitoredCall" {
        pub call: Text<&'a CallId>,
        pub may_start: bool,
        pub rule: Option<Text<Rule>>,
        pub sessions: Vec<MonitoredSession<'a>>,
    }
    beside {
        /// What rows are sorted by.
        answered_at: Timestamp,
    }
}

row! {
    /// A supervisor's session, and whether it may begin to speak.
    pub struct MonitoredSession<'a> as "MonitoredSession" {
        pub supervisor: SupervisorText<'a>,
        pub agent: AgentText<'a>,
        pub mode: &'static str,
        pub since: Text<Timestamp>,
        pub may_barge_in: bool,
        pub rule: Option<Text<Rule>>,
    }
}

const MAY_START: Parameter = Parameter::new(
    "may_start",
    Values::Flag,
    "Only where monitoring may, or may not, be started",
);

impl LiveModel for Monitoring {
    type Row<'a> = MonitoredCall<'a>;

    const DESCRIPTION: Description = Description {
        name: Self::NAME,
        title: "MONITORING",
        paths: paths!("monitoring"),
        changes_path: "/v1/monitoring/changes",
        list: Operation {
            id: "listMonitoring",
            summary: "Where supervisors listen and speak, and where they may",
            about: "The longest-running calls first.",
            parameters: &[Parameter::CALL, Parameter::SUPERVISOR, MAY_START],
        },
        changes: Operation {
            id: "followMonitoring",
            summary: "Follow where supervisors listen and speak",
            about: "",
            parameters: &[Parameter::CALL, Parameter::SUPERVISOR, MAY_START],
        },
        schema: "Monitoring",
        rows: &[RowKind {
            shape: MonitoredCall::SHAPE,
            sorts: MonitoredCall::SORTS,
            table: TABLE,
        }],
        parts: &[MonitoredSession::SHAPE],
        about_sort: "By which column; without it by answered_at, which rows do not show",
        command: ShowCommand {
            about: "Which calls a supervisor may listen to, and who does",
            examples: None,
            options: &[],
            demo: &[],
        },
    };

    const HAS_A_ROW_PER_LIVE_CALL: bool = true;

    fn rows<'a>(calls: impl Iterator<Item = KeptCall<'a, Self>>) -> Vec<MonitoredCall<'a>> {
        let calls = going_on(calls).into_iter();
        calls
            .map(|(id, call)| MonitoredCall::new(id, call))
            .collect()
    }
}

const TABLE: Table = Table {
    none: "no call goes on",
    columns: &[
        Column::text("CALL", |row, _| vec![text(&row["call"])]),
        Column::text("MAY START", |row, _| {
            vec![may(&row["may_start"], &row["rule"])]
        }),
        Column::list("SESSIONS", |row, as_of| {
            let sessions = each(&row["sessions"]);
            sessions.map(|one| monitored(as_of, one)).collect()
        }),
    ],
};

fn monitored(as_of: Timestamp, one: &Value) -> String {
    format!(
        "{}; may barge in: {}",
        session(&id(&one["supervisor"]), one, as_of),
        may(&one["may_barge_in"], &one["rule"])
    )
}

fn may(may: &Value, rule: &Value) -> String {
    match rule.as_str() {
        _ if *may == true => "yes".to_owned(),
        Some(rule) => format!("no ({rule})"),
        None => "no".to_owned(),
    }
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

impl Row for MonitoredCall<'_> {
    const LIST: &'static str = Monitoring::NAME;

    sorted_by!(answered_at, call, may_start, rule);

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Followed for MonitoredCall<'_> {
    fn facets(&self) -> Facets {
        let sessions = self.sessions.iter();
        Facets {
            supervisors: sessions
                .map(|session| session.supervisor.0.clone())
                .collect(),
            may_start: Some(self.may_start),
            ..Facets::of(self.call, None)
        }
    }

    fn place(&self) -> Place<'_> {
        (self.answered_at, self.call.0, None)
    }
}
