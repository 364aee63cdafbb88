//! Wrap-up Assist: R45 to R47.

use domain::Target;
use domain::call::Phase;
use domain::event::ConsultEnd::{Cancelled, Ended};
use domain::event::LeaveReason::{ConnectionLost, HungUp};
use tests::scenario::*;

#[test]
fn r45_when_the_customer_leaves_the_others_talk_on_in_wrap_up_assist() {
    for (leave, reason) in [
        (hang_up(CUSTOMER), HungUp),
        (lose_connection(CUSTOMER), ConnectionLost),
    ] {
        given(a_conference([ANA, BEN]))
            .when(leave)
            .then([left(CUSTOMER, reason), wrap_up_assist_entered()])
            .then_state(|call| {
                assert_eq!(call.phase(), Some(Phase::WrapUpAssist));
                assert_eq!(call.phase_since(), call.last_at());
                assert_eq!(seated(call), [ANA, BEN]);
                assert_eq!(primary(call), Some(ANA.party()));
                assert_eq!(owing(call).len(), 0);
            });
    }
}

#[test]
fn r45_an_agent_and_a_dial_number_talk_on_too() {
    given(a_conference([ANA, EXPERT]))
        .when(hang_up(CUSTOMER))
        .then([left(CUSTOMER, HungUp), wrap_up_assist_entered()]);
}

#[test]
fn r45_a_customer_who_was_held_leaves_without_a_release() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, BEN))
        .and(hold(ANA, CUSTOMER))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            released(BEN),
            wrap_up_assist_entered(),
        ]);
}

#[test]
fn r46_nobody_is_added_held_resumed_or_transferred_to() {
    for command in [
        start_consult(ANA, DAN),
        start_consult(BEN, EXPERT),
        hold(ANA, BEN),
        resume(ANA, BEN),
        start_conference(ANA),
        start_conference(BEN),
        transfer_call(ANA),
    ] {
        given(wrap_up_assist([ANA, BEN]))
            .when(command)
            .then_refused("refused_in_wrap_up_assist", "R46")
            .saying("exit or end the call");
    }
}

#[test]
fn r46_a_supervisor_cannot_come_in_either() {
    given(wrap_up_assist([ANA, BEN]))
        .when(start_monitoring(SAM, ANA))
        .then_refused("monitoring_not_allowed", "R53");
}

#[test]
fn r47_a_ringing_consult_is_cancelled_on_entry() {
    given(a_conference([ANA, BEN]))
        .and(start_consult_holding_nobody(ANA, DAN))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            consult_ended(ANA, DAN, Cancelled),
            wrap_up_assist_entered(),
        ])
        .when(accept_consult(DAN))
        .then_refused("no_consult", "R5");
}

#[test]
fn r47_an_answered_consult_goes_on_but_cannot_be_merged() {
    given(a_conference([ANA, BEN]))
        .and(consulting(ANA, DAN))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            released(BEN),
            wrap_up_assist_entered(),
        ])
        .then_state(|call| assert_eq!(call.consult().unwrap().by, ANA))
        .when(start_conference(ANA))
        .then_refused("refused_in_wrap_up_assist", "R46")
        .when(start_conference_from_a_phone(ANA))
        .then_refused("refused_in_wrap_up_assist", "R46")
        .when(transfer_call(ANA))
        .then_refused("refused_in_wrap_up_assist", "R46")
        .when(end_consult(ANA))
        .then([consult_ended(ANA, DAN, Ended)])
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::WrapUpAssist)));
}

#[test]
fn r47_it_is_one_way_and_the_customer_cannot_come_back() {
    assert!("customer".parse::<Target>().is_err());
    given(wrap_up_assist([ANA, BEN]))
        .when(hang_up(CUSTOMER))
        .then_refused("already_left", "R40")
        .when(connect_call(ANA))
        .then_refused("call_exists", "R1");
}
