//! What is written: calls of 30 events, each as long as a conference with a consult, a supervisor and wrap-up makes
//! them. They are numbered, and equal numbers make equal calls.

use domain::command::HoldScope;
use domain::envelope::{Digest, Hash, PersonalPart};
use domain::event::{ConsultEnd, EndCause, LeaveReason, MonitoringEnd, Personal};
use domain::{
    Actor, AgentId, Batch, CallId, Cause, CommandId, Event, Head, KeyId, Party, RecordedEvent,
    SupervisorId, Target, Timestamp, stored,
};
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use uuid::Uuid;

/// How many events each call has; the last one completes it.
pub(crate) const EVENTS_OF_CALL: u64 = 30;

/// When the first call begins: 2 March 2026.
const BEGINNING_MS: u64 = 1_772_409_600_000;

/// The call's name.
pub(crate) fn id_of(number: u64) -> CallId {
    parsed(&format!("1772409600.{number}"))
}

/// The call, cut into commands of so many events.
pub(crate) fn commands_of(number: u64, events_of_command: usize) -> Vec<Batch> {
    let events = events_of(number);
    let mut head = Head::NONE;
    let commands = events.chunks(events_of_command).map(|events| {
        let batch = batch_after(head, number, events);
        head = batch.head();
        batch
    });
    commands.collect()
}

fn batch_after(expected: Head, number: u64, events: &[Event]) -> Batch {
    let cause = Arc::new(cause_after(expected, number));
    let (mut head, mut recorded) = (expected, Vec::with_capacity(events.len()));
    for (event, index) in events.iter().zip(0..) {
        let event = recorded_after(head, &cause, index, event.clone(), number);
        head = event.head();
        recorded.push(event);
    }
    Batch::new(expected, recorded).expect("they are numbered here")
}

fn cause_after(head: Head, number: u64) -> Cause {
    let random = Random(number << 8 | head.revision.0);
    let at = BEGINNING_MS + number * 40 + head.revision.0 * 7_000;
    let at = Timestamp::from_millis(at).expect("a year of this millennium");
    let asked = head != Head::NONE;
    Cause {
        call: id_of(number),
        command: CommandId(random.uuid()),
        digest: Digest(random.bytes()),
        at,
        reported_at: None,
        recorded_at: at.plus_millis(3),
        correlation: asked.then(|| parsed("synthetic-day-1")),
        actor: asked.then(|| Actor::from(Party::from(agent(number)))),
    }
}

fn recorded_after(
    head: Head,
    cause: &Arc<Cause>,
    index: u32,
    event: Event,
    number: u64,
) -> RecordedEvent {
    let personal = personal_text(&event).map(|text| PersonalPart {
        key: KeyId(Random(number).uuid()),
        salt: Random(number ^ head.revision.0 << 32).bytes(),
        text: text.into(),
    });
    let payload = stored::encode(&event, personal.as_ref());
    let mut recorded = RecordedEvent {
        cause: Arc::clone(cause),
        index,
        revision: head.revision.plus(1),
        event,
        payload,
        personal,
        hash: Hash([0; 32]),
    };
    recorded.hash = recorded.hash_after(head.hash);
    recorded
}

fn personal_text(event: &Event) -> Option<&str> {
    match event {
        Event::CallConnected { customer, .. } => Some(customer.as_ref()?.clear()?.as_str()),
        Event::WrapUpSuggested { note, .. } => Some(note.as_ref()?.clear()?.as_str()),
        _ => None,
    }
}

/// A conference as the rules let it go: a consult merged, another unanswered, the first agent leaves, the customer
/// hangs up, and two agents settle their wrap-up.
fn events_of(number: u64) -> Vec<Event> {
    let (ana, ben, lead) = (agent(number), agent(number + 7), supervisor(number));
    let consulted = Target::Agent(ben.clone());
    let expert = Target::Dial(parsed("+442079460123"));
    let reason = || parsed("billing-question");
    let events = vec![
        Event::CallConnected {
            agent: ana.clone(),
            customer: Some(Personal::Clear(parsed(&customer(number)))),
            queue: Some(parsed("billing-en")),
        },
        held(Party::Customer, &ana),
        released(Party::Customer),
        Event::MonitoringStarted {
            supervisor: lead.clone(),
            agent: ana.clone(),
        },
        requested(&ana, &consulted),
        held(Party::Customer, &ana),
        Event::ConsultStarted {
            by: ana.clone(),
            target: consulted.clone(),
        },
        consult_ended(&ana, &consulted, ConsultEnd::Merged),
        released(Party::Customer),
        Event::PartyJoined { party: consulted },
        Event::ConferenceStarted {
            primary: ana.clone(),
        },
        requested(&ana, &expert),
        held(Party::Customer, &ana),
        held(Party::Agent(ben.clone()), &ana),
        consult_ended(&ana, &expert, ConsultEnd::NotAnswered),
        released(Party::Agent(ben.clone())),
        released(Party::Customer),
        Event::SupervisorBargedIn {
            supervisor: lead.clone(),
        },
        left(Party::Agent(ana.clone()), LeaveReason::Exited),
        Event::MonitoringMoved {
            supervisor: lead.clone(),
            from: ana.clone(),
            to: ben.clone(),
        },
        Event::ControlTransferred {
            from: ana.clone(),
            to: ben.clone(),
        },
        Event::ConferenceDissolved,
        Event::WrapUpOwed { agent: ana.clone() },
        Event::WrapUpApplied {
            agent: ana,
            reason: reason(),
        },
        left(Party::Customer, LeaveReason::HungUp),
        Event::MonitoringEnded {
            supervisor: lead,
            cause: MonitoringEnd::CallEnded,
        },
        Event::CallEnded {
            cause: EndCause::OnePartyLeft,
        },
        Event::WrapUpOwed { agent: ben.clone() },
        Event::WrapUpApplied {
            agent: ben,
            reason: reason(),
        },
        Event::CallCompleted,
    ];
    debug_assert_eq!(events.len() as u64, EVENTS_OF_CALL);
    events
}

fn held(party: Party, by: &AgentId) -> Event {
    let by = by.clone();
    Event::PartyHeld { party, by }
}

fn released(party: Party) -> Event {
    Event::PartyReleased { party }
}

fn left(party: Party, reason: LeaveReason) -> Event {
    Event::PartyLeft { party, reason }
}

fn requested(by: &AgentId, target: &Target) -> Event {
    Event::ConsultRequested {
        by: by.clone(),
        target: target.clone(),
        hold: HoldScope::Others,
    }
}

fn consult_ended(by: &AgentId, target: &Target, cause: ConsultEnd) -> Event {
    Event::ConsultEnded {
        by: by.clone(),
        target: target.clone(),
        cause,
    }
}

fn agent(number: u64) -> AgentId {
    parsed(&format!("sim-agent-{}", number % 800))
}

fn supervisor(number: u64) -> SupervisorId {
    parsed(&format!("sim-lead-{}", number % 40))
}

/// A number that North America reserves for fiction.
fn customer(number: u64) -> String {
    format!("+1{:03}55501{:02}", 200 + number % 700, number % 100)
}

fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("it is written as it must be")
}

/// Numbers that look random and are the same each time.
#[derive(Clone, Copy)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Mixes by multiplying and shifting, so that neighbouring seeds have nothing in common.
    pub(crate) fn number(self, index: u64) -> u64 {
        let mut x = self.0.wrapping_mul(0xA24B_AED4_963E_E407) ^ index.wrapping_add(1);
        for _ in 0..3 {
            x = (x ^ x >> 31).wrapping_mul(0x9FB2_1C65_1E98_DF25);
        }
        x ^ x >> 29
    }

    fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (index, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.number(index).to_be_bytes());
        }
        bytes
    }

    fn uuid(self) -> Uuid {
        let number = u128::from(self.number(8)) << 64 | u128::from(self.number(9));
        uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::handle::rebuild;
    use domain::{Position, StoredEvent};

    #[test]
    fn a_call_verifies_however_it_is_cut_and_its_last_event_completes_it() {
        for events_of_command in [1, 3, 30] {
            let commands = commands_of(7, events_of_command);
            let recorded = commands.into_iter().flat_map(Batch::into_events);
            let stored: Vec<_> = (1..)
                .map(Position)
                .zip(recorded)
                .map(|(position, recorded)| StoredEvent { position, recorded })
                .collect();
            let (call, head) = rebuild(&stored).expect("its chain holds");
            assert_eq!(head.revision.0, EVENTS_OF_CALL);
            assert!(call.completed_at().is_some());
            assert_eq!(call.open_wrap_ups().count(), 0);
        }
    }
}
