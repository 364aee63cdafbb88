//! Leaving, control, ending: R21 to R41.

use domain::call::Phase;
use domain::event::ConsultEnd::{self, Cancelled, Ended, Merged};
use domain::event::EndCause::{CustomerAndAgentsLeft, EndedByPrimary, OnePartyLeft};
use domain::event::LeaveReason::{CallEnded, ConnectionLost, Exited, HungUp, Transferred};
use domain::event::MonitoringEnd;
use tests::scenario::*;

#[test]
fn r21_in_a_conference_there_is_no_transfer() {
    given(a_conference([ANA, BEN]))
        .and(consulting(ANA, DAN))
        .when(transfer_call(ANA))
        .then_refused("refused_in_conference", "R21")
        .saying("exit_conference");
}

#[test]
fn r21_a_transfer_puts_the_consulted_agent_in_the_primarys_place() {
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .and(start_monitoring(SUE, ANA))
        .and(consulting(ANA, BEN))
        .when(transfer_call(ANA))
        .then([
            consult_ended(ANA, BEN, ConsultEnd::Transferred),
            joined(BEN),
            left(ANA, Transferred),
            released(CUSTOMER),
            control(ANA, BEN),
            monitoring_moved(SAM, ANA, BEN),
            monitoring_moved(SUE, ANA, BEN),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, BEN]);
            assert_eq!(primary(call), Some(BEN.party()));
            assert_eq!(call.phase(), Some(Phase::Talking));
            assert_eq!(call.phase_since(), call.answered_at());
            assert_eq!(call.consult(), None);
        });
}

#[test]
fn r21_after_a_transfer_to_a_dial_number_nobody_is_primary() {
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .and(consulting(ANA, EXPERT))
        .when(transfer_call(ANA))
        .then([
            consult_ended(ANA, EXPERT, ConsultEnd::Transferred),
            joined(EXPERT),
            left(ANA, Transferred),
            released(CUSTOMER),
            control_vacated(ANA),
            monitoring_ended(SAM, MonitoringEnd::NoAgentLeft),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, EXPERT]);
            assert_eq!(primary(call), None);
            assert_eq!(call.phase(), Some(Phase::Talking));
        });
}

#[test]
fn r21_a_transfer_releases_nobody_who_was_not_held() {
    given(a_call(ANA))
        .and(start_consult_holding_nobody(ANA, BEN))
        .and(accept_consult(BEN))
        .when(transfer_call(ANA))
        .then([
            consult_ended(ANA, BEN, ConsultEnd::Transferred),
            joined(BEN),
            left(ANA, Transferred),
            control(ANA, BEN),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r21_a_transfer_needs_an_answered_consult() {
    given(a_call(ANA))
        .when(transfer_call(ANA))
        .then_refused("no_consult", "R5")
        .when(start_consult_holding_nobody(ANA, BEN))
        .then([consult_requested_holding_nobody(ANA, BEN)])
        .when(transfer_call(ANA))
        .then_refused("consult_not_answered", "R5");
}

#[test]
fn r21_only_the_primary_transfers() {
    given(a_conference([ANA, BEN]))
        .and(consulting(BEN, DAN))
        .when(transfer_call(BEN))
        .then_refused("not_primary", "R21")
        .saying("exit_conference");
}

#[test]
fn r21_whose_wrap_up_is_open_owes_no_second_one_by_a_transfer() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .and(transfer_call(ANA))
        .and(consulting(BEN, ANA))
        .and(transfer_call(BEN))
        .and(consulting(ANA, DAN))
        .when(transfer_call(ANA))
        .then([
            consult_ended(ANA, DAN, ConsultEnd::Transferred),
            joined(DAN),
            left(ANA, Transferred),
            released(CUSTOMER),
            control(ANA, DAN),
        ])
        .then_state(|call| assert_eq!(owing(call), [ANA, BEN]));
}

#[test]
fn r22_nothing_but_leaving_hands_control_over() {
    let staying = [
        hold(ANA, BEN),
        resume(ANA, BEN),
        start_consult(BEN, DAN),
        accept_consult(DAN),
        start_conference(BEN),
        start_monitoring(SAM, BEN),
        barge_in(SAM),
        stop_monitoring(SAM),
        exit_conference(DAN),
        lose_connection(BEN),
    ];
    let mut story = a_conference([ANA, BEN, EXPERT]);
    for command in staying {
        given(story.clone())
            .when(command.clone())
            .then_state(|call| assert_eq!(primary(call), Some(ANA.party())));
        story.push(command);
    }
}

#[test]
fn r23_when_an_agent_exits_the_others_talk_on() {
    given(a_conference([ANA, BEN, DAN]))
        .when(exit_conference(BEN))
        .then([left(BEN, Exited)])
        .then_state(|call| {
            assert_eq!(seated(call), [CUSTOMER, ANA, DAN]);
            assert_eq!(call.phase(), Some(Phase::Conference));
        });
}

#[test]
fn r24_the_longest_serving_conferenced_agent_takes_control() {
    given(a_conference([ANA, BEN, DAN]))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .then_state(|call| assert_eq!(primary(call), Some(BEN.party())))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            control(BEN, DAN),
            conference_dissolved(),
            wrap_up_owed(BEN),
        ]);
}

#[test]
fn r24_rejoining_starts_tenure_anew() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(BEN))
        .and(merging(DAN, BEN))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, DAN), wrap_up_owed(ANA)]);
}

#[test]
fn r24_a_former_primary_who_rejoins_is_the_youngest() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .and(merging(BEN, ANA))
        .when(exit_conference(BEN))
        .then([left(BEN, Exited), control(BEN, DAN), wrap_up_owed(BEN)]);
}

#[test]
fn r24_tenure_counts_from_joining_not_from_being_consulted() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .and(end_consult(ANA))
        .and(merging(ANA, DAN))
        .and(merging(ANA, BEN))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, DAN), wrap_up_owed(ANA)])
        .then_state(|call| {
            assert!(seat_of(call, DAN).joined_at < seat_of(call, BEN).joined_at);
        });
}

#[test]
fn r24_a_held_agent_takes_control() {
    given(a_conference([ANA, BEN, DAN]))
        .and(hold(ANA, BEN))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            released(BEN),
            control(ANA, BEN),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r24_an_agent_whom_another_holds_takes_control_and_stays_held() {
    given(a_conference([ANA, BEN, DAN]))
        .and(start_consult(DAN, EVA))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .then_state(|call| assert_eq!(on_hold(call), [CUSTOMER, BEN]));
}

#[test]
fn r24_a_consulting_agent_takes_control_and_consults_on() {
    given(a_conference([ANA, BEN, DAN]))
        .and(consulting(BEN, EVA))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .when(start_conference(BEN))
        .then([
            consult_ended(BEN, EVA, Merged),
            joined(EVA),
            released(CUSTOMER),
            released(DAN),
        ]);
}

#[test]
fn r24_dial_numbers_and_supervisors_never_take_control() {
    given(a_conference([ANA, EXPERT, COURIER, BEN]))
        .and(start_monitoring(SAM, BEN))
        .and(barge_in(SAM))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)]);
}

#[test]
fn r24_of_equal_times_the_earlier_event_wins() {
    given_in_one_instant(a_conference([ANA, DAN, BEN]))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, DAN), wrap_up_owed(ANA)]);
}

#[test]
fn r25_a_primary_who_exits_owes_wrap_up_at_once() {
    given(a_conference([ANA, BEN, DAN]))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .then_state(|call| {
            assert_eq!(call.phase(), Some(Phase::Conference));
            let wrap_up = call.open_wrap_up(&ANA.agent()).unwrap();
            assert_eq!((wrap_up.since, wrap_up.why), (call.last_at(), Exited));
        })
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing")]);
}

#[test]
fn r26_without_an_agent_the_call_goes_on_without_a_controller() {
    given(a_conference([ANA, EXPERT]))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            control_vacated(ANA),
            conference_dissolved(),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(primary(call), None);
            assert_eq!(call.phase(), Some(Phase::Talking));
        });
    given(a_conference([ANA, EXPERT, COURIER]))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control_vacated(ANA), wrap_up_owed(ANA)])
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::Conference)));
}

#[test]
fn r27_a_leave_that_ends_the_call_hands_no_control_over() {
    given(wrap_up_assist([ANA, BEN]))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            left(BEN, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| assert_eq!(owing(call), [ANA]));
}

#[test]
fn r28_the_primary_ends_the_call_for_everybody() {
    for end in [end_call(ANA), press_end(ANA)] {
        given(a_conference([ANA, BEN, EXPERT])).when(end).then([
            left(ANA, CallEnded),
            left(CUSTOMER, CallEnded),
            left(BEN, CallEnded),
            left(EXPERT, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(ANA),
        ]);
    }
}

#[test]
fn r28_whom_the_primary_held_is_released_then_the_consult_ends_then_the_others_leave() {
    given(a_conference([ANA, BEN, DAN]))
        .and(start_monitoring(SUE, BEN))
        .and(start_monitoring(SAM, ANA))
        .and(hold(ANA, DAN))
        .and(hold(ANA, CUSTOMER))
        .and(start_consult(BEN, EVA))
        .when(end_call(ANA))
        .then([
            left(ANA, CallEnded),
            released(CUSTOMER),
            released(DAN),
            consult_ended(BEN, EVA, Cancelled),
            left(CUSTOMER, CallEnded),
            left(BEN, CallEnded),
            left(DAN, CallEnded),
            call_ended(EndedByPrimary),
            monitoring_ended(SUE, MonitoringEnd::CallEnded),
            monitoring_ended(SAM, MonitoringEnd::CallEnded),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r28_the_primarys_own_answered_consult_ends_with_the_call() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(press_end(ANA))
        .then([
            left(ANA, CallEnded),
            released(CUSTOMER),
            consult_ended(ANA, BEN, Ended),
            left(CUSTOMER, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r28_the_primary_ends_wrap_up_assist_for_everybody() {
    given(wrap_up_assist([ANA, BEN, DAN]))
        .when(end_call(ANA))
        .then([
            left(ANA, CallEnded),
            left(BEN, CallEnded),
            left(DAN, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r29_the_primary_hanging_up_the_phone_ends_the_call() {
    given(a_conference([ANA, BEN]))
        .and(hold(ANA, BEN))
        .when(hang_up(ANA))
        .then([
            left(ANA, HungUp),
            released(BEN),
            left(CUSTOMER, CallEnded),
            left(BEN, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r29_a_lost_connection_of_the_primary_is_only_a_leave() {
    given(a_conference([ANA, BEN, DAN]))
        .when(lose_connection(ANA))
        .then([
            left(ANA, ConnectionLost),
            control(ANA, BEN),
            wrap_up_owed(ANA),
        ]);
    given(a_call(ANA)).when(lose_connection(ANA)).then([
        left(ANA, ConnectionLost),
        left(CUSTOMER, CallEnded),
        call_ended(OnePartyLeft),
        wrap_up_owed(ANA),
    ]);
}

#[test]
fn r30_a_conferenced_agent_leaves_with_exit_or_with_end() {
    for leave in [exit_conference(BEN), press_end(BEN)] {
        given(a_conference([ANA, BEN, DAN]))
            .when(leave)
            .then([left(BEN, Exited)])
            .then_state(|call| assert_eq!(primary(call), Some(ANA.party())));
    }
}

#[test]
fn r30_exit_is_accepted_in_wrap_up_assist_from_the_primary_too() {
    given(wrap_up_assist([ANA, BEN, DAN, EVA]))
        .when(exit_conference(DAN))
        .then([left(DAN, Exited)])
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::WrapUpAssist)));
}

#[test]
fn r31_a_conferenced_agent_hanging_up_the_phone_only_leaves() {
    given(a_conference([ANA, BEN, DAN]))
        .when(hang_up(BEN))
        .then([left(BEN, HungUp)]);
}

#[test]
fn r32_a_conferenced_agent_cannot_end_the_call_for_everybody() {
    given(a_conference([ANA, BEN]))
        .when(end_call(BEN))
        .then_refused("not_primary", "R32")
        .saying("exit_conference");
    given(wrap_up_assist([ANA, BEN]))
        .when(end_call(BEN))
        .then_refused("not_primary", "R32");
}

#[test]
fn r33_who_took_control_over_has_every_right_of_a_primary() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .when(hold(BEN, DAN))
        .then([held(DAN, BEN)])
        .when(resume(BEN, DAN))
        .then([released(DAN)])
        .when(end_call(BEN))
        .then([
            left(BEN, CallEnded),
            left(CUSTOMER, CallEnded),
            left(DAN, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(BEN),
        ])
        .when(apply_wrap_up(BEN, "billing"))
        .then([wrap_up_applied(BEN, "billing")]);
}

#[test]
fn r33_their_phone_and_their_end_button_end_the_call_too() {
    for (end, reason) in [(hang_up(BEN), HungUp), (press_end(BEN), CallEnded)] {
        given(a_conference([ANA, BEN, DAN]))
            .and(exit_conference(ANA))
            .when(end)
            .then([
                left(BEN, reason),
                left(CUSTOMER, CallEnded),
                left(DAN, CallEnded),
                call_ended(EndedByPrimary),
                wrap_up_owed(BEN),
            ]);
    }
}

#[test]
fn r33_who_took_control_over_transfers_the_two_party_call() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(start_consult_holding_nobody(BEN, DAN))
        .and(accept_consult(DAN))
        .when(transfer_call(BEN))
        .then([
            consult_ended(BEN, DAN, ConsultEnd::Transferred),
            joined(DAN),
            left(BEN, Transferred),
            control(BEN, DAN),
            wrap_up_owed(BEN),
        ]);
}

#[test]
fn r34_the_call_ends_when_one_party_is_left() {
    given(wrap_up_assist([ANA, EXPERT, BEN]))
        .and(hang_up(EXPERT))
        .when(lose_connection(BEN))
        .then([
            left(BEN, ConnectionLost),
            left(ANA, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_a_ringing_consult_keeps_no_call_alive() {
    given(a_call(ANA))
        .and(start_consult(ANA, BEN))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            consult_ended(ANA, BEN, Cancelled),
            left(ANA, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_an_answered_consult_keeps_the_call_alive() {
    for target in [BEN, EXPERT] {
        given(a_call(ANA))
            .and(consulting(ANA, target))
            .when(hang_up(CUSTOMER))
            .then([left(CUSTOMER, HungUp), wrap_up_assist_entered()])
            .then_state(|call| assert_eq!(seated(call), [ANA]));
    }
}

#[test]
fn r34_supervisors_keep_no_call_alive() {
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .and(barge_in(SAM))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            left(ANA, CallEnded),
            call_ended(OnePartyLeft),
            monitoring_ended(SAM, MonitoringEnd::CallEnded),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_a_leg_goes_with_its_initiator() {
    given(a_conference([ANA, BEN]))
        .and(consulting(BEN, DAN))
        .and(hang_up(CUSTOMER))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            consult_ended(BEN, DAN, Ended),
            left(ANA, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(lose_connection(ANA))
        .then([
            left(ANA, ConnectionLost),
            released(CUSTOMER),
            consult_ended(ANA, BEN, Ended),
            left(CUSTOMER, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_a_leg_goes_with_its_initiator_though_the_others_talk_on() {
    given(a_conference([ANA, BEN, DAN]))
        .and(consulting(BEN, EVA))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            released(CUSTOMER),
            released(ANA),
            released(DAN),
            consult_ended(BEN, EVA, Ended),
        ]);
}

#[test]
fn r34_the_primarys_leg_and_holds_go_before_control_passes_on() {
    given(a_conference([ANA, BEN]))
        .and(start_monitoring(SAM, ANA))
        .and(consulting(ANA, DAN))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            released(CUSTOMER),
            released(BEN),
            consult_ended(ANA, DAN, Ended),
            control(ANA, BEN),
            conference_dissolved(),
            monitoring_moved(SAM, ANA, BEN),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_nobody_left_in_the_main_call_ends_it_as_one_party_left() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .and(hang_up(CUSTOMER))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            consult_ended(ANA, BEN, Ended),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_is_judged_before_r36() {
    given(wrap_up_assist([ANA, EXPERT]))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            left(EXPERT, CallEnded),
            call_ended(OnePartyLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r34_the_end_of_a_leg_in_wrap_up_assist_ends_the_call_with_it() {
    for end in [
        end_consult(ANA),
        end_consult(BEN),
        hang_up(BEN),
        lose_connection(BEN),
    ] {
        given(a_call(ANA))
            .and(start_monitoring(SAM, ANA))
            .and(consulting(ANA, BEN))
            .and(hang_up(CUSTOMER))
            .when(end)
            .then([
                consult_ended(ANA, BEN, Ended),
                left(ANA, CallEnded),
                call_ended(OnePartyLeft),
                monitoring_ended(SAM, MonitoringEnd::CallEnded),
                wrap_up_owed(ANA),
            ]);
    }
}

#[test]
fn r35_a_two_party_call_ends_when_either_hangs_up() {
    given(a_call(ANA)).when(hang_up(CUSTOMER)).then([
        left(CUSTOMER, HungUp),
        left(ANA, CallEnded),
        call_ended(OnePartyLeft),
        wrap_up_owed(ANA),
    ]);
    given(a_call(ANA)).when(hang_up(ANA)).then([
        left(ANA, HungUp),
        left(CUSTOMER, CallEnded),
        call_ended(EndedByPrimary),
        wrap_up_owed(ANA),
    ]);
}

#[test]
fn r35_that_of_customer_and_dial_number_too() {
    for (leaver, other) in [(CUSTOMER, EXPERT), (EXPERT, CUSTOMER)] {
        given(a_conference([ANA, EXPERT]))
            .and(exit_conference(ANA))
            .when(hang_up(leaver))
            .then([
                left(leaver, HungUp),
                left(other, CallEnded),
                call_ended(OnePartyLeft),
            ]);
    }
}

#[test]
fn r36_when_customer_and_every_agent_have_left_the_call_ends() {
    given(wrap_up_assist([ANA, EXPERT, COURIER]))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            left(EXPERT, CallEnded),
            left(COURIER, CallEnded),
            call_ended(CustomerAndAgentsLeft),
            wrap_up_owed(ANA),
        ]);
    given(a_conference([ANA, EXPERT, COURIER]))
        .and(exit_conference(ANA))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            left(EXPERT, CallEnded),
            left(COURIER, CallEnded),
            call_ended(CustomerAndAgentsLeft),
        ]);
}

#[test]
fn r36_not_while_one_agent_remains() {
    given(wrap_up_assist([ANA, BEN, EXPERT]))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .then_state(|call| assert_eq!(call.phase(), Some(Phase::WrapUpAssist)));
}

#[test]
fn r37_the_customer_leaving_a_conference_does_not_end_it() {
    for leave in [hang_up(CUSTOMER), lose_connection(CUSTOMER)] {
        given(a_conference([ANA, BEN]))
            .when(leave)
            .then_state(|call| {
                assert!(call.is_live());
                assert_eq!(seated(call), [ANA, BEN]);
                assert_eq!(primary(call), Some(ANA.party()));
            });
    }
}

#[test]
fn r38_an_agent_leaving_does_not_end_it() {
    for leave in [
        exit_conference(BEN),
        press_end(BEN),
        hang_up(BEN),
        lose_connection(BEN),
        exit_conference(ANA),
        lose_connection(ANA),
    ] {
        given(a_conference([ANA, BEN]))
            .when(leave)
            .then_state(|call| assert!(call.is_live()));
    }
}

#[test]
fn r39_a_conference_of_two_is_an_ordinary_call_again() {
    given(a_conference([ANA, BEN]))
        .when(exit_conference(BEN))
        .then([left(BEN, Exited), conference_dissolved()])
        .then_state(|call| {
            assert_eq!(call.phase(), Some(Phase::Talking));
            assert_eq!(call.phase_since(), call.last_at());
        })
        .when(exit_conference(ANA))
        .then_refused("not_in_conference", "R39")
        .saying("end_call")
        .when(hold(ANA, CUSTOMER))
        .then([held(CUSTOMER, ANA)])
        .when(start_consult(ANA, DAN))
        .then([consult_requested(ANA, DAN)])
        .when(accept_consult(DAN))
        .then([consult_started(ANA, DAN)])
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, DAN, Merged),
            joined(DAN),
            released(CUSTOMER),
            conference_started(ANA),
        ]);
}

#[test]
fn r39_a_consult_goes_on_when_the_conference_dissolves_and_may_be_transferred_to() {
    given(a_conference([ANA, BEN]))
        .and(consulting(ANA, DAN))
        .when(hang_up(BEN))
        .then([left(BEN, HungUp), conference_dissolved()])
        .when(transfer_call(ANA))
        .then([
            consult_ended(ANA, DAN, ConsultEnd::Transferred),
            joined(DAN),
            left(ANA, Transferred),
            released(CUSTOMER),
            control(ANA, DAN),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r39_exit_is_refused_in_a_two_party_call() {
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(exit_conference(ANA))
        .then_refused("not_in_conference", "R39");
}

#[test]
fn r40_who_has_left_cannot_act() {
    for control in call_controls(BEN).into_iter().filter(is_no_wrap_up) {
        given(a_conference([ANA, BEN, DAN]))
            .and(exit_conference(BEN))
            .when(control)
            .then_refused("already_left", "R40");
    }
}

#[test]
fn r40_who_has_left_cannot_leave_twice() {
    for again in [
        exit_conference(BEN),
        press_end(BEN),
        hang_up(BEN),
        lose_connection(BEN),
    ] {
        given(a_conference([ANA, BEN, DAN]))
            .and(lose_connection(BEN))
            .when(again)
            .then_refused("already_left", "R40")
            .saying("merge them again");
    }
}

#[test]
fn r40_of_who_left_more_than_once_the_last_time_is_remembered() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(BEN))
        .and(merging(ANA, BEN))
        .when(hang_up(BEN))
        .then([left(BEN, HungUp)])
        .then_state(|call| {
            let [departure] = call.departures() else {
                panic!("one party has left");
            };
            assert_eq!(departure.party, BEN);
            assert_eq!((departure.reason, departure.at), (HungUp, call.last_at()));
        });
}

#[test]
fn r40_who_never_was_in_the_call_cannot_act() {
    let facts = [hang_up(BEN), lose_connection(BEN)];
    for command in call_controls(BEN).into_iter().chain(facts) {
        given(a_conference([ANA, DAN]))
            .when(command)
            .then_refused("not_in_call", "R40");
    }
}

#[test]
fn r40_nothing_happens_to_a_call_that_is_over() {
    let controls = call_controls(ANA).into_iter().filter(is_no_wrap_up);
    let others = [
        accept_consult(BEN),
        decline_consult(BEN),
        consult_unanswered(),
        hang_up(CUSTOMER),
        lose_connection(ANA),
        start_monitoring(SAM, ANA),
        barge_in(SAM),
        stop_monitoring(SAM),
    ];
    for command in controls.chain(others) {
        given(a_call(ANA))
            .and(end_call(ANA))
            .when(command)
            .then_refused("call_ended", "R40")
            .saying("apply_wrap_up");
    }
}

#[test]
fn r41_a_fact_of_the_network_is_accepted_for_every_party_in_the_call() {
    for party in [CUSTOMER, ANA, BEN, EXPERT] {
        given(a_conference([ANA, BEN, EXPERT]))
            .and(start_consult(BEN, DAN))
            .when(hang_up(party))
            .then_state(|call| assert!(call.had(&party.party())));
        given(a_conference([ANA, BEN, EXPERT]))
            .and(consulting(BEN, DAN))
            .when(lose_connection(party))
            .then_state(|call| assert!(!call.has(&party.party())));
    }
}

#[test]
fn r41_of_the_target_of_an_answered_consult_it_ends_the_consult() {
    for target in [BEN, EXPERT] {
        for fact in [hang_up(target), lose_connection(target)] {
            given(a_call(ANA))
                .and(consulting(ANA, target))
                .when(fact)
                .then([consult_ended(ANA, target, Ended)])
                .then_state(|call| assert_eq!(on_hold(call), [CUSTOMER]));
        }
    }
}

#[test]
fn r41_of_a_ringing_target_it_is_refused() {
    given(a_conference([ANA, DAN]))
        .and(start_consult(ANA, BEN))
        .when(hang_up(BEN))
        .then_refused("not_in_call", "R40")
        .when(lose_connection(BEN))
        .then_refused("not_in_call", "R40");
    given(a_conference([ANA, DAN, BEN]))
        .and(exit_conference(BEN))
        .and(start_consult(ANA, BEN))
        .when(hang_up(BEN))
        .then_refused("already_left", "R40");
}

fn is_no_wrap_up(command: &domain::Command) -> bool {
    !command.name().ends_with("_wrap_up")
}
