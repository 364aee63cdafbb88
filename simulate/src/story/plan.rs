//! What is to happen in a call: drawn when it is answered.

use crate::queues::QueueMix;
use crate::random::Random;

/// Something that is to happen while the customer is there, if the call lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chapter {
    /// The primary holds somebody and comes back.
    Hold,
    /// An agent asks somebody for advice.
    Advice,
    /// The primary hands the call over.
    Transfer,
    /// The call grows until it has so many parties.
    Conference(usize),
}

/// What becomes of a consult that rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Declined,
    Unanswered,
    Cancelled,
}

/// How many parties conferences are to have: most have three, a full one is rare.
const CONFERENCE_SIZES: [(u64, usize); 6] = [(76, 3), (13, 4), (5, 5), (2, 6), (1, 7), (3, 8)];

/// How many holds the primary places by hand.
const HOLDS: [(u64, usize); 4] = [(46, 0), (36, 1), (14, 2), (4, 3)];

const ANSWERS: [(u64, Answer); 4] = [
    (80, Answer::Accepted),
    (7, Answer::Declined),
    (8, Answer::Unanswered),
    (5, Answer::Cancelled),
];

/// The chapters of a call, the next one last.
pub(super) fn chapters(queue: &QueueMix, random: &mut Random) -> Vec<Chapter> {
    let mut chapters = vec![Chapter::Hold; random.weighted(&HOLDS)];
    if random.chance(queue.advice_per_mille) {
        chapters.push(Chapter::Advice);
    }
    if random.chance(queue.transfer_per_mille) {
        chapters.push(Chapter::Transfer);
    }
    if random.chance(queue.conference_per_mille) {
        chapters.push(Chapter::Conference(random.weighted(&CONFERENCE_SIZES)));
    }
    random.shuffle(&mut chapters);
    chapters
}

/// What becomes of the next consult.
pub(super) fn answer(random: &mut Random) -> Answer {
    random.weighted(&ANSWERS)
}
