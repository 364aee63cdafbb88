//! Keys for operators, and tokens for streams, over HTTP.

use super::answering;
use super::permission::{OPERATION, STREAMS};
use crate::handled::Handled;
use crate::route::{Answer, Operation, Parameter, Route};
use crate::values;
use axum::http::Method;
use axum::routing::{delete, get, post};
use engine::keys::Role;
use serde_json::{Value, json};

pub(crate) fn routes() -> Vec<Handled> {
    vec![
        create_token().handled(post(answering::issue)),
        list_keys().handled(get(answering::list)),
        create_key().handled(post(answering::create)),
        revoke_key().handled(delete(answering::revoke)),
    ]
}

fn create_token() -> Route {
    Route {
        method: Method::POST,
        path: "/v1/tokens",
        access: STREAMS,
        operation: Operation {
            id: "createToken",
            summary: "Get a token for one stream",
            about: "A browser's EventSource cannot send a key. A token admits it to the stream of that very path and \
                    query, to connect or reconnect until the token expires; a stream that was begun goes on. Ask for \
                    a new one when a reconnect is answered with 401. A token ends with the key it was given for. It \
                    is kept in the memory of the process that made it: another process of the same store does not \
                    know it and must be asked anew. A key has at most 100 tokens at a time.",
            body: Some(("application/json", wanted_token())),
            answers: vec![Answer {
                status: 201,
                about: "The token; `url` is the stream's with the token in it",
                content: vec![("application/json", token_schema())],
            }],
            problems: &[400, 408, 413, 415, 422, 429],
            ..Operation::default()
        },
    }
}

fn list_keys() -> Route {
    Route {
        method: Method::GET,
        path: "/v1/keys",
        access: OPERATION,
        operation: Operation {
            id: "listKeys",
            summary: "List the keys",
            about: "Those that are in force in this process, with those that have expired or were revoked, the oldest \
                    first. Neither texts nor hashes are told.",
            answers: vec![Answer {
                status: 200,
                about: "The keys",
                content: vec![(
                    "application/json",
                    json!({
                        "type": "object",
                        "required": ["keys"],
                        "properties": {"keys": {"type": "array", "items": key_schema()}}
                    }),
                )],
            }],
            problems: &[409],
            ..Operation::default()
        },
    }
}

fn create_key() -> Route {
    Route {
        method: Method::POST,
        path: "/v1/keys",
        access: OPERATION,
        operation: Operation {
            id: "createKey",
            summary: "Create a key",
            about: "The answer is the only place where the key's text is ever told. An operator may create a key with \
                    roles that the operator's own key does not have: who makes keys can act as anybody, so give that \
                    role to nobody who must not. The key is admitted at once here, and by other processes that use \
                    the same key file about a second later.",
            body: Some(("application/json", wanted_key())),
            answers: vec![Answer {
                status: 201,
                about: "The key, with its text as `key`",
                content: vec![("application/json", created_schema())],
            }],
            problems: &[400, 408, 409, 413, 415, 422, 503],
            ..Operation::default()
        },
    }
}

fn revoke_key() -> Route {
    Route {
        method: Method::DELETE,
        path: "/v1/keys/{id}",
        access: OPERATION,
        operation: Operation {
            id: "revokeKey",
            summary: "Revoke a key",
            about: "It is admitted no more, here at once and by other processes that use the same key file about a \
                    second later; streams that were begun with it end. It stays in the list. Revoking a revoked key \
                    changes nothing.",
            parameters: vec![Parameter::path(
                "id",
                values::key_id(),
                "The key's id: what stands between the first two `_` of its text",
            )],
            answers: vec![Answer {
                status: 200,
                about: "The key, revoked",
                content: vec![("application/json", key_schema())],
            }],
            problems: &[404, 409, 503],
            ..Operation::default()
        },
    }
}

fn key_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "name", "roles", "agent", "supervisor", "created_at", "expires_at", "revoked_at"],
        "properties": key_properties(),
    })
}

fn key_properties() -> Value {
    let time = json!({"type": ["string", "null"], "format": "date-time"});
    json!({
        "id": {"type": "string"},
        "name": {"type": "string"},
        "roles": roles_schema(),
        "agent": {"type": ["string", "null"]},
        "supervisor": {"type": ["string", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
        "expires_at": time,
        "revoked_at": time,
    })
}

fn created_schema() -> Value {
    let mut schema = key_schema();
    schema["properties"]["key"] = json!({"type": "string"});
    schema["required"] = json!(["id", "name", "roles", "key"]);
    schema
}

fn roles_schema() -> Value {
    let names = Role::ALL.map(Role::name);
    json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "enum": names}})
}

fn wanted_key() -> Value {
    json!({
        "type": "object",
        "required": ["name", "roles"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 64},
            "roles": roles_schema(),
            "agent": {"type": ["string", "null"], "description": "Whose desk it is, as agent:ID; only for the role desk"},
            "supervisor": {"type": ["string", "null"], "description": "Which supervisor's it is, as supervisor:ID; only for that role"},
            "expires_at": {"type": ["string", "null"], "format": "date-time"},
        }
    })
}

fn wanted_token() -> Value {
    json!({
        "type": "object",
        "required": ["stream"],
        "additionalProperties": false,
        "properties": {"stream": {
            "type": "string",
            "description": "The path and query of the stream, such as /v1/active-calls/changes?queue=billing",
        }}
    })
}

fn token_schema() -> Value {
    json!({
        "type": "object",
        "required": ["token", "url", "expires_at"],
        "properties": {
            "token": {"type": "string"},
            "url": {"type": "string"},
            "expires_at": {"type": "string", "format": "date-time"},
        }
    })
}
