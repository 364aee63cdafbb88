//! The OpenAPI document against the real answers.

use serde_json::Value;
use std::collections::BTreeSet;
use tests::service::Running;

async fn document(service: &Running) -> Value {
    let answer = service.get("", "/openapi.json").send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Every value of `$ref` in there.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target.clone());
                    }
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_schema_that_is_named_is_there() {
    let service = Running::start().await;
    let document = document(&service).await;
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for name in named {
        let pointer = name.strip_prefix('#').expect("all is in one document");
        assert!(document.pointer(pointer).is_some(), "{name}");
    }
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/openapi.json");
    std::fs::write(file, document.to_string()).unwrap();
    service.stop().await;
}
