//! Rows as CSV, once for the service and the program.

use projections::Row;
use serde::Serialize;
use serde_json::Value;

/// The header stands there also without rows. A cell that is no single value holds its JSON.
pub fn csv<R: Row>(rows: &[R]) -> String {
    csv_head(R::COLUMNS) + &csv_records(R::COLUMNS, rows)
}

/// The header alone.
pub fn csv_head(fields: &[&str]) -> String {
    written(|bytes| head(bytes, fields))
}

/// A line for each row. Rows of another program may have further fields, which are left out.
pub fn csv_records<R: Serialize>(fields: &[&str], rows: &[R]) -> String {
    written(|bytes| records(bytes, fields, rows))
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = Vec::new();
    write(&mut bytes);
    String::from_utf8(bytes).expect("texts are UTF-8")
}

/// The line of column names.
pub(super) fn head(to: &mut Vec<u8>, fields: &[&str]) {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(fields).expect(WRITTEN);
    writer.flush().expect(WRITTEN);
}

/// A line for each row.
pub(super) fn records<R: Serialize>(to: &mut Vec<u8>, fields: &[&str], rows: &[R]) {
    let mut writer = csv::Writer::from_writer(to);
    for row in rows {
        let mut row = serde_json::to_value(row).expect("a row is JSON");
        let cells = fields.iter().map(|field| cell(row[*field].take()));
        writer.write_record(cells).expect(WRITTEN);
    }
    writer.flush().expect(WRITTEN);
}

const WRITTEN: &str = "a buffer takes every write";

fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
