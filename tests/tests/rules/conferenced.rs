//! Conferenced agents and dial numbers: R42 to R44.

use domain::event::ConsultEnd::Merged;
use domain::event::EndCause::OnePartyLeft;
use domain::event::LeaveReason::{CallEnded, HungUp};
use tests::scenario::*;

#[test]
fn r42_a_conferenced_agent_consults_and_adds_a_further_party() {
    for further in [DAN, EXPERT] {
        given(a_conference([ANA, BEN]))
            .when(start_consult_holding_nobody(BEN, further))
            .then([consult_requested_holding_nobody(BEN, further)])
            .when(accept_consult(further))
            .then([consult_started(BEN, further)])
            .then_state(|call| assert_eq!(seated(call), [CUSTOMER, ANA, BEN]))
            .when(start_conference(BEN))
            .then([consult_ended(BEN, further, Merged), joined(further)])
            .then_state(|call| assert_eq!(seated(call), [CUSTOMER, ANA, BEN, further]));
    }
}

#[test]
fn r42_only_while_the_customer_is_present_a_seat_is_free_and_nobody_else_consults() {
    given(wrap_up_assist([ANA, BEN]))
        .when(start_consult(BEN, DAN))
        .then_refused("refused_in_wrap_up_assist", "R46");
    given(a_full_call())
        .when(start_consult(BEN, IDA))
        .then_refused("call_full", "R3");
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(start_consult(BEN, EVA))
        .then_refused("consult_in_progress", "R14");
}

#[test]
fn r42_who_was_merged_adds_somebody_in_turn() {
    given(a_conference([ANA, BEN]))
        .and(merging(BEN, DAN))
        .and(consulting(DAN, EVA))
        .when(start_conference(DAN))
        .then([
            consult_ended(DAN, EVA, Merged),
            joined(EVA),
            released(CUSTOMER),
            released(ANA),
            released(BEN),
        ])
        .then_state(|call| assert_eq!(primary(call), Some(ANA.party())));
}

#[test]
fn r43_what_a_conferenced_agent_may_not_do() {
    for (command, code, rule) in [
        (end_call(BEN), "not_primary", "R32"),
        (hold(BEN, CUSTOMER), "not_primary", "R16"),
        (transfer_call(BEN), "not_primary", "R21"),
        (apply_wrap_up(BEN, "billing"), "wrap_up_not_owed", "R48"),
    ] {
        given(a_conference([ANA, BEN]))
            .when(command)
            .then_refused(code, rule);
    }
}

#[test]
fn r44_a_dial_number_has_no_call_controls() {
    for control in call_controls(EXPERT) {
        given(a_conference([ANA, EXPERT]))
            .when(control)
            .then_refused("not_an_agent", "R44")
            .saying("hang_up");
    }
}

#[test]
fn r44_nor_does_one_on_a_consult_leg_end_the_consult() {
    given(a_call(ANA))
        .and(start_consult(ANA, EXPERT))
        .when(end_consult(EXPERT))
        .then_refused("not_an_agent", "R44")
        .when(accept_consult(EXPERT))
        .then([consult_started(ANA, EXPERT)])
        .when(end_consult(EXPERT))
        .then_refused("not_an_agent", "R44");
}

#[test]
fn r44_a_dial_number_answers_no_customer() {
    given(no_call())
        .when(connect_call(EXPERT))
        .then_refused("not_an_agent", "R44");
}

#[test]
fn r44_a_dial_number_can_hang_up() {
    given(a_conference([ANA, EXPERT]))
        .when(hang_up(EXPERT))
        .then([left(EXPERT, HungUp), conference_dissolved()])
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            left(ANA, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}
