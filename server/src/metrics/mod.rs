//! What is counted and timed, for Prometheus. No label has a value that a client chooses: no call, no path, no key.

mod gauges;
mod labels;
mod observe;
mod routes;

pub(crate) use gauges::Gauges;
pub(crate) use routes::routes;

use crate::log::Line;
use axum::http::StatusCode;
use domain::json::RejectionJson;
use domain::{Answer, Command, HandleError};
use labels::{ByCode, ByCommand, ByOutcome, ByRequest, ByRoute, ByRule, RuleLabel};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// What a line asked that was no command.
pub(crate) const UNKNOWN: &str = "unknown";

/// Upper bounds in seconds: from an answer out of memory to a store that hangs.
const SECONDS: [f64; 15] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// All counters and histograms of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Family<ByCommand, Counter>,
    refusals: Family<ByRule, Counter>,
    command_seconds: Family<ByOutcome, Histogram, fn() -> Histogram>,
    requests: Family<ByRequest, Counter>,
    request_seconds: Family<ByRoute, Histogram, fn() -> Histogram>,
    denied: Family<ByCode, Counter>,
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its events are durable.
    Accepted,
    /// A rule refused it.
    Rejected,
    /// The call was not where it expected it.
    Conflict,
    /// Its id was another command's.
    Reused,
    /// The store failed, or others kept writing to the call.
    Undecided,
    /// It was no command, or none that can be judged.
    Malformed,
    /// Its sender may not send it.
    Denied,
}

impl Outcome {
    fn of(result: Result<&Answer, &HandleError>) -> Self {
        match result {
            Ok(_) => Outcome::Accepted,
            Err(HandleError::Rejected { .. }) => Outcome::Rejected,
            Err(HandleError::Expected { .. }) => Outcome::Conflict,
            Err(HandleError::CommandIdReused(_)) => Outcome::Reused,
            Err(HandleError::Unsettled { .. } | HandleError::Store(_)) => Outcome::Undecided,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::Conflict => "conflict",
            Outcome::Reused => "reused",
            Outcome::Undecided => "undecided",
            Outcome::Malformed => "malformed",
            Outcome::Denied => "denied",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("kaigi"),
            commands: Family::default(),
            refusals: Family::default(),
            command_seconds: Family::new_with_constructor(seconds),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            denied: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "commands",
            "Commands by type and what they came to",
            self.commands.clone(),
        );
        registry.register(
            "refusals",
            "Commands that were not accepted, by code and the rule that refused",
            self.refusals.clone(),
        );
        registry.register_with_unit(
            "command",
            "From a command that was read to its answer",
            Unit::Seconds,
            self.command_seconds.clone(),
        );
        registry.register(
            "requests",
            "Requests by route, method and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request",
            "From a request's headers to those of its answer",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "denied",
            "Requests and commands whose sender may not do that, by code",
            self.denied.clone(),
        );
    }

    /// Counts a command that was judged.
    pub(crate) fn judged(
        &self,
        command: &Command,
        result: Result<&Answer, &HandleError>,
        took: Duration,
    ) {
        let outcome = Outcome::of(result);
        self.count(command.name(), outcome);
        let by = ByOutcome {
            outcome: outcome.name(),
        };
        let histogram = self.command_seconds.get_or_create(&by);
        histogram.observe(took.as_secs_f64());
        drop(histogram);
        if let Err(error) = result {
            self.refusals.get_or_create(&refusal(error)).inc();
        }
    }

    /// Counts a command that never came to be judged.
    pub(crate) fn unjudged(&self, kind: &'static str, outcome: Outcome, code: &'static str) {
        self.count(kind, outcome);
        let rule = RuleLabel(None);
        self.refusals.get_or_create(&ByRule { code, rule }).inc();
        if outcome == Outcome::Denied {
            self.denied.get_or_create(&ByCode { code }).inc();
        }
    }

    fn count(&self, kind: &'static str, outcome: Outcome) {
        let by = ByCommand {
            r#type: kind,
            outcome: outcome.name(),
        };
        self.commands.get_or_create(&by).inc();
    }

    /// Counts a request. A command that was denied is counted where that was found, and not again here.
    pub(crate) fn request(&self, line: &Line) {
        let by = ByRequest::of(line);
        self.requests.get_or_create(&by).inc();
        let by = ByRoute { route: line.route };
        let histogram = self.request_seconds.get_or_create(&by);
        histogram.observe(line.took.as_secs_f64());
        drop(histogram);
        if let Some(code) = denied(line) {
            self.denied.get_or_create(&ByCode { code }).inc();
        }
    }

    /// Everything as text: what was counted, and how things stand.
    fn text(&self, now: Gauges) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &now.registry()))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a text takes whatever is written to it");
        text
    }
}

/// Why a command was not accepted.
fn refusal(error: &HandleError) -> ByRule {
    let code = match RejectionJson::of(error) {
        Some(rejection) => rejection.code,
        None => match error {
            HandleError::Unsettled { .. } => "unsettled",
            _ => "store",
        },
    };
    let rule = match error {
        HandleError::Rejected { rejection, .. } => Some(rejection.rule),
        _ => None,
    };
    let rule = RuleLabel(rule);
    ByRule { code, rule }
}

/// The code of a request that was turned away at the door.
fn denied(line: &Line) -> Option<&'static str> {
    let refused = line.refused.as_ref()?;
    let at_the_door = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    (at_the_door.contains(&line.status) && refused.code != crate::access::NOT_YOURS)
        .then_some(refused.code)
}
