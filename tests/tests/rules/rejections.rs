//! Rejections: every code with its rule and its advice, and which wins where several apply.

use domain::event::ConsultEnd::Ended;
use domain::event::LeaveReason::HungUp;
use domain::{Command, Party, Rejection, RejectionCode, Target, decide, evolve};
use std::collections::BTreeSet;
use tests::arbitrary::everything_anybody_can_ask;
use tests::scenario::*;

/// A refusal: what came before, what is asked, the code, its rule, and what the message advises.
type Refusal = (
    Vec<Command>,
    Command,
    &'static str,
    &'static str,
    &'static str,
);

fn refusals() -> Vec<Refusal> {
    let mut refusals = refusals_of_the_call_and_the_actor();
    refusals.extend(refusals_of_consults());
    refusals.extend(refusals_of_the_phase_and_of_holds());
    refusals.extend(refusals_of_wrap_up_and_monitoring());
    refusals
}

#[rustfmt::skip] // A table is read by its columns.
fn refusals_of_the_call_and_the_actor() -> Vec<Refusal> {
    let ended = || then(a_call(ANA), [end_call(ANA)]);
    let ben_left = || then(a_conference([ANA, BEN, DAN]), [exit_conference(BEN)]);
    vec![
        (a_call(ANA), connect_call(ANA), "call_exists", "R1", "use another call id"),
        (no_call(), end_call(ANA), "call_not_found", "R1", "connect_call first"),
        (ended(), end_call(ANA), "call_ended", "R40", "only apply_wrap_up and suggest_wrap_up"),
        (a_call(ANA), end_call(BEN), "not_in_call", "R40", "consult and merge them first"),
        (a_call(ANA), end_call(SAM), "not_in_call", "R40", "be consulted and merged as an agent"),
        (ben_left(), end_call(BEN), "already_left", "R40", "consult and merge them again"),
        (a_call(ANA), end_call(CUSTOMER), "not_an_agent", "R10", "hang_up"),
        (a_conference([ANA, EXPERT]), end_call(EXPERT), "not_an_agent", "R44", "hang_up"),
        (a_conference([ANA, BEN]), hold(BEN, ANA), "not_primary", "R16", "start a consult"),
        (a_conference([ANA, BEN]), resume(BEN, ANA), "not_primary", "R17", "ask one of them"),
        (a_conference([ANA, BEN]), transfer_call(BEN), "not_primary", "R21", "exit_conference"),
        (a_conference([ANA, BEN]), end_call(BEN), "not_primary", "R32", "exit_conference or press_end"),
    ]
}

#[rustfmt::skip] // A table is read by its columns.
fn refusals_of_consults() -> Vec<Refusal> {
    let ringing = || then(a_conference([ANA, DAN]), [start_consult(ANA, BEN)]);
    let answered = || then(ringing(), [accept_consult(BEN)]);
    vec![
        (answered(), start_conference(DAN), "not_consult_initiator", "R11", "agent:ana"),
        (ringing(), accept_consult(DAN), "not_consulted", "R5", "agent:ben is"),
        (a_call(ANA), start_conference(ANA), "no_consult", "R5", "start_consult"),
        (ringing(), start_conference(ANA), "consult_not_answered", "R5", "wait for it"),
        (answered(), accept_consult(BEN), "consult_already_answered", "R5", "start_conference"),
        (ringing(), start_consult(DAN, EVA), "consult_in_progress", "R14", "merge or end that one first"),
        (ringing(), start_consult(ANA, DAN), "already_in_call", "R12", "consult somebody outside it"),
        (a_full_call(), start_consult(ANA, IDA), "call_full", "R3", "somebody must leave first"),
        (answered(), start_conference_from_a_phone(ANA), "desktop_required", "R6", "agent desktop"),
    ]
}

#[rustfmt::skip] // A table is read by its columns.
fn refusals_of_the_phase_and_of_holds() -> Vec<Refusal> {
    let customer_held = || then(a_call(ANA), [hold(ANA, CUSTOMER)]);
    let assist = || wrap_up_assist([ANA, BEN]);
    vec![
        (assist(), hold(ANA, BEN), "refused_in_wrap_up_assist", "R46", "exit or end the call"),
        (a_conference([ANA, BEN]), transfer_call(ANA), "refused_in_conference", "R21", "exit_conference"),
        (a_call(ANA), exit_conference(ANA), "not_in_conference", "R39", "end_call"),
        (a_call(ANA), hold(ANA, ANA), "cannot_hold_self", "R16", "hold the other parties"),
        (customer_held(), hold(ANA, CUSTOMER), "already_held", "R16", "nothing is left to do"),
        (a_call(ANA), resume(ANA, CUSTOMER), "not_held", "R17", "nothing is left to do"),
    ]
}

#[rustfmt::skip] // A table is read by its columns.
fn refusals_of_wrap_up_and_monitoring() -> Vec<Refusal> {
    let owing = || then(a_conference([ANA, BEN]), [end_call(ANA)]);
    let settled = || then(owing(), [apply_wrap_up(ANA, "billing")]);
    let listening = || then(a_conference([ANA, BEN]), [start_monitoring(SAM, ANA)]);
    let listening_in_assist = || then(listening(), [hang_up(CUSTOMER)]);
    let barged_in = || then(listening(), [barge_in(SAM)]);
    vec![
        (owing(), apply_wrap_up(BEN, "billing"), "wrap_up_not_owed", "R48", "suggest_wrap_up"),
        (owing(), suggest_wrap_up(ANA, "billing"), "wrap_up_not_owed", "R49", "once one does"),
        (a_call(ANA), apply_wrap_up(ANA, "billing"), "wrap_up_not_owed", "R51", "leave it or end it first"),
        (settled(), apply_wrap_up(ANA, "billing"), "wrap_up_already_applied", "R51", "it stands"),
        (owing(), apply_wrap_up(ANA, ""), "wrap_up_reason_missing", "R51", "choose one"),
        (wrap_up_assist([ANA, BEN]), start_monitoring(SAM, ANA), "monitoring_not_allowed", "R53", "a running session may continue"),
        (a_call(ANA), start_monitoring(ANA, ANA), "monitoring_not_allowed", "R53", "send it as supervisor:ID"),
        (listening_in_assist(), barge_in(SAM), "monitoring_not_allowed", "R54", "a running session may continue"),
        (listening(), start_monitoring(SAM, BEN), "already_monitoring", "R59", "barge_in"),
        (barged_in(), barge_in(SAM), "already_monitoring", "R59", "nothing is left to do"),
        (a_call(ANA), barge_in(SAM), "not_monitoring", "R59", "start_monitoring"),
    ]
}

#[test]
fn every_code_is_refused_by_its_rule_and_says_what_to_do() {
    for (past, command, code, rule, advice) in refusals() {
        given(past)
            .when(command)
            .then_refused(code, rule)
            .saying(advice);
    }
}

#[test]
fn no_code_is_missing_here() {
    let seen: BTreeSet<_> = refusals().into_iter().map(|refusal| refusal.2).collect();
    let every = RejectionCode::ALL.iter().map(|code| code.name());
    assert_eq!(seen, every.collect());
}

#[test]
fn every_code_has_the_rules_that_the_specification_gives_it() {
    let refusals = refusals().into_iter();
    let here: BTreeSet<_> = refusals.map(|(_, _, code, rule, _)| (code, rule)).collect();
    assert_eq!(here, codes_of_the_specification().collect());
}

#[test]
fn messages_are_lower_case_sentences_without_a_full_stop() {
    for (past, command, ..) in refusals() {
        let message = refused(past, &command).message;
        assert!(message.len() > 20, "{message}");
        assert!(!message.starts_with(char::is_uppercase), "{message}");
        assert!(!message.ends_with('.'), "{message}");
    }
}

#[test]
fn the_call_comes_before_everything_else() {
    let opens = |command: &Command| matches!(command, Command::ConnectCall { .. });
    for command in everything_anybody_can_ask() {
        if !opens(&command) {
            given(no_call())
                .when(command)
                .then_refused("call_not_found", "R1");
        }
    }
    for command in [apply_wrap_up(SAM, ""), suggest_wrap_up(CUSTOMER, "")] {
        given(no_call())
            .when(command)
            .then_refused("call_not_found", "R1");
    }
    for command in [
        hold(SAM, CUSTOMER),
        end_consult(IDA),
        start_conference_from_a_phone(CUSTOMER),
        accept_consult(SAM),
        hang_up(IDA),
        start_monitoring(ANA, EXPERT),
        barge_in(CUSTOMER),
        stop_monitoring(SAM),
    ] {
        given(a_call(ANA))
            .and(end_call(ANA))
            .when(command)
            .then_refused("call_ended", "R40");
    }
    given(a_call(ANA))
        .when(connect_call(CUSTOMER))
        .then_refused("call_exists", "R1");
}

#[test]
fn being_in_the_call_comes_before_being_an_agent() {
    given(wrap_up_assist([ANA, BEN]))
        .when(hold(CUSTOMER, BEN))
        .then_refused("already_left", "R40");
    given(a_call(ANA))
        .and(consulting(ANA, EXPERT))
        .when(hold(EXPERT, CUSTOMER))
        .then_refused("not_in_call", "R40");
    given(a_conference([ANA, BEN, EXPERT]))
        .and(hang_up(EXPERT))
        .when(end_call(EXPERT))
        .then_refused("already_left", "R40");
}

#[test]
fn already_left_is_for_who_once_was_in_the_main_call() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(BEN))
        .and(consulting(ANA, BEN))
        .when(hold(BEN, CUSTOMER))
        .then_refused("already_left", "R40")
        .when(hang_up(BEN))
        .then([consult_ended(ANA, BEN, Ended)]);
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(hold(BEN, CUSTOMER))
        .then_refused("not_in_call", "R40")
        .when(press_end(BEN))
        .then_refused("not_in_call", "R40");
}

#[test]
fn wrap_up_is_for_everybody_who_is_or_was_in_the_call() {
    let over = || then(a_conference([ANA, BEN, EXPERT]), [end_call(ANA)]);
    for (by, code, rule) in [
        (CUSTOMER, "not_an_agent", "R10"),
        (EXPERT, "not_an_agent", "R44"),
        (IDA, "not_in_call", "R40"),
        (COURIER, "not_in_call", "R40"),
        (SAM, "not_in_call", "R40"),
    ] {
        given(over())
            .when(apply_wrap_up(by, ""))
            .then_refused(code, rule)
            .when(suggest_wrap_up(by, ""))
            .then_refused(code, rule);
    }
    given(over())
        .when(suggest_wrap_up(BEN, "billing"))
        .then([wrap_up_suggested(BEN, "billing")]);
}

#[test]
fn whether_a_wrap_up_is_owed_comes_before_its_reason() {
    let over = || then(a_conference([ANA, BEN]), [end_call(ANA)]);
    given(over())
        .when(apply_wrap_up(BEN, ""))
        .then_refused("wrap_up_not_owed", "R48")
        .when(suggest_wrap_up(ANA, ""))
        .then_refused("wrap_up_not_owed", "R49");
    given(over())
        .and(apply_wrap_up(ANA, "billing"))
        .when(apply_wrap_up(ANA, ""))
        .then_refused("wrap_up_already_applied", "R51");
    given(a_call(ANA))
        .when(apply_wrap_up(ANA, ""))
        .then_refused("wrap_up_not_owed", "R51");
}

#[test]
fn the_actor_comes_before_the_phase() {
    for (command, code, rule) in [
        (start_consult(EXPERT, DAN), "not_an_agent", "R44"),
        (start_consult(IDA, DAN), "not_in_call", "R40"),
        (start_conference(EXPERT), "not_an_agent", "R44"),
        (hold(BEN, ANA), "not_primary", "R16"),
        (resume(BEN, ANA), "not_primary", "R17"),
        (transfer_call(BEN), "not_primary", "R21"),
        (end_call(EXPERT), "not_an_agent", "R44"),
    ] {
        given(wrap_up_assist([ANA, BEN, EXPERT]))
            .when(command)
            .then_refused(code, rule);
    }
    given(a_conference([ANA, BEN]))
        .when(transfer_call(BEN))
        .then_refused("not_primary", "R21");
    given(a_call(ANA))
        .when(exit_conference(BEN))
        .then_refused("not_in_call", "R40")
        .when(exit_conference(CUSTOMER))
        .then_refused("not_an_agent", "R10");
}

#[test]
fn the_phase_comes_before_the_target() {
    for command in [
        hold(ANA, CUSTOMER),
        hold(ANA, ANA),
        hold(ANA, IDA),
        resume(ANA, CUSTOMER),
        resume(ANA, BEN),
        start_consult(ANA, BEN),
    ] {
        given(wrap_up_assist([ANA, BEN]))
            .when(command)
            .then_refused("refused_in_wrap_up_assist", "R46");
    }
    given(a_conference([ANA, BEN]))
        .when(transfer_call(ANA))
        .then_refused("refused_in_conference", "R21");
}

#[test]
fn for_a_hold_the_role_comes_before_whom_it_is_about() {
    for party in [BEN, DAN, IDA, EXPERT, CUSTOMER] {
        given(a_conference([ANA, BEN, DAN]))
            .and(exit_conference(DAN))
            .and(hold(ANA, CUSTOMER))
            .when(hold(BEN, party))
            .then_refused("not_primary", "R16")
            .when(resume(BEN, party))
            .then_refused("not_primary", "R17");
    }
}

#[test]
fn a_consult_is_refused_for_its_target_then_for_another_consult_then_for_want_of_a_seat() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(start_consult(BEN, ANA))
        .then_refused("already_in_call", "R12");
    given(a_full_call())
        .when(start_consult(ANA, BEN))
        .then_refused("already_in_call", "R12");
    // No commands lead to a full call in which a consult rings, so the events are made up.
    let full = given(a_full_call()).call();
    let call = evolve(full, &consult_requested(ANA, EXPERT), start());
    let rejection = decide(&call, &start_consult(BEN, IDA)).unwrap_err();
    assert_eq!(rejection.code, RejectionCode::ConsultInProgress);
}

#[test]
fn an_answer_is_refused_for_want_of_a_consult_then_for_who_answers_then_for_being_late() {
    for answer in [accept_consult, decline_consult] {
        for by in [CUSTOMER, ANA, IDA, EXPERT, SAM] {
            given(a_call(ANA))
                .when(answer(by))
                .then_refused("no_consult", "R5")
                .when(start_consult(ANA, BEN))
                .then([consult_requested(ANA, BEN), held(CUSTOMER, ANA)])
                .when(accept_consult(BEN))
                .then([consult_started(ANA, BEN)])
                .when(answer(by))
                .then_refused("not_consulted", "R5")
                .when(answer(BEN))
                .then_refused("consult_already_answered", "R5");
        }
    }
}

#[test]
fn who_may_end_a_consult() {
    for (by, code, rule) in [
        (CUSTOMER, "not_an_agent", "R10"),
        (EXPERT, "not_an_agent", "R44"),
        (DAN, "not_consult_initiator", "R11"),
        (EVA, "already_left", "R40"),
        (IDA, "not_in_call", "R40"),
        (SAM, "not_in_call", "R40"),
    ] {
        given(a_conference([ANA, DAN, EXPERT, EVA]))
            .and(exit_conference(EVA))
            .when(end_consult(ANA))
            .then_refused("no_consult", "R5")
            .when(start_consult_holding_nobody(ANA, BEN))
            .then([consult_requested_holding_nobody(ANA, BEN)])
            .when(end_consult(by))
            .then_refused(code, rule)
            .when(accept_consult(BEN))
            .then([consult_started(ANA, BEN)])
            .when(end_consult(by))
            .then_refused(code, rule);
    }
}

#[test]
fn a_consulted_agent_who_was_in_the_call_before_ends_an_answered_consult() {
    given(a_conference([ANA, BEN, DAN]))
        .and(hang_up(BEN))
        .and(start_consult(ANA, BEN))
        .when(end_consult(BEN))
        .then_refused("consult_not_answered", "R5")
        .when(accept_consult(BEN))
        .then([consult_started(ANA, BEN)])
        .when(end_consult(BEN))
        .then([consult_ended(ANA, BEN, Ended)]);
}

#[test]
fn a_merge_is_refused_for_its_initiator_then_the_phase_the_consult_the_device_the_answer() {
    given(a_conference([ANA, BEN]))
        .when(start_conference_from_a_phone(BEN))
        .then_refused("no_consult", "R5")
        .when(start_consult(ANA, DAN))
        .then([
            consult_requested(ANA, DAN),
            held(CUSTOMER, ANA),
            held(BEN, ANA),
        ])
        .when(start_conference_from_a_phone(BEN))
        .then_refused("not_consult_initiator", "R11")
        .when(start_conference_from_a_phone(ANA))
        .then_refused("desktop_required", "R6")
        .when(start_conference(ANA))
        .then_refused("consult_not_answered", "R5")
        .when(accept_consult(DAN))
        .then([consult_started(ANA, DAN)])
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            released(BEN),
            wrap_up_assist_entered(),
        ])
        .when(start_conference(BEN))
        .then_refused("not_consult_initiator", "R11")
        .when(start_conference_from_a_phone(ANA))
        .then_refused("refused_in_wrap_up_assist", "R46");
}

#[test]
fn the_session_comes_before_the_phase_and_the_phase_before_the_agent() {
    let assist = || {
        let listening = [start_monitoring(SAM, ANA), hang_up(CUSTOMER)];
        then(a_conference([ANA, BEN]), listening)
    };
    given(assist())
        .when(start_monitoring(SAM, BEN))
        .then_refused("already_monitoring", "R59")
        .when(barge_in(SUE))
        .then_refused("not_monitoring", "R59")
        .when(stop_monitoring(SUE))
        .then_refused("not_monitoring", "R59")
        .when(start_monitoring(SUE, CUSTOMER))
        .then_refused("monitoring_not_allowed", "R53")
        .when(start_monitoring(SUE, IDA))
        .then_refused("monitoring_not_allowed", "R53")
        .when(start_monitoring(ANA, BEN))
        .then_refused("monitoring_not_allowed", "R53");
    let listening = [start_monitoring(SAM, ANA), barge_in(SAM), hang_up(CUSTOMER)];
    given(then(a_conference([ANA, BEN]), listening))
        .when(barge_in(SAM))
        .then_refused("already_monitoring", "R59");
}

#[test]
fn what_names_somebody_who_makes_no_sense_is_malformed() {
    assert!("supervisor:sam".parse::<Party>().is_err());
    assert!("supervisor:sam".parse::<Target>().is_err());
    assert!("customer".parse::<Target>().is_err());
    assert!("agent:sam".parse::<Party>().is_ok());
}

fn then(mut past: Vec<Command>, more: impl IntoIterator<Item = Command>) -> Vec<Command> {
    past.extend(more);
    past
}

fn refused(past: Vec<Command>, command: &Command) -> Rejection {
    decide(&given(past).call(), command).expect_err("refused")
}

/// Each code with each of its rules, as the chapter on rejections lists them.
fn codes_of_the_specification() -> impl Iterator<Item = (&'static str, &'static str)> {
    let rules = include_str!("../../../docs/spec/rules.md");
    let (_, chapter) = rules
        .split_once("and the rule:\n")
        .expect("the list begins");
    let (list, _) = chapter
        .split_once("; and without a rule")
        .expect("the list ends");
    list.split(" ·").flat_map(|entry| {
        let (code, rules) = entry.trim().split_once(' ').expect("a code and its rules");
        let numbers = rules.split(|c: char| !c.is_ascii_alphanumeric());
        let numbers = numbers.filter(|word| {
            let digits = word.strip_prefix('R').unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        });
        numbers.map(move |rule| (code.trim_matches('`'), rule))
    })
}
