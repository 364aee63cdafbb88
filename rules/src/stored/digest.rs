//! The digest of a command: what tells a retry from another command under the same id. Frozen like the payloads.

use super::bytes::{LONGEST, write};
use super::v1::{Kept, Party, Target};
use crate::command::{Command, Request};
use crate::hashing::{Digest, HashInput};
use crate::ids::Actor;
use crate::personal::{Commitment, PersonalPart};
use crate::table::{Presence, Value};
use serde::ser::{Error as _, Serialize, SerializeStructVariant, Serializer};

/// The command as the digest covers it: defaults filled in, personal texts replaced by their commitments. What its table
/// says of it is frozen with it: its number and the order of its fields.
struct Covered<'a> {
    command: &'a Command,
    commitment: Option<Commitment>,
}

/// The value of a field, as the digest covers it.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum CoveredValue<'a> {
    Actor(By<'a>),
    Party(Party<'a>),
    Target(Target<'a>),
    Choice(u32),
    Text(&'a str),
    Commitment(Commitment),
}

#[derive(serde::Serialize)]
enum By<'a> {
    Party(Party<'a>),
    Supervisor(&'a str),
}

/// SHA-256 of the parsed command, without `id`, `expect` and `correlation`. A command with a personal text needs the
/// salt it was, or will be, stored with.
pub fn digest(request: &Request, personal: Option<&PersonalPart>) -> Digest {
    let covered = Covered {
        command: &request.command,
        commitment: personal.map(PersonalPart::commitment),
    };
    let mut buffer = [0; LONGEST];
    let mut input = HashInput::new("kaigi-command-v1");
    input.text(request.call.as_str());
    input.text(request.command.name());
    input.optional_integer(request.at.map(crate::Timestamp::as_millis));
    input.bytes(write(&covered, &mut buffer));
    Digest(input.sha256())
}

impl Serialize for Covered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.command.command_type().number().into();
        let mut fields = serializer.serialize_struct_variant("", number, "", 0)?;
        for (field, value) in self.command.fields() {
            let value = value.and_then(|value| self.value(value));
            match (field.presence, value) {
                (Presence::Optional, value) => fields.serialize_field(field.name, &value)?,
                (_, Some(value)) => fields.serialize_field(field.name, &value)?,
                // Left out, two commands that differ would have one digest.
                (_, None) => {
                    return Err(S::Error::custom("a field that must be there has no value"));
                }
            }
        }
        fields.end()
    }
}

impl<'a> Covered<'a> {
    fn value(&self, value: Value<'a>) -> Option<CoveredValue<'a>> {
        Some(match value {
            Value::Actor(actor) => CoveredValue::Actor(actor.into()),
            Value::Party(party) => CoveredValue::Party(party.form(None)),
            Value::Target(target) => CoveredValue::Target(target.form(None)),
            Value::Choice(_, place) => CoveredValue::Choice(place),
            Value::Agent(agent) => CoveredValue::Text(agent.as_str()),
            Value::Supervisor(supervisor) => CoveredValue::Text(supervisor.as_str()),
            Value::Text(text) => CoveredValue::Text(text),
            Value::Personal(_) => CoveredValue::Commitment(self.commitment?),
            Value::Erased => return None,
        })
    }
}

impl<'a> From<&'a Actor> for By<'a> {
    fn from(actor: &'a Actor) -> Self {
        match actor {
            Actor::Party(party) => By::Party(party.form(None)),
            Actor::Supervisor(supervisor) => By::Supervisor(supervisor.as_str()),
        }
    }
}
