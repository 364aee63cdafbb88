//! In which of its forms a list is answered: by the path's suffix, or by what the client takes.

use crate::Problem;
use axum::http::{HeaderMap, StatusCode, header};

/// A form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object with all rows.
    Json,
    /// A row a line.
    Ndjson,
    /// A line of column names, then a row a line.
    Csv,
}

/// A media type that a client takes, and how much it likes it, in thousandths.
struct Taken<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: u16,
}

impl Format {
    /// All, the one first that is answered if the client does not care.
    pub(crate) const ALL: [Format; 3] = [Format::Json, Format::Ndjson, Format::Csv];

    /// What is said in `Content-Type`.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The one that the path's suffix names, or of those at hand the one that the client likes best.
    pub(crate) fn chosen(
        path: &str,
        headers: &HeaderMap,
        at_hand: &[Format],
    ) -> Result<Self, Problem> {
        match suffix(path) {
            Some(format) => Ok(format),
            None => accepted(headers, at_hand),
        }
    }
}

fn suffix(path: &str) -> Option<Format> {
    let (_, suffix) = path.rsplit_once('.')?;
    match suffix {
        "json" => Some(Format::Json),
        "ndjson" => Some(Format::Ndjson),
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

fn accepted(headers: &HeaderMap, at_hand: &[Format]) -> Result<Format, Problem> {
    let media_types: Vec<_> = at_hand.iter().map(|format| format.media_type()).collect();
    liked_best(headers, &media_types).map(|place| at_hand[place])
}

/// Where the one of those media types stands that the client likes best: the first, if it does not care.
pub(crate) fn liked_best(headers: &HeaderMap, at_hand: &[&str]) -> Result<usize, Problem> {
    let accept = headers.get_all(header::ACCEPT).into_iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let taken = accept.iter().flat_map(|value| value.split(','));
    let taken: Vec<_> = taken.filter_map(Taken::of).collect();
    if taken.is_empty() {
        return Ok(0);
    }
    let mut best = None;
    for (place, media_type) in at_hand.iter().enumerate() {
        let weight = weight(media_type, &taken);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, place));
        }
    }
    best.map(|(_, place)| place)
        .ok_or_else(|| not_acceptable(at_hand))
}

fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or(media_type)
}

/// How much the client likes it: as the most specific of what it names says.
fn weight(media_type: &str, taken: &[Taken<'_>]) -> u16 {
    let (kind, subtype) = bare(media_type)
        .split_once('/')
        .expect("it is a media type");
    let fits = taken.iter().filter_map(|taken| {
        let exact = if taken.kind.eq_ignore_ascii_case(kind) {
            match taken.subtype {
                "*" => 1,
                named if named.eq_ignore_ascii_case(subtype) || is_alias(named, subtype) => 2,
                _ => return None,
            }
        } else if (taken.kind, taken.subtype) == ("*", "*") {
            0
        } else {
            return None;
        };
        Some((exact, taken.weight))
    });
    fits.max().map_or(0, |(_, weight)| weight)
}

/// The only list whose rows come line by line has no registered name, so that others are in use.
fn is_alias(named: &str, subtype: &str) -> bool {
    let aliases = ["ndjson", "jsonl", "jsonlines"];
    subtype == "x-ndjson"
        && aliases
            .iter()
            .any(|alias| named.eq_ignore_ascii_case(alias))
}

fn not_acceptable(at_hand: &[&str]) -> Problem {
    let known: Vec<_> = at_hand.iter().map(|media_type| bare(media_type)).collect();
    Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        format!(
            "this is answered as {}; name one in `Accept`",
            known.join(", ")
        ),
    )
}

impl<'a> Taken<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        Some(Self {
            kind,
            subtype,
            weight: weight.map_or(1000, thousandths),
        })
    }
}

/// What is no weight is none to exclude by.
fn thousandths(text: &str) -> u16 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<3}");
    match (whole, part.get(..3).map(str::parse::<u16>)) {
        ("0", Some(Ok(part))) => part,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::Format;
    use axum::http::{HeaderMap, header};

    fn chosen(path: &str, accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("it is a header"));
        Format::chosen(path, &headers, &Format::ALL).ok()
    }

    #[test]
    fn the_client_is_answered_what_it_likes_best() {
        for (accept, expected) in [
            ("application/json", Some(Format::Json)),
            ("text/csv, application/json;q=0.9", Some(Format::Csv)),
            (
                "text/csv;q=0.1, application/json;q=0.95",
                Some(Format::Json),
            ),
            ("application/ndjson", Some(Format::Ndjson)),
            ("application/*, application/json;q=0", Some(Format::Ndjson)),
            (
                "text/html, application/xhtml+xml, */*;q=0.8",
                Some(Format::Json),
            ),
            ("text/*", Some(Format::Csv)),
            ("Application/JSON;q=0.5, TEXT/CSV;q=0.6", Some(Format::Csv)),
            ("image/png", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(chosen("/v1/active-calls", accept), expected, "{accept}");
        }
    }

    #[test]
    fn a_suffix_needs_no_header() {
        assert_eq!(chosen("/v1/calls.csv", "image/png"), Some(Format::Csv));
        assert_eq!(chosen("/v1/calls.ndjson", "text/csv"), Some(Format::Ndjson));
        assert_eq!(chosen("/v1/calls.json", "text/csv"), Some(Format::Json));
    }
}
