//! The document as a page for people. It loads nothing from elsewhere and runs no script.

#![allow(
    clippy::format_push_string,
    reason = "the page is made once, and reads better as the pieces it is made of"
)]

use serde_json::Value;
use std::fmt::Write as _;

/// The page of that document.
pub(super) fn page(document: &Value) -> String {
    let mut page = String::from(HEAD);
    let title = text(&document["info"]["title"]);
    let about = paragraphs(&document["info"]["description"]);
    let version = text(&document["info"]["version"]);
    page += &format!(
        "<h1>{title}</h1><p class=\"small\">version {version} · <a href=\"/openapi.json\">openapi.json</a></p>{about}"
    );
    for tag in items(&document["tags"]) {
        let name = text(&tag["name"]);
        page += &format!(
            "<h2 id=\"{}\">{name}</h2><p>{}</p>",
            anchor(&name),
            text(&tag["description"])
        );
        for (path, method, operation) in operations(document) {
            if operation["tags"][0] == tag["name"] {
                page += &shown(path, method, operation);
            }
        }
    }
    page += "<h2 id=\"schemas\">schemas</h2>";
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let schema = serde_json::to_string_pretty(schema).expect("a schema is JSON");
        let name = escaped(name);
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "<details id=\"schema-{name}\"><summary>{name}</summary><pre>{}</pre></details>",
            escaped(&schema)
        );
    }
    page += "</main></body></html>\n";
    page
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Kaigi</title>\
<meta name=\"viewport\" content=\"width=device-width\"><style>\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:56rem;margin:auto;padding:1rem}\
code,pre{font:14px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.5rem;border:1px solid #8884}\
section{border-top:1px solid #8884;padding:.5rem 0}h3{margin:.5rem 0}table{border-collapse:collapse}\
td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}.small{opacity:.75}b.m{display:inline-block;min-width:4.5rem}\
</style></head><body><main>";

fn operations(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    entries(&document["paths"]).flat_map(|(path, methods)| {
        entries(methods).map(move |(method, operation)| (path, method, operation))
    })
}

fn shown(path: &str, method: &str, operation: &Value) -> String {
    let mut shown = format!(
        "<section id=\"{}\"><h3><b class=\"m\">{}</b> <code>{}</code></h3><p>{}</p>{}",
        text(&operation["operationId"]),
        method.to_uppercase(),
        escaped(path),
        text(&operation["summary"]),
        paragraphs(&operation["description"])
    );
    let parameters = items(&operation["parameters"]);
    if !parameters.is_empty() {
        let rows = parameters.iter().map(|parameter| {
            format!(
                "<tr><td><code>{}</code></td><td class=\"small\">{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"])
            )
        });
        shown += &format!("<table>{}</table>", rows.collect::<String>());
    }
    for (media_type, content) in entries(&operation["requestBody"]["content"]) {
        shown += &format!(
            "<p>Body: {}</p>",
            representation(media_type, &content["schema"])
        );
    }
    shown += "<table>";
    for (status, response) in entries(&operation["responses"]) {
        let content = entries(&response["content"]);
        let content =
            content.map(|(media_type, content)| representation(media_type, &content["schema"]));
        let content: Vec<_> = content.collect();
        shown += &format!(
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"small\">{}</td></tr>",
            escaped(status),
            text(&response["description"]),
            content.join("<br>")
        );
    }
    shown + "</table></section>"
}

/// A media type, and the schema it has by name.
fn representation(media_type: &str, schema: &Value) -> String {
    let name = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next());
    let media_type = escaped(media_type);
    match name {
        Some(name) => {
            let name = escaped(name);
            format!("<code>{media_type}</code> <a href=\"#schema-{name}\">{name}</a>")
        }
        None => format!("<code>{media_type}</code>"),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn paragraphs(value: &Value) -> String {
    let text = text(value);
    let paragraphs = text.split("\n\n").map(|part| format!("<p>{part}</p>"));
    paragraphs.collect()
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn anchor(name: &str) -> String {
    name.replace(' ', "-")
}
