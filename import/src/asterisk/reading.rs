//! A capture as it lies in the file, read into what the switchboard needs of it.

use crate::ImportError;
use domain::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// What one file holds, in the order of arrival.
pub(super) struct Capture {
    pub(super) sightings: Vec<Sighting>,
    /// Events this importer has never heard of, and how many of each.
    pub(super) unknown: BTreeMap<String, usize>,
}

/// One event, with the latest second seen so far as its time: no field carries the time itself.
pub(super) struct Sighting {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What an event says about legs.
pub(super) enum What {
    Created {
        leg: Seen,
        account: String,
        number: String,
    },
    Numbered {
        leg: Seen,
        number: String,
    },
    Piped {
        one: Seen,
        two: Seen,
    },
    /// Without a caller the telephone system itself dials: click-to-dial.
    Dialled {
        by: Option<Seen>,
        to: Seen,
    },
    DialEnded {
        to: Seen,
        status: String,
        forward: Option<String>,
    },
    Entered {
        leg: Seen,
        bridge: String,
        /// The leg whose place it takes.
        instead_of: Option<String>,
    },
    Left {
        leg: Seen,
        bridge: String,
    },
    HungUp {
        leg: Seen,
    },
    TransferredAttended {
        first: Seen,
        second: Seen,
        into: String,
        result: String,
    },
    TransferredBlindly {
        by: Seen,
        to: String,
        result: String,
    },
    PickedUp {
        by: Seen,
    },
    Mentioned {
        leg: Option<Seen>,
    },
}

/// A leg as an event shows it.
pub(super) struct Seen {
    /// `Uniqueid`.
    pub(super) leg: String,
    /// `Linkedid`, as it is by then.
    pub(super) call: String,
    pub(super) channel: String,
    pub(super) queue: Option<Queueing>,
}

/// That a leg is in a queue, and in which if the event names it.
#[derive(Clone)]
pub(super) enum Queueing {
    Unnamed,
    Named(String),
}

/// Events that say nothing about who talks to whom, sorted.
const IRRELEVANT: [&str; 34] = [
    "AgentCalled",
    "AgentComplete",
    "AgentConnect",
    "AgentDump",
    "AgentRingNoAnswer",
    "BridgeCreate",
    "BridgeDestroy",
    "BridgeMerge",
    "BridgeVideoSourceUpdate",
    "Cdr",
    "ChannelTalkingStart",
    "ChannelTalkingStop",
    "ContactStatus",
    "DTMFBegin",
    "DTMFEnd",
    "DeviceStateChange",
    "DialState",
    "ExtensionStatus",
    "FullyBooted",
    "HangupHandlerPush",
    "HangupHandlerRun",
    "HangupRequest",
    "LocalOptimizationBegin",
    "LocalOptimizationEnd",
    "NewAccountCode",
    "NewConnectedLine",
    "NewExten",
    "Newexten",
    "Newstate",
    "PeerStatus",
    "RTCPReceived",
    "RTCPSent",
    "SoftHangupRequest",
    "UserEvent",
];

/// Reads the whole of a capture; the first thing wrong in it is an error that names the place.
pub(super) fn read(file: &Path, bytes: &[u8]) -> Result<Capture, ImportError> {
    let mut capture = Capture {
        sightings: Vec::new(),
        unknown: BTreeMap::new(),
    };
    let mut latest = Timestamp::MIN;
    for (place, event) in events(file, bytes)?.iter().enumerate() {
        let (name, what) = what_of(event).map_err(|problem| ImportError::BadEvent {
            file: file.to_owned(),
            event: place + 1,
            problem,
        })?;
        latest = latest.max(what.second());
        if matches!(what, What::Mentioned { .. }) && !is_irrelevant(name) {
            *capture.unknown.entry(name.to_owned()).or_default() += 1;
        }
        capture.sightings.push(Sighting { at: latest, what });
    }
    Ok(capture)
}

fn events(file: &Path, bytes: &[u8]) -> Result<Vec<Value>, ImportError> {
    let text = std::str::from_utf8(bytes).map_err(|e| ImportError::NotText {
        file: file.to_owned(),
        line: bytes[..e.valid_up_to()].split(|&b| b == b'\n').count(),
    })?;
    serde_json::from_str(text).map_err(|source| ImportError::NotEvents {
        file: file.to_owned(),
        source,
    })
}

fn is_irrelevant(name: &str) -> bool {
    IRRELEVANT.binary_search(&name).is_ok() || name.starts_with("Queue") || name == "VarSet"
}

fn what_of(event: &Value) -> Result<(&str, What), String> {
    let fields = event.as_object().ok_or("it is not an object")?;
    let name = Fields {
        fields,
        event: "it",
    }
    .text("Event")?;
    let fields = Fields {
        fields,
        event: name,
    };
    let what = match name {
        "Newchannel" => What::Created {
            leg: fields.leg("")?,
            account: fields.owned("AccountCode")?,
            number: fields.owned("CallerIDNum")?,
        },
        "NewCallerid" => What::Numbered {
            leg: fields.leg("")?,
            number: fields.owned("CallerIDNum")?,
        },
        "LocalBridge" => What::Piped {
            one: fields.leg("LocalOne")?,
            two: fields.leg("LocalTwo")?,
        },
        "DialBegin" => What::Dialled {
            by: fields.leg_if_any("")?,
            to: fields.leg("Dest")?,
        },
        "DialEnd" => What::DialEnded {
            to: fields.leg("Dest")?,
            status: fields.owned("DialStatus")?,
            forward: fields.get("Forward").map(str::to_owned),
        },
        "BridgeEnter" => What::Entered {
            leg: fields.leg("")?,
            bridge: fields.owned("BridgeUniqueid")?,
            instead_of: fields.get("SwapUniqueid").map(str::to_owned),
        },
        "BridgeLeave" => What::Left {
            leg: fields.leg("")?,
            bridge: fields.owned("BridgeUniqueid")?,
        },
        "Hangup" => What::HungUp {
            leg: fields.leg("")?,
        },
        "AttendedTransfer" => What::TransferredAttended {
            first: fields.leg("OrigTransferer")?,
            second: fields.leg("SecondTransferer")?,
            into: fields.owned("DestType")?,
            result: fields.owned("Result")?,
        },
        "BlindTransfer" => What::TransferredBlindly {
            by: fields.leg("Transferer")?,
            to: fields.owned("Extension")?,
            result: fields.owned("Result")?,
        },
        "Pickup" => What::PickedUp {
            by: fields.leg("")?,
        },
        _ => What::Mentioned {
            leg: fields.leg("").ok(),
        },
    };
    Ok((name, what))
}

impl What {
    /// The latest second its legs carry.
    fn second(&self) -> Timestamp {
        let legs = match self {
            What::Created { leg, .. }
            | What::Numbered { leg, .. }
            | What::Entered { leg, .. }
            | What::Left { leg, .. }
            | What::HungUp { leg }
            | What::TransferredBlindly { by: leg, .. }
            | What::PickedUp { by: leg }
            | What::DialEnded { to: leg, .. } => [Some(leg), None],
            What::Piped { one, two }
            | What::TransferredAttended {
                first: one,
                second: two,
                ..
            } => [Some(one), Some(two)],
            What::Dialled { by, to } => [by.as_ref(), Some(to)],
            What::Mentioned { leg } => [leg.as_ref(), None],
        };
        let seconds = legs
            .into_iter()
            .flatten()
            .flat_map(|seen| [&seen.leg, &seen.call]);
        seconds
            .filter_map(|id| second_of(id))
            .max()
            .unwrap_or(Timestamp::MIN)
    }
}

/// `195176c06ab8-1529936170.42` was created in second 1529936170.
fn second_of(id: &str) -> Option<Timestamp> {
    let (before, count) = id.rsplit_once('.')?;
    let second: u64 = before.rsplit('-').next()?.parse().ok()?;
    count.parse::<u64>().ok()?;
    Timestamp::from_millis(second.checked_mul(1000)?).ok()
}

/// The fields of an event; each way to a field says what is wrong with it.
#[derive(Clone, Copy)]
struct Fields<'a> {
    fields: &'a Map<String, Value>,
    event: &'a str,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        let Some(value) = self.fields.get(name) else {
            return Err(format!("{} has no {name}", self.event));
        };
        value
            .as_str()
            .ok_or_else(|| format!("{}: {name} is not a text", self.event))
    }

    fn owned(&self, name: &str) -> Result<String, String> {
        self.text(name).map(str::to_owned)
    }

    /// The leg whose fields begin with `prefix`.
    fn leg(&self, prefix: &str) -> Result<Seen, String> {
        let field = |name: &str| self.owned(&format!("{prefix}{name}"));
        let seen = Seen {
            leg: field("Uniqueid")?,
            call: field("Linkedid")?,
            channel: field("Channel")?,
            queue: self.queueing(prefix),
        };
        match second_of(&seen.leg) {
            Some(_) => Ok(seen),
            None => Err(format!(
                "{}: {prefix}Uniqueid {:?} carries no second",
                self.event, seen.leg
            )),
        }
    }

    fn leg_if_any(&self, prefix: &str) -> Result<Option<Seen>, String> {
        match self.get(&format!("{prefix}Uniqueid")) {
            None | Some("") => Ok(None),
            Some(_) => self.leg(prefix).map(Some),
        }
    }

    /// The events of queues name theirs; the dial plan's context only tells that there is one.
    fn queueing(&self, prefix: &str) -> Option<Queueing> {
        let of_queues = self.event.starts_with("Queue") || self.event.starts_with("Agent");
        match self.get("Queue") {
            Some(queue) if of_queues && prefix.is_empty() => {
                Some(Queueing::Named(queue.to_owned()))
            }
            _ => {
                let context = self.get(&format!("{prefix}Context"))?;
                context.contains("queue").then_some(Queueing::Unnamed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_a_leg_is_in_its_identifier() {
        let second = |id| second_of(id).map(|at| at.to_string());
        let expected = Some("2018-06-25T14:16:10.000Z".to_owned());
        assert_eq!(second("195176c06ab8-1529936170.42"), expected);
        assert_eq!(second("ua5-ams-1529936170.23242646"), expected);
        assert_eq!(second("1529936170.42"), expected);
        for id in [
            "",
            "42",
            "abc.def",
            "x-.1",
            "1529936170.",
            "99999999999999999999.1",
        ] {
            assert_eq!(second(id), None, "{id}");
        }
    }

    #[test]
    fn irrelevant_events_are_found() {
        assert!(IRRELEVANT.is_sorted());
    }
}
