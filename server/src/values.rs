//! Values of parameters: the schemas that the OpenAPI document shows, and the check that each value passes before a
//! handler sees it. The check reads the schema, so neither can be looser than the other.

use domain::{
    AgentId, CallId, Correlation, CustomerNumber, InvalidText, Queue, SupervisorId, TimeSpan,
    Timestamp,
};
use serde_json::{Value, json};
use std::str::FromStr;

const CALL: &str = r"^(?!\.{1,2}$)[!-.0-~]{1,128}$";
const AGENT: &str = "^(agent:)?[A-Za-z0-9._@-]{1,64}$";
const SUPERVISOR: &str = "^(supervisor:)?[A-Za-z0-9._@-]{1,64}$";
const TIME_SPAN: &str = "^[0-9]{1,9}(ms|s|m|h|d)$";
const KEY_ID: &str = "^[A-Za-z0-9-]{1,64}$";
const CURSOR: &str = "^[A-Za-z0-9_-]{1,4096}$";

/// The largest number that clients in every language can hold.
const MOST: u64 = i64::MAX.unsigned_abs();

/// A pattern of the document, and what it stands for.
struct Pattern {
    text: &'static str,
    check: fn(&str) -> Result<(), String>,
}

const PATTERNS: [Pattern; 6] = [
    Pattern {
        text: CALL,
        check: parses::<CallId>,
    },
    Pattern {
        text: AGENT,
        check: |text| parses::<AgentId>(text.strip_prefix("agent:").unwrap_or(text)),
    },
    Pattern {
        text: SUPERVISOR,
        check: |text| parses::<SupervisorId>(text.strip_prefix("supervisor:").unwrap_or(text)),
    },
    Pattern {
        text: TIME_SPAN,
        check: time_span,
    },
    Pattern {
        text: KEY_ID,
        check: |text| {
            of_letters(
                text,
                64,
                "-",
                "must be the id of a key: letters, digits and -",
            )
        },
    },
    Pattern {
        text: CURSOR,
        check: |text| {
            of_letters(
                text,
                4096,
                "-_",
                "give back the `next` of a page, as it was",
            )
        },
    },
];

/// A call's identifier.
pub(crate) fn call() -> Value {
    json!({"type": "string", "pattern": CALL})
}

/// An agent, as `agent:ID` or the ID alone.
pub(crate) fn agent() -> Value {
    json!({"type": "string", "pattern": AGENT})
}

/// A supervisor, as `supervisor:ID` or the ID alone.
pub(crate) fn supervisor() -> Value {
    json!({"type": "string", "pattern": SUPERVISOR})
}

/// A queue.
pub(crate) fn queue() -> Value {
    text::<Queue>(1, 64)
}

/// A customer's number.
pub(crate) fn customer() -> Value {
    text::<CustomerNumber>(1, 128)
}

/// A correlation.
pub(crate) fn correlation() -> Value {
    text::<Correlation>(0, 256)
}

/// A text whose length alone is limited, as that type limits it.
fn text<T: FromStr<Err = InvalidText>>(least: usize, most: usize) -> Value {
    debug_assert!("x".repeat(most).parse::<T>().is_ok());
    debug_assert!("x".repeat(most + 1).parse::<T>().is_err());
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// A length of time, such as 90s or 4h.
pub(crate) fn time_of_waiting() -> Value {
    json!({"type": "string", "pattern": TIME_SPAN})
}

/// A point in time.
pub(crate) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

/// A key's id.
pub(crate) fn key_id() -> Value {
    json!({"type": "string", "pattern": KEY_ID})
}

/// What a page says as `next`.
pub(crate) fn cursor() -> Value {
    json!({"type": "string", "pattern": CURSOR})
}

/// A whole number, from that one on.
pub(crate) fn whole_number(least: u64) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": least, "maximum": MOST})
}

/// A number of seconds.
pub(crate) fn seconds() -> Value {
    json!({"type": "number", "minimum": 0})
}

/// Why a parameter of that schema cannot have that value, if it cannot.
pub(crate) fn check(schema: &Value, text: &str) -> Result<(), String> {
    if let Some(names) = schema["enum"].as_array() {
        return one_of(names, text);
    }
    match schema["type"].as_str() {
        Some("boolean") => one_of(&[json!("true"), json!("false")], text),
        Some("integer") => integer(schema, text),
        Some("number") => number(schema, text),
        _ => string(schema, text),
    }
}

fn one_of(names: &[Value], text: &str) -> Result<(), String> {
    let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
    if names.contains(&text) {
        return Ok(());
    }
    Err(format!("must be one of {}", names.join(", ")))
}

fn integer(schema: &Value, text: &str) -> Result<(), String> {
    let least = schema["minimum"].as_u64().unwrap_or(0);
    let most = schema["maximum"].as_u64().unwrap_or(MOST);
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|_| is_plain);
    if number.is_some_and(|number| (least..=most).contains(&number)) {
        return Ok(());
    }
    Err(if most == MOST {
        format!("must be a whole number, {least} or more")
    } else {
        format!("must be a whole number between {least} and {most}")
    })
}

fn number(schema: &Value, text: &str) -> Result<(), String> {
    let least = schema["minimum"].as_f64().unwrap_or(0.0);
    let number = serde_json::from_str::<f64>(text.trim()).ok();
    let number = number.filter(|_| text.trim() == text);
    if number.is_some_and(|number| number >= least) {
        return Ok(());
    }
    Err(format!(
        "must be a number such as 5 or 0.5, {least} or more"
    ))
}

fn string(schema: &Value, text: &str) -> Result<(), String> {
    if schema["format"] == "date-time" {
        return parses::<Timestamp>(text);
    }
    let length = text.chars().count();
    let least = schema["minLength"].as_u64().map_or(0, as_length);
    let most = schema["maxLength"].as_u64().map_or(usize::MAX, as_length);
    if !(least..=most).contains(&length) {
        return Err(format!("must have {least} to {most} characters"));
    }
    let known = |pattern: &&Pattern| schema["pattern"] == pattern.text;
    match PATTERNS.iter().find(known) {
        Some(pattern) => (pattern.check)(text),
        None => Ok(()),
    }
}

fn as_length(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn parses<T: FromStr<Err: ToString>>(text: &str) -> Result<(), String> {
    text.parse::<T>()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The document limits the digits, and the type a little less.
fn time_span(text: &str) -> Result<(), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 9 {
        return Err("must have at most 9 digits".to_owned());
    }
    parses::<TimeSpan>(text)
}

fn of_letters(text: &str, most: usize, also: &str, expected: &str) -> Result<(), String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || also.contains(letter);
    if (1..=most).contains(&text.len()) && text.chars().all(fits) {
        return Ok(());
    }
    Err(expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Place;
    use crate::routes::table;

    #[test]
    fn the_check_knows_all_that_a_parameter_of_the_document_says() {
        for route in table() {
            let parameters = route.operation.parameters.iter();
            for parameter in parameters.filter(|parameter| parameter.place != Place::Header) {
                let schema = parameter.schema.as_object().unwrap();
                let told = format!("{} {}: {:?}", route.path, parameter.name, schema);
                for (name, value) in schema {
                    let is_known = match name.as_str() {
                        "pattern" => PATTERNS.iter().any(|pattern| value == pattern.text),
                        "format" => ["date-time", "int64"].contains(&value.as_str().unwrap()),
                        "type" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength"
                        | "default" => true,
                        _ => false,
                    };
                    assert!(is_known, "{told}");
                }
                let limits = ["pattern", "format", "enum", "minimum", "maxLength"];
                let is_limited = limits.iter().any(|limit| schema.contains_key(*limit));
                assert!(is_limited || schema["type"] == "boolean", "{told}");
            }
        }
    }
}
