//! Forming a conference: R1 to R11.

use domain::call::Phase;
use domain::event::ConsultEnd::Merged;
use domain::event::EndCause::OnePartyLeft;
use domain::event::LeaveReason::{CallEnded, Exited, HungUp};
use domain::event::Personal;
use domain::{Command, Event, decide, evolve};
use tests::scenario::*;

#[test]
fn r01_an_agents_answer_opens_the_call_and_seats_customer_and_agent_at_one_instant() {
    given(no_call())
        .when(connect_call(ANA))
        .then([call_connected(ANA)])
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, ANA]);
            assert_eq!(
                seat_of(call, CUSTOMER).joined_at,
                seat_of(call, ANA).joined_at
            );
            assert_eq!(call.answered_at(), call.last_at());
            assert_eq!(primary(call), Some(ANA.party()));
            assert_eq!(call.phase(), Some(Phase::Talking));
        });
}

#[test]
fn r01_the_customers_number_and_the_queue_are_kept() {
    let connect = Command::ConnectCall {
        agent: ANA.party(),
        customer: Some("+81 3 1234".parse().unwrap()),
        queue: Some("予約".parse().unwrap()),
    };
    let connected = Event::CallConnected {
        agent: ANA.agent(),
        customer: Some(Personal::Clear("+81 3 1234".parse().unwrap())),
        queue: Some("予約".parse().unwrap()),
    };
    given(no_call())
        .when(connect)
        .then([connected])
        .then_state(|call| assert_eq!(call.queue().unwrap().as_str(), "予約"));
}

#[test]
fn r01_a_conference_joins_customer_agents_and_experts() {
    let call = given(a_conference([ANA, BEN, EXPERT])).call();
    assert_eq!(seated(&call), [CUSTOMER, ANA, BEN, EXPERT]);
    assert_eq!(call.phase(), Some(Phase::Conference));
}

#[test]
fn r01_a_call_is_opened_once() {
    given(a_call(ANA))
        .when(connect_call(BEN))
        .then_refused("call_exists", "R1")
        .when(end_call(ANA))
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::Ended)))
        .when(connect_call(ANA))
        .then_refused("call_exists", "R1");
}

#[test]
fn r02_at_most_eight_parties_customer_and_starting_agent_included() {
    let call = given(a_full_call()).call();
    assert_eq!(call.seats().len(), 8);
    given(a_full_call())
        .when(start_consult(ANA, IDA))
        .then_refused("call_full", "R3");
}

#[test]
fn r02_supervisors_take_no_seat() {
    given(a_conference([ANA, BEN, DAN, EVA, FAY, GUS]))
        .and(start_monitoring(SAM, ANA))
        .and(start_monitoring(SUE, BEN))
        .and(consulting(ANA, HAL))
        .when(start_conference(ANA))
        .then_state(|call| assert_eq!(call.seats().len(), 8));
}

#[test]
fn r02_held_parties_count() {
    given(a_full_call())
        .and(hold(ANA, BEN))
        .when(start_consult(ANA, IDA))
        .then_refused("call_full", "R3");
}

#[test]
fn r03_a_consult_from_a_full_call_is_refused() {
    for consult in [
        start_consult(ANA, IDA),
        start_consult(HAL, EXPERT),
        start_consult_holding_nobody(ANA, EXPERT),
    ] {
        given(a_full_call())
            .when(consult)
            .then_refused("call_full", "R3")
            .saying("somebody must leave first");
    }
}

#[test]
fn r03_a_freed_seat_can_be_used_again() {
    given(a_full_call())
        .and(exit_conference(DAN))
        .and(consulting(ANA, IDA))
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, IDA, Merged),
            joined(IDA),
            released(CUSTOMER),
            released(BEN),
            released(EVA),
            released(FAY),
            released(GUS),
            released(HAL),
        ])
        .then_state(|call| assert_eq!(call.seats().len(), 8))
        .when(start_consult(ANA, DAN))
        .then_refused("call_full", "R3");
}

#[test]
fn r03_the_merge_is_guarded_too() {
    // No commands lead here: a full call with an answered consult. A history that says so must still not seat nine.
    let full = given(a_full_call()).call();
    let impossible = [
        consult_requested_holding_nobody(ANA, IDA),
        consult_started(ANA, IDA),
    ];
    let call = impossible
        .iter()
        .fold(full, |call, event| evolve(call, event, start()));
    let rejection = decide(&call, &start_conference(ANA)).unwrap_err();
    assert_eq!(rejection.code.name(), "call_full");
}

#[test]
fn r04_it_is_a_conference_while_the_customer_and_two_others_are_in_the_main_call() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(start_conference(ANA))
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::Conference)))
        .when(exit_conference(BEN))
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::Talking)));
}

#[test]
fn r04_an_answered_consult_is_no_conference() {
    given(a_call(ANA))
        .and(start_consult(ANA, BEN))
        .when(accept_consult(BEN))
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::Talking)));
}

#[test]
fn r04_without_the_customer_it_is_no_conference() {
    given(a_conference([ANA, BEN, DAN]))
        .when(hang_up(CUSTOMER))
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::WrapUpAssist)));
}

#[test]
fn r05_a_conference_needs_a_consult_that_was_started_and_answered() {
    given(a_call(ANA))
        .when(start_conference(ANA))
        .then_refused("no_consult", "R5")
        .saying("start_consult")
        .when(start_consult(ANA, BEN))
        .then([consult_requested(ANA, BEN), held(CUSTOMER, ANA)])
        .when(start_conference(ANA))
        .then_refused("consult_not_answered", "R5")
        .saying("agent:ben has not answered")
        .when(accept_consult(BEN))
        .then([consult_started(ANA, BEN)])
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, BEN, Merged),
            joined(BEN),
            released(CUSTOMER),
            conference_started(ANA),
        ]);
}

#[test]
fn r05_a_dial_number_can_answer_and_be_merged() {
    given(a_call(ANA))
        .and(start_consult_holding_nobody(ANA, EXPERT))
        .when(accept_consult(EXPERT))
        .then([consult_started(ANA, EXPERT)])
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, EXPERT, Merged),
            joined(EXPERT),
            conference_started(ANA),
        ]);
}

#[test]
fn r05_only_the_consulted_answer() {
    for somebody_else in [ANA, DAN, CUSTOMER, EXPERT, SAM] {
        given(a_call(ANA))
            .and(start_consult(ANA, BEN))
            .when(accept_consult(somebody_else))
            .then_refused("not_consulted", "R5")
            .saying("agent:ben")
            .when(decline_consult(somebody_else))
            .then_refused("not_consulted", "R5");
    }
}

#[test]
fn r05_a_consult_is_answered_once() {
    for again in [
        accept_consult(BEN),
        decline_consult(BEN),
        consult_unanswered(),
    ] {
        given(a_call(ANA))
            .and(consulting(ANA, BEN))
            .when(again)
            .then_refused("consult_already_answered", "R5")
            .saying("start_conference");
    }
}

#[test]
fn r05_without_a_consult_nobody_answers() {
    for answer in [
        accept_consult(BEN),
        decline_consult(BEN),
        consult_unanswered(),
        end_consult(ANA),
    ] {
        given(a_call(ANA))
            .when(answer)
            .then_refused("no_consult", "R5");
    }
}

#[test]
fn r06_a_conference_cannot_be_started_from_a_phone_device() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(start_conference_from_a_phone(ANA))
        .then_refused("desktop_required", "R6")
        .saying("agent desktop");
}

#[test]
fn r06_nor_can_a_further_party_be_merged_from_one() {
    given(a_conference([ANA, BEN]))
        .and(consulting(BEN, DAN))
        .when(start_conference_from_a_phone(BEN))
        .then_refused("desktop_required", "R6");
}

#[test]
fn r07_when_it_starts_every_held_party_is_released() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, BEN, Merged),
            joined(BEN),
            released(CUSTOMER),
            conference_started(ANA),
        ])
        .then_state(|call| assert_eq!(on_hold(call).len(), 0));
}

#[test]
fn r07_at_a_later_merge_every_held_party_is_released_whoever_holds_them() {
    given(a_conference([ANA, BEN, EXPERT]))
        .and(hold(ANA, EXPERT))
        .and(hold(ANA, CUSTOMER))
        .and(consulting(BEN, DAN))
        .when(start_conference(BEN))
        .then([
            consult_ended(BEN, DAN, Merged),
            joined(DAN),
            released(CUSTOMER),
            released(ANA),
            released(EXPERT),
        ])
        .then_state(|call| assert_eq!(on_hold(call).len(), 0));
}

#[test]
fn r07_no_release_is_recorded_for_a_party_that_was_not_held() {
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .and(accept_consult(DAN))
        .and(resume(ANA, CUSTOMER))
        .when(start_conference(ANA))
        .then([consult_ended(ANA, DAN, Merged), joined(DAN), released(BEN)]);
}

#[test]
fn r08_who_starts_the_conference_is_its_primary() {
    given(a_call(ANA))
        .and(start_consult_holding_nobody(ANA, BEN))
        .and(accept_consult(BEN))
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, BEN, Merged),
            joined(BEN),
            conference_started(ANA),
        ])
        .then_state(|call| assert_eq!(primary(call), Some(ANA.party())));
}

#[test]
fn r08_a_conferenced_agent_who_merges_somebody_in_does_not_become_primary() {
    given(a_conference([ANA, BEN]))
        .and(start_consult_holding_nobody(BEN, DAN))
        .and(accept_consult(DAN))
        .when(start_conference(BEN))
        .then([consult_ended(BEN, DAN, Merged), joined(DAN)])
        .then_state(|call| assert_eq!(primary(call), Some(ANA.party())));
}

#[test]
fn r08_whoever_starts_a_new_conference_is_its_primary() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(consulting(BEN, DAN))
        .when(start_conference(BEN))
        .then([
            consult_ended(BEN, DAN, Merged),
            joined(DAN),
            released(CUSTOMER),
            conference_started(BEN),
        ]);
}

#[test]
fn r09_consulted_agents_who_are_merged_are_conferenced_agents() {
    for conferenced in [BEN, DAN] {
        given(a_conference([ANA, BEN, DAN]))
            .when(end_call(conferenced))
            .then_refused("not_primary", "R32")
            .when(exit_conference(conferenced))
            .then([left(conferenced, Exited)]);
    }
}

#[test]
fn r10_the_customer_controls_nothing() {
    for control in call_controls(CUSTOMER) {
        given(a_conference([ANA, BEN]))
            .when(control)
            .then_refused("not_an_agent", "R10")
            .saying("hang_up");
    }
}

#[test]
fn r10_the_customer_answers_no_call() {
    given(no_call())
        .when(connect_call(CUSTOMER))
        .then_refused("not_an_agent", "R10");
}

#[test]
fn r10_the_customer_can_hang_up() {
    given(a_call(ANA)).when(hang_up(CUSTOMER)).then([
        left(CUSTOMER, HungUp),
        left(ANA, CallEnded),
        call_ended(OnePartyLeft),
        wrap_up_owed(ANA),
    ]);
}

#[test]
fn r11_only_who_started_the_consult_merges_it() {
    given(a_conference([ANA, BEN, DAN]))
        .and(consulting(BEN, EVA))
        .when(start_conference(ANA))
        .then_refused("not_consult_initiator", "R11")
        .saying("agent:ben")
        .when(start_conference(DAN))
        .then_refused("not_consult_initiator", "R11")
        .when(start_conference(EVA))
        .then_refused("not_in_call", "R40");
}
