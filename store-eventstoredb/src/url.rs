//! Connection strings, as the vendor's tools take them.

use crate::OpenError;
use eventstore::{Authentication, ClientSettings};
use percent_encoding::percent_decode_str;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How long a call may take in all unless `defaultDeadline` says otherwise: a cluster elects a leader meanwhile.
const DEADLINE: Duration = Duration::from_secs(10);

/// What may stand behind the question mark, in lower case.
const KNOWN: [&str; 14] = [
    "maxdiscoverattempts",
    "discoveryinterval",
    "gossiptimeout",
    "tls",
    "tlsverifycert",
    "tlscafile",
    "nodepreference",
    "keepaliveinterval",
    "keepalivetimeout",
    "defaultdeadline",
    "connectionname",
    "usercertfile",
    "userkeyfile",
    "throwonappendfailure",
];

/// Of those, what this store decides itself: it waits once before it connects, and talks to the leader alone, because
/// whoever wrote must read what was written.
const DECIDED: &str = "discoveryInterval=1&nodePreference=leader";

/// A connection string that was understood. Shown without its password.
#[derive(Clone)]
pub(crate) struct ConnectionString {
    pub(crate) settings: ClientSettings,
    pub(crate) user: Option<User>,
    pub(crate) deadline: Duration,
    shown: String,
}

/// Who the server is told we are.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    password: String,
}

impl ConnectionString {
    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad(format!("{:?} has no scheme", redacted(text))))?;
        let (authority, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(User::parse(user)?), hosts),
            None => (None, authority),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.is_empty() {
            return Err(bad("it names no host".to_owned()));
        }
        let parameters = Parameters::parse(parameters)?;
        let with = |user: &str| format!("{scheme}://{user}{hosts}?{}{DECIDED}", parameters.kept());
        let settings = with("").parse::<ClientSettings>();
        Ok(Self {
            settings: settings.map_err(|error| bad(complaint(&error)))?,
            user,
            deadline: parameters.deadline()?.unwrap_or(DEADLINE),
            shown: redacted(text),
        })
    }

    /// Sent with every call; the vendor's client itself would send a password as it stands in the URL, `%40` and all.
    pub(crate) fn authentication(&self) -> Option<Authentication> {
        let user = self.user.as_ref()?;
        Some(Authentication::basic(
            user.name.clone(),
            user.password.clone(),
        ))
    }

    /// The ports of the nodes that are named.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        let hosts = self.settings.hosts().iter();
        hosts
            .filter_map(|host| u16::try_from(host.port).ok())
            .collect()
    }

    /// `esdb://` or one of its other names, however it is followed.
    pub(crate) fn is_one(text: &str) -> bool {
        let scheme = text.split("://").next().unwrap_or_default();
        let scheme = scheme.strip_suffix("+discover").unwrap_or(scheme);
        text.contains("://") && ["esdb", "kurrentdb", "kurrent", "kdb"].contains(&scheme)
    }
}

impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The text with asterisks for the password.
pub(crate) fn redacted(text: &str) -> String {
    let (before, authority) = text.split_once("://").unwrap_or(("", text));
    let (authority, parameters) = authority.split_once('?').unwrap_or((authority, ""));
    let Some((user, hosts)) = authority.rsplit_once('@') else {
        return text.to_owned();
    };
    let name = user.split(':').next().unwrap_or_default();
    let separator = if before.is_empty() { "" } else { "://" };
    let question = if parameters.is_empty() { "" } else { "?" };
    format!("{before}{separator}{name}:***@{hosts}{question}{parameters}")
}

impl User {
    fn parse(text: &str) -> Result<Self, OpenError> {
        let Some((name, password)) = text.split_once(':') else {
            return Err(bad(format!("user {text:?} has no password behind a colon")));
        };
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded = decoded.map(std::borrow::Cow::into_owned);
            decoded.map_err(|_| bad("user or password is not UTF-8".to_owned()))
        };
        Ok(Self {
            name: decoded(name)?,
            password: decoded(password)?,
        })
    }
}

/// What stands behind the question mark.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(text: &str) -> Result<Self, OpenError> {
        let mut all = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| bad(format!("parameter {pair:?} has no value")))?;
            if !KNOWN.contains(&name.to_lowercase().as_str()) {
                return Err(bad(format!("unknown parameter {name:?}")));
            }
            all.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(all))
    }

    fn find(&self, wanted: &str) -> Option<&str> {
        let mut found = self
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next_back().map(|(_, value)| value.as_str())
    }

    /// Those the vendor's client is given: our own deadlines are stricter than its, and it does not know them all.
    fn kept(&self) -> String {
        let ours = [
            "defaultdeadline",
            "discoveryinterval",
            "throwonappendfailure",
        ];
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !ours.contains(&name.to_lowercase().as_str()));
        let texts: Vec<_> = kept.map(|(name, value)| parameter(name, value)).collect();
        texts.concat()
    }

    fn deadline(&self) -> Result<Option<Duration>, OpenError> {
        let Some(text) = self.find("defaultDeadline") else {
            return Ok(None);
        };
        match text.parse() {
            Ok(0) | Err(_) => Err(bad(format!(
                "defaultDeadline={text} is no number of milliseconds above 0"
            ))),
            Ok(millis) => Ok(Some(Duration::from_millis(millis))),
        }
    }
}

/// The client takes `true` for a yes and refuses `True`.
fn parameter(name: &str, value: &str) -> String {
    match name.to_lowercase().as_str() {
        "tls" | "tlsverifycert" => format!("{name}={}&", value.to_lowercase()),
        _ => format!("{name}={value}&"),
    }
}

fn bad(what: String) -> OpenError {
    OpenError::Url(what)
}

/// What the vendor's client says of it, without the string itself, which may hold a password.
fn complaint(error: &eventstore::ClientSettingsParseError) -> String {
    match error.error() {
        Some(error) => error.to_string(),
        None => error.message().to_owned(),
    }
}
