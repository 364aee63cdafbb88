//! Consult and hold: R12 to R20.

use domain::AgentId;
use domain::call::{Call, ConsultState, Phase};
use domain::command::HoldScope;
use domain::event::ConsultEnd::{Cancelled, Declined, Ended, Merged, NotAnswered};
use domain::event::LeaveReason::{Exited, HungUp};
use tests::scenario::*;

#[test]
fn r12_a_consult_holds_everyone_else_by_default() {
    assert_eq!(HoldScope::default(), HoldScope::Others);
    given(a_call(ANA))
        .when(start_consult(ANA, BEN))
        .then([consult_requested(ANA, BEN), held(CUSTOMER, ANA)]);
    given(a_conference([ANA, BEN, EXPERT]))
        .when(start_consult(ANA, DAN))
        .then([
            consult_requested(ANA, DAN),
            held(CUSTOMER, ANA),
            held(BEN, ANA),
            held(EXPERT, ANA),
        ]);
}

#[test]
fn r12_a_conferenced_agents_consult_holds_the_primary_too() {
    given(a_conference([ANA, BEN]))
        .when(start_consult(BEN, DAN))
        .then([
            consult_requested(BEN, DAN),
            held(CUSTOMER, BEN),
            held(ANA, BEN),
        ]);
}

#[test]
fn r12_the_agent_may_let_the_others_talk_on() {
    given(a_call(ANA))
        .when(start_consult_holding_nobody(ANA, BEN))
        .then([consult_requested_holding_nobody(ANA, BEN)])
        .then_state(|call| assert_eq!(on_hold(call).len(), 0));
    given(a_conference([ANA, BEN]))
        .when(start_consult_holding_nobody(BEN, DAN))
        .then([consult_requested_holding_nobody(BEN, DAN)]);
}

#[test]
fn r12_who_is_held_already_stays_held_by_its_holder() {
    given(a_conference([ANA, BEN, DAN]))
        .and(hold(ANA, CUSTOMER))
        .when(start_consult(BEN, EVA))
        .then([consult_requested(BEN, EVA), held(ANA, BEN), held(DAN, BEN)])
        .then_state(|call| assert_eq!(holder(call, CUSTOMER), ANA.agent()));
}

#[test]
fn r12_a_held_agent_may_act_and_consult() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, BEN))
        .when(start_consult(BEN, DAN))
        .then([
            consult_requested(BEN, DAN),
            held(CUSTOMER, BEN),
            held(ANA, BEN),
        ])
        .then_state(|call| assert_eq!(on_hold(call), [CUSTOMER, ANA, BEN]))
        .when(hold(ANA, CUSTOMER))
        .then_refused("already_held", "R16")
        .when(resume(ANA, ANA))
        .then([released(ANA)]);
}

#[test]
fn r12_who_is_in_the_call_cannot_be_consulted() {
    for target in [ANA, BEN, EXPERT] {
        given(a_conference([ANA, BEN, EXPERT]))
            .when(start_consult(ANA, target))
            .then_refused("already_in_call", "R12")
            .saying("consult somebody outside it");
    }
}

#[test]
fn r12_a_consult_shows_who_consults_whom_and_since_when() {
    given(a_call(ANA))
        .when(start_consult_holding_nobody(ANA, BEN))
        .then_state(|call| {
            let consult = call.consult().unwrap();
            assert_eq!(consult.by, ANA);
            assert_eq!(consult.target, BEN.target());
            assert_eq!(consult.hold, HoldScope::None);
            assert_eq!(consult.state, ConsultState::Ringing);
            assert_eq!(consult.since, call.last_at());
        })
        .when(accept_consult(BEN))
        .then_state(|call| {
            let consult = call.consult().unwrap();
            assert_eq!(consult.state, ConsultState::Answered);
            assert_eq!(consult.since, call.last_at());
        });
}

#[test]
fn r13_a_consulting_agent_keeps_seat_tenure_and_role() {
    let before = given(a_conference([ANA, BEN])).call();
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(accept_consult(DAN))
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, ANA, BEN]);
            assert_eq!(seat_of(call, ANA), seat_of(&before, ANA));
            assert_eq!(primary(call), Some(ANA.party()));
        })
        .when(resume(ANA, BEN))
        .then([released(BEN)]);
}

#[test]
fn r14_one_consult_at_a_time_in_a_call() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(start_consult(ANA, EVA))
        .then_refused("consult_in_progress", "R14")
        .saying("agent:dan")
        .when(start_consult(BEN, EVA))
        .then_refused("consult_in_progress", "R14")
        .when(start_consult(ANA, DAN))
        .then_refused("consult_in_progress", "R14")
        .when(accept_consult(DAN))
        .then([consult_started(ANA, DAN)])
        .when(start_consult(BEN, EVA))
        .then_refused("consult_in_progress", "R14")
        .when(end_consult(ANA))
        .then([consult_ended(ANA, DAN, Ended)])
        .when(start_consult_holding_nobody(BEN, EVA))
        .then([consult_requested_holding_nobody(BEN, EVA)]);
}

#[test]
fn r15_a_consult_that_rings_in_vain_adds_nobody() {
    for (answer, cause) in [
        (decline_consult(BEN), Declined),
        (consult_unanswered(), NotAnswered),
        (end_consult(ANA), Cancelled),
    ] {
        given(a_call(ANA))
            .and(start_consult(ANA, BEN))
            .when(answer)
            .then([consult_ended(ANA, BEN, cause)])
            .then_state(nobody_added);
    }
}

#[test]
fn r15_a_dial_number_can_decline() {
    given(a_call(ANA))
        .and(start_consult(ANA, EXPERT))
        .when(decline_consult(EXPERT))
        .then([consult_ended(ANA, EXPERT, Declined)]);
}

#[test]
fn r15_an_answered_consult_that_either_end_ends_adds_nobody() {
    for end in [end_consult(ANA), end_consult(BEN)] {
        given(a_call(ANA))
            .and(consulting(ANA, BEN))
            .when(end)
            .then([consult_ended(ANA, BEN, Ended)])
            .then_state(nobody_added);
    }
}

#[test]
fn r15_a_ringing_consult_is_ended_by_its_initiator_only() {
    given(a_conference([ANA, DAN]))
        .and(start_consult(DAN, BEN))
        .when(end_consult(BEN))
        .then_refused("consult_not_answered", "R5")
        .when(end_consult(ANA))
        .then_refused("not_consult_initiator", "R11")
        .when(end_consult(DAN))
        .then([consult_ended(DAN, BEN, Cancelled)]);
}

#[test]
fn r15_holds_made_for_a_consult_stay_until_resumed() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(decline_consult(DAN))
        .then([consult_ended(ANA, DAN, Declined)])
        .then_state(|call| assert_eq!(on_hold(call), [CUSTOMER, BEN]))
        .when(resume(ANA, CUSTOMER))
        .then([released(CUSTOMER)])
        .then_state(|call| assert_eq!(on_hold(call), [BEN]));
}

#[test]
fn r16_the_primary_holds_and_resumes_in_a_two_party_call() {
    given(a_call(ANA))
        .when(hold(ANA, CUSTOMER))
        .then([held(CUSTOMER, ANA)])
        .then_state(|call| {
            assert_eq!(on_hold(call), [CUSTOMER]);
            assert_eq!(
                seat_of(call, CUSTOMER).hold.as_ref().unwrap().since,
                call.last_at()
            );
        })
        .when(resume(ANA, CUSTOMER))
        .then([released(CUSTOMER)])
        .then_state(|call| assert_eq!(on_hold(call).len(), 0));
}

#[test]
fn r16_the_primary_holds_any_party_of_a_conference() {
    for party in [CUSTOMER, BEN, EXPERT] {
        given(a_conference([ANA, BEN, EXPERT]))
            .when(hold(ANA, party))
            .then([held(party, ANA)])
            .when(hold(ANA, party))
            .then_refused("already_held", "R16")
            .when(resume(ANA, party))
            .then([released(party)]);
    }
}

#[test]
fn r16_nobody_holds_themselves() {
    given(a_conference([ANA, BEN]))
        .when(hold(ANA, ANA))
        .then_refused("cannot_hold_self", "R16")
        .saying("hold the other parties");
}

#[test]
fn r16_who_is_held_for_a_consult_is_not_held_twice() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(BEN, DAN))
        .when(hold(ANA, CUSTOMER))
        .then_refused("already_held", "R16");
}

#[test]
fn r16_only_a_party_of_the_call_can_be_held() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(DAN))
        .and(consulting(ANA, EVA))
        .when(hold(ANA, DAN))
        .then_refused("already_left", "R40")
        .when(hold(ANA, EVA))
        .then_refused("not_in_call", "R40")
        .when(resume(ANA, DAN))
        .then_refused("already_left", "R40")
        .when(resume(ANA, EXPERT))
        .then_refused("not_in_call", "R40");
}

#[test]
fn r17_a_conferenced_agent_cannot_hold() {
    for party in [CUSTOMER, ANA, BEN, DAN, EXPERT] {
        given(a_conference([ANA, BEN, EXPERT]))
            .when(hold(BEN, party))
            .then_refused("not_primary", "R16")
            .saying("start a consult");
    }
}

#[test]
fn r17_whoever_held_a_party_resumes_it() {
    given(a_conference([ANA, BEN, DAN]))
        .and(start_consult(BEN, EVA))
        .and(end_consult(BEN))
        .when(resume(DAN, CUSTOMER))
        .then_refused("not_primary", "R17")
        .saying("whoever placed the hold")
        .when(resume(BEN, CUSTOMER))
        .then([released(CUSTOMER)])
        .when(resume(BEN, CUSTOMER))
        .then_refused("not_primary", "R17");
}

#[test]
fn r17_the_primary_resumes_whoever_holds_them_herself_too() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(BEN, EVA))
        .when(resume(ANA, CUSTOMER))
        .then([released(CUSTOMER)])
        .when(resume(ANA, ANA))
        .then([released(ANA)]);
}

#[test]
fn r17_a_held_conferenced_agent_does_not_resume_themselves() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, BEN))
        .when(resume(BEN, BEN))
        .then_refused("not_primary", "R17");
}

#[test]
fn r17_who_is_not_held_cannot_be_resumed() {
    given(a_conference([ANA, BEN]))
        .when(resume(ANA, CUSTOMER))
        .then_refused("not_held", "R17")
        .when(resume(ANA, ANA))
        .then_refused("not_held", "R17");
}

#[test]
fn r18_the_customer_and_dial_numbers_neither_hold_nor_resume() {
    for (by, rule) in [(CUSTOMER, "R10"), (EXPERT, "R44")] {
        given(a_conference([ANA, BEN, EXPERT]))
            .and(hold(ANA, BEN))
            .when(hold(by, ANA))
            .then_refused("not_an_agent", rule)
            .when(resume(by, BEN))
            .then_refused("not_an_agent", rule);
    }
}

#[test]
fn r19_a_held_party_is_still_in_the_call() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, CUSTOMER))
        .when(hang_up(BEN))
        .then([left(BEN, HungUp), conference_dissolved()])
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, ANA]);
            assert_eq!(on_hold(call), [CUSTOMER]);
            assert_eq!(call.phase(), Some(Phase::Talking));
        });
}

#[test]
fn r20_whom_a_leaving_agent_held_is_released_and_nobody_else() {
    given(a_conference([ANA, BEN, DAN]))
        .and(hold(ANA, DAN))
        .and(start_consult(BEN, EVA))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            released(CUSTOMER),
            released(ANA),
            consult_ended(BEN, EVA, Cancelled),
        ])
        .then_state(|call| assert_eq!(on_hold(call), [DAN]));
}

#[test]
fn r20_holds_are_released_when_a_conference_is_joined() {
    given(a_conference([ANA, BEN]))
        .and(consulting(BEN, DAN))
        .when(start_conference(BEN))
        .then([
            consult_ended(BEN, DAN, Merged),
            joined(DAN),
            released(CUSTOMER),
            released(ANA),
        ]);
}

#[test]
fn r20_everybody_held_is_released_when_wrap_up_assist_begins() {
    given(a_conference([ANA, BEN, DAN]))
        .and(hold(ANA, DAN))
        .and(hold(ANA, CUSTOMER))
        .and(start_consult(BEN, EVA))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            released(ANA),
            released(DAN),
            consult_ended(BEN, EVA, Cancelled),
            wrap_up_assist_entered(),
        ])
        .then_state(|call| assert_eq!(on_hold(call).len(), 0));
}

fn nobody_added(call: &Call) {
    assert_eq!(call.consult(), None);
    assert_eq!(seated(call), [CUSTOMER, ANA]);
    assert_eq!(on_hold(call), [CUSTOMER]);
}

fn holder(call: &Call, who: Who) -> AgentId {
    let hold = seat_of(call, who).hold.as_ref();
    hold.expect("held").by.clone()
}
