//! Read models between two runs of the program.

use crate::{STORE, connect_through, read};
use domain::envelope::Hash;
use domain::{Call, CallId, Event, Position, Prefix, StoreId, StoredEvent, Timestamp};
use projections::{
    ActiveCalls, AllFour, CheckpointError, Checkpointed, HandleTimes, Monitoring, Projection,
    WrapUpQueue,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tests::ledger::Ledger;
use tests::scenario::*;
use uuid::Uuid;

/// One call, in all that a read model can keep of one.
fn a_story() -> Vec<StoredEvent> {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_through("billing", ANA))
        .ask("c1", 10, start_monitoring(SAM, ANA))
        .ask("c1", 20, start_consult(ANA, BEN))
        .ask("c1", 30, accept_consult(BEN))
        .ask("c1", 40, start_conference(ANA))
        .ask("c1", 50, hold(ANA, CUSTOMER))
        .ask("c1", 60, exit_conference(ANA))
        .ask(
            "c1",
            70,
            suggest_wrap_up_noting(BEN, "billing", "asked twice"),
        )
        .ask("c1", 80, start_consult(BEN, EXPERT));
    ledger.events()
}

/// The same, over and settled.
fn a_story_to_its_end() -> Vec<StoredEvent> {
    let ledger = Ledger::new();
    ledger
        .ask("c1", 0, connect_through("billing", ANA))
        .ask("c1", 60, end_call(ANA))
        .ask("c1", 70, apply_wrap_up(ANA, "billing"));
    ledger.events()
}

#[test]
fn a_checkpoint_is_read_as_it_was_written() {
    fn check<P: Projection>() {
        for events in [a_story(), a_story_to_its_end(), Vec::new()] {
            let model = read::<P>(&events);
            let back = Checkpointed::decode(&model.encode(), STORE);
            assert_eq!(back.as_ref(), Ok(&model));
            assert_eq!(model.position(), Position(events.len() as u64));
            let all = events.iter().fold(Prefix::NONE, Prefix::plus);
            assert_eq!(
                model.events(),
                all,
                "it proves which events it was made from"
            );
        }
    }
    check::<ActiveCalls>();
    check::<WrapUpQueue>();
    check::<HandleTimes>();
    check::<Monitoring>();
    check::<AllFour>();
}

#[test]
fn every_flipped_bit_is_detected() {
    let bytes = read::<WrapUpQueue>(&a_story()).encode();
    for (place, bit) in (0..bytes.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << bit;
        let read = Checkpointed::<WrapUpQueue>::decode(&damaged, STORE);
        assert_eq!(
            read,
            Err(CheckpointError::Damaged),
            "byte {place}, bit {bit}"
        );
    }
}

#[test]
fn a_checkpoint_that_is_cut_short_or_goes_on_is_detected() {
    let bytes = read::<ActiveCalls>(&a_story()).encode();
    for length in 0..bytes.len() {
        let read = Checkpointed::<ActiveCalls>::decode(&bytes[..length], STORE);
        assert_eq!(read, Err(CheckpointError::Damaged), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    let read = Checkpointed::<ActiveCalls>::decode(&longer, STORE);
    assert_eq!(read, Err(CheckpointError::Damaged));
}

#[test]
fn a_checksum_does_not_excuse_what_is_too_much() {
    let mut bytes = read::<ActiveCalls>(&a_story()).encode();
    bytes.truncate(bytes.len() - 32);
    bytes.push(0);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    let read = Checkpointed::<ActiveCalls>::decode(&bytes, STORE);
    assert_eq!(read, Err(CheckpointError::Damaged));
}

#[test]
fn the_checkpoint_of_another_store_is_refused_by_name() {
    let other = StoreId(Uuid::from_u128(8));
    let bytes = read::<ActiveCalls>(&a_story()).encode();
    let refused = Checkpointed::<ActiveCalls>::decode(&bytes, other).expect_err("another store");
    assert_eq!(
        refused.to_string(),
        "the checkpoint is of store 00000000-0000-0000-0000-000000000007, \
         not of store 00000000-0000-0000-0000-000000000008"
    );
}

#[test]
fn the_checkpoint_of_another_read_model_is_refused_by_name() {
    let bytes = read::<Monitoring>(&a_story()).encode();
    let refused = Checkpointed::<ActiveCalls>::decode(&bytes, STORE).expect_err("another one");
    assert_eq!(
        refused.to_string(),
        "the checkpoint is of monitoring, not of active-calls"
    );
}

/// `active-calls` as an older program kept it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Older;

impl Projection for Older {
    const NAME: &'static str = ActiveCalls::NAME;
    const VERSION: u32 = ActiveCalls::VERSION - 1;
    type OfCall = ();

    fn take_in((): &mut (), _: &Call, _: &Event, _: Timestamp) {}

    fn is_over(call: &Call) -> bool {
        !call.is_live()
    }

    fn let_go(&mut self, _: &CallId, _: &Call, (): ()) {}

    fn forget(&mut self, _: &CallId) {}
}

#[test]
fn a_checkpoint_of_another_version_is_told_from_a_damaged_one() {
    let bytes = read::<Older>(&a_story()).encode();
    assert_eq!(
        Checkpointed::<ActiveCalls>::decode(&bytes, STORE),
        Err(CheckpointError::OtherVersion {
            expected: ActiveCalls::VERSION,
            found: ActiveCalls::VERSION - 1,
        })
    );
}

/// What is kept changed: a checkpoint written before would be read as something else. Raise the version of the read
/// model, or the layout of all checkpoints, and put the new digest here.
#[test]
fn what_is_kept_changes_only_with_the_version() {
    fn digest<P: Projection>(events: &[StoredEvent]) -> (&'static str, u32, String) {
        let digest = Sha256::digest(read::<P>(events).encode());
        let hex = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        (P::NAME, P::VERSION, hex.collect())
    }
    let (mut live, mut over) = (a_story(), a_story_to_its_end());
    for events in [&mut live, &mut over] {
        // Hashes cover random bytes, and the rolling hash of them is kept.
        for event in events.iter_mut() {
            event.recorded.hash = Hash([7; 32]);
        }
    }
    let digests = [
        digest::<ActiveCalls>(&live),
        digest::<WrapUpQueue>(&live),
        digest::<HandleTimes>(&live),
        digest::<HandleTimes>(&over),
        digest::<Monitoring>(&live),
        digest::<AllFour>(&live),
    ];
    let expected = [
        ("active-calls", 1, "22301714832ecc22"),
        ("wrap-up-queue", 1, "112612ff8c9eeaf5"),
        ("handle-times", 1, "646959d9f38e42fd"),
        ("handle-times", 1, "54241113f14b6f49"),
        ("monitoring", 1, "fa7a6dca471b1c78"),
        ("all-four", 1001, "70ecf7eda4507bef"),
    ];
    assert_eq!(
        digests,
        expected.map(|(name, version, hex)| (name, version, hex.to_owned()))
    );
}

#[test]
fn events_taken_in_before_change_nothing() {
    let events = a_story();
    let mut model = read::<HandleTimes>(&events);
    let before = model.clone();
    model.fold(&events);
    model.fold(&events[3..7]);
    model.fold::<StoredEvent>(&[]);
    assert_eq!(model, before);
}
