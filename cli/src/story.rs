//! A call told in sentences: who did what, what followed, by which rule.

use domain::call::Call;
use domain::command::HoldScope;
use domain::event::{ConsultEnd, EndCause, Event, LeaveReason, MonitoringEnd, Personal};
use domain::{Party, Revision, Rule, StoredEvent, Target, Timestamp};
use std::fmt::{Display, Write};

/// The events as a story: for each command when, who, and what followed by which rule. Told are the first `shown`; the
/// rules are those of whole commands, however few of their events are told.
pub fn told(events: &[StoredEvent], shown: usize) -> String {
    let mut story = String::new();
    let Some(first) = events.first() else {
        return story;
    };
    // Only from its beginning can be told how long after it something happened.
    let from_the_beginning = first.recorded.revision == Revision(1);
    let started = from_the_beginning.then_some(first.recorded.cause.at);
    let mut day = day(first.recorded.cause.at);
    let mut left = shown;
    for deed in deeds(events) {
        if left == 0 {
            break;
        }
        let at = deed[0].recorded.cause.at;
        if self::day(at) != day {
            day = self::day(at);
            let _ = writeln!(story, "{day}");
        }
        tell(&mut story, deed, left, started);
        left = left.saturating_sub(deed.len());
    }
    story
}

/// The rules by which the events followed, one for each.
pub fn rules(events: &[StoredEvent]) -> Vec<Rule> {
    let rules = deeds(events).flat_map(|deed| {
        let batch = batch(deed);
        let rules: Vec<_> = batch.iter().map(|event| event.rule(&batch)).collect();
        rules
    });
    rules.collect()
}

/// The events of each command.
fn deeds(events: &[StoredEvent]) -> impl Iterator<Item = &[StoredEvent]> {
    events.chunk_by(|a, b| a.recorded.cause.command == b.recorded.cause.command)
}

fn batch(deed: &[StoredEvent]) -> Vec<Event> {
    let events = deed.iter().map(|stored| stored.recorded.event.clone());
    events.collect()
}

fn tell(story: &mut String, deed: &[StoredEvent], shown: usize, started: Option<Timestamp>) {
    let cause = &deed[0].recorded.cause;
    let who = cause.actor.as_ref();
    let who = who.map_or("the telephone system".to_owned(), ToString::to_string);
    let offset = started.map(|started| offset(cause.at.millis_since(started)));
    let (time, offset) = (clock(cause.at), offset.unwrap_or_default());
    let _ = write!(story, "{time}  {offset:>9}  {who}");
    if let Some(reported_at) = cause.reported_at {
        let _ = write!(
            story,
            "  (reported for {reported_at}; time never runs backwards: R62)"
        );
    }
    story.push('\n');
    let batch = batch(deed);
    for event in batch.iter().take(shown) {
        let rule = event.rule(&batch);
        let _ = writeln!(story, "{:>25}{}  [{rule}]", "", sentence(event));
    }
}

fn day(at: Timestamp) -> String {
    at.to_string()[..10].to_owned()
}

/// The time of day; the date stands above the story, and again where it changes.
fn clock(at: Timestamp) -> String {
    at.to_string()[11..23].to_owned()
}

/// How long after the call was answered: +1:02:03, after days +3d 01:02:03.
fn offset(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("+{minutes}:{seconds:02}"),
        (0, hours) => format!("+{hours}:{minutes:02}:{seconds:02}"),
        (days, hours) => format!("+{days}d {hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn sentence(event: &Event) -> String {
    match event {
        Event::CallConnected {
            agent,
            customer,
            queue,
        } => {
            let number = personal(customer.as_ref(), |number| format!(" ({number})"));
            let queue = queue.as_ref();
            let queue = queue.map_or(String::new(), |queue| {
                format!(" from queue {}", plain(queue.as_str()))
            });
            format!("agent:{agent} answers the customer{number}{queue} and is primary")
        }
        Event::ConsultRequested { by, target, hold } => format!(
            "agent:{by} consults {target}{}; it rings",
            match hold {
                HoldScope::Others => "",
                HoldScope::None => ", letting the others talk on",
            }
        ),
        Event::ConsultStarted { by, target } => {
            format!("{target} answers; agent:{by} and they talk privately")
        }
        Event::ConsultEnded { by, target, cause } => consult_ended(by.as_str(), target, *cause),
        Event::PartyJoined { party } => format!("{party} joins the call"),
        Event::ConferenceStarted { primary } => {
            format!("it is a conference now; agent:{primary} is its primary agent")
        }
        Event::PartyHeld { party, by } => format!("{} is held by agent:{by}", name(party)),
        Event::PartyReleased { party } => format!("{} hears the call again", name(party)),
        Event::PartyLeft { party, reason } => left(party, *reason),
        Event::ControlTransferred { from, to } => {
            format!("agent:{to} takes control over from agent:{from}")
        }
        Event::ControlVacated { from } => {
            format!("nobody controls the call after agent:{from}; no agent remains")
        }
        Event::ConferenceDissolved => "it is an ordinary two-party call again".to_owned(),
        Event::WrapUpAssistEntered => "Wrap-up Assist begins: the others may talk on".to_owned(),
        Event::CallEnded { cause } => ended(*cause).to_owned(),
        Event::CallCompleted => "the call is completed: nothing is owed any more".to_owned(),
        Event::WrapUpOwed { agent } => format!("agent:{agent} owes wrap-up"),
        Event::WrapUpApplied { agent, reason } => {
            format!(
                "agent:{agent} settles the wrap-up with \"{}\"",
                plain(reason.as_str())
            )
        }
        Event::WrapUpSuggested { by, reason, note } => {
            let reason = plain(reason.as_str());
            let note = personal(note.as_ref(), |note| format!(", noting \"{note}\""));
            format!("agent:{by} suggests \"{reason}\" as reason{note}")
        }
        Event::MonitoringStarted { supervisor, agent } => {
            format!("supervisor:{supervisor} listens through agent:{agent}")
        }
        Event::SupervisorBargedIn { supervisor } => format!("supervisor:{supervisor} speaks too"),
        Event::MonitoringMoved {
            supervisor,
            from,
            to,
        } => format!("supervisor:{supervisor} listens through agent:{to} instead of agent:{from}"),
        Event::MonitoringEnded { supervisor, cause } => format!(
            "supervisor:{supervisor} listens no longer: {}",
            match cause {
                MonitoringEnd::Requested => "they stopped",
                MonitoringEnd::NoAgentLeft => "no agent is left",
                MonitoringEnd::CallEnded => "the call has ended",
            }
        ),
    }
}

/// A text within a sentence: one line, and nothing in it can steer a terminal.
fn plain(text: &str) -> String {
    crate::output::plain(&text.replace('\n', " "))
}

/// A personal text within a sentence; nothing if there never was one.
fn personal<T: Display>(text: Option<&Personal<T>>, told: impl Fn(&str) -> String) -> String {
    match text {
        Some(Personal::Clear(text)) => told(&plain(&text.to_string())),
        Some(Personal::Erased) => told("erased"),
        None => String::new(),
    }
}

fn consult_ended(by: &str, target: &Target, cause: ConsultEnd) -> String {
    match cause {
        ConsultEnd::Ended => format!("the consult of agent:{by} with {target} is over"),
        ConsultEnd::Declined => format!("{target} declines the consult of agent:{by}"),
        ConsultEnd::NotAnswered => format!("{target} does not answer the consult of agent:{by}"),
        ConsultEnd::Cancelled => format!("the consult of agent:{by} stops ringing {target}"),
        ConsultEnd::Merged => format!("agent:{by} merges the consult with {target} into the call"),
        ConsultEnd::Transferred => format!("agent:{by} transfers the call to {target}"),
    }
}

fn left(party: &Party, reason: LeaveReason) -> String {
    let who = name(party);
    match reason {
        LeaveReason::Exited => format!("{who} exits"),
        LeaveReason::HungUp => format!("{who} hangs up"),
        LeaveReason::ConnectionLost => format!("{who} loses the connection"),
        LeaveReason::Transferred => format!("{who} leaves by the transfer"),
        LeaveReason::CallEnded => format!("{who} leaves with the end of the call"),
    }
}

fn ended(cause: EndCause) -> &'static str {
    match cause {
        EndCause::OnePartyLeft => "the call ends: at most one party is left",
        EndCause::CustomerAndAgentsLeft => "the call ends: the customer and every agent have left",
        EndCause::EndedByPrimary => "the call ends for everybody: the primary ended it",
    }
}

fn name(party: &Party) -> String {
    match party {
        Party::Customer => "the customer".to_owned(),
        Party::Agent(_) | Party::Dial(_) => party.to_string(),
    }
}

/// Where a call stands, in a few lines.
pub fn state(call: &Call) -> String {
    let mut text = String::new();
    let phase = call.phase().map_or("unopened", domain::call::Phase::name);
    let _ = writeln!(text, "phase    {phase} since {}", call.phase_since());
    if let Some(primary) = call.primary() {
        let _ = writeln!(text, "primary  agent:{primary}");
    }
    for seat in call.seats() {
        let hold = seat.hold.as_ref();
        let hold = hold.map_or(String::new(), |hold| format!(", held by agent:{}", hold.by));
        let _ = writeln!(
            text,
            "party    {} since {}{hold}",
            seat.party, seat.joined_at
        );
    }
    if let Some(consult) = call.consult() {
        let _ = writeln!(
            text,
            "consult  agent:{} with {}, {} since {}",
            consult.by,
            consult.target,
            consult.state.name(),
            consult.since
        );
    }
    for session in call.sessions() {
        let _ = writeln!(
            text,
            "listens  supervisor:{} through agent:{}, {} since {}",
            session.supervisor,
            session.agent,
            session.mode.name(),
            session.since
        );
    }
    for wrap_up in call.wrap_ups() {
        let _ = writeln!(text, "wrap-up  {}", wrap_up_line(wrap_up));
    }
    if let (Some(ended), Some(cause)) = (call.ended_at(), call.end_cause()) {
        let _ = writeln!(text, "ended    {ended}, {}", cause.name());
    }
    if let Some(completed) = call.completed_at() {
        let _ = writeln!(text, "complete {completed}");
    }
    text
}

fn wrap_up_line(wrap_up: &domain::call::WrapUp) -> String {
    match &wrap_up.state {
        domain::call::WrapUpState::Owed => {
            format!("agent:{} owes since {}", wrap_up.agent, wrap_up.since)
        }
        domain::call::WrapUpState::Applied { reason, at } => format!(
            "agent:{} settled at {at} with \"{}\"",
            wrap_up.agent,
            plain(reason.as_str())
        ),
    }
}
