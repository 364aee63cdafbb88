//! Every setting there is: in a file, in the environment and as a flag.

use std::sync::LazyLock;

/// A setting. Its flag and its environment variable follow from its name.
#[derive(Debug)]
pub struct Field {
    /// In the file, and of [`server::Settings`] if it is one of those.
    pub name: &'static str,
    /// As a flag.
    pub flag: String,
    /// In the environment.
    pub env: String,
    /// What its value looks like.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
    /// Whether 0 means something. With 0 for any other limit, the service would serve no request.
    pub may_be_zero: bool,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text; in the help it is shown as this.
    Text(&'static str),
    /// A whole number.
    Number,
    /// A whole number of milliseconds, or a text such as 500ms, 60s or 2m.
    Duration,
    /// Several texts, with commas between them in the environment and on the command line.
    Texts(&'static str),
    /// true or false; the flag alone means true.
    Switch,
}

impl Field {
    /// The setting of that name.
    pub fn named(name: &str) -> Option<&'static Field> {
        FIELDS.iter().find(|field| field.name == name)
    }

    fn or_zero(self) -> Self {
        Self {
            may_be_zero: true,
            ..self
        }
    }
}

fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        flag: name.trim_end_matches("_ms").replace('_', "-"),
        env: format!("KAIGI_{}", name.to_uppercase()),
        kind,
        about,
        may_be_zero: false,
    }
}

/// All of them, in the order they are shown in.
#[rustfmt::skip]
pub static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| vec![
    field("listen", Kind::Text("HOST:PORT"),
        "where it listens; port 0 is one that is free"),
    field("store", Kind::Text("URL"),
        "the store: sled:PATH, memory: or esdb://HOST:PORT"),
    field("create", Kind::Switch,
        "make a new embedded store if there is none, instead of refusing to start"),
    field("keys", Kind::Text("FILE"),
        "the keys that are admitted, as `kaigi keys` keeps them; by default keys.json in the embedded store's folder"),
    field("tls_certificate", Kind::Text("FILE"),
        "the certificate and those above it, as PEM; with it, HTTPS only; read again when it changes"),
    field("tls_key", Kind::Text("FILE"),
        "the certificate's key, as PEM"),
    field("log", Kind::Text("json|none"),
        "one line a request to standard error, or none"),
    field("max_ahead_ms", Kind::Duration,
        "how far ahead of the clock a command's `at` may lie").or_zero(),
    field("max_body_bytes", Kind::Number,
        "the most bytes of a body that is one command"),
    field("max_header_bytes", Kind::Number,
        "the most bytes of a request's line and headers together"),
    field("header_timeout_ms", Kind::Duration,
        "how long a client may take to send its headers, and for the handshake before them"),
    field("idle_timeout_ms", Kind::Duration,
        "how long a client may send nothing of a body or of a stream of commands, or take nothing of an answer"),
    field("keep_alive_ms", Kind::Duration,
        "how long a connection without a request is kept").or_zero(),
    field("keep_alive_anonymous_ms", Kind::Duration,
        "the same before a request on it was admitted with a key; at most keep_alive_ms").or_zero(),
    field("max_connections", Kind::Number,
        "how many connections are served at once, an eighth of them for keys with the role telephony; a connection without a key makes room, then more are answered 503"),
    field("max_anonymous_per_address", Kind::Number,
        "how many connections of one address are kept before a request on them was admitted with a key; 0 for no limit").or_zero(),
    field("rate_per_key", Kind::Number,
        "how many requests, and lines of streams of commands, a second a key of any role may make; 0 for the rates of its roles").or_zero(),
    field("rate_telephony", Kind::Number,
        "the same for keys with the role telephony; 0 for no limit, and of several roles the fastest counts").or_zero(),
    field("rate_desk", Kind::Number,
        "the same for the role desk").or_zero(),
    field("rate_supervisor", Kind::Number,
        "the same for the role supervisor").or_zero(),
    field("rate_reader", Kind::Number,
        "the same for the role reader").or_zero(),
    field("rate_auditor", Kind::Number,
        "the same for the role auditor").or_zero(),
    field("rate_operator", Kind::Number,
        "the same for the role operator").or_zero(),
    field("rate_burst_ms", Kind::Duration,
        "for how long a key that does not ask saves up requests that it may then make at once").or_zero(),
    field("max_streams_per_key", Kind::Number,
        "how many streams, of server-sent events or of commands, a key may have open at once"),
    field("max_unsent_bytes_per_key", Kind::Number,
        "how many bytes of answers may wait to be sent for one key; further answers of the key wait"),
    field("max_unsent_bytes", Kind::Number,
        "how many bytes of answers may wait to be sent in all"),
    field("grace_ms", Kind::Duration,
        "how long what is under way may take once the service was told to stop").or_zero(),
    field("heartbeat_ms", Kind::Duration,
        "how long a stream may be silent before it says that it is still there"),
    field("max_waiting_events", Kind::Number,
        "how many events may wait for a subscriber before it is cut off"),
    field("max_wait_ms", Kind::Duration,
        "the longest that a question waits for a position").or_zero(),
    field("allowed_origins", Kind::Texts("ORIGIN"),
        "the origins whose pages may ask from a browser, beside the service's own"),
    field("token_ttl_ms", Kind::Duration,
        "how long a token for a stream lets a browser connect; a stream that began may go on"),
    field("max_lag_ms", Kind::Duration,
        "how far the read models and the feed may lag behind the store for the service to be ready"),
    field("stop_at_damage", Kind::Switch,
        "stop the feed and the read models at a damaged event, instead of leaving its call out"),
]);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What is chosen beside the service's own settings.
    const OF_THE_PROGRAM: [&str; 7] = [
        "listen",
        "store",
        "create",
        "keys",
        "tls_certificate",
        "tls_key",
        "log",
    ];

    #[test]
    fn every_setting_of_the_service_can_be_chosen_in_all_three_ways() {
        let settings = server::Settings::default();
        let settings = toml::Table::try_from(settings).expect("settings are a table");
        let of_service = settings.keys().map(String::as_str);
        let expected: BTreeSet<_> = of_service.chain(OF_THE_PROGRAM).collect();
        let known: BTreeSet<_> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(known, expected);
        assert_eq!(known.len(), FIELDS.len(), "a field is there twice");
    }

    #[test]
    fn the_names_of_a_setting_follow_from_each_other() {
        let field = Field::named("max_ahead_ms").expect("there is such a setting");
        assert_eq!(field.flag, "max-ahead");
        assert_eq!(field.env, "KAIGI_MAX_AHEAD_MS");
        for field in FIELDS.iter() {
            let is_duration = field.name.ends_with("_ms");
            assert_eq!(field.kind == Kind::Duration, is_duration, "{}", field.name);
            assert!(!field.about.is_empty() && !field.about.contains('\n'));
        }
    }
}
