//! What is wrong with a text that is no JSON, in words for readers who do not know the parser.

use serde_json::Error;
use serde_json::error::Category;

/// What something after the end of the JSON is called.
pub(super) const TRAILING: &str = "something follows after its end";

/// What the parser says, from its first words, and what is said instead.
const SYNTAX: [(&str, &str); 15] = [
    (
        "expected ident",
        "this is no JSON; a text stands in double quotation marks",
    ),
    ("expected value", "a value is missing, or is no JSON"),
    ("trailing characters", TRAILING),
    (
        "trailing comma",
        "a comma stands before the end; leave it out",
    ),
    (
        "expected `:`",
        "a colon is missing after the name of a field",
    ),
    (
        "expected `,` or `}`",
        "a comma or the closing brace is missing",
    ),
    (
        "expected `,` or `]`",
        "a comma or the closing bracket is missing",
    ),
    (
        "expected `\"`",
        "the name of a field stands in double quotation marks",
    ),
    (
        "key must be a string",
        "the name of a field stands in double quotation marks",
    ),
    (
        "control character",
        "a text has a control character, which is written as \\u and four digits",
    ),
    (
        "invalid escape",
        "a backslash stands before a letter that has no meaning after it",
    ),
    ("invalid number", "this is no number"),
    ("number out of range", "the number is too large"),
    ("recursion limit", "it is nested too deeply"),
    ("", "a text has half of a character"),
];

/// What is wrong, without the place.
pub fn plain(error: &Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    match error.classify() {
        Category::Eof => "it ends too early; perhaps it was cut off".to_owned(),
        Category::Io | Category::Syntax => syntax(text).to_owned(),
        Category::Data => data(text),
    }
}

fn syntax(text: &str) -> &'static str {
    let mut known = SYNTAX.iter();
    let found = known.find(|(begin, _)| text.starts_with(begin));
    found.map_or("this is no JSON", |(_, plain)| plain)
}

/// A value of another type than was expected, or a name that is not known.
fn data(text: &str) -> String {
    let replaced = [
        ("invalid type: map,", "found an object,"),
        ("invalid type: sequence,", "found an array,"),
        ("invalid type: ", "found "),
        ("invalid value: ", "found "),
        ("floating point", "number"),
        ("integer `", "number `"),
        ("unknown variant", "unknown value"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected a sequence", "expected an array"),
        ("expected a borrowed string", "expected a string"),
    ];
    let mut said = text.to_owned();
    for (parser, plain) in replaced {
        if let Some(place) = said.find(parser) {
            said.replace_range(place..place + parser.len(), plain);
        }
    }
    said
}
