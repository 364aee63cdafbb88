//! Rows as CSV, once for the service and the program.

use projections::Row;
use serde::Serialize;
use serde_json::Value;

/// The header stands there also without rows. A cell that is no single value holds its JSON.
pub fn csv<R: Row>(rows: &[R]) -> String {
    csv_of(R::COLUMNS, rows)
}

/// The same of rows that somebody else wrote, who may know of further fields.
pub fn csv_of<R: Serialize>(fields: &[&str], rows: &[R]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = "a buffer takes whatever is written";
    writer.write_record(fields).expect(written);
    for row in rows {
        let mut row = serde_json::to_value(row).expect("a row is JSON");
        let cells = fields.iter().map(|field| cell(row[*field].take()));
        writer.write_record(cells).expect(written);
    }
    let bytes = writer.into_inner().expect(written);
    String::from_utf8(bytes).expect("texts are UTF-8")
}

fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
