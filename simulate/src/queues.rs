//! The queues of the contact centre, and what their calls are like.

use super::random::Random;
use domain::GivenReason;

/// What calls that come through a queue are like.
pub(super) struct QueueMix {
    /// The queue's name.
    pub(super) name: &'static str,
    /// The median of the time spent talking.
    pub(super) talk_ms: u64,
    /// The median of the work after the call.
    pub(super) after_call_ms: u64,
    /// How many calls in a thousand have an agent ask for advice.
    pub(super) advice_per_mille: u64,
    /// How many in a thousand are to be transferred.
    pub(super) transfer_per_mille: u64,
    /// How many in a thousand are to become a conference.
    pub(super) conference_per_mille: u64,
    /// What agents write as the reason, the commonest first.
    reasons: &'static [&'static str],
}

/// The queues, each with its share of the calls.
const QUEUES: [(u64, &QueueMix); 6] = [
    (26, &TECHNICAL_SUPPORT),
    (24, &BILLING),
    (20, &ORDERS),
    (16, &SALES),
    (9, &COMPLAINTS),
    (5, &CANCELLATIONS),
];

const TECHNICAL_SUPPORT: QueueMix = QueueMix {
    name: "technical-support",
    talk_ms: 340_000,
    after_call_ms: 50_000,
    advice_per_mille: 260,
    transfer_per_mille: 90,
    conference_per_mille: 130,
    reasons: &[
        "Solved by instructions",
        "Configuration changed",
        "Technician ordered",
        "Known outage",
        "Device replaced",
        "Follow-up promised",
    ],
};

const BILLING: QueueMix = QueueMix {
    name: "billing",
    talk_ms: 210_000,
    after_call_ms: 35_000,
    advice_per_mille: 120,
    transfer_per_mille: 60,
    conference_per_mille: 50,
    reasons: &[
        "Invoice explained",
        "Payment arranged",
        "Invoice corrected",
        "Address changed",
        "Refund approved",
    ],
};

const ORDERS: QueueMix = QueueMix {
    name: "orders",
    talk_ms: 160_000,
    after_call_ms: 30_000,
    advice_per_mille: 80,
    transfer_per_mille: 50,
    conference_per_mille: 40,
    reasons: &[
        "Delivery status given",
        "Order changed",
        "Order placed",
        "Return arranged",
        "Order cancelled",
    ],
};

const SALES: QueueMix = QueueMix {
    name: "sales",
    talk_ms: 280_000,
    after_call_ms: 45_000,
    advice_per_mille: 150,
    transfer_per_mille: 70,
    conference_per_mille: 90,
    reasons: &[
        "Information sent",
        "Sold",
        "Offer made",
        "Call back agreed",
        "Not interested",
    ],
};

const COMPLAINTS: QueueMix = QueueMix {
    name: "complaints",
    talk_ms: 400_000,
    after_call_ms: 80_000,
    advice_per_mille: 220,
    transfer_per_mille: 110,
    conference_per_mille: 170,
    reasons: &[
        "Apologised and explained",
        "Compensation granted",
        "Passed to the specialists",
        "Complaint rejected",
    ],
};

const CANCELLATIONS: QueueMix = QueueMix {
    name: "cancellations",
    talk_ms: 300_000,
    after_call_ms: 60_000,
    advice_per_mille: 140,
    transfer_per_mille: 80,
    conference_per_mille: 80,
    reasons: &["Contract ended", "Customer kept", "Notice period explained"],
};

impl QueueMix {
    /// The queue of the next call.
    pub(super) fn any(random: &mut Random) -> &'static QueueMix {
        random.weighted(&QUEUES)
    }

    /// A reason of the queue's list; the first ones are the commonest.
    pub(super) fn reason(&self, random: &mut Random) -> GivenReason {
        let count = self.reasons.len() as u64;
        let place = random.below(count).min(random.below(count));
        let reason = self.reasons[usize::try_from(place).expect("below a length")];
        reason.parse().expect("the list has valid reasons")
    }
}
