//! One call of the switchboard told as commands, or why it cannot be.

use super::reading::Queueing;
use super::switchboard::{Call, End, Leg, LegNo, Meeting, Moment, Origin, Transfer, TransferKind};
use domain::command::HoldScope;
use domain::{Command, CustomerNumber, InvalidText, Party, Queue, Rejection, Target};
use std::fmt;

/// A call as commands, in time order.
pub(super) struct Story {
    /// The `Linkedid` of the customer's first leg.
    pub(super) call: String,
    pub(super) commands: Vec<(Moment, Command)>,
    pub(super) remarks: Vec<Remark>,
}

/// What the commands of a told call leave out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Remark {
    #[error("it came through a queue that the capture does not name: connect_call has no queue")]
    QueueUnnamed,
    #[error("{by} forwarded it to {to} while it rang: the call model begins with the answer")]
    Forwarded { by: Who, to: String },
    #[error("{by} tried to transfer in vain: nothing came of it, so there is no command")]
    TransferFailed { by: Who },
    #[error("the capture ends before anybody hangs up: the call stays open")]
    StillTalking,
}

/// Why a call cannot be told: what was seen, and why there are no commands for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    #[error("{}: no agent ever talked with a customer, so there is nothing to record", Ringing(.0))]
    Unanswered(Vec<(Who, String)>),
    #[error(
        "it went on before the capture begins: who is customer and who is agent cannot be told"
    )]
    BeganEarlier,
    #[error("{one} and {other} talked, both outside: a call needs an agent (R1)")]
    NoAgent { one: Who, other: Who },
    #[error("{by} picked up what rang elsewhere: the call model has no pick-up")]
    PickedUp { by: Who },
    #[error(
        "{by} transferred blindly to {to}: only an answered consult can be transferred to (R21)"
    )]
    Blind { by: Who, to: String },
    #[error(
        "{by} transferred before the target had answered: only an answered consult can be transferred to (R21)"
    )]
    Blonde { by: Who },
    #[error("{by} transferred with {kind:?}: only an answered consult can be transferred to (R21)")]
    OtherTransfer { by: Who, kind: String },
    #[error("{by}, who is the customer, transferred: a customer controls nothing (R10)")]
    CustomerTransfers { by: Who },
    #[error(
        "{by} transferred, but not to somebody it had called from within the call: that is no consult (R21)"
    )]
    NoConsult { by: Who },
    #[error(
        "{one} and {other} heard each other, which fits neither a conversation of two nor a transfer"
    )]
    Unexplained { one: Who, other: Who },
    #[error("it holds a name that no command can carry: {0}")]
    NoIdentity(#[from] InvalidText),
    #[error("its commands would be refused: {0}")]
    Refused(#[from] Rejection),
}

/// Tells a call: who answered whom, who consulted and transferred, who hung up first.
pub(super) fn tell(call: &Call) -> Result<Story, Untold> {
    refuse_what_no_command_says(call)?;
    let first = call.meetings.first().ok_or_else(|| unanswered(call))?;
    let mut conversation = Conversation::between(call, first)?;
    let mut commands = vec![conversation.connect_call()?];
    for transfer in call.transfers.iter().filter(|transfer| transfer.succeeded) {
        commands.extend(conversation.pass_on(transfer)?);
    }
    conversation.refuse_other_meetings()?;
    let hang_up = conversation.hang_up()?;
    let remarks = remarks(call, conversation.customer(), hang_up.is_none());
    commands.extend(hang_up);
    Ok(Story {
        call: conversation.customer().call.clone(),
        commands,
        remarks,
    })
}

/// What makes a call another story than conversations of two and transfers to an answered consult.
fn refuse_what_no_command_says(call: &Call) -> Result<(), Untold> {
    if call.telephones().any(|leg| leg.end == End::Unknown) {
        return Err(Untold::BeganEarlier);
    }
    if let Some(leg) = call.picked_up_by() {
        return Err(Untold::PickedUp { by: who(leg) });
    }
    for transfer in call.transfers.iter().filter(|transfer| transfer.succeeded) {
        let by = who(call.leg(transfer.by[0]));
        match &transfer.kind {
            TransferKind::Blind(to) => return Err(Untold::Blind { by, to: to.clone() }),
            TransferKind::Ringing => return Err(Untold::Blonde { by }),
            TransferKind::Other(kind) => {
                return Err(Untold::OtherTransfer {
                    by,
                    kind: kind.clone(),
                });
            }
            TransferKind::Answered => {}
        }
    }
    Ok(())
}

fn unanswered(call: &Call) -> Untold {
    let dialled = call.telephones().filter(|leg| leg.origin != Origin::Called);
    let status = |leg: &Leg| {
        leg.rang
            .clone()
            .unwrap_or_else(|| "still ringing".to_owned())
    };
    Untold::Unanswered(dialled.map(|leg| (who(leg), status(leg))).collect())
}

fn remarks(call: &Call, customer: &Leg, still_talking: bool) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if matches!(customer.queue, Some(Queueing::Unnamed)) {
        remarks.push(Remark::QueueUnnamed);
    }
    remarks.extend(call.telephones().filter_map(|leg| {
        let to = leg.forwarded_to.clone()?;
        Some(Remark::Forwarded { by: who(leg), to })
    }));
    let failed = call.transfers.iter().filter(|transfer| !transfer.succeeded);
    remarks.extend(failed.map(|transfer| Remark::TransferFailed {
        by: who(call.leg(transfer.by[0])),
    }));
    remarks.extend(still_talking.then_some(Remark::StillTalking));
    remarks
}

/// A customer, and whoever talks with the customer at the time.
struct Conversation<'a> {
    call: &'a Call<'a>,
    customer: LegNo,
    /// First who answered, later whom the call was transferred to.
    partner: LegNo,
    began: Moment,
    /// The meetings that the commands so far account for.
    explained: Vec<[LegNo; 2]>,
}

/// Whom a partner consulted: the leg on which, and when they and later customer and target met.
struct Consult<'a> {
    own: LegNo,
    target: LegNo,
    answered: &'a Meeting,
    handed_over: &'a Meeting,
}

impl<'a> Conversation<'a> {
    fn between(call: &'a Call<'a>, first: &Meeting) -> Result<Self, Untold> {
        let customer = customer_of(call, first)?;
        let partner = first
            .other_than(customer)
            .expect("the customer is one of those who met");
        Ok(Self {
            call,
            customer,
            partner,
            began: first.when,
            explained: vec![first.pair],
        })
    }

    fn customer(&self) -> &Leg {
        self.call.leg(self.customer)
    }

    fn party(&self, leg: LegNo) -> Result<Party, Untold> {
        if leg == self.customer {
            return Ok(Party::Customer);
        }
        Ok(target(self.call.leg(leg))?.into())
    }

    fn connect_call(&self) -> Result<(Moment, Command), Untold> {
        let queue = match &self.customer().queue {
            Some(Queueing::Named(queue)) => Some(queue.parse::<Queue>()?),
            Some(Queueing::Unnamed) | None => None,
        };
        let number = shown_number(self.customer()).map(str::parse::<CustomerNumber>);
        let command = Command::ConnectCall {
            agent: self.party(self.partner)?,
            customer: number.transpose()?,
            queue,
        };
        Ok((self.began, command))
    }

    /// The partner consulted somebody on another leg and put them in the own place.
    fn pass_on(&mut self, transfer: &Transfer) -> Result<[(Moment, Command); 3], Untold> {
        let consult = self.consult_before(transfer)?;
        let (from, to) = (self.party(self.partner)?, self.party(consult.target)?);
        let target = target(self.call.leg(consult.target))?;
        let (by, hold) = (from.clone().into(), HoldScope::Others);
        let started = self.call.leg(consult.own).created;
        self.partner = consult.target;
        self.explained
            .extend([consult.answered.pair, consult.handed_over.pair]);
        Ok([
            (started, Command::StartConsult { by, target, hold }),
            (
                consult.answered.when,
                Command::AcceptConsult { by: to.into() },
            ),
            (transfer.when, Command::TransferCall { by: from.into() }),
        ])
    }

    fn consult_before(&self, transfer: &Transfer) -> Result<Consult<'a>, Untold> {
        let by = || who(self.call.leg(transfer.by[0]));
        if transfer
            .by
            .iter()
            .any(|&leg| self.is_same_telephone(leg, self.customer))
        {
            return Err(Untold::CustomerTransfers { by: by() });
        }
        if !transfer.by.contains(&self.partner) {
            return Err(Untold::NoConsult { by: by() });
        }
        let consult = transfer.by.iter().find_map(|&own| self.consult_on(own));
        consult
            .filter(|consult| consult.answered.when < transfer.when)
            .ok_or_else(|| Untold::NoConsult { by: by() })
    }

    /// The consult on a second leg of the partner: the partner called from within the call, and the target later met the customer.
    fn consult_on(&self, own: LegNo) -> Option<Consult<'a>> {
        let leg = self.call.leg(own);
        if own == self.partner
            || leg.origin != Origin::Called
            || leg.created < self.began
            || !self.is_same_telephone(own, self.partner)
        {
            return None;
        }
        let answered = self
            .call
            .meetings
            .iter()
            .copied()
            .find(|meeting| meeting.pair.contains(&own))?;
        let target = answered.other_than(own)?;
        let handed_over = self.call.meeting_of(target, self.customer)?;
        Some(Consult {
            own,
            target,
            answered,
            handed_over,
        })
    }

    fn is_same_telephone(&self, one: LegNo, other: LegNo) -> bool {
        let end = |leg| &self.call.leg(leg).end;
        one == other || (matches!(end(one), End::Inside(_)) && end(one) == end(other))
    }

    fn refuse_other_meetings(&self) -> Result<(), Untold> {
        let mut others = self
            .call
            .meetings
            .iter()
            .filter(|meeting| !self.explained.contains(&meeting.pair));
        match others.next() {
            None => Ok(()),
            Some(meeting) => {
                let [one, other] = meeting.pair.map(|leg| who(self.call.leg(leg)));
                Err(Untold::Unexplained { one, other })
            }
        }
    }

    /// Who of the two was gone first; the other one only follows.
    fn hang_up(&self) -> Result<Option<(Moment, Command)>, Untold> {
        let two = [self.customer, self.partner].map(|no| (no, self.call.leg(no)));
        // One leg out of its bridge may be on its way to the next.
        let is_over =
            two.iter().any(|(_, leg)| leg.hung_up) || two.iter().all(|(_, leg)| leg.gone.is_some());
        let gone = two.iter().filter_map(|(no, leg)| Some((leg.gone?, *no)));
        match gone.min().filter(|_| is_over) {
            None => Ok(None),
            Some((when, leg)) => {
                let party = self.party(leg)?;
                Ok(Some((when, Command::HangUp { party })))
            }
        }
    }
}

/// The outside one of the two who talked first; between two inside ones who called, in click-to-dial who was dialled second.
fn customer_of(call: &Call, first: &Meeting) -> Result<LegNo, Untold> {
    let [earlier, later] = first.pair;
    let is_outside = |leg| call.leg(leg).end == End::Outside;
    match (is_outside(earlier), is_outside(later)) {
        (true, true) => {
            let [one, other] = first.pair.map(|leg| who(call.leg(leg)));
            Err(Untold::NoAgent { one, other })
        }
        (false, true) => Ok(later),
        (false, false) if call.is_originated() => Ok(later),
        (true | false, false) => Ok(earlier),
    }
}

/// Inside it is an agent, by the account code of the telephone; outside a dial number.
fn target(leg: &Leg) -> Result<Target, InvalidText> {
    match &leg.end {
        End::Inside(account) => Ok(Target::Agent(account.parse()?)),
        End::Outside | End::Pipe | End::Unknown => {
            Ok(Target::Dial(shown_number(leg).unwrap_or_default().parse()?))
        }
    }
}

/// Asterisk writes `<unknown>` where there is no number, and `anonymous` stands for a withheld one.
fn shown_number(leg: &Leg) -> Option<&str> {
    let number = leg.number.as_deref()?;
    number.bytes().any(|b| b.is_ascii_digit()).then_some(number)
}

/// A leg as people speak of it: an account, a number, or at least a channel.
#[derive(Debug)]
pub(super) struct Who(String);

fn who(leg: &Leg) -> Who {
    Who(match &leg.end {
        End::Inside(account) => account.clone(),
        End::Outside | End::Pipe | End::Unknown => {
            shown_number(leg).unwrap_or(&leg.channel).to_owned()
        }
    })
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which telephones were tried, and how each ended.
struct Ringing<'a>(&'a [(Who, String)]);

impl fmt::Display for Ringing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no telephone rang");
        }
        for (place, (who, status)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{who} {status}")?;
        }
        Ok(())
    }
}
