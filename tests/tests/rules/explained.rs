//! By which rule an event followed, as a replay tells it.

use tests::scenario::*;

#[test]
fn a_connection_and_a_consult_explain_themselves() {
    given(Vec::new())
        .when(connect_call(ANA))
        .then_explained([1]);
    given(a_call(ANA))
        .when(start_consult(ANA, BEN))
        .then_explained([12, 12]);
    given(a_call(ANA))
        .and(start_consult(ANA, BEN))
        .when(accept_consult(BEN))
        .then_explained([5]);
    given(a_call(ANA))
        .and(start_consult(ANA, BEN))
        .when(decline_consult(BEN))
        .then_explained([15]);
}

#[test]
fn a_hold_is_explained_by_who_wanted_it() {
    given(a_call(ANA))
        .when(hold(ANA, CUSTOMER))
        .then_explained([16]);
    given(a_call(ANA))
        .and(hold(ANA, CUSTOMER))
        .when(resume(ANA, CUSTOMER))
        .then_explained([17]);
}

#[test]
fn a_merge_releases_by_r7_and_a_transfer_by_r20() {
    // consult_ended, party_joined, party_released, conference_started
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(start_conference(ANA))
        .then_explained([9, 42, 7, 8]);
    // consult_ended, party_joined, party_left, party_released, control_transferred, wrap_up_owed
    given(a_call(ANA))
        .and(consulting(ANA, BEN))
        .when(transfer_call(ANA))
        .then_explained([21, 21, 21, 20, 21, 50]);
}

#[test]
fn a_leave_is_explained_by_how_and_by_what_it_ends() {
    // party_left, control_transferred, conference_dissolved, wrap_up_owed
    given(a_conference([ANA, BEN]))
        .when(exit_conference(ANA))
        .then_explained([30, 24, 39, 50]);
    // party_left, party_left, call_ended, wrap_up_owed
    given(a_call(ANA))
        .when(hang_up(CUSTOMER))
        .then_explained([41, 34, 34, 50]);
    given(a_call(ANA))
        .when(end_call(ANA))
        .then_explained([28, 28, 28, 50]);
    given(a_call(ANA))
        .when(hang_up(ANA))
        .then_explained([29, 28, 28, 50]);
    given(a_conference([ANA, BEN]))
        .when(hang_up(CUSTOMER))
        .then_explained([41, 45]);
}

#[test]
fn a_leg_goes_with_its_initiator_by_r34_and_with_the_customer_by_r47() {
    // party_left, party_released for two, consult_ended, conference_dissolved
    given(a_conference([ANA, BEN]))
        .and(start_consult(BEN, DAN))
        .when(exit_conference(BEN))
        .then_explained([30, 20, 20, 34, 39]);
    // party_left, party_released, consult_ended, wrap_up_assist_entered
    given(a_conference([ANA, BEN]))
        .and(start_consult(ANA, DAN))
        .when(hang_up(CUSTOMER))
        .then_explained([41, 20, 47, 45]);
    // party_left, consult_ended, party_left twice, call_ended, wrap_up_owed: no Wrap-up Assist has begun
    given(a_conference([ANA, BEN]))
        .and(start_consult(BEN, DAN))
        .when(end_call(ANA))
        .then_explained([28, 28, 28, 28, 28, 50]);
}
