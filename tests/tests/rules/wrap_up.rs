//! Wrap-up: R48 to R52.

use domain::call::{Call, WrapUpState};
use domain::event::EndCause::{EndedByPrimary, OnePartyLeft};
use domain::event::LeaveReason::{CallEnded, Exited, HungUp};
use domain::suggestion_recipients;
use tests::scenario::*;

#[test]
fn r48_a_conferenced_agent_cannot_apply_a_wrap_up_reason() {
    given(a_conference([ANA, BEN, DAN]))
        .when(apply_wrap_up(BEN, "billing"))
        .then_refused("wrap_up_not_owed", "R48")
        .saying("suggest_wrap_up")
        .when(exit_conference(BEN))
        .then([left(BEN, Exited)])
        .when(apply_wrap_up(BEN, "billing"))
        .then_refused("wrap_up_not_owed", "R48");
}

#[test]
fn r48_nor_after_the_call_has_ended() {
    given(a_conference([ANA, BEN]))
        .and(end_call(ANA))
        .when(apply_wrap_up(BEN, "billing"))
        .then_refused("wrap_up_not_owed", "R48");
}

#[test]
fn r49_an_agent_suggests_a_reason_to_who_owes_and_settles_nothing() {
    given(a_conference([ANA, BEN]))
        .and(end_call(ANA))
        .when(suggest_wrap_up_noting(BEN, "billing", "asked about May"))
        .then([wrap_up_suggested_noting(BEN, "billing", "asked about May")])
        .then_state(|call| {
            assert_eq!(owing(call), [ANA]);
            assert_eq!(recipients(call, BEN), [ANA]);
            assert_eq!(call.completed_at(), None);
        })
        .when(suggest_wrap_up(BEN, "delivery"))
        .then([wrap_up_suggested(BEN, "delivery")]);
}

#[test]
fn r49_while_the_others_talk_on_and_from_agents_who_have_left() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(DAN))
        .and(exit_conference(ANA))
        .when(suggest_wrap_up(BEN, "billing"))
        .then([wrap_up_suggested(BEN, "billing")])
        .when(suggest_wrap_up(DAN, "delivery"))
        .then([wrap_up_suggested(DAN, "delivery")]);
}

#[test]
fn r49_a_suggestion_reaches_all_others_who_owe() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .when(end_call(BEN))
        .then_state(|call| {
            assert_eq!(recipients(call, DAN), [ANA, BEN]);
            assert_eq!(recipients(call, ANA), [BEN]);
            assert_eq!(recipients(call, BEN), [ANA]);
        })
        .when(suggest_wrap_up(ANA, "billing"))
        .then([wrap_up_suggested(ANA, "billing")]);
}

#[test]
fn r49_in_wrap_up_assist_it_reaches_the_primary() {
    given(wrap_up_assist([ANA, BEN]))
        .when(suggest_wrap_up(BEN, "billing"))
        .then([wrap_up_suggested(BEN, "billing")])
        .then_state(|call| assert_eq!(recipients(call, BEN), [ANA]))
        .when(suggest_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_not_owed", "R49");
}

#[test]
fn r49_in_wrap_up_assist_it_reaches_who_owes_and_the_primary_once_each() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .and(hang_up(CUSTOMER))
        .when(suggest_wrap_up(DAN, "billing"))
        .then_state(|call| assert_eq!(recipients(call, DAN), [ANA, BEN]));
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .and(merging(BEN, ANA))
        .and(exit_conference(DAN))
        .and(exit_conference(BEN))
        .and(merging(ANA, DAN))
        .and(hang_up(CUSTOMER))
        .when(suggest_wrap_up(DAN, "billing"))
        .then_state(|call| {
            assert_eq!(primary(call), Some(ANA.party()));
            assert_eq!(recipients(call, DAN), [ANA, BEN]);
        });
}

#[test]
fn r49_not_while_nobody_else_owes() {
    given(a_conference([ANA, BEN, DAN]))
        .when(suggest_wrap_up(BEN, "billing"))
        .then_refused("wrap_up_not_owed", "R49")
        .saying("once one does")
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, BEN), wrap_up_owed(ANA)])
        .when(suggest_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_not_owed", "R49")
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing")])
        .when(suggest_wrap_up(BEN, "billing"))
        .then_refused("wrap_up_not_owed", "R49");
}

#[test]
fn r49_who_was_only_consulted_does_not_suggest() {
    given(a_conference([ANA, BEN]))
        .and(consulting(BEN, DAN))
        .and(exit_conference(ANA))
        .when(suggest_wrap_up(DAN, "billing"))
        .then_refused("not_in_call", "R40");
}

#[test]
fn r50_one_call_may_owe_several_wrap_ups() {
    given(a_conference([ANA, BEN, DAN]))
        .and(exit_conference(ANA))
        .when(end_call(BEN))
        .then([
            left(BEN, CallEnded),
            left(CUSTOMER, CallEnded),
            left(DAN, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(BEN),
        ])
        .then_state(|call| assert_eq!(owing(call), [ANA, BEN]));
}

#[test]
fn r50_who_is_primary_when_the_call_ends_owes_it() {
    given(a_call(ANA)).when(hang_up(CUSTOMER)).then([
        left(CUSTOMER, HungUp),
        left(ANA, CallEnded),
        call_ended(OnePartyLeft),
        wrap_up_owed(ANA),
    ]);
}

#[test]
fn r50_leaving_again_while_one_is_open_adds_none() {
    given(ana_is_primary_again())
        .when(hang_up(ANA))
        .then([
            left(ANA, HungUp),
            left(CUSTOMER, CallEnded),
            call_ended(EndedByPrimary),
        ])
        .then_state(|call| assert_eq!(owing(call), [ANA, BEN]));
    given(ana_is_primary_again())
        .and(merging(ANA, DAN))
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), control(ANA, DAN), conference_dissolved()]);
}

#[test]
fn r50_after_it_was_settled_a_new_one_is_owed() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(apply_wrap_up(ANA, "billing"))
        .and(merging(BEN, ANA))
        .and(exit_conference(BEN))
        .when(end_call(ANA))
        .then([
            left(ANA, CallEnded),
            left(CUSTOMER, CallEnded),
            call_ended(EndedByPrimary),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(owing(call), [BEN, ANA]);
            assert_eq!(reasons(call), [Some("billing"), None, None]);
            let ways: Vec<_> = call.wrap_ups().iter().map(|owed| owed.why).collect();
            assert_eq!(ways, [Exited, Exited, CallEnded]);
        })
        .when(apply_wrap_up(ANA, "delivery"))
        .then([wrap_up_applied(ANA, "delivery")])
        .then_state(|call| {
            assert_eq!(reasons(call), [Some("billing"), None, Some("delivery")]);
        });
}

#[test]
fn r51_exactly_one_reason_settles_it() {
    given(a_call(ANA))
        .and(end_call(ANA))
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing"), call_completed()])
        .then_state(|call| {
            let WrapUpState::Applied { reason, at } = &call.wrap_ups()[0].state else {
                panic!("settled");
            };
            assert_eq!((reason.as_str(), *at), ("billing", call.last_at()));
        })
        .when(apply_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_already_applied", "R51")
        .saying("it stands");
}

#[test]
fn r51_a_blank_reason_settles_nothing() {
    for blank in ["", " ", "\t\n", "\u{3000}\u{a0}"] {
        given(a_conference([ANA, BEN]))
            .and(end_call(ANA))
            .when(apply_wrap_up(ANA, blank))
            .then_refused("wrap_up_reason_missing", "R51")
            .saying("choose one")
            .when(suggest_wrap_up(BEN, blank))
            .then_refused("wrap_up_reason_missing", "R51");
    }
}

#[test]
fn r51_a_reason_is_kept_as_given() {
    given(a_call(ANA))
        .and(end_call(ANA))
        .when(apply_wrap_up(ANA, " 請求 "))
        .then([wrap_up_applied(ANA, " 請求 "), call_completed()]);
}

#[test]
fn r51_who_is_in_the_call_applies_none() {
    given(a_call(ANA))
        .when(apply_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_not_owed", "R51")
        .saying("leave it or end it first");
    given(wrap_up_assist([ANA, BEN]))
        .when(apply_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_not_owed", "R51");
}

#[test]
fn r51_not_even_if_an_earlier_one_is_open() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(merging(BEN, ANA))
        .when(apply_wrap_up(ANA, "billing"))
        .then_refused("wrap_up_not_owed", "R51")
        .when(exit_conference(ANA))
        .then([left(ANA, Exited), conference_dissolved()])
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing")]);
}

#[test]
fn r51_a_settled_one_stays_settled_for_who_rejoined_as_conferenced_agent() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(apply_wrap_up(ANA, "billing"))
        .and(merging(BEN, ANA))
        .and(exit_conference(ANA))
        .when(apply_wrap_up(ANA, "delivery"))
        .then_refused("wrap_up_already_applied", "R51");
}

#[test]
fn r52_the_call_is_completed_when_it_has_ended_and_every_wrap_up_is_settled() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .and(end_call(BEN))
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing")])
        .then_state(|call| assert_eq!(call.completed_at(), None))
        .when(apply_wrap_up(BEN, "delivery"))
        .then([wrap_up_applied(BEN, "delivery"), call_completed()])
        .then_state(|call| {
            assert_eq!(call.completed_at(), Some(call.last_at()));
            assert!(call.ended_at() < call.completed_at());
        });
}

#[test]
fn r52_settling_completes_no_call_that_goes_on() {
    given(a_conference([ANA, BEN]))
        .and(exit_conference(ANA))
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing")]);
}

#[test]
fn r52_an_end_at_which_nothing_is_owed_completes_it() {
    given(a_conference([ANA, EXPERT]))
        .and(start_monitoring(SAM, ANA))
        .and(exit_conference(ANA))
        .and(apply_wrap_up(ANA, "billing"))
        .when(hang_up(EXPERT))
        .then([
            left(EXPERT, HungUp),
            left(CUSTOMER, CallEnded),
            call_ended(OnePartyLeft),
            call_completed(),
        ])
        .then_state(|call| assert_eq!(call.completed_at(), call.ended_at()));
}

#[test]
fn r52_an_end_without_a_primary_completes_nothing_while_another_owes() {
    given(a_conference([ANA, EXPERT]))
        .and(exit_conference(ANA))
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            left(EXPERT, CallEnded),
            call_ended(OnePartyLeft),
        ])
        .when(apply_wrap_up(ANA, "billing"))
        .then([wrap_up_applied(ANA, "billing"), call_completed()]);
}

/// Ana left as primary, came back and took control from Ben: her first wrap-up is open, and so is his.
fn ana_is_primary_again() -> Vec<domain::Command> {
    let mut story = a_conference([ANA, BEN]);
    story.push(exit_conference(ANA));
    story.extend(merging(BEN, ANA));
    story.push(exit_conference(BEN));
    story
}

fn recipients(call: &Call, by: Who) -> Vec<domain::AgentId> {
    suggestion_recipients(call, &by.agent()).cloned().collect()
}

/// The reason of each wrap-up, in the order in which they arose.
fn reasons(call: &Call) -> Vec<Option<&str>> {
    let wrap_ups = call.wrap_ups().iter();
    let reasons = wrap_ups.map(|wrap_up| match &wrap_up.state {
        WrapUpState::Owed => None,
        WrapUpState::Applied { reason, .. } => Some(reason.as_str()),
    });
    reasons.collect()
}
