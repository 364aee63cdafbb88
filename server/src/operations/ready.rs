//! Whether the service can be relied upon: it follows its store, and knows who may do what.

use crate::access::Access;
use crate::handled::Handled;
use crate::route::{Answer, Operation, Route};
use crate::{Problem, Service};
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use axum::routing::get;
use engine::keys::Keys;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Why the service cannot be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// It was told to stop.
    Stopping,
    /// What follows the store came to a bad end.
    Ended,
    /// The store cannot be read.
    Store,
    /// The store takes no events.
    Unwritable,
    /// It has not come to the end of the store since it was started.
    CatchingUp,
    /// It came there, but not lately.
    Behind,
}

/// What tells whether it can be, as long as it is not told to stop.
struct Seen {
    following: bool,
    /// What the store hinders.
    store: Option<Hindrance>,
    caught_up: bool,
    lag: Duration,
    max_lag: Duration,
}

pub(super) fn routes() -> Vec<Handled> {
    let trouble = json!({"type": "string", "enum": ["keys", "checkpoint", "proof", "clock"]});
    let schema = json!({
        "type": "object",
        "properties": {
            "position": {"$ref": "#/components/schemas/Position"},
            "count": {"type": "integer", "minimum": 0},
            "trouble": {"type": "array", "items": trouble},
            "set_aside": {"type": "integer", "minimum": 0},
        },
        "required": ["position", "count", "trouble", "set_aside"],
    });
    vec![
        Route {
            method: Method::GET,
            path: "/readyz",
            access: Access::Everyone,
            operation: Operation {
                id: "ready",
                summary: "Whether the read models and the feed have caught up with the store",
                about: "503 before that, while the store is away, while the read models have not reached what the feed \
                    had, or the feed what the store had, a few seconds ago (the setting `max_lag_ms`), while the store takes no \
                    events, and once the service was told to stop; `why` is one of `stopping`, `ended`, `store_unavailable`, \
                    `store_not_writable`, `catching_up` and `behind`. Commands are taken before the read models have caught up. `trouble` \
                    names what could not be read or kept lately: the file of `keys`, a `checkpoint` of the read \
                    models, the `proof` of the feed; what was there before holds, and nothing is refused. `clock` says that the clock shows a time that cannot be right. `set_aside` is \
                    how many damaged events keep their calls out of the read models. What exactly is wrong, `GET /v1/read-models` tells those who may ask it.",
                answers: vec![Answer::of(200, "They have", "application/json", schema)],
                problems: &[503],
                ..Operation::default()
            },
        }
        .handled(get(ready)),
    ]
}

async fn ready(State(service): State<Arc<Service>>) -> Result<impl IntoResponse, Problem> {
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, stands(&service)?.to_string()))
}

/// Everybody may ask, so nothing that tells of files or of the store's nodes is told.
fn stands(service: &Service) -> Result<Value, Problem> {
    let (feed, views) = (service.feed.state(), service.views.standing());
    let (position, count) = (views.events.position.0, feed.prefix.count);
    let seen = Seen {
        following: views.following && service.feed.is_following(),
        store: of_store(feed.error.is_none(), service.takes_events()),
        caught_up: feed.caught_up && views.caught_up,
        lag: service.lag(),
        max_lag: Duration::from_millis(service.settings.max_lag_ms),
    };
    let stopping = service.is_stopping().then_some(Hindrance::Stopping);
    if let Some(hindrance) = stopping.or_else(|| seen.hindrance()) {
        let problem = Problem::try_again("not_ready", hindrance.detail(), 1);
        let problem = problem.with("why", hindrance.name());
        return Err(problem.with("position", position).with("count", count));
    }
    let keys = service.guards.keys().and_then(Keys::trouble);
    let trouble = [
        ("keys", keys.is_some()),
        ("checkpoint", views.not_kept.is_some()),
        ("proof", feed.not_kept.is_some()),
        ("clock", service.clock.error().is_some()),
    ];
    let trouble = trouble.into_iter().filter(|(_, is_there)| *is_there);
    let trouble: Vec<_> = trouble.map(|(name, _)| name).collect();
    Ok(json!({
        "position": position,
        "count": count,
        "trouble": trouble,
        "set_aside": views.set_aside,
    }))
}

fn of_store(readable: bool, writable: bool) -> Option<Hindrance> {
    match (readable, writable) {
        (false, _) => Some(Hindrance::Store),
        (true, false) => Some(Hindrance::Unwritable),
        (true, true) => None,
    }
}

impl Seen {
    fn hindrance(&self) -> Option<Hindrance> {
        if !self.following {
            Some(Hindrance::Ended)
        } else if self.store.is_some() {
            self.store
        } else if !self.caught_up {
            Some(Hindrance::CatchingUp)
        } else if self.lag > self.max_lag {
            Some(Hindrance::Behind)
        } else {
            None
        }
    }
}

impl Hindrance {
    /// In a word, for programs.
    fn name(self) -> &'static str {
        match self {
            Hindrance::Stopping => "stopping",
            Hindrance::Ended => "ended",
            Hindrance::Store => "store_unavailable",
            Hindrance::Unwritable => "store_not_writable",
            Hindrance::CatchingUp => "catching_up",
            Hindrance::Behind => "behind",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Hindrance::Stopping => "the service was told to stop; ask another one",
            Hindrance::Ended => {
                "nothing follows the store any more; the service must be started anew"
            }
            Hindrance::Store => "the store cannot be read; it is tried again and again",
            Hindrance::Unwritable => {
                "the store takes no events; it is tried again each second, and the log says why"
            }
            Hindrance::CatchingUp => {
                "the read models or the feed have not come to the end of the store yet"
            }
            Hindrance::Behind => "the read models or the feed are too far behind the store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Hindrance, Seen};

    const READY: Seen = Seen {
        following: true,
        store: None,
        caught_up: true,
        lag: Duration::ZERO,
        max_lag: Duration::from_secs(5),
    };

    #[test]
    fn a_service_that_lags_longer_than_the_setting_is_not_ready() {
        let lagging = |lag| Seen { lag, ..READY };
        assert_eq!(lagging(READY.max_lag).hindrance(), None);
        let longer = READY.max_lag + Duration::from_millis(1);
        assert_eq!(lagging(longer).hindrance(), Some(Hindrance::Behind));
    }

    #[test]
    fn what_no_time_mends_is_said_before_what_it_may() {
        let seen = Seen {
            following: false,
            store: Some(Hindrance::Store),
            caught_up: false,
            ..READY
        };
        assert_eq!(seen.hindrance(), Some(Hindrance::Ended));
    }
}
