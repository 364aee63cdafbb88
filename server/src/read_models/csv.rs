//! Rows as CSV, once for the service and the program.

use projections::Row;
use serde_json::Value;

/// The header stands there also without rows. A cell that is no single value holds its JSON.
pub fn csv<R: Row>(rows: &[R]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = "a buffer takes whatever is written";
    writer.write_record(R::COLUMNS).expect(written);
    for row in rows {
        writer.write_record(cells(row)).expect(written);
    }
    let bytes = writer.into_inner().expect(written);
    String::from_utf8(bytes).expect("texts are UTF-8")
}

fn cells<R: Row>(row: &R) -> impl Iterator<Item = String> {
    let row = serde_json::to_value(row).expect("a row is JSON");
    let Value::Object(row) = row else {
        unreachable!("a row is an object: {row}");
    };
    assert!(
        row.keys().eq(R::COLUMNS),
        "a row has other columns than its kind: {:?}",
        row.keys()
    );
    row.into_iter().map(|(_, value)| cell(value))
}

fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
