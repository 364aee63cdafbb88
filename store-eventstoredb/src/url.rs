//! Connection strings, as the vendor's tools take them.

use crate::OpenError;
use eventstore::{Authentication, ClientSettings};
use percent_encoding::percent_decode_str;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How long a call may take in all unless `defaultDeadline` says otherwise: a cluster elects a leader meanwhile.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where a node listens unless its host says otherwise.
const PORT: u16 = 2113;

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

/// What a node may take to tell of the others, unless the string says otherwise: several may be asked in one attempt.
const DEFAULTS: &str = "gossipTimeout=1000&";

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
        if parameters.contains('@') {
            // Perhaps a password: nothing of it is repeated.
            return Err(bad(
                "an @ stands behind a question mark: in a user or password, write ? as %3F and @ as %40"
                    .to_owned(),
            ));
        }
        let (written, hosts) = match authority.rsplit_once('@') {
            Some((written, hosts)) => (Some(written), hosts),
            None => (None, authority),
        };
        let user = written.map(User::parse).transpose()?;
        let hosts = with_ports(hosts.trim_end_matches('/'))?;
        let parameters = Parameters::parse(parameters)?;
        parameters.can_connect()?;
        let url = format!(
            "{scheme}://{hosts}?{DEFAULTS}{}{DECIDED}",
            parameters.kept()
        );
        // The nodes are asked where they are without a name: a wrong password would look like a cluster that is away.
        let settings = url.parse::<ClientSettings>();
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

    /// Whether the nodes tell where they are.
    pub(crate) fn is_cluster(&self) -> bool {
        self.settings.is_dns_discovery_enabled() || self.settings.hosts().len() > 1
    }

    /// The nodes that are named, for messages.
    pub(crate) fn nodes(&self) -> String {
        let hosts = self.settings.hosts().iter();
        let names: Vec<_> = hosts
            .map(|host| format!("{}:{}", host.host, host.port))
            .collect();
        match &names[..] {
            [node] => node.clone(),
            nodes => format!("one of {}", nodes.join(", ")),
        }
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

/// The text with asterisks for the password, which may stand anywhere before the last @.
pub(crate) fn redacted(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let (scheme, user) = before.split_once("://").unwrap_or(("", before));
    let name = user.split([':', '?', '/']).next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{name}:***@{after}")
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

    /// The client spends its first attempt on choosing a node.
    fn can_connect(&self) -> Result<(), OpenError> {
        match self.find("maxDiscoverAttempts").map(str::parse::<u32>) {
            Some(Ok(0 | 1)) => Err(bad(
                "with fewer than 2 maxDiscoverAttempts the client never connects".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
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

/// Every host with its port: the client loses the last one's where the first has none.
fn with_ports(hosts: &str) -> Result<String, OpenError> {
    if hosts.split(',').any(str::is_empty) {
        return Err(bad(
            "it names no host, or none between two commas".to_owned()
        ));
    }
    let has_port = |host: &str| {
        host.rsplit(']')
            .next()
            .is_some_and(|rest| rest.contains(':'))
    };
    let hosts = hosts.split(',').map(|host| {
        if has_port(host) {
            host.to_owned()
        } else {
            format!("{host}:{PORT}")
        }
    });
    Ok(hosts.collect::<Vec<_>>().join(","))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ConnectionString {
        let parsed = ConnectionString::parse(text);
        parsed.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> String {
        let refused = ConnectionString::parse(text).map(|url| url.to_string());
        refused.expect_err("refused").to_string()
    }

    #[test]
    fn a_cluster_is_named_by_all_its_nodes() {
        let url = parsed("esdb://a:1,b:2,c?tls=false");
        let nodes = url.settings.hosts().iter();
        let nodes: Vec<_> = nodes
            .map(|node| format!("{}:{}", node.host, node.port))
            .collect();
        assert_eq!(nodes, ["a:1", "b:2", "c:2113"]);
        assert_eq!(url.ports(), BTreeSet::from([1, 2, 2113]));
        assert_eq!(parsed("esdb://a,b:7").ports(), BTreeSet::from([2113, 7]));
        assert_eq!(parsed("esdb://[::1]").ports(), BTreeSet::from([2113]));
        assert!(!url.settings.is_secure_mode_enabled());
    }

    #[test]
    fn the_leader_is_asked_at_once_whatever_the_string_prefers() {
        let url = parsed("kurrentdb://a?nodePreference=follower&discoveryInterval=500");
        assert_eq!(
            url.settings.node_preference(),
            eventstore::NodePreference::Leader
        );
        assert_eq!(url.settings.discovery_interval(), Duration::from_millis(1));
        assert!(url.settings.is_secure_mode_enabled());
    }

    #[test]
    fn a_password_is_decoded_for_the_server_and_never_shown() {
        let url = parsed("esdb://kai%20gi:p%40ss:w%2Ford@host?TLS=True");
        let user = url.user.as_ref().expect("a user");
        assert_eq!(
            (user.name.as_str(), user.password.as_str()),
            ("kai gi", "p@ss:w/ord")
        );
        assert_eq!(url.to_string(), "esdb://kai%20gi:***@host?TLS=True");
        for wrong in [
            "esdb://user:secret@",
            "esdb://user:secret@host?colour=blue",
            "esdb://user:secret@host:port",
            "esdb://user:secret@host?tls=perhaps",
            "nonsense://user:secret@host",
            "user:secret@host",
            "esdb://user:sec?secret@host",
            "esdb://user:sec/secret@host:port",
        ] {
            assert!(!redacted(wrong).contains("secret"), "{wrong}");
            let message = refused(wrong);
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_string_is_said() {
        for (wrong, what) in [
            ("esdb://", "names no host"),
            ("esdb://a,,b", "names no host"),
            ("host:2113", "has no scheme"),
            ("esdb://user@host", "has no password"),
            ("esdb://host?tsl=false", "unknown parameter \"tsl\""),
            ("esdb://host?tls", "has no value"),
            ("esdb://host?tls=perhaps", "perhaps"),
            ("esdb://host?maxDiscoverAttempts=1", "never connects"),
            ("esdb://host?defaultDeadline=-1", "defaultDeadline=-1"),
            ("esdb://host?defaultDeadline=soon", "defaultDeadline=soon"),
            ("esdb://host:port", "port"),
        ] {
            let message = refused(wrong);
            assert!(message.contains(what), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_deadline_is_one_of_the_string_or_ten_seconds() {
        assert_eq!(parsed("esdb://a").deadline, DEADLINE);
        let url = parsed("esdb://a?defaultDeadline=250");
        assert_eq!(url.deadline, Duration::from_millis(250));
    }

    #[test]
    fn strings_of_such_stores_are_known_by_their_scheme() {
        for text in ["esdb://x", "esdb+discover://x", "kurrentdb://", "kdb://a,b"] {
            assert!(ConnectionString::is_one(text), "{text}");
        }
        for text in ["sled:x", "memory:", "esdb:x", "http://x", "esdbs://x"] {
            assert!(!ConnectionString::is_one(text), "{text}");
        }
    }
}
