//! What headers say of a command.

use crate::Problem;
use axum::http::HeaderMap;
use domain::{CommandId, Correlation, Request, Revision};
use std::fmt::Display;
use uuid::Uuid;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const TRACEPARENT: &str = "traceparent";

/// Adds to the command what the headers say of it. What both say must be the same.
pub(crate) fn complete(request: &mut Request, headers: &HeaderMap) -> Result<(), Problem> {
    let id = idempotency_key(headers)?;
    request.id = same("Idempotency-Key", id, "id", request.id)?;
    let expect = if_match(headers)?;
    request.expect = same("If-Match", expect, "expect", request.expect)?;
    if request.correlation.is_none() {
        request.correlation = correlation(headers);
    }
    Ok(())
}

fn same<T: PartialEq + Display>(
    header: &str,
    in_header: Option<T>,
    field: &str,
    in_body: Option<T>,
) -> Result<Option<T>, Problem> {
    match (in_header, in_body) {
        (Some(one), Some(other)) if one != other => {
            let what =
                format!("it says {one}, and `{field}` in the body says {other}; send one of them");
            Err(Problem::bad_value(header, what))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// The command's id: a UUID, or one in quotes.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<CommandId>, Problem> {
    let expected = "send one UUID, such as 2f1c9c0e-8f7b-4f35-9d53-5a0f5d3c8a11";
    let Some(text) = only(headers, IDEMPOTENCY_KEY, "Idempotency-Key", expected)? else {
        return Ok(None);
    };
    let id = Uuid::try_parse(quoted(text).unwrap_or(text));
    let id = id.map_err(|_| Problem::bad_value("Idempotency-Key", expected))?;
    Ok(Some(CommandId(id)))
}

/// The revision that the call must be at: a strong entity tag, as answers give it.
fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let expected = "send one revision in quotes, as `ETag` gives it, such as \"7\"; 0 in quotes is a call that nobody \
                    wrote to";
    let Some(text) = only(headers, "if-match", "If-Match", expected)? else {
        return Ok(None);
    };
    let digits = quoted(text).unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let revision = all_digits.then(|| digits.parse().ok()).flatten();
    let revision = revision.ok_or_else(|| Problem::bad_value("If-Match", expected))?;
    Ok(Some(Revision(revision)))
}

/// The header's value, if it is there; there must not be two.
fn only<'a>(
    headers: &'a HeaderMap,
    name: &str,
    shown: &str,
    expected: &str,
) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let text = text.ok_or_else(|| Problem::bad_value(shown, expected))?;
    Ok(Some(text.trim()))
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The trace that the request is part of, as the correlation of what it asks.
pub(crate) fn correlation(headers: &HeaderMap) -> Option<Correlation> {
    let trace = trace(headers)?;
    Some(trace.parse().expect("32 characters are a correlation"))
}

/// The trace id of W3C Trace Context. A header that is not as it says is ignored, which it says, too.
pub(crate) fn trace(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACEPARENT).into_iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (version, rest) = hex(value, 2)?;
    let (trace, rest) = hex(rest.strip_prefix('-')?, 32)?;
    let (parent, rest) = hex(rest.strip_prefix('-')?, 16)?;
    let (_flags, rest) = hex(rest.strip_prefix('-')?, 2)?;
    // Later versions may say more, behind another dash.
    let whole = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let known = version != "ff" && !is_zero(trace) && !is_zero(parent);
    (whole && known).then_some(trace)
}

/// So many lower-case hexadecimal digits, and what follows them.
fn hex(text: &str, digits: usize) -> Option<(&str, &str)> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(is_hex).then_some((digits, rest))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn trace_of(traceparent: &str) -> Option<String> {
        let value = traceparent.parse().expect("a header can have it");
        let headers = HeaderMap::from_iter([(TRACEPARENT.parse().expect("a name"), value)]);
        trace(&headers).map(str::to_owned)
    }

    #[test]
    fn a_traceparent_tells_its_trace_id() {
        for traceparent in [
            format!("00-{TRACE}-b7ad6b7169203331-01"),
            format!("01-{TRACE}-b7ad6b7169203331-ff"),
            format!("cc-{TRACE}-b7ad6b7169203331-01-what.the.future.will.be.like"),
        ] {
            assert_eq!(
                trace_of(&traceparent).as_deref(),
                Some(TRACE),
                "{traceparent}"
            );
        }
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        for traceparent in [
            String::new(),
            format!("00-{TRACE}"),
            format!("00-{TRACE}-b7ad6b7169203331-0"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("01-{TRACE}-b7ad6b7169203331-01more"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "g".repeat(32)),
            format!("00_{TRACE}_b7ad6b7169203331_01"),
        ] {
            assert_eq!(trace_of(&traceparent), None, "{traceparent}");
        }
    }
}
