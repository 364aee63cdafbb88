//! `active-calls`: which calls go on, in what phase, and with whom.

use crate::description::{
    Description, Operation, Parameter, RowKind, ShowCommand, ShowOption, Values, paths,
};
use crate::live::{KeptCall, LiveModel, going_on};
use crate::read_model::Projection;
use crate::row::{Cell, Facets, Followed, Place, Row, RowKey, key, sorted_by};
use crate::shape::{Shaped, row};
use crate::table::{CALL_AND_QUEUE, Column, Table, age, each, id, session, text};
use domain::json::{AgentText, ConsultJson, SeatJson, SessionJson, Text};
use domain::{Call, CallId, Event, Queue, Revision, Timestamp, call::Phase};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The calls that go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveCalls;

row! {
    /// A call that goes on.
    pub struct ActiveCall<'a> as "ActiveCall" {
        pub call: Text<&'a CallId>,
        pub revision: u64 as Revision,
        pub queue: Option<Text<&'a Queue>>,
        pub phase: Option<&'static str> as Option<Phase>,
        pub phase_since: Text<Timestamp>,
        pub answered_at: Text<Timestamp>,
        pub primary: Option<AgentText<'a>>,
        pub parties: Vec<SeatJson<'a>>,
        pub consult: Option<ConsultJson<'a>>,
        pub supervisors: Vec<SessionJson<'a>>,
    }
    beside {
        /// When something happened in it last, which `idle` asks for.
        last_at: Timestamp,
    }
}

impl LiveModel for ActiveCalls {
    type Row<'a> = ActiveCall<'a>;

    const DESCRIPTION: Description = Description {
        name: Self::NAME,
        title: "ACTIVE CALLS",
        paths: paths!("active-calls"),
        changes_path: "/v1/active-calls/changes",
        list: Operation {
            id: "listActiveCalls",
            summary: "The calls that go on",
            about: "The longest-running first.",
            parameters: &[
                Parameter::QUEUE,
                Parameter::AGENT,
                Parameter::PHASE,
                Parameter::new(
                    "idle",
                    Values::TimeSpan,
                    "Calls to which nothing has happened for longer than that, such as 4h: perhaps their hang-up never came",
                ),
                Parameter::CALL,
            ],
        },
        changes: Operation {
            id: "followActiveCalls",
            summary: "Follow the calls that go on",
            about: "",
            parameters: &[
                Parameter::QUEUE,
                Parameter::AGENT,
                Parameter::PHASE,
                Parameter::CALL,
            ],
        },
        schema: "ActiveCalls",
        rows: &[RowKind {
            shape: ActiveCall::SHAPE,
            sorts: ActiveCall::SORTS,
            table: TABLE,
        }],
        parts: &[],
        about_sort: "By which column; without it by answered_at",
        command: ShowCommand {
            about: "The calls that go on",
            examples: Some(
                "Example:\n  kaigi show active-calls --idle 4h    calls whose hang-up never came",
            ),
            options: &[
                ShowOption::new(
                    "idle",
                    "TIME",
                    Values::TimeSpan,
                    "Only calls in which nothing happened for so long, such as 30m or 4h",
                ),
                ShowOption::new("queue", "QUEUE", Values::Queue, "Only calls of that queue"),
            ],
            demo: &[],
        },
    };

    const HAS_A_ROW_PER_LIVE_CALL: bool = true;

    fn rows<'a>(calls: impl Iterator<Item = KeptCall<'a, Self>>) -> Vec<ActiveCall<'a>> {
        let calls = going_on(calls).into_iter();
        calls.map(|(id, call)| ActiveCall::new(id, call)).collect()
    }
}

const TABLE: Table = Table {
    none: "no call goes on",
    columns: &[
        CALL_AND_QUEUE,
        Column::text("PHASE", |row, as_of| {
            let phase = text(&row["phase"]);
            vec![format!("{phase} {}", age(as_of, &row["phase_since"]))]
        }),
        Column::list("PARTIES, CONSULT, SUPERVISORS", |row, as_of| {
            let parties = each(&row["parties"]).map(|seat| party(as_of, row, seat));
            let consult = row["consult"].as_object().map(|_| consult(&row["consult"]));
            let sessions = each(&row["supervisors"]);
            let supervisors = sessions.map(|one| session(&text(&one["supervisor"]), one, as_of));
            parties.chain(consult).chain(supervisors).collect()
        }),
    ],
};

fn party(as_of: Timestamp, row: &Value, seat: &Value) -> String {
    let party = &seat["party"];
    let primary = if party.is_string() && *party == row["primary"] {
        ", primary"
    } else {
        ""
    };
    let held = match seat["held_by"].as_str() {
        Some(_) => format!(
            ", held by {} {}",
            id(&seat["held_by"]),
            age(as_of, &seat["held_since"])
        ),
        None => String::new(),
    };
    format!("{}{primary}{held}", text(party))
}

fn consult(consult: &Value) -> String {
    format!(
        "consult: {} with {}, {}",
        id(&consult["by"]),
        text(&consult["target"]),
        text(&consult["state"])
    )
}

impl Projection for ActiveCalls {
    const NAME: &'static str = "active-calls";
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

impl<'a> ActiveCall<'a> {
    fn new(id: &'a CallId, call: &'a Call) -> Self {
        Self {
            call: Text(id),
            revision: call.revision().0,
            queue: call.queue().map(Text),
            phase: call.phase().map(Phase::name),
            phase_since: Text(call.phase_since()),
            answered_at: Text(call.answered_at()),
            primary: call.primary().map(AgentText),
            parties: call.seats().iter().map(SeatJson::from).collect(),
            consult: call.consult().map(ConsultJson::from),
            supervisors: call.sessions().iter().map(SessionJson::from).collect(),
            last_at: call.last_at(),
        }
    }
}

impl Row for ActiveCall<'_> {
    const LIST: &'static str = ActiveCalls::NAME;

    sorted_by!(
        answered_at,
        call,
        revision,
        queue,
        phase,
        phase_since,
        primary
    );

    fn key(&self) -> RowKey {
        key(self.call, Cell::Nothing)
    }
}

impl Followed for ActiveCall<'_> {
    fn facets(&self) -> Facets {
        let seated = self.parties.iter().filter_map(|seat| seat.party.0.agent());
        let consult = self.consult.iter();
        let consulted = consult.filter_map(|consult| consult.target.0.agent());
        let sessions = self.supervisors.iter();
        Facets {
            agents: seated.chain(consulted).cloned().collect(),
            supervisors: sessions
                .map(|session| session.supervisor.0.clone())
                .collect(),
            phase: self.phase,
            last_at: Some(self.last_at),
            ..Facets::of(self.call, self.queue)
        }
    }

    fn place(&self) -> Place<'_> {
        (self.answered_at.0, self.call.0, None)
    }
}
