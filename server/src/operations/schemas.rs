//! The schemas of what the interface sends and takes. Names that the code has are taken from there; a test holds real
//! answers against every schema, with no field beside those it knows.

#![allow(
    clippy::needless_pass_by_value,
    reason = "schemas are written where they are used, one within the other"
)]

use domain::call::Phase;
use domain::command::CommandType;
use domain::event::EventType;
use domain::rejection::RejectionCode;
use domain::table::{Field, Presence, ValueType};
use engine::keys::Role;
use projections::{ListedCall, Shape, Shaped as _, Type};
use serde_json::{Map, Value, json};

/// Every schema, by its name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for group in [
        texts(),
        commands(),
        events(),
        calls(),
        read_models(),
        rest(),
    ] {
        let Value::Object(group) = group else {
            unreachable!("each group is an object")
        };
        all.extend(group);
    }
    all.into()
}

/// A reference to a schema by its name.
pub(crate) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn list(schema: Value) -> Value {
    json!({"type": "array", "items": schema})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn number_or_null() -> Value {
    json!({"type": ["integer", "null"], "minimum": 0})
}

fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

/// An object all of whose fields are there.
fn object<const N: usize>(about: &str, fields: [(&str, Value); N]) -> Value {
    with_optional(about, fields, [])
}

/// An object with fields that are there and others that may be.
fn with_optional<'n>(
    about: &str,
    fields: impl IntoIterator<Item = (&'n str, Value)>,
    optional: impl IntoIterator<Item = (&'n str, Value)>,
) -> Value {
    let fields: Vec<_> = fields.into_iter().collect();
    let required: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let properties = fields.iter().cloned().chain(optional);
    let properties = properties.map(|(name, schema)| (name.to_owned(), schema));
    json!({
        "type": "object",
        "description": about,
        "properties": properties.collect::<Map<_, _>>(),
        "required": required,
    })
}

fn texts() -> Value {
    json!({
        "CallId": {
            "type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^(?!\.{1,2}$)[!-.0-~]{1,128}$",
            "description": "The identifier the telephone system uses: visible ASCII characters without a slash.",
            "examples": ["c1", "1f2e3d4c-5b6a-4788-9900-aabbccddeeff"],
        },
        "Agent": {
            "type": "string", "pattern": "^agent:[A-Za-z0-9._@-]{1,64}$", "examples": ["agent:ana"],
        },
        "Party": {
            "type": "string", "pattern": "^(customer|agent:[A-Za-z0-9._@-]{1,64}|dial:\\+?[0-9*#]{1,32})$",
            "description": "Somebody connected to the call.", "examples": ["customer", "agent:ana", "dial:+15550100"],
        },
        "Target": {
            "type": "string", "pattern": "^(agent:[A-Za-z0-9._@-]{1,64}|dial:\\+?[0-9*#]{1,32})$",
            "description": "Who can be consulted.", "examples": ["agent:ben"],
        },
        "SupervisorText": {
            "type": "string", "pattern": "^supervisor:[A-Za-z0-9._@-]{1,64}$", "examples": ["supervisor:sam"],
        },
        "Actor": {
            "type": "string",
            "pattern": "^(customer|(agent|supervisor):[A-Za-z0-9._@-]{1,64}|dial:\\+?[0-9*#]{1,32})$",
            "description": "Who asks.", "examples": ["agent:ana"],
        },
        "Time": {
            "type": "string", "format": "date-time", "description": "RFC 3339, in UTC with milliseconds where we write it.",
            "examples": ["2026-11-22T09:00:00.000Z"],
        },
        "Uuid": {"type": "string", "format": "uuid"},
        "Sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "Rule": {
            "type": "string", "pattern": "^R[0-9]{1,2}$", "description": "A rule of the specification.",
            "examples": ["R24"],
        },
        "Revision": {
            "type": "integer", "minimum": 0, "description": "How many events the call has; 0: there is no such call.",
        },
        "Position": {
            "type": "integer", "minimum": 0,
            "description": "A place in the order of all events of the store: ascending, otherwise opaque.",
        },
        "Phase": {"type": "string", "enum": Phase::NAMES},
    })
}

fn commands() -> Value {
    let mut all = Map::new();
    let mut mapping = Map::new();
    for kind in CommandType::ALL {
        let name = camel(kind.name());
        mapping.insert(
            kind.name().to_owned(),
            format!("#/components/schemas/{name}").into(),
        );
        all.insert(name, command(*kind));
    }
    let variants = CommandType::NAMES.iter().map(|name| of(&camel(name)));
    all.insert(
        "Command".to_owned(),
        json!({
            "description": "One command, by its type.",
            "oneOf": variants.collect::<Vec<_>>(),
            "discriminator": {"propertyName": "type", "mapping": mapping},
        }),
    );
    all.into()
}

fn command(kind: CommandType) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["type"];
    properties.insert(
        "type".to_owned(),
        json!({"const": kind.name(), "type": "string"}),
    );
    for field in kind.fields() {
        properties.insert(field.name.to_owned(), command_field(field));
        if field.presence == Presence::Required {
            required.push(field.name);
        }
    }
    for (name, schema) in command_envelope() {
        properties.insert(name.to_owned(), schema);
    }
    json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": required,
    })
}

fn command_envelope() -> [(&'static str, Value); 5] {
    [
        (
            "call",
            json!({
                "allOf": [of("CallId")],
                "description": "The call; where the path names it, it may be left out. In a stream it must be there.",
            }),
        ),
        (
            "id",
            json!({
                "type": ["string", "null"], "format": "uuid",
                "description": "Makes the command idempotent within its call; a random one unless given.",
            }),
        ),
        (
            "at",
            json!({
                "type": ["string", "null"], "format": "date-time", "description": "When it happened, if not now.",
            }),
        ),
        (
            "correlation",
            json!({
                "type": ["string", "null"],
                "description": "Text to find related work by; the trace id of `traceparent` unless given.",
            }),
        ),
        (
            "expect",
            json!({
                "type": ["integer", "null"], "minimum": 0,
                "description": "Refuse unless the call is at this revision.",
            }),
        ),
    ]
}

/// What a command's field takes: null for one that need not be there.
fn command_field(field: &Field) -> Value {
    let mut schema = match field.value_type {
        ValueType::Actor => return of("Actor"),
        ValueType::Party => return of("Party"),
        ValueType::Target => return of("Target"),
        ValueType::Agent => return of("Agent"),
        ValueType::Supervisor => return of("SupervisorText"),
        ValueType::Queue => json!({"type": "string", "minLength": 1, "maxLength": 64}),
        ValueType::GivenReason | ValueType::Reason => {
            json!({"type": "string", "maxLength": 128, "description": "1 to 128 characters, not blank."})
        }
        ValueType::CustomerNumber => text(),
        ValueType::Note => json!({"type": "string", "maxLength": 1000}),
        ValueType::Choice(names) => json!({"type": "string", "enum": names}),
    };
    if field.presence != Presence::Required {
        schema["type"] = json!(["string", "null"]);
    }
    if let Presence::Default(default) = field.presence {
        let names = schema["enum"].as_array_mut();
        names.expect("a choice has a default").push(Value::Null);
        schema["default"] = default.into();
    }
    schema
}

/// `start_consult` as `StartConsult`.
fn camel(kind: &str) -> String {
    let words = kind.split('_').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

fn events() -> Value {
    let data = EventType::ALL.iter().map(|kind| {
        json!({
            "if": {"properties": {"type": {"const": kind.name()}}},
            "then": {"properties": {"data": event_data(*kind)}},
        })
    });
    let fields = [
        ("position", of("Position")),
        ("call", of("CallId")),
        ("revision", of("Revision")),
        ("id", of("Uuid")),
        ("type", json!({"type": "string", "enum": EventType::NAMES})),
        ("at", of("Time")),
        ("recorded_at", of("Time")),
        ("command", of("Uuid")),
        ("correlation", text_or_null()),
        ("actor", or_null(of("Actor"))),
        ("version", number()),
        ("digest", of("Sha256")),
        ("hash", of("Sha256")),
        (
            "data",
            json!({"type": "object", "description": "What the type says of it."}),
        ),
    ];
    let optional = [("reported_at", of("Time"))];
    let mut event = with_optional(
        "What happened, and what surrounds it.",
        fields.clone(),
        optional.clone(),
    );
    event["allOf"] = data.collect();
    let mut whole = with_optional(
        "A line of a dump: what is stored stands beside the event, so that every hash can be verified.",
        fields.clone(),
        optional.clone(),
    );
    whole["properties"]["stored"] = stored();
    whole["required"]
        .as_array_mut()
        .expect("it is a list")
        .push(json!("stored"));
    let mut streamed = with_optional(
        "An event of the feed: how many events there are up to it, and their rolling hash.",
        fields,
        optional,
    );
    streamed["properties"]["count"] = number();
    streamed["properties"]["rolling_hash"] = of("Sha256");
    streamed["required"]
        .as_array_mut()
        .expect("it is a list")
        .extend([json!("count"), json!("rolling_hash")]);
    json!({
        "Event": event,
        "StreamedEvent": streamed,
        "Proof": object(
            "How many events the store has up to a position, and r(n) = SHA-256(r(n-1), hash of event n) over them, from \
             32 zero bytes. Who has rolled the same hash has missed nothing.",
            [("store", of("Uuid")), ("count", number()), ("position", of("Position")), ("rolling_hash", of("Sha256"))],
        ),
        "End": object(
            "Where the last event of the store stands.",
            [("store", of("Uuid")), ("position", of("Position"))],
        ),
        "WholeEvent": whole,
        "EventInForm": {
            "description": "As `form` asks for it.",
            "anyOf": [of("Event"), of("WholeEvent"), of("CloudEvent"), of("DamagedEvent")],
        },
        "DamagedEvent": object(
            "Stands where an event cannot be read. The rolling hash takes its `hash` in place of the event's.",
            [
                ("position", of("Position")), ("call", or_null(of("CallId"))),
                ("type", json!({"const": "damaged_event", "type": "string"})), ("stream", text()),
                ("number", number()), ("reason", text()), ("hash", of("Sha256")),
            ],
        ),
        "EventPage": object(
            "Events in the order of the store, and how far was looked.",
            [
                ("store", of("Uuid")), ("after", of("Position")), ("position", of("Position")), ("count", number()),
                ("rolling_hash", of("Sha256")), ("caught_up", flag()), ("events", list(of("EventInForm"))),
            ],
        ),
        "CloudEvent": with_optional(
            "An event as CloudEvents 1.0 has it, whose integers have 32 bits: `position` and `count` are text.",
            [
                ("specversion", json!({"const": "1.0", "type": "string"})), ("id", of("Uuid")), ("source", text()),
                ("type", text()), ("subject", text()), ("time", of("Time")), ("datacontenttype", text()),
                ("store", of("Uuid")), ("position", text()), ("revision", number()), ("hash", of("Sha256")),
                ("recordedat", of("Time")), ("command", of("Uuid")), ("data", json!({"type": "object"})),
            ],
            [
                ("count", text()), ("rollinghash", of("Sha256")), ("reportedat", of("Time")),
                ("correlation", text()), ("actor", text()),
            ],
        ),
    })
}

fn stored() -> Value {
    let personal = object(
        "What identifies a customer.",
        [
            ("key", of("Uuid")),
            ("salt", of("Sha256")),
            ("text", text()),
        ],
    );
    object(
        "What the hash covers.",
        [
            ("index", number()),
            (
                "payload",
                json!({"type": "string", "pattern": "^([0-9a-f]{2})*$"}),
            ),
            ("personal", or_null(personal)),
        ],
    )
}

fn event_data(kind: EventType) -> Value {
    let fields = kind.fields();
    let schemas = fields.iter().map(|field| (field.name, event_field(field)));
    let mut properties: Map<_, _> = schemas.map(|(name, of)| (name.to_owned(), of)).collect();
    if fields.iter().any(|field| field.value_type.is_personal()) {
        properties.insert("erased".to_owned(), flag());
    }
    let required: Vec<_> = fields.iter().map(|field| field.name).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// What an event's field holds: null for one that need not be there.
fn event_field(field: &Field) -> Value {
    match field.value_type {
        ValueType::Agent => of("Agent"),
        ValueType::Party => of("Party"),
        // Once it joins, a target is a party.
        ValueType::Target if field.name == "party" => of("Party"),
        ValueType::Target => of("Target"),
        ValueType::Supervisor => of("SupervisorText"),
        ValueType::Actor => of("Actor"),
        _ if field.presence == Presence::Optional => text_or_null(),
        _ => text(),
    }
}

fn calls() -> Value {
    let seat = object(
        "A party, in the order of tenure.",
        [
            ("party", of("Party")),
            ("joined_at", of("Time")),
            ("held_by", or_null(of("Agent"))),
            ("held_since", or_null(of("Time"))),
        ],
    );
    let consult = object(
        "The consult.",
        [
            ("by", of("Agent")),
            ("target", of("Target")),
            (
                "state",
                json!({"type": "string", "enum": ["ringing", "answered"]}),
            ),
            (
                "hold",
                json!({"type": "string", "enum": ["others", "none"]}),
            ),
        ],
    );
    let session = object(
        "A supervisor on the call.",
        [
            ("supervisor", of("SupervisorText")),
            ("agent", of("Agent")),
            (
                "mode",
                json!({"type": "string", "enum": ["monitoring", "barged_in"]}),
            ),
            ("since", of("Time")),
        ],
    );
    let wrap_up = object(
        "A wrap-up, owed or settled.",
        [
            ("agent", of("Agent")),
            (
                "state",
                json!({"type": "string", "enum": ["owed", "applied"]}),
            ),
            ("since", of("Time")),
            ("reason", text_or_null()),
            ("applied_at", or_null(of("Time"))),
        ],
    );
    let call = object(
        "A call as it stands, or stood.",
        [
            ("call", of("CallId")),
            ("revision", of("Revision")),
            ("phase", or_null(of("Phase"))),
            ("phase_since", of("Time")),
            ("queue", text_or_null()),
            ("primary", or_null(of("Agent"))),
            ("parties", list(of("Seat"))),
            ("consult", or_null(of("Consult"))),
            ("supervisors", list(of("Session"))),
            ("wrap_ups", list(of("WrapUp"))),
            ("answered_at", of("Time")),
            ("ended_at", or_null(of("Time"))),
            ("ended_by", text_or_null()),
            ("completed", flag()),
        ],
    );
    json!({
        "Seat": seat, "Consult": consult, "Session": session, "WrapUp": wrap_up, "Call": call,
        "CallEvents": object(
            "A call's events, and the head of its chain of hashes.",
            [
                ("call", of("CallId")), ("revision", of("Revision")), ("head", of("Sha256")),
                ("events", list(of("Event"))),
            ],
        ),
        "ListedCall": of_shape(ListedCall::SHAPE),
        "ListedCalls": listing("ListedCall"),
    })
}

/// Rows, what they were read at, and where the next page begins.
fn listing(row: &str) -> Value {
    listing_of(&of(row))
}

fn listing_of(row: &Value) -> Value {
    with_optional(
        "Rows, and the events they were made from: how many, and their rolling hash, as `/v1/proof` has it.",
        [
            ("as_of", of("Time")),
            ("position", of("Position")),
            ("count", number()),
            ("proof", of("Sha256")),
            ("rows", list(row.clone())),
        ],
        [(
            "next",
            json!({
                "type": ["string", "null"], "description": "The `cursor` of the next page; null on the last.",
            }),
        )],
    )
}

/// The schemas of the read models, which declare their rows.
fn read_models() -> Value {
    let mut all = Map::new();
    for model in projections::descriptions() {
        let shapes: Vec<_> = model.rows.iter().map(|rows| rows.shape).collect();
        for shape in model.parts.iter().chain(&shapes) {
            all.insert(shape.name.to_owned(), of_shape(shape));
        }
        let names: Vec<_> = shapes.iter().map(|shape| shape.name).collect();
        all.insert(model.schema.to_owned(), listing_of(&any_of(&names)));
    }
    all.into()
}

/// The schema of rows of that shape.
fn of_shape(shape: &Shape) -> Value {
    let columns = shape.columns.iter().zip(shape.types);
    let fields: Vec<_> = columns.map(|(name, of)| (*name, of_type(of))).collect();
    let optional = shape.optional.iter();
    let optional: Vec<_> = optional.map(|(name, of)| (*name, of_type(of))).collect();
    with_optional(shape.about, fields, optional)
}

fn of_type(column: &Type) -> Value {
    match column {
        Type::Text => text(),
        Type::Number => number(),
        Type::Flag => flag(),
        Type::Named(name) => of(name),
        Type::List(item) => list(of_type(item)),
        Type::OrNull(Type::Text) => text_or_null(),
        Type::OrNull(Type::Number) => number_or_null(),
        Type::OrNull(other) => or_null(of_type(other)),
        Type::AnyOf(names) => any_of(names),
    }
}

fn any_of(names: &[&str]) -> Value {
    match names {
        [name] => of(name),
        names => {
            let schemas: Vec<_> = names.iter().map(|name| of(name)).collect();
            json!({"anyOf": schemas})
        }
    }
}

fn rest() -> Value {
    let codes = RejectionCode::NAMES;
    let roles = Role::ALL.map(Role::name);
    json!({
        "Answer": object(
            "An accepted command and its events, which are durable.",
            [
                ("call", of("CallId")), ("id", of("Uuid")), ("accepted", json!({"const": true, "type": "boolean"})),
                ("revision", of("Revision")), ("events", list(of("Event"))),
            ],
        ),
        "Rejection": with_optional(
            "Why a command was refused.",
            [
                ("code", json!({"type": "string", "description": "One of the rules' codes, `conflict`, `command_id_reused`, or a problem's.", "examples": codes})),
                ("rule", or_null(of("Rule"))), ("message", text()),
            ],
            [("revision", of("Revision"))],
        ),
        "StreamedAnswer": with_optional(
            "The answer to one line.",
            [("line", json!({"type": "integer", "minimum": 1}))],
            [
                ("call", of("CallId")), ("id", of("Uuid")), ("accepted", flag()), ("revision", of("Revision")),
                ("events", list(of("Event"))), ("rejection", of("Rejection")), ("error", text()),
                ("code", json!({"type": "string", "description": "Beside `error`, of a command that was not decided: a problem's code. `store_unavailable` and `unsettled` are worth sending it again.", "examples": ["store_unavailable", "unsettled", "store_damaged", "store_refuses"]})),
            ],
        ),
        "Problem": {
            "type": "object",
            "description": "RFC 9457: why a request was not carried out, and what to do instead.",
            "properties": {
                "type": text(), "title": text(), "status": {"type": "integer"},
                "code": {"type": "string", "description": "For programs; of a rejection, the rules' code.", "examples": codes},
                "rule": or_null(of("Rule")), "detail": text(),
                "call": of("CallId"), "id": of("Uuid"),
                "revision": {"type": "integer", "minimum": 0, "description": "Where the call is."},
                "position": {"type": "integer", "minimum": 0, "description": "How far was read instead."},
                "count": {"type": "integer", "minimum": 0, "description": "How many events there are."},
                "roles": {"type": "array", "items": {"type": "string", "enum": roles}, "description": "Of a 403: a key with one of these roles may do it."},
            },
            "required": ["type", "title", "status", "code", "rule", "detail"],
        },
        "StoreInfo": object(
            "What the store is and holds.",
            [
                ("id", of("Uuid")), ("format", text()), ("events", number_or_null()), ("calls", number_or_null()),
                ("bytes_on_disk", number_or_null()), ("last_position", of("Position")),
                ("remarks", json!({"type": "object", "additionalProperties": {"type": "string"}})),
            ],
        ),
    })
}
