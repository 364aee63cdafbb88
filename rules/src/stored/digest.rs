//! The digest of a command: what tells a retry from another command under the same id. Frozen like the payloads.

use super::v1::{Hold, Party, Target};
use super::{Commitment, write};
use crate::command::{Command, Origin, Request};
use crate::envelope::{Digest, HashInput, PersonalPart};
use crate::ids::{Actor, Queue};
use serde::Serialize;

/// The command as the digest covers it: defaults filled in, personal texts replaced by their commitments.
#[derive(Serialize)]
enum Covered<'a> {
    ConnectCall {
        agent: Party<'a>,
        customer: Option<Commitment>,
        queue: Option<&'a str>,
    },
    StartConsult {
        by: By<'a>,
        target: Target<'a>,
        hold: Hold,
    },
    AcceptConsult {
        by: By<'a>,
    },
    DeclineConsult {
        by: By<'a>,
    },
    ConsultUnanswered,
    EndConsult {
        by: By<'a>,
    },
    StartConference {
        by: By<'a>,
        origin: AskedFrom,
    },
    Hold {
        by: By<'a>,
        party: Party<'a>,
    },
    Resume {
        by: By<'a>,
        party: Party<'a>,
    },
    TransferCall {
        by: By<'a>,
    },
    ExitConference {
        by: By<'a>,
    },
    EndCall {
        by: By<'a>,
    },
    PressEnd {
        by: By<'a>,
    },
    HangUp {
        party: Party<'a>,
    },
    LoseConnection {
        party: Party<'a>,
    },
    ApplyWrapUp {
        by: By<'a>,
        reason: &'a str,
    },
    SuggestWrapUp {
        by: By<'a>,
        reason: &'a str,
        note: Option<Commitment>,
    },
    StartMonitoring {
        by: By<'a>,
        agent: Party<'a>,
    },
    BargeIn {
        by: By<'a>,
    },
    StopMonitoring {
        by: By<'a>,
    },
}

#[derive(Serialize)]
enum By<'a> {
    Party(Party<'a>),
    Supervisor(&'a str),
}

#[derive(Serialize)]
enum AskedFrom {
    Desktop,
    Device,
}

/// SHA-256 of the parsed command, without `id`, `expect` and `correlation`. A command with a personal text needs the
/// salt it was, or will be, stored with.
pub fn digest(request: &Request, personal: Option<&PersonalPart>) -> Digest {
    let commitment = personal.map(PersonalPart::commitment);
    let covered = covered(&request.command, commitment);
    let mut buffer = [0; super::LONGEST];
    let mut input = HashInput::new("kaigi-command-v1");
    input.text(request.call.as_str());
    input.text(request.command.name());
    input.optional_integer(request.at.map(crate::Timestamp::as_millis));
    input.bytes(write(&covered, &mut buffer));
    Digest(input.sha256())
}

fn covered(command: &Command, commitment: Option<Commitment>) -> Covered<'_> {
    match command {
        Command::ConnectCall {
            agent,
            customer,
            queue,
        } => Covered::ConnectCall {
            agent: agent.into(),
            customer: customer.as_ref().and(commitment),
            queue: queue.as_ref().map(Queue::as_str),
        },
        Command::StartConsult { by, target, hold } => Covered::StartConsult {
            by: by.into(),
            target: target.into(),
            hold: (*hold).into(),
        },
        Command::AcceptConsult { by } => Covered::AcceptConsult { by: by.into() },
        Command::DeclineConsult { by } => Covered::DeclineConsult { by: by.into() },
        Command::ConsultUnanswered => Covered::ConsultUnanswered,
        Command::EndConsult { by } => Covered::EndConsult { by: by.into() },
        Command::StartConference { by, origin } => Covered::StartConference {
            by: by.into(),
            origin: match origin {
                Origin::Desktop => AskedFrom::Desktop,
                Origin::Device => AskedFrom::Device,
            },
        },
        Command::Hold { by, party } => Covered::Hold {
            by: by.into(),
            party: party.into(),
        },
        Command::Resume { by, party } => Covered::Resume {
            by: by.into(),
            party: party.into(),
        },
        Command::TransferCall { by } => Covered::TransferCall { by: by.into() },
        Command::ExitConference { by } => Covered::ExitConference { by: by.into() },
        Command::EndCall { by } => Covered::EndCall { by: by.into() },
        Command::PressEnd { by } => Covered::PressEnd { by: by.into() },
        Command::HangUp { party } => Covered::HangUp {
            party: party.into(),
        },
        Command::LoseConnection { party } => Covered::LoseConnection {
            party: party.into(),
        },
        Command::ApplyWrapUp { by, reason } => Covered::ApplyWrapUp {
            by: by.into(),
            reason: reason.as_str(),
        },
        Command::SuggestWrapUp { by, reason, note } => Covered::SuggestWrapUp {
            by: by.into(),
            reason: reason.as_str(),
            note: note.as_ref().and(commitment),
        },
        Command::StartMonitoring { by, agent } => Covered::StartMonitoring {
            by: by.into(),
            agent: agent.into(),
        },
        Command::BargeIn { by } => Covered::BargeIn { by: by.into() },
        Command::StopMonitoring { by } => Covered::StopMonitoring { by: by.into() },
    }
}

impl<'a> From<&'a Actor> for By<'a> {
    fn from(actor: &'a Actor) -> Self {
        match actor {
            Actor::Party(party) => By::Party(party.into()),
            Actor::Supervisor(supervisor) => By::Supervisor(supervisor.as_str()),
        }
    }
}
