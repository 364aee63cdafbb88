//! What holds of the read models, whatever is asked of however many calls.

use crate::oracle::Oracle;
use crate::{STORE, read, shown};
use domain::json::CallJson;
use domain::{
    Actor, Call, CallId, Command, Event, StoredEvent, decide, evolve, suggestion_recipients,
};
use projections::{
    ActiveCalls, AllFour, By, Checkpointed, HandleTimes, Monitoring, Projection, TimesFilter,
    Window, WrapUpQueue,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::arbitrary::{Asked, what_is_asked_of_a_call};
use tests::ledger::{history, interleaved};
use tests::scenario::Who;

const WINDOWS: [Window; 3] = [Window::Quarter, Window::Hour, Window::Day];
const KEYS: [By; 3] = [By::Queue, By::Agent, By::All];

/// Some calls, up to a day apart.
fn calls() -> impl Strategy<Value = Vec<Vec<StoredEvent>>> {
    let asked = (what_is_asked_of_a_call(), 0_u64..86_400_000);
    vec(asked, 1..5).prop_map(|calls| {
        let calls = (0..).zip(calls);
        calls
            .map(|(number, (asked, ms))| history(&format!("c{number}"), &later(asked, ms)))
            .collect()
    })
}

fn later(asked: Vec<Asked>, ms: u64) -> Vec<Asked> {
    let later = asked.into_iter().map(|asked| Asked {
        at: asked.at.plus_millis(ms),
        ..asked
    });
    later.collect()
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    vec(0_usize..8, 1..50)
}

/// All that can be asked of the four.
fn answers(events: &[StoredEvent]) -> Value {
    let times = read::<HandleTimes>(events);
    let times = times.state();
    let all = TimesFilter::default();
    let windows = WINDOWS.map(|window| KEYS.map(|by| times.windows(window, by, &all)));
    json!({
        "active-calls": shown(read::<ActiveCalls>(events).state().rows()),
        "wrap-up-queue": shown(read::<WrapUpQueue>(events).state().rows()),
        "monitoring": shown(read::<Monitoring>(events).state().rows()),
        "calls": shown(times.calls(&all)),
        "agents": shown(times.agents(&all)),
        "windows": shown(windows),
    })
}

/// The same, asked of all at once.
fn answers_of_all_four(events: &[StoredEvent]) -> Value {
    let all_four = read::<AllFour>(events);
    let all_four = all_four.state();
    let all = TimesFilter::default();
    let windows = WINDOWS.map(|window| KEYS.map(|by| all_four.windows(window, by, &all)));
    json!({
        "active-calls": shown(all_four.rows_of::<ActiveCalls>()),
        "wrap-up-queue": shown(all_four.rows_of::<WrapUpQueue>()),
        "monitoring": shown(all_four.rows_of::<Monitoring>()),
        "calls": shown(all_four.calls(&all)),
        "agents": shown(all_four.agents(&all)),
        "windows": shown(windows),
    })
}

fn rebuilt(history: &[StoredEvent]) -> (CallId, Call) {
    let id = history[0].recorded.cause.call.clone();
    let fold =
        |call, stored: &StoredEvent| evolve(call, &stored.recorded.event, stored.recorded.cause.at);
    (id, history.iter().fold(Call::default(), fold))
}

/// Calls of which something became.
fn rebuilt_all(histories: &[Vec<StoredEvent>]) -> Vec<(CallId, Call)> {
    let histories = histories.iter().filter(|history| !history.is_empty());
    histories.map(|history| rebuilt(history)).collect()
}

/// Taken in one by one, at once, or resumed from a checkpoint with some events handed in again.
fn comes_to_the_same<P: Projection>(
    events: &[StoredEvent],
    (cut, again): (usize, usize),
) -> TestCaseResult {
    let whole = read::<P>(events);
    let mut live = Checkpointed::<P>::new(STORE);
    for event in events {
        live.fold(std::slice::from_ref(event));
    }
    prop_assert_eq!(&live, &whole);
    let kept = read::<P>(&events[..cut]).encode();
    let mut resumed = Checkpointed::<P>::decode(&kept, STORE).expect("what was just written");
    resumed.fold(&events[again.min(cut)..]);
    prop_assert_eq!(&resumed, &whole);
    Ok(())
}

proptest! {
    #[test]
    fn live_rebuilt_and_resumed_at_any_event_are_the_same(
        histories in calls(),
        picks in picks(),
        cut in any::<Index>(),
        again in any::<Index>(),
    ) {
        let events = interleaved(&histories, &picks);
        let cuts = (cut.index(events.len() + 1), again.index(events.len() + 1));
        comes_to_the_same::<ActiveCalls>(&events, cuts)?;
        comes_to_the_same::<WrapUpQueue>(&events, cuts)?;
        comes_to_the_same::<HandleTimes>(&events, cuts)?;
        comes_to_the_same::<Monitoring>(&events, cuts)?;
        comes_to_the_same::<AllFour>(&events, cuts)?;
    }

    #[test]
    fn any_order_that_keeps_each_calls_own_gives_the_same_rows(
        histories in calls(),
        one in picks(),
        other in picks(),
    ) {
        let expected = answers(&interleaved(&histories, &one));
        prop_assert_eq!(&answers(&interleaved(&histories, &other)), &expected);
        let turned: Vec<_> = histories.into_iter().rev().collect();
        prop_assert_eq!(&answers(&interleaved(&turned, &[0])), &expected);
    }

    #[test]
    fn all_four_at_once_answer_as_each_alone(histories in calls(), picks in picks()) {
        let events = interleaved(&histories, &picks);
        prop_assert_eq!(answers_of_all_four(&events), answers(&events));
    }

    #[test]
    fn r61_parts_add_up_and_are_those_of_the_spans(histories in calls(), picks in picks()) {
        let model = read::<HandleTimes>(&interleaved(&histories, &picks));
        let model = model.state();
        let calls = shown(model.calls(&TimesFilter::default()));
        let agents = shown(model.agents(&TimesFilter::default()));
        let (calls, agents) = (by_call(&calls), by_call(&agents));
        for history in histories.iter().filter(|history| !history.is_empty()) {
            let (id, call) = rebuilt(history);
            let oracle = Oracle::of(history);
            let rows = calls.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let expected = oracle.call();
            prop_assert_eq!(rows.len(), usize::from(expected.is_some()));
            if let (Some(expected), Some(ended_at)) = (expected, call.ended_at()) {
                includes(rows[0], &expected)?;
                let handle_ms = ended_at.millis_since(call.answered_at());
                prop_assert_eq!(&rows[0]["handle_ms"], handle_ms);
            }
            let rows = agents.get(id.as_str()).map_or(&[][..], Vec::as_slice);
            let expected = oracle.agents();
            prop_assert_eq!(rows.len(), expected.len());
            for (row, (agent, expected)) in rows.iter().zip(&expected) {
                prop_assert_eq!(row["agent"].as_str(), Some(&**agent));
                includes(row, expected)?;
            }
        }
    }

    #[test]
    fn windows_add_up_from_the_calls_behind_them(histories in calls(), picks in picks()) {
        let model = read::<HandleTimes>(&interleaved(&histories, &picks));
        let model = model.state();
        let all = TimesFilter::default();
        for by in KEYS {
            let [quarters, hours, days] = WINDOWS.map(|window| model.windows(window, by, &all));
            let totals = [&quarters, &hours, &days].map(|rows| {
                let mut totals: BTreeMap<_, (u64, u64, u64, u64)> = BTreeMap::new();
                for row in rows {
                    let total = totals.entry((row.key.clone(), row.metric)).or_default();
                    total.0 += row.count;
                    total.1 += row.sum_ms;
                    total.2 = total.2.max(row.max_ms.unwrap_or(0));
                    total.3 += row.open;
                }
                totals
            });
            prop_assert_eq!(&totals[0], &totals[1]);
            prop_assert_eq!(&totals[0], &totals[2]);
            let explained = WINDOWS.map(|window| model.explain(window, by, &all));
            let rows = [&quarters, &hours, &days].into_iter().zip(&explained);
            for (row, explained) in rows.flat_map(|(rows, of)| rows.iter().map(move |row| (row, of))) {
                let behind = shown(explained.behind(row));
                let part = format!("{}_ms", row.metric);
                let behind = behind.as_array().expect("rows").iter();
                let is_open = |row: &&Value| by == By::Agent && row["open"] == 1;
                let (open, whole): (Vec<_>, Vec<_>) = behind.partition(is_open);
                let sum: u64 = whole.iter().filter_map(|row| row[&part].as_u64()).sum();
                prop_assert_eq!((whole.len() as u64, sum), (row.count, row.sum_ms));
                prop_assert_eq!(open.len() as u64, row.open);
            }
        }
    }

    #[test]
    fn active_calls_are_those_that_go_on_as_they_are(histories in calls(), picks in picks()) {
        let model = read::<ActiveCalls>(&interleaved(&histories, &picks));
        let rows = shown(model.state().rows());
        let rows = by_call(&rows);
        let calls = rebuilt_all(&histories);
        let live: Vec<_> = calls.iter().filter(|(_, call)| call.is_live()).collect();
        prop_assert_eq!(rows.len(), live.len());
        for (id, call) in live {
            let row = rows[id.as_str()][0];
            let whole = shown(CallJson::new(id, call));
            for name in ["revision", "queue", "phase", "phase_since", "answered_at", "primary"] {
                prop_assert_eq!(&row[name], &whole[name], "{}", name);
            }
            for name in ["parties", "consult", "supervisors"] {
                prop_assert_eq!(&row[name], &whole[name], "{}", name);
            }
        }
    }

    #[test]
    fn the_wrap_up_queue_is_what_is_owed_with_what_reached_who_owes(
        histories in calls(),
        picks in picks(),
    ) {
        let model = read::<WrapUpQueue>(&interleaved(&histories, &picks));
        let rows = shown(model.state().rows());
        let mut expected = Vec::new();
        for (history, (id, call)) in histories
            .iter()
            .filter(|history| !history.is_empty())
            .zip(rebuilt_all(&histories))
        {
            let reached = reached(history);
            for wrap_up in call.open_wrap_ups() {
                let suggested = reached.get(wrap_up.agent.as_str()).cloned();
                expected.push((
                    wrap_up.since.to_string(),
                    id.to_string(),
                    format!("agent:{}", wrap_up.agent),
                    suggested.unwrap_or_default(),
                ));
            }
        }
        expected.sort();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let told: Vec<_> = rows
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| {
                let suggestions = row["suggestions"].as_array().expect("suggestions");
                let at = suggestions.iter().map(|one| text(&one["at"])).collect::<Vec<_>>();
                (text(&row["since"]), text(&row["call"]), text(&row["agent"]), at)
            })
            .collect();
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn monitoring_tells_what_would_be_accepted(histories in calls(), picks in picks()) {
        let model = read::<Monitoring>(&interleaved(&histories, &picks));
        let rows = model.state().rows();
        let rows: BTreeMap<_, _> = rows.iter().map(|row| (row.call.0, row)).collect();
        for (id, call) in rebuilt_all(&histories) {
            let Some(row) = rows.get(&id) else {
                prop_assert!(!call.is_live());
                continue;
            };
            let by = Who("supervisor:nobody-yet").actor();
            let agents = call.seats().iter().filter(|seat| seat.party.agent().is_some());
            let mut refusals = agents.map(|seat| {
                let (by, agent) = (by.clone(), seat.party.clone());
                decide(&call, &Command::StartMonitoring { by, agent }).err()
            });
            match refusals.next() {
                Some(refusal) => {
                    prop_assert_eq!(row.may_start, refusal.is_none());
                    prop_assert_eq!(row.rule.map(|rule| rule.0), refusal.map(|no| no.rule));
                }
                None => prop_assert!(!row.may_start),
            }
            prop_assert_eq!(row.sessions.len(), call.sessions().len());
            for session in &row.sessions {
                let by = Actor::Supervisor(session.supervisor.0.clone());
                let refusal = decide(&call, &Command::BargeIn { by }).err();
                prop_assert_eq!(session.may_barge_in, refusal.is_none());
                prop_assert_eq!(session.rule.map(|rule| rule.0), refusal.map(|no| no.rule));
            }
        }
    }
}

fn by_call(rows: &Value) -> BTreeMap<&str, Vec<&Value>> {
    let mut by_call: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows.as_array().expect("rows") {
        let call = row["call"].as_str().expect("a call");
        by_call.entry(call).or_default().push(row);
    }
    by_call
}

fn includes(row: &Value, expected: &Value) -> TestCaseResult {
    for (name, value) in expected.as_object().expect("parts") {
        prop_assert_eq!(&row[name], value, "{} of {}", name, row);
    }
    Ok(())
}

/// When what was suggested that reached whom, since they last settled.
fn reached(history: &[StoredEvent]) -> BTreeMap<String, Vec<String>> {
    let mut reached: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut call = Call::default();
    for StoredEvent { recorded, .. } in history {
        let at = recorded.cause.at;
        if let Event::WrapUpSuggested { by, .. } = &recorded.event {
            for recipient in suggestion_recipients(&call, by) {
                let told = reached.entry(recipient.to_string()).or_default();
                told.push(at.to_string());
            }
        }
        if let Event::WrapUpApplied { agent, .. } = &recorded.event {
            reached.remove(agent.as_str());
        }
        call = evolve(call, &recorded.event, at);
    }
    reached
}
