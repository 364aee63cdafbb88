//! Commands by hand: the verbs of `kaigi call`, and the list that `kaigi run --help` shows.

use clap::{Args, Subcommand};
use domain::command::{HoldScope, Origin};
use domain::{Actor, Command, CustomerNumber, GivenReason, Note, Party, Queue, Target};

/// A command for a call.
#[derive(Debug, Subcommand)]
pub enum CallVerb {
    /// An agent answered a customer: opens the call
    ConnectCall {
        /// Who answered
        #[arg(long)]
        agent: Party,
        /// The customer's number
        #[arg(long, value_name = "NUMBER")]
        customer: Option<CustomerNumber>,
        /// The queue or skill the call came through
        #[arg(long)]
        queue: Option<Queue>,
    },
    /// Call somebody outside the call on a private leg
    StartConsult {
        /// The agent who consults
        #[arg(long)]
        by: Actor,
        /// Whom to consult: agent:ID or dial:NUMBER
        #[arg(long)]
        target: Target,
        /// Whom to hold meanwhile: others or none
        #[arg(long, default_value = "others")]
        hold: HoldScope,
    },
    /// Answer a consult
    AcceptConsult(By),
    /// Turn a consult down
    DeclineConsult(By),
    /// Nobody answered the consult
    ConsultUnanswered,
    /// End the consult, or stop its ringing
    EndConsult(By),
    /// Merge the answered consult into the call
    StartConference {
        /// The agent who started the consult
        #[arg(long)]
        by: Actor,
        /// Where it was asked: desktop or device
        #[arg(long, default_value = "desktop")]
        origin: Origin,
    },
    /// Put a party on hold
    Hold(ByParty),
    /// Release a held party
    Resume(ByParty),
    /// Put the answered consult in one's place
    TransferCall(By),
    /// Leave the conference; the others talk on
    ExitConference(By),
    /// End the call for everybody
    EndCall(By),
    /// Press End: ends the call for a primary, leaves for a conferenced agent
    PressEnd(By),
    /// A party's device went on hook
    HangUp(OfParty),
    /// A party's connection broke
    LoseConnection(OfParty),
    /// Settle a wrap-up
    ApplyWrapUp {
        /// The agent who owes it
        #[arg(long)]
        by: Actor,
        /// Why the customer had called
        #[arg(long)]
        reason: GivenReason,
    },
    /// Suggest a wrap-up reason to the others who owe one
    SuggestWrapUp {
        /// The agent who assists
        #[arg(long)]
        by: Actor,
        /// The reason
        #[arg(long)]
        reason: GivenReason,
        /// A note beside it
        #[arg(long)]
        note: Option<Note>,
    },
    /// Begin to listen through an agent
    StartMonitoring {
        /// The supervisor
        #[arg(long)]
        by: Actor,
        /// The agent to listen through
        #[arg(long)]
        agent: Party,
    },
    /// Begin to speak in a call one listens to
    BargeIn(By),
    /// Stop listening
    StopMonitoring(By),
}

/// Who asks.
#[derive(Debug, Args)]
pub struct By {
    /// Who asks: agent:ID, dial:NUMBER or supervisor:ID
    #[arg(long)]
    pub by: Actor,
}

/// Who asks, about whom.
#[derive(Debug, Args)]
pub struct ByParty {
    /// The agent who asks
    #[arg(long)]
    pub by: Actor,
    /// Whom it is about: customer, agent:ID or dial:NUMBER
    #[arg(long)]
    pub party: Party,
}

/// To whom it happened.
#[derive(Debug, Args)]
pub struct OfParty {
    /// To whom it happened: customer, agent:ID or dial:NUMBER
    #[arg(long)]
    pub party: Party,
}

impl From<CallVerb> for Command {
    fn from(verb: CallVerb) -> Self {
        match verb {
            CallVerb::ConnectCall {
                agent,
                customer,
                queue,
            } => Command::ConnectCall {
                agent,
                customer,
                queue,
            },
            CallVerb::StartConsult { by, target, hold } => {
                Command::StartConsult { by, target, hold }
            }
            CallVerb::AcceptConsult(by) => Command::AcceptConsult { by: by.by },
            CallVerb::DeclineConsult(by) => Command::DeclineConsult { by: by.by },
            CallVerb::ConsultUnanswered => Command::ConsultUnanswered,
            CallVerb::EndConsult(by) => Command::EndConsult { by: by.by },
            CallVerb::StartConference { by, origin } => Command::StartConference { by, origin },
            CallVerb::Hold(args) => Command::Hold {
                by: args.by,
                party: args.party,
            },
            CallVerb::Resume(args) => Command::Resume {
                by: args.by,
                party: args.party,
            },
            CallVerb::TransferCall(by) => Command::TransferCall { by: by.by },
            CallVerb::ExitConference(by) => Command::ExitConference { by: by.by },
            CallVerb::EndCall(by) => Command::EndCall { by: by.by },
            CallVerb::PressEnd(by) => Command::PressEnd { by: by.by },
            CallVerb::HangUp(of) => Command::HangUp { party: of.party },
            CallVerb::LoseConnection(of) => Command::LoseConnection { party: of.party },
            CallVerb::ApplyWrapUp { by, reason } => Command::ApplyWrapUp { by, reason },
            CallVerb::SuggestWrapUp { by, reason, note } => {
                Command::SuggestWrapUp { by, reason, note }
            }
            CallVerb::StartMonitoring { by, agent } => Command::StartMonitoring { by, agent },
            CallVerb::BargeIn(by) => Command::BargeIn { by: by.by },
            CallVerb::StopMonitoring(by) => Command::StopMonitoring { by: by.by },
        }
    }
}

pub(crate) const COMMANDS: &str = "\
Every command is a JSON object with `call` and `type`, and if you like `id` (a UUID: the same
command sent again writes nothing twice), `at` (when it happened, if not now), `correlation`, and
`expect` (refuse unless the call is at this revision). The types and their own fields, optional
ones in brackets:

  connect_call        agent [customer] [queue]      hang_up             party
  start_consult       by target [hold: others|none] lose_connection     party
  accept_consult      by                            exit_conference     by
  decline_consult     by                            end_call            by
  consult_unanswered                                press_end           by
  end_consult         by                            apply_wrap_up       by reason
  start_conference    by [origin: desktop|device]   suggest_wrap_up     by reason [note]
  hold, resume        by party                      start_monitoring    by agent
  transfer_call       by                            barge_in            by
                                                    stop_monitoring     by

Somebody is written customer, agent:ID, dial:NUMBER or supervisor:ID. Example:

  {\"call\":\"c1\",\"type\":\"connect_call\",\"agent\":\"agent:ana\",\"queue\":\"billing\"}

An answer is {\"line\":1,\"call\":\"c1\",\"id\":\"...\",\"accepted\":true,\"revision\":1,\"events\":[...]}, or
accepted:false with a rejection that says which rule refused and what to do instead, or
{\"line\":3,\"error\":\"...\"} for a line that is no command. Answers come in the order of the input,
each once its events are on the disk.

While a cluster has no leader, or a service is away or restarts, the run waits, says on standard
error what it waits for, and sends again what was not decided, in the order of each call. Commands
keep their ids, so nothing is written twice. --patience counts from the last command that was
decided. When it is over, or after an interrupt, the commands that are left are answered with an
`error`, and the exit code is 75: run the same input again. A run on an embedded store does not
wait: one whose disk failed has to be opened again.";
