//! The business saying no: a code, the rule that refused, and what to do instead. Every text stands here.

use crate::ids::{Actor, AgentId, Party, SupervisorId, Target};
use crate::table::named;
use std::fmt;

/// The number of a rule of `docs/spec/rules.md`; shown as `R24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule(pub u8);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}", self.0)
    }
}

/// A command that a rule refuses. Nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// For programs.
    pub code: RejectionCode,
    /// The rule that refused.
    pub rule: Rule,
    /// For people: what is wrong and what to do instead.
    pub message: String,
}

named!(
    /// Why a rule refused, for programs.
    RejectionCode {
        /// R1: the call was opened before.
        CallExists = "call_exists",
        /// R1: nobody opened the call.
        CallNotFound = "call_not_found",
        /// R40: the call is over.
        CallEnded = "call_ended",
        /// R40: the party never was in the main call.
        NotInCall = "not_in_call",
        /// R40: the party was in the call and left.
        AlreadyLeft = "already_left",
        /// R10, R44: only an agent can.
        NotAnAgent = "not_an_agent",
        /// R16, R17, R21, R32: only the primary can.
        NotPrimary = "not_primary",
        /// R11: only who started the consult can.
        NotConsultInitiator = "not_consult_initiator",
        /// R5: only the consulted party can.
        NotConsulted = "not_consulted",
        /// R5: there is no consult.
        NoConsult = "no_consult",
        /// R5: the consult still rings.
        ConsultNotAnswered = "consult_not_answered",
        /// R5: the consult was answered before.
        ConsultAlreadyAnswered = "consult_already_answered",
        /// R14: there is a consult.
        ConsultInProgress = "consult_in_progress",
        /// R12: the party is in the call.
        AlreadyInCall = "already_in_call",
        /// R3: all seats are taken.
        CallFull = "call_full",
        /// R6: a phone device cannot.
        DesktopRequired = "desktop_required",
        /// R16: nobody holds themselves.
        CannotHoldSelf = "cannot_hold_self",
        /// R46: not in Wrap-up Assist.
        RefusedInWrapUpAssist = "refused_in_wrap_up_assist",
        /// R21: not in a conference.
        RefusedInConference = "refused_in_conference",
        /// R39: only in a conference.
        NotInConference = "not_in_conference",
        /// R16: the party is held.
        AlreadyHeld = "already_held",
        /// R17: the party is not held.
        NotHeld = "not_held",
        /// R48, R49, R51: there is no wrap-up to do that for.
        WrapUpNotOwed = "wrap_up_not_owed",
        /// R51: the wrap-up is settled.
        WrapUpAlreadyApplied = "wrap_up_already_applied",
        /// R51: the reason is blank.
        WrapUpReasonMissing = "wrap_up_reason_missing",
        /// R53, R54: nobody may listen or speak in now.
        MonitoringNotAllowed = "monitoring_not_allowed",
        /// R59: the session runs already.
        AlreadyMonitoring = "already_monitoring",
        /// R59: there is no such session.
        NotMonitoring = "not_monitoring",
    }
);

fn rejection(code: RejectionCode, rule: u8, message: impl Into<String>) -> Rejection {
    Rejection {
        code,
        rule: Rule(rule),
        message: message.into(),
    }
}

pub(crate) fn call_exists() -> Rejection {
    rejection(
        RejectionCode::CallExists,
        1,
        "the call was connected before; use another call id for another contact, or the same command id to repeat the same command",
    )
}

pub(crate) fn call_not_found() -> Rejection {
    rejection(
        RejectionCode::CallNotFound,
        1,
        "no such call; open it with connect_call first",
    )
}

pub(crate) fn call_ended() -> Rejection {
    rejection(
        RejectionCode::CallEnded,
        40,
        "the call is over; only apply_wrap_up and suggest_wrap_up are possible now",
    )
}

pub(crate) fn not_in_call(who: &Party) -> Rejection {
    rejection(
        RejectionCode::NotInCall,
        40,
        format!(
            "{who} is not in the main call; consult and merge them first, or name somebody who is in it"
        ),
    )
}

pub(crate) fn supervisor_not_in_call(who: &SupervisorId) -> Rejection {
    rejection(
        RejectionCode::NotInCall,
        40,
        format!(
            "supervisor:{who} is never a party of a call (R60); to act in it, be consulted and merged as an agent"
        ),
    )
}

pub(crate) fn already_left(who: &Party) -> Rejection {
    rejection(
        RejectionCode::AlreadyLeft,
        40,
        format!("{who} has left the call; an agent in it can consult and merge them again"),
    )
}

/// R10 for the customer, R44 for a dial number.
pub(crate) fn not_an_agent(who: &Party) -> Rejection {
    let rule = if *who == Party::Customer { 10 } else { 44 };
    rejection(
        RejectionCode::NotAnAgent,
        rule,
        format!(
            "{who} is not an agent, and only agents (agent:ID) control calls; customers and dial numbers can hang up (hang_up)"
        ),
    )
}

/// The rule is the one that reserves the action for the primary.
pub(crate) fn not_primary(by: &AgentId, rule: u8, instead: &str) -> Rejection {
    rejection(
        RejectionCode::NotPrimary,
        rule,
        format!("agent:{by} is not the primary agent of this call; {instead}"),
    )
}

pub(crate) fn not_consult_initiator(initiator: &AgentId) -> Rejection {
    rejection(
        RejectionCode::NotConsultInitiator,
        11,
        format!("the consult is agent:{initiator}'s; only they can do this"),
    )
}

pub(crate) fn not_consulted(by: &Actor, target: &Target) -> Rejection {
    rejection(
        RejectionCode::NotConsulted,
        5,
        format!("{by} is not the one consulted; {target} is, and only they can answer"),
    )
}

pub(crate) fn no_consult() -> Rejection {
    rejection(
        RejectionCode::NoConsult,
        5,
        "there is no consult in this call; start one with start_consult",
    )
}

pub(crate) fn consult_not_answered(target: &Target) -> Rejection {
    rejection(
        RejectionCode::ConsultNotAnswered,
        5,
        format!(
            "{target} has not answered the consult yet; wait for it, or have its initiator end it"
        ),
    )
}

pub(crate) fn consult_already_answered() -> Rejection {
    rejection(
        RejectionCode::ConsultAlreadyAnswered,
        5,
        "the consult was answered before; merge it (start_conference) or end it (end_consult)",
    )
}

pub(crate) fn consult_in_progress(by: &AgentId, target: &Target) -> Rejection {
    rejection(
        RejectionCode::ConsultInProgress,
        14,
        format!(
            "agent:{by} is consulting {target}, and a call has one consult at a time; merge or end that one first"
        ),
    )
}

pub(crate) fn already_in_call(target: &Target) -> Rejection {
    rejection(
        RejectionCode::AlreadyInCall,
        12,
        format!("{target} is in the call already; speak there, or consult somebody outside it"),
    )
}

pub(crate) fn call_full() -> Rejection {
    rejection(
        RejectionCode::CallFull,
        3,
        "all 8 seats of the call are taken; somebody must leave first",
    )
}

pub(crate) fn desktop_required() -> Rejection {
    rejection(
        RejectionCode::DesktopRequired,
        6,
        "a conference cannot be started from a phone device; start it from the agent desktop",
    )
}

pub(crate) fn cannot_hold_self() -> Rejection {
    rejection(
        RejectionCode::CannotHoldSelf,
        16,
        "nobody holds themselves; hold the other parties, or start a consult",
    )
}

pub(crate) fn refused_in_wrap_up_assist() -> Rejection {
    rejection(
        RejectionCode::RefusedInWrapUpAssist,
        46,
        "the customer has left and the call is in Wrap-up Assist: talk on, exit or end the call",
    )
}

pub(crate) fn refused_in_conference() -> Rejection {
    rejection(
        RejectionCode::RefusedInConference,
        21,
        "there is no transfer in a conference; use exit_conference, and control passes on by itself",
    )
}

pub(crate) fn not_in_conference() -> Rejection {
    rejection(
        RejectionCode::NotInConference,
        39,
        "the call is not a conference; use end_call, or transfer_call to an answered consult",
    )
}

pub(crate) fn already_held(party: &Party) -> Rejection {
    rejection(
        RejectionCode::AlreadyHeld,
        16,
        format!("{party} is held already; nothing is left to do"),
    )
}

pub(crate) fn not_held(party: &Party) -> Rejection {
    rejection(
        RejectionCode::NotHeld,
        17,
        format!("{party} is not held; nothing is left to do"),
    )
}

/// The rule says why there is nothing to apply or suggest for.
pub(crate) fn wrap_up_not_owed(rule: u8, message: String) -> Rejection {
    rejection(RejectionCode::WrapUpNotOwed, rule, message)
}

pub(crate) fn wrap_up_already_applied(agent: &AgentId) -> Rejection {
    rejection(
        RejectionCode::WrapUpAlreadyApplied,
        51,
        format!(
            "agent:{agent} has applied a wrap-up reason before; it stands, nothing is left to do"
        ),
    )
}

pub(crate) fn wrap_up_reason_missing() -> Rejection {
    rejection(
        RejectionCode::WrapUpReasonMissing,
        51,
        "the wrap-up reason is blank; choose one",
    )
}

/// R53 before a session, R54 within one.
pub(crate) fn monitoring_not_allowed(rule: Rule, message: &str) -> Rejection {
    rejection(RejectionCode::MonitoringNotAllowed, rule.0, message)
}

pub(crate) fn already_monitoring(supervisor: &SupervisorId, instead: &str) -> Rejection {
    rejection(
        RejectionCode::AlreadyMonitoring,
        59,
        format!("supervisor:{supervisor} has a session on this call; {instead}"),
    )
}

pub(crate) fn not_monitoring(by: &Actor) -> Rejection {
    rejection(
        RejectionCode::NotMonitoring,
        59,
        format!("{by} has no running session on this call; start one with start_monitoring"),
    )
}
