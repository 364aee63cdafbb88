//! Supervisors: R53 to R60.

use domain::call::{Call, Mode};
use domain::event::ConsultEnd::{Ended, Merged};
use domain::event::EndCause::{EndedByPrimary, OnePartyLeft};
use domain::event::LeaveReason::{CallEnded, ConnectionLost, Exited, HungUp};
use domain::event::MonitoringEnd::{self, NoAgentLeft, Requested};
use domain::{AgentId, Rule, SupervisorId, barge_in_allowed, monitoring_allowed};
use tests::scenario::*;

#[test]
fn r53_a_supervisor_monitors_through_any_agent_of_the_call() {
    given(a_call(ANA))
        .when(start_monitoring(SAM, ANA))
        .then([monitoring_started(SAM, ANA)])
        .then_state(|call| {
            let session = &call.sessions()[0];
            assert_eq!(
                (session.mode, session.since),
                (Mode::Monitoring, call.last_at())
            );
        });
    given(a_conference([ANA, BEN]))
        .when(start_monitoring(SAM, BEN))
        .then([monitoring_started(SAM, BEN)])
        .then_state(|call| assert_eq!(listening(call), [listener(SAM, BEN)]));
}

#[test]
fn r53_not_in_wrap_up_assist() {
    given(wrap_up_assist([ANA, BEN]))
        .when(start_monitoring(SAM, ANA))
        .then_refused("monitoring_not_allowed", "R53")
        .saying("Wrap-up Assist");
    let call = given(wrap_up_assist([ANA, BEN])).call();
    assert_eq!(monitoring_allowed(&call), Err(Rule(53)));
}

#[test]
fn r53_nor_after_the_end() {
    given(a_call(ANA))
        .and(end_call(ANA))
        .when(start_monitoring(SAM, ANA))
        .then_refused("call_ended", "R40");
    let call = given(a_call(ANA)).and(end_call(ANA)).call();
    assert_eq!(monitoring_allowed(&call), Err(Rule(53)));
}

#[test]
fn r53_who_is_monitored_is_an_agent_in_the_call() {
    given(a_conference([ANA, BEN, EXPERT]))
        .and(exit_conference(BEN))
        .and(consulting(ANA, DAN))
        .when(start_monitoring(SAM, CUSTOMER))
        .then_refused("not_an_agent", "R10")
        .when(start_monitoring(SAM, EXPERT))
        .then_refused("not_an_agent", "R44")
        .when(start_monitoring(SAM, BEN))
        .then_refused("already_left", "R40")
        .when(start_monitoring(SAM, DAN))
        .then_refused("not_in_call", "R40");
}

#[test]
fn r53_only_a_supervisor_monitors() {
    for party in [CUSTOMER, ANA, BEN, EXPERT, IDA] {
        given(a_conference([ANA, BEN, EXPERT]))
            .when(start_monitoring(party, ANA))
            .then_refused("monitoring_not_allowed", "R53")
            .saying("supervisor:ID");
    }
}

#[test]
fn r54_a_running_session_continues_into_wrap_up_assist_as_it_is() {
    given(a_conference([ANA, BEN]))
        .and(start_monitoring(SAM, ANA))
        .and(start_monitoring(SUE, BEN))
        .and(barge_in(SUE))
        .when(hang_up(CUSTOMER))
        .then([left(CUSTOMER, HungUp), wrap_up_assist_entered()])
        .then_state(|call| {
            let modes: Vec<_> = call.sessions().iter().map(|session| session.mode).collect();
            assert_eq!(modes, [Mode::Monitoring, Mode::BargedIn]);
            assert_eq!(barge_in_allowed(call, &call.sessions()[0]), Err(Rule(54)));
            assert_eq!(barge_in_allowed(call, &call.sessions()[1]), Err(Rule(59)));
        })
        .when(barge_in(SAM))
        .then_refused("monitoring_not_allowed", "R54")
        .saying("may continue as it is")
        .when(stop_monitoring(SAM))
        .then([monitoring_ended(SAM, Requested)])
        .when(start_monitoring(SAM, ANA))
        .then_refused("monitoring_not_allowed", "R53");
}

#[test]
fn r55_if_the_last_agent_leaves_the_supervisor_is_disconnected() {
    given(a_conference([ANA, EXPERT]))
        .and(start_monitoring(SAM, ANA))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            control_vacated(ANA),
            conference_dissolved(),
            monitoring_ended(SAM, NoAgentLeft),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(listening(call), []);
            assert_eq!(monitoring_allowed(call), Err(Rule(58)));
        });
}

#[test]
fn r56_monitoring_continues_through_the_primary_if_the_monitored_agent_leaves() {
    given(a_conference([ANA, BEN, DAN]))
        .and(start_monitoring(SAM, DAN))
        .and(barge_in(SAM))
        .when(hang_up(DAN))
        .then([left(DAN, HungUp), monitoring_moved(SAM, DAN, ANA)])
        .then_state(|call| {
            assert_eq!(listening(call), [listener(SAM, ANA)]);
            assert_eq!(call.sessions()[0].mode, Mode::BargedIn);
        });
}

#[test]
fn r57_a_session_stays_while_one_agent_is_in_the_call_and_moves_to_the_primary() {
    given(a_conference([ANA, BEN, DAN]))
        .and(start_monitoring(SUE, DAN))
        .and(start_monitoring(SAM, ANA))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            control(ANA, BEN),
            monitoring_moved(SAM, ANA, BEN),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| {
            assert_eq!(listening(call), [listener(SUE, DAN), listener(SAM, BEN)]);
        })
        .when(lose_connection(BEN))
        .then([
            left(BEN, ConnectionLost),
            control(BEN, DAN),
            conference_dissolved(),
            monitoring_moved(SAM, BEN, DAN),
            wrap_up_owed(BEN),
        ]);
}

#[test]
fn r57_several_sessions_move_in_the_order_they_began() {
    given(a_conference([ANA, BEN]))
        .and(start_monitoring(SUE, BEN))
        .and(start_monitoring(SAM, BEN))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            conference_dissolved(),
            monitoring_moved(SUE, BEN, ANA),
            monitoring_moved(SAM, BEN, ANA),
        ]);
}

#[test]
fn r57_whoever_else_leaves_a_session_stays_with_its_agent() {
    given(a_conference([ANA, BEN, EXPERT]))
        .and(start_monitoring(SAM, BEN))
        .when(hang_up(EXPERT))
        .then([left(EXPERT, HungUp)])
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            control(ANA, BEN),
            conference_dissolved(),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r58_every_session_ends_with_the_call() {
    given(a_conference([ANA, BEN]))
        .and(start_monitoring(SUE, BEN))
        .and(start_monitoring(SAM, ANA))
        .and(barge_in(SAM))
        .when(end_call(ANA))
        .then([
            left(ANA, CallEnded),
            left(CUSTOMER, CallEnded),
            left(BEN, CallEnded),
            call_ended(EndedByPrimary),
            monitoring_ended(SUE, MonitoringEnd::CallEnded),
            monitoring_ended(SAM, MonitoringEnd::CallEnded),
            wrap_up_owed(ANA),
        ])
        .then_state(|call| assert_eq!(listening(call), []));
}

#[test]
fn r58_and_when_the_last_agent_leaves_though_others_talk_on() {
    given(a_conference([ANA, BEN, EXPERT, COURIER]))
        .and(start_monitoring(SUE, BEN))
        .and(start_monitoring(SAM, ANA))
        .and(exit_conference(ANA))
        .when(exit_conference(BEN))
        .then([
            left(BEN, Exited),
            control_vacated(BEN),
            monitoring_ended(SUE, NoAgentLeft),
            monitoring_ended(SAM, NoAgentLeft),
            wrap_up_owed(BEN),
        ]);
}

#[test]
fn r58_where_no_agent_is_left_nobody_is_monitored() {
    given(a_conference([ANA, EXPERT, COURIER]))
        .and(exit_conference(ANA))
        .when(start_monitoring(SAM, ANA))
        .then_refused("already_left", "R40");
}

#[test]
fn r59_barge_in_needs_the_supervisors_own_running_session() {
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .when(barge_in(SUE))
        .then_refused("not_monitoring", "R59")
        .saying("start_monitoring")
        .when(barge_in(SAM))
        .then([supervisor_barged_in(SAM)])
        .then_state(|call| assert_eq!(call.sessions()[0].mode, Mode::BargedIn))
        .when(barge_in(SAM))
        .then_refused("already_monitoring", "R59")
        .when(stop_monitoring(SAM))
        .then([monitoring_ended(SAM, Requested)])
        .when(barge_in(SAM))
        .then_refused("not_monitoring", "R59")
        .when(stop_monitoring(SAM))
        .then_refused("not_monitoring", "R59");
}

#[test]
fn r59_a_supervisor_has_one_session_on_a_call_at_a_time() {
    given(a_conference([ANA, BEN]))
        .and(start_monitoring(SAM, ANA))
        .when(start_monitoring(SAM, BEN))
        .then_refused("already_monitoring", "R59")
        .saying("stop_monitoring")
        .when(start_monitoring(SUE, ANA))
        .then([monitoring_started(SUE, ANA)])
        .when(stop_monitoring(SAM))
        .then([monitoring_ended(SAM, Requested)])
        .then_state(|call| assert_eq!(listening(call), [listener(SUE, ANA)]))
        .when(start_monitoring(SAM, BEN))
        .then([monitoring_started(SAM, BEN)]);
}

#[test]
fn r59_a_party_has_no_session() {
    for party in [CUSTOMER, ANA, EXPERT, IDA] {
        given(a_conference([ANA, EXPERT]))
            .and(start_monitoring(SAM, ANA))
            .when(barge_in(party))
            .then_refused("not_monitoring", "R59")
            .when(stop_monitoring(party))
            .then_refused("not_monitoring", "R59");
    }
}

#[test]
fn r60_a_supervisor_never_is_a_party() {
    for control in call_controls(SAM) {
        given(a_conference([ANA, BEN]))
            .and(start_monitoring(SAM, ANA))
            .and(barge_in(SAM))
            .when(control)
            .then_refused("not_in_call", "R40")
            .saying("R60");
    }
}

#[test]
fn r60_a_supervisor_takes_no_control_and_owes_no_wrap_up() {
    given(a_conference([ANA, EXPERT]))
        .and(start_monitoring(SAM, ANA))
        .and(barge_in(SAM))
        .when(lose_connection(ANA))
        .then([
            left(ANA, ConnectionLost),
            control_vacated(ANA),
            conference_dissolved(),
            monitoring_ended(SAM, NoAgentLeft),
            wrap_up_owed(ANA),
        ]);
}

#[test]
fn r60_a_supervisor_who_is_merged_is_an_ordinary_conferenced_agent() {
    let sam_as_agent = Who("agent:sam");
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .and(consulting(ANA, sam_as_agent))
        .when(start_conference(ANA))
        .then([
            consult_ended(ANA, sam_as_agent, Merged),
            joined(sam_as_agent),
            released(CUSTOMER),
            conference_started(ANA),
        ])
        .then_state(|call| assert_eq!(listening(call), [listener(SAM, ANA)]))
        .when(exit_conference(ANA))
        .then([
            left(ANA, Exited),
            control(ANA, sam_as_agent),
            conference_dissolved(),
            monitoring_moved(SAM, ANA, sam_as_agent),
            wrap_up_owed(ANA),
        ])
        .when(hang_up(CUSTOMER))
        .then([
            left(CUSTOMER, HungUp),
            left(sam_as_agent, CallEnded),
            call_ended(OnePartyLeft),
            monitoring_ended(SAM, MonitoringEnd::CallEnded),
            wrap_up_owed(sam_as_agent),
        ]);
}

#[test]
fn r60_a_session_is_untouched_by_a_consult_of_the_agent_of_that_name() {
    let sam_as_agent = Who("agent:sam");
    given(a_call(ANA))
        .and(start_monitoring(SAM, ANA))
        .and(consulting(ANA, sam_as_agent))
        .when(hang_up(sam_as_agent))
        .then([consult_ended(ANA, sam_as_agent, Ended)])
        .then_state(|call| assert_eq!(listening(call), [listener(SAM, ANA)]));
}

fn listening(call: &Call) -> Vec<(SupervisorId, AgentId)> {
    let sessions = call.sessions().iter();
    sessions
        .map(|session| (session.supervisor.clone(), session.agent.clone()))
        .collect()
}

fn listener(supervisor: Who, agent: Who) -> (SupervisorId, AgentId) {
    (supervisor.supervisor(), agent.agent())
}
