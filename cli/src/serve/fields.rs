//! Every setting there is: in a file, in the environment and as a flag.

/// A setting, by its three names.
#[derive(Debug)]
pub struct Field {
    /// In the file, and of [`server::Settings`] if it is one of those.
    pub name: &'static str,
    /// As a flag.
    pub flag: &'static str,
    /// In the environment.
    pub env: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What it means.
    pub about: &'static str,
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
}

const fn field([name, flag, env]: [&'static str; 3], kind: Kind, about: &'static str) -> Field {
    Field {
        name,
        flag,
        env,
        kind,
        about,
    }
}

/// All of them, in the order they are shown in.
#[rustfmt::skip]
pub static FIELDS: [Field; 35] = [
    field(["listen", "listen", "KAIGI_LISTEN"], Kind::Text("HOST:PORT"),
        "where it listens; port 0 is one that is free"),
    field(["store", "store", "KAIGI_STORE"], Kind::Text("URL"),
        "the store: sled:PATH, memory: or esdb://HOST:PORT"),
    field(["create", "create", "KAIGI_CREATE"], Kind::Switch,
        "make a new embedded store if there is none, instead of refusing to start"),
    field(["keys", "keys", "KAIGI_KEYS"], Kind::Text("FILE"),
        "the keys that are admitted, as `kaigi keys` keeps them; by default keys.json in the embedded store's folder"),
    field(["tls_certificate", "tls-certificate", "KAIGI_TLS_CERTIFICATE"], Kind::Text("FILE"),
        "the certificate and those above it, as PEM; with it, HTTPS only; read again when it changes"),
    field(["tls_key", "tls-key", "KAIGI_TLS_KEY"], Kind::Text("FILE"),
        "the certificate's key, as PEM"),
    field(["log", "log", "KAIGI_LOG"], Kind::Text("json|none"),
        "one line a request to standard error, or none"),
    field(["max_ahead_ms", "max-ahead", "KAIGI_MAX_AHEAD_MS"], Kind::Duration,
        "how far ahead of the clock a command's `at` may lie"),
    field(["max_body_bytes", "max-body-bytes", "KAIGI_MAX_BODY_BYTES"], Kind::Number,
        "the most bytes of a body that is one command"),
    field(["max_header_bytes", "max-header-bytes", "KAIGI_MAX_HEADER_BYTES"], Kind::Number,
        "the most bytes of a request's line and headers together"),
    field(["header_timeout_ms", "header-timeout", "KAIGI_HEADER_TIMEOUT_MS"], Kind::Duration,
        "how long a client may take to send its headers, and for the handshake before them"),
    field(["idle_timeout_ms", "idle-timeout", "KAIGI_IDLE_TIMEOUT_MS"], Kind::Duration,
        "how long a client may send nothing of a body or of a stream of commands, or take nothing of an answer"),
    field(["keep_alive_ms", "keep-alive", "KAIGI_KEEP_ALIVE_MS"], Kind::Duration,
        "how long a connection without a request is kept"),
    field(["keep_alive_anonymous_ms", "keep-alive-anonymous", "KAIGI_KEEP_ALIVE_ANONYMOUS_MS"], Kind::Duration,
        "the same before a request on it was admitted with a key; at most keep_alive_ms"),
    field(["max_connections", "max-connections", "KAIGI_MAX_CONNECTIONS"], Kind::Number,
        "how many connections are served at once, an eighth of them for keys with the role telephony; a connection without a key makes room, then more are answered 503"),
    field(["max_anonymous_per_address", "max-anonymous-per-address", "KAIGI_MAX_ANONYMOUS_PER_ADDRESS"], Kind::Number,
        "how many connections of one address are kept before a request on them was admitted with a key; 0 for no limit"),
    field(["rate_per_key", "rate-per-key", "KAIGI_RATE_PER_KEY"], Kind::Number,
        "how many requests, and lines of streams of commands, a second a key of any role may make; 0 for the rates of its roles"),
    field(["rate_telephony", "rate-telephony", "KAIGI_RATE_TELEPHONY"], Kind::Number,
        "the same for keys with the role telephony; 0 for no limit, and of several roles the fastest counts"),
    field(["rate_desk", "rate-desk", "KAIGI_RATE_DESK"], Kind::Number,
        "the same for the role desk"),
    field(["rate_supervisor", "rate-supervisor", "KAIGI_RATE_SUPERVISOR"], Kind::Number,
        "the same for the role supervisor"),
    field(["rate_reader", "rate-reader", "KAIGI_RATE_READER"], Kind::Number,
        "the same for the role reader"),
    field(["rate_auditor", "rate-auditor", "KAIGI_RATE_AUDITOR"], Kind::Number,
        "the same for the role auditor"),
    field(["rate_operator", "rate-operator", "KAIGI_RATE_OPERATOR"], Kind::Number,
        "the same for the role operator"),
    field(["rate_burst_ms", "rate-burst", "KAIGI_RATE_BURST_MS"], Kind::Duration,
        "for how long a key that does not ask saves up requests that it may then make at once"),
    field(["max_streams_per_key", "max-streams-per-key", "KAIGI_MAX_STREAMS_PER_KEY"], Kind::Number,
        "how many streams, of server-sent events or of commands, a key may have open at once"),
    field(["max_unsent_bytes_per_key", "max-unsent-bytes-per-key", "KAIGI_MAX_UNSENT_BYTES_PER_KEY"], Kind::Number,
        "how many bytes of answers may wait to be sent for one key; further answers of the key wait"),
    field(["max_unsent_bytes", "max-unsent-bytes", "KAIGI_MAX_UNSENT_BYTES"], Kind::Number,
        "how many bytes of answers may wait to be sent in all"),
    field(["grace_ms", "grace", "KAIGI_GRACE_MS"], Kind::Duration,
        "how long what is under way may take once the service was told to stop"),
    field(["heartbeat_ms", "heartbeat", "KAIGI_HEARTBEAT_MS"], Kind::Duration,
        "how long a stream may be silent before it says that it is still there"),
    field(["max_waiting_events", "max-waiting-events", "KAIGI_MAX_WAITING_EVENTS"], Kind::Number,
        "how many events may wait for a subscriber before it is cut off"),
    field(["max_wait_ms", "max-wait", "KAIGI_MAX_WAIT_MS"], Kind::Duration,
        "the longest that a question waits for a position"),
    field(["allowed_origins", "allowed-origins", "KAIGI_ALLOWED_ORIGINS"], Kind::Texts("ORIGIN"),
        "the origins whose pages may ask from a browser, beside the service's own"),
    field(["token_ttl_ms", "token-ttl", "KAIGI_TOKEN_TTL_MS"], Kind::Duration,
        "how long a token for a stream lets a browser connect; a stream that began may go on"),
    field(["max_lag_ms", "max-lag", "KAIGI_MAX_LAG_MS"], Kind::Duration,
        "how far the read models and the feed may lag behind the store for the service to be ready"),
    field(["stop_at_damage", "stop-at-damage", "KAIGI_STOP_AT_DAMAGE"], Kind::Switch,
        "stop the feed and the read models at a damaged event, instead of leaving its call out"),
];

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
        for field in &FIELDS {
            let flag = field.name.trim_end_matches("_ms").replace('_', "-");
            assert_eq!(field.flag, flag);
            assert_eq!(field.env, format!("KAIGI_{}", field.name.to_uppercase()));
            let is_duration = field.name.ends_with("_ms");
            assert_eq!(field.kind == Kind::Duration, is_duration, "{}", field.name);
            assert!(!field.about.is_empty() && !field.about.contains('\n'));
        }
    }
}
