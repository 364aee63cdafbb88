//! The `OpenAPI` document as a judge: whether an answer is one that it promises.

use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// A document, and which of its operations were held against it.
pub struct Api {
    document: Value,
    seen: Mutex<BTreeSet<String>>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An answer, as far as it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The path of the table, such as `/v1/calls/{call}`.
    pub path: &'a str,
    /// The status.
    pub status: u16,
    /// The media type, with parameters or without.
    pub media_type: &'a str,
    /// The body.
    pub body: &'a str,
}

impl Api {
    /// That document. Its schemas become strict: a reader must bear fields it does not know, but here one that the
    /// document does not know is a field that was not documented.
    pub fn new(mut document: Value) -> Self {
        strict(&mut document);
        Self {
            document,
            seen: Mutex::default(),
            validators: Mutex::default(),
        }
    }

    /// The names of all operations, each with each status that means success.
    pub fn successes(&self) -> BTreeSet<String> {
        let paths = self.document["paths"].as_object().expect("it has paths");
        let operations = paths
            .values()
            .filter_map(Value::as_object)
            .flat_map(serde_json::Map::values);
        let successes = operations.flat_map(|operation| {
            let responses = operation["responses"].as_object();
            let statuses = responses.expect("it has responses").keys();
            let succeed = statuses.filter(|status| status.starts_with('2'));
            succeed.map(|status| format!("{} {status}", name(operation)))
        });
        successes.collect()
    }

    /// What was held against it so far, as in [`Self::successes`], problems too.
    pub fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().expect("no test panics with it").clone()
    }

    /// Why the document does not promise that answer, if it does not.
    pub fn judge(&self, answered: &Answered<'_>) -> Result<(), String> {
        let operation = &self.document["paths"][answered.path][answered.method.to_lowercase()];
        let response = &operation["responses"][answered.status.to_string()];
        if response.is_null() {
            return Err(format!("it has no such answer: {answered:?}"));
        }
        let noted = format!("{} {}", name(operation), answered.status);
        self.seen
            .lock()
            .expect("no test panics with it")
            .insert(noted);
        if response["content"].is_null() {
            let empty = answered.body.is_empty();
            return empty
                .then_some(())
                .ok_or(format!("it has no body: {answered:?}"));
        }
        let media_type = answered
            .media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let schema = &response["content"][media_type]["schema"];
        if schema.is_null() {
            return Err(format!("it is of another media type: {answered:?}"));
        }
        match media_type {
            "application/x-ndjson" => answered
                .body
                .lines()
                .try_for_each(|line| self.fits(schema, line)),
            "application/json" | "application/problem+json" => self.fits(schema, answered.body),
            _ => Ok(()),
        }
    }

    /// Why the text is not JSON of that schema, if it is not.
    pub fn fits(&self, schema: &Value, text: &str) -> Result<(), String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        self.validator(schema)?.validate(&value).map_err(|error| {
            format!(
                "at {}: {}",
                error.instance_path(),
                begin(&error.to_string())
            )
        })
    }

    /// Made once for each schema, because it takes longer than judging.
    fn validator(&self, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut made = self.validators.lock().expect("no test panics with it");
        if let Some(validator) = made.get(&schema.to_string()) {
            return Ok(Arc::clone(validator));
        }
        // References are to the root of what is given to the validator.
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&whole).map_err(|error| error.to_string())?;
        let validator = Arc::new(validator);
        made.insert(schema.to_string(), Arc::clone(&validator));
        Ok(validator)
    }

    /// The schema of that name.
    pub fn schema(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

/// Some answers are long, and what is wrong with one stands near its beginning.
fn begin(text: &str) -> String {
    text.chars().take(2000).collect()
}

fn name(operation: &Value) -> &str {
    operation["operationId"].as_str().unwrap_or("?")
}

/// No object has fields beside those that are named; whoever says otherwise is left alone.
fn strict(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_object = fields.get("type").is_some_and(|kind| kind == "object");
            if is_object
                && fields.contains_key("properties")
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".to_owned(), false.into());
            }
            fields.values_mut().for_each(strict);
        }
        Value::Array(items) => items.iter_mut().for_each(strict),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
