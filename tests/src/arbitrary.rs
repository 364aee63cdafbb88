//! Random calls for property tests: a small cast, so that collisions are frequent, and moves that mostly make sense, so
//! that full calls, Wrap-up Assist and rejoining come up. Some moves are strays, which the rules must refuse.

use crate::scenario::{
    ANA, BEN, COURIER, CUSTOMER, DAN, EVA, EXPERT, FAY, GUS, HAL, IDA, SAM, SUE, Who, start,
};
use domain::call::{Call, ConsultState, Seat};
use domain::command::{CommandType, HoldScope, Origin};
use domain::json::parse_command;
use domain::table::{Field, Presence, ValueType};
use domain::{Actor, Command, Party, Target, Timestamp, clamped, decide, evolve};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Value, json};

/// Who can be consulted.
const OUTSIDERS: [Who; 12] = [
    ANA,
    BEN,
    DAN,
    EVA,
    EXPERT,
    FAY,
    GUS,
    HAL,
    COURIER,
    IDA,
    SAM_AS_AGENT,
    SWITCHBOARD,
];
/// An agent with a supervisor's name (R60).
const SAM_AS_AGENT: Who = Who("agent:sam");
/// One dial number more than the stories need.
const SWITCHBOARD: Who = Who("dial:100");
const EVERYBODY: [Who; 15] = [
    ANA,
    CUSTOMER,
    BEN,
    DAN,
    EVA,
    EXPERT,
    FAY,
    GUS,
    HAL,
    COURIER,
    IDA,
    SAM_AS_AGENT,
    SWITCHBOARD,
    SAM,
    SUE,
];

/// A command and when it is said to have happened, which may be before the one it follows (R62).
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is asked.
    pub command: Command,
    /// When.
    pub at: Timestamp,
}

/// What is asked of one call, accepted or not: calls that grow, calls whose parties leave often, calls of experts.
pub fn what_is_asked_of_a_call() -> impl Strategy<Value = Vec<Asked>> {
    let growing = vec(a_move(1, 1), 1..80);
    let leaving = vec(a_move(4, 1), 1..60);
    let experts = vec(a_move(2, 80), 1..40);
    prop_oneof![growing, leaving, experts].prop_map(|moves| asked(&moves))
}

/// Every command that anybody of the cast can give, whether or not it makes sense: each type, with
/// each value of each field beside each of the others.
pub fn everything_anybody_can_ask() -> Vec<Command> {
    let mut commands = Vec::new();
    for kind in CommandType::ALL {
        let mut lines = vec![json!({"call": "c1", "type": kind.name()})];
        for field in kind.fields() {
            lines = lines
                .iter()
                .flat_map(|line| each_value(line, field))
                .collect();
        }
        commands.extend(lines.iter().map(command_of));
    }
    commands
}

fn each_value(line: &Value, field: &Field) -> Vec<Value> {
    let with = |text: &String| {
        let mut line = line.clone();
        line[field.name] = text.as_str().into();
        line
    };
    let absent = (field.presence == Presence::Optional).then(|| line.clone());
    let texts = texts(field.value_type);
    absent.into_iter().chain(texts.iter().map(with)).collect()
}

fn texts(value_type: ValueType) -> Vec<String> {
    let everybody = EVERYBODY.map(Who::actor);
    match value_type {
        ValueType::Actor => everybody.iter().map(ToString::to_string).collect(),
        ValueType::Party => {
            let parties = EVERYBODY.into_iter().filter_map(party);
            parties.map(|party| party.to_string()).collect()
        }
        ValueType::Target => OUTSIDERS.map(|who| who.target().to_string()).into(),
        ValueType::GivenReason => ["billing", "\u{3000}"].map(str::to_owned).into(),
        ValueType::Note => vec!["from a colleague".to_owned()],
        ValueType::CustomerNumber => vec!["+15550100".to_owned()],
        ValueType::Queue => vec!["sales".to_owned()],
        ValueType::Choice(names) => names.iter().map(|name| (*name).to_owned()).collect(),
        ValueType::Agent | ValueType::Supervisor | ValueType::Reason => {
            panic!("no command has a field of {value_type:?}")
        }
    }
}

fn command_of(line: &Value) -> Command {
    let request = parse_command(&line.to_string());
    request.expect("the values are valid").command
}

fn party(who: Who) -> Option<Party> {
    match who.actor() {
        Actor::Party(party) => Some(party),
        Actor::Supervisor(_) => None,
    }
}

fn apply(by: Actor, reason: &str) -> Command {
    let reason = reason.parse().expect("short enough");
    Command::ApplyWrapUp { by, reason }
}

fn suggest(by: Actor, reason: &str) -> Command {
    Command::SuggestWrapUp {
        by,
        reason: reason.parse().expect("short enough"),
        note: Some("from a colleague".parse().expect("short enough")),
    }
}

/// What somebody tries; who, and with whom, is found in the call as it then is.
#[derive(Debug, Clone, Copy)]
enum What {
    Advance,
    Consult,
    Accept,
    Decline,
    Unanswered,
    EndConsult,
    Merge,
    Hold,
    Resume,
    Transfer,
    Exit,
    End,
    PressEnd,
    HangUp,
    CustomerHangsUp,
    LoseConnection,
    Apply,
    Suggest,
    StartMonitoring,
    BargeIn,
    StopMonitoring,
    Connect,
}

/// Who is rather consulted, of those who are outside.
#[derive(Debug, Clone, Copy)]
enum Preferred {
    Nobody,
    WhoLeft,
    DialNumbers,
}

#[derive(Debug, Clone)]
struct Move {
    what: What,
    /// Chooses among those who could.
    by: usize,
    /// Chooses among those it could be about.
    about: usize,
    /// Anybody does it to anybody.
    stray: bool,
    /// The less usual of two forms.
    unusual: bool,
    preferred: Preferred,
    pause_ms: i32,
}

fn a_move(leaving: u32, experts: u32) -> impl Strategy<Value = Move> {
    let whos = (0_usize..1000, 0_usize..1000);
    let forms = (prop::bool::weighted(0.1), prop::bool::weighted(0.2));
    let preferred = prop_oneof![
        4 => Just(Preferred::Nobody),
        5 => Just(Preferred::WhoLeft),
        experts => Just(Preferred::DialNumbers),
    ];
    let pause_ms = prop_oneof![1 => Just(0), 8 => 1..90_000, 1 => -60_000..0];
    (what(leaving), whos, forms, preferred, pause_ms).prop_map(
        |(what, (by, about), (stray, unusual), preferred, pause_ms)| Move {
            what,
            by,
            about,
            stray,
            unusual,
            preferred,
            pause_ms,
        },
    )
}

/// `leaving` weighs what makes a call smaller against what makes it grow.
fn what(leaving: u32) -> Union<Just<What>> {
    let weighted = [
        (40, What::Advance),
        (3, What::Consult),
        (2, What::Accept),
        (2, What::Decline),
        (1, What::Unanswered),
        (3, What::EndConsult),
        (2, What::Merge),
        (4, What::Hold),
        (4, What::Resume),
        (leaving, What::Transfer),
        (2 * leaving, What::Exit),
        (leaving, What::PressEnd),
        (2 * leaving, What::HangUp),
        (leaving, What::CustomerHangsUp),
        (leaving, What::LoseConnection),
        (1, What::End),
        (8, What::Apply),
        (3, What::Suggest),
        (4, What::StartMonitoring),
        (2, What::BargeIn),
        (1, What::StopMonitoring),
        (1, What::Connect),
    ];
    Union::new_weighted(weighted.map(|(weight, what)| (weight, Just(what))).to_vec())
}

fn asked(moves: &[Move]) -> Vec<Asked> {
    let mut call = Call::default();
    let mut now = start();
    let mut asked = Vec::new();
    for a_move in moves {
        let ms = u64::from(a_move.pause_ms.unsigned_abs());
        now = if a_move.pause_ms < 0 {
            now.minus_millis(ms)
        } else {
            now.plus_millis(ms)
        };
        let command = a_move.command(&call);
        if let Ok(events) = decide(&call, &command) {
            let at = clamped(&call, now);
            let fold = |call, event| evolve(call, event, at);
            call = events.iter().fold(call, fold);
        }
        asked.push(Asked { command, at: now });
    }
    asked
}

impl Move {
    fn command(&self, call: &Call) -> Command {
        if call.phase().is_none() && !self.stray {
            return self.connect();
        }
        let agent = || self.agent(call);
        match self.what {
            What::Advance => self.advance(call),
            What::Consult => self.start_consult(call),
            What::Accept => Command::AcceptConsult {
                by: self.consulted(call),
            },
            What::Decline => Command::DeclineConsult {
                by: self.consulted(call),
            },
            What::Unanswered => Command::ConsultUnanswered,
            What::EndConsult => Command::EndConsult {
                by: self.end_of_consult(call),
            },
            What::Merge => self.merge(call),
            What::Hold => Command::Hold {
                by: self.holder(call),
                party: self.seated(call, |seat| seat.hold.is_none()),
            },
            What::Resume => Command::Resume {
                by: self.holder(call),
                party: self.seated(call, |seat| seat.hold.is_some()),
            },
            What::Transfer => Command::TransferCall { by: agent() },
            What::Exit => Command::ExitConference { by: agent() },
            What::End => Command::EndCall { by: agent() },
            What::PressEnd => Command::PressEnd { by: agent() },
            What::HangUp => Command::HangUp {
                party: self.connected(call),
            },
            What::CustomerHangsUp => Command::HangUp {
                party: Party::Customer,
            },
            What::LoseConnection => Command::LoseConnection {
                party: self.connected(call),
            },
            What::Apply => apply(self.owing(call), self.reason()),
            What::Suggest => suggest(agent(), self.reason()),
            What::StartMonitoring => Command::StartMonitoring {
                by: self.supervisor(),
                agent: self.seated(call, |seat| seat.party.agent().is_some()),
            },
            What::BargeIn => Command::BargeIn {
                by: self.supervisor(),
            },
            What::StopMonitoring => Command::StopMonitoring {
                by: self.supervisor(),
            },
            What::Connect => self.connect(),
        }
    }

    fn connect(&self) -> Command {
        let agents = [ANA, ANA, BEN, EXPERT];
        Command::ConnectCall {
            agent: pick(&agents, self.by).party(),
            customer: self
                .unusual
                .then(|| "+81 3 1234".parse().expect("short enough")),
            queue: self
                .unusual
                .then(|| "billing".parse().expect("short enough")),
        }
    }

    /// One step further towards a bigger conference.
    fn advance(&self, call: &Call) -> Command {
        match call.consult().map(|consult| consult.state) {
            None => self.start_consult(call),
            Some(ConsultState::Ringing) => Command::AcceptConsult {
                by: self.consulted(call),
            },
            Some(ConsultState::Answered) => self.merge(call),
        }
    }

    fn start_consult(&self, call: &Call) -> Command {
        let targets = self.targets(call);
        Command::StartConsult {
            by: self.agent(call),
            target: pick(&targets, self.about),
            hold: if self.unusual {
                HoldScope::None
            } else {
                HoldScope::Others
            },
        }
    }

    /// Mostly those outside the call; of them those who are preferred, if there are any.
    fn targets(&self, call: &Call) -> Vec<Target> {
        let mut targets = OUTSIDERS.map(Who::target).to_vec();
        if !self.stray {
            narrow(&mut targets, |target| !call.has(&target.to_party()));
        }
        match self.preferred {
            Preferred::Nobody => {}
            Preferred::WhoLeft => narrow(&mut targets, |target| call.had(&target.to_party())),
            Preferred::DialNumbers => narrow(&mut targets, |target| target.agent().is_none()),
        }
        targets
    }

    fn merge(&self, call: &Call) -> Command {
        Command::StartConference {
            by: self.initiator(call),
            origin: if self.stray {
                Origin::Device
            } else {
                Origin::Desktop
            },
        }
    }

    fn supervisor(&self) -> Actor {
        if self.stray {
            anybody(self.by)
        } else {
            pick(&[SAM, SUE], self.by).actor()
        }
    }

    /// Mostly the primary, who may hold and resume.
    fn holder(&self, call: &Call) -> Actor {
        match call.primary() {
            Some(primary) if !self.unusual => Actor::Party(primary.clone().into()),
            Some(_) | None => self.agent(call),
        }
    }

    /// Mostly an agent in the call.
    fn agent(&self, call: &Call) -> Actor {
        match agents(call).as_slice() {
            [] => anybody(self.by),
            _ if self.stray => anybody(self.by),
            agents => Actor::Party(pick(agents, self.by)),
        }
    }

    fn consulted(&self, call: &Call) -> Actor {
        match call.consult() {
            Some(consult) if !self.stray => Actor::Party(consult.target.to_party()),
            Some(_) | None => anybody(self.by),
        }
    }

    fn end_of_consult(&self, call: &Call) -> Actor {
        if self.unusual {
            self.consulted(call)
        } else {
            self.initiator(call)
        }
    }

    fn initiator(&self, call: &Call) -> Actor {
        match call.consult() {
            Some(consult) if !self.stray => Actor::Party(consult.by.clone().into()),
            Some(_) | None => self.agent(call),
        }
    }

    fn owing(&self, call: &Call) -> Actor {
        let owing: Vec<_> = call.open_wrap_ups().collect();
        match owing.as_slice() {
            [] => self.agent(call),
            _ if self.stray => self.agent(call),
            owing => Actor::Party(pick(owing, self.by).agent.clone().into()),
        }
    }

    /// Mostly somebody whose device can go on hook.
    fn connected(&self, call: &Call) -> Party {
        let seats = call.seats().iter().map(|seat| seat.party.clone());
        let leg = call.consult().map(|consult| consult.target.to_party());
        self.one_of(seats.chain(leg).collect())
    }

    fn seated(&self, call: &Call, fits: impl Fn(&Seat) -> bool) -> Party {
        let fitting = call.seats().iter().filter(|seat| fits(seat));
        self.one_of(fitting.map(|seat| seat.party.clone()).collect())
    }

    fn one_of(&self, mut parties: Vec<Party>) -> Party {
        if self.stray || parties.is_empty() {
            parties = EVERYBODY.into_iter().filter_map(party).collect();
        }
        pick(&parties, self.about)
    }

    fn reason(&self) -> &'static str {
        if self.stray { " " } else { "billing" }
    }
}

/// Keeps those that fit, or all if none does.
fn narrow(targets: &mut Vec<Target>, fits: impl Fn(&Target) -> bool) {
    if targets.iter().any(&fits) {
        targets.retain(fits);
    }
}

fn agents(call: &Call) -> Vec<Party> {
    let seats = call.seats().iter().map(|seat| seat.party.clone());
    seats.filter(|party| party.agent().is_some()).collect()
}

fn anybody(choice: usize) -> Actor {
    pick(&EVERYBODY, choice).actor()
}

fn pick<T: Clone>(among: &[T], choice: usize) -> T {
    among[choice % among.len()].clone()
}
