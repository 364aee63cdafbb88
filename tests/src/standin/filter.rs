//! Which events of `$all` a reader asked for.

use super::event::Recorded;
use super::protocol::streams::read_req::options::FilterOptions;
use super::protocol::streams::read_req::options::filter_options::{
    Expression, Filter as By, Window,
};
use fancy_regex::Regex;
use tonic::Status;

/// How many events a real server considers at a time unless it is told otherwise.
const WINDOW: u32 = 32;

/// A reader's filter, by the name of the stream or by the type of the event.
pub(super) struct Filter {
    by_stream: bool,
    pattern: Pattern,
    /// After how many events, wanted or not, a subscription tells how far it is.
    pub(super) checkpoint_every: u64,
}

/// A regular expression beats prefixes, as on a real server.
enum Pattern {
    Regex(Box<Regex>),
    Prefixes(Vec<String>),
}

impl Filter {
    pub(super) fn new(options: FilterOptions) -> Result<Self, Status> {
        let (by_stream, expression) = match options.filter {
            Some(By::StreamIdentifier(expression)) => (true, expression),
            Some(By::EventType(expression)) => (false, expression),
            None => return Err(Status::invalid_argument("a filter without an expression")),
        };
        let window = match options.window {
            Some(Window::Max(max)) => max,
            Some(Window::Count(())) | None => WINDOW,
        };
        let every = u64::from(window) * u64::from(options.checkpoint_interval_multiplier);
        if every == 0 {
            return Err(Status::invalid_argument("a window of no events"));
        }
        Ok(Self {
            by_stream,
            pattern: Pattern::new(expression)?,
            checkpoint_every: every,
        })
    }

    pub(super) fn wants(&self, event: &Recorded) -> bool {
        let text = if self.by_stream {
            &event.stream
        } else {
            &event.event.event_type
        };
        match &self.pattern {
            Pattern::Regex(regex) => regex.is_match(text).unwrap_or(false),
            Pattern::Prefixes(prefixes) => prefixes.iter().any(|prefix| text.starts_with(prefix)),
        }
    }
}

impl Pattern {
    fn new(expression: Expression) -> Result<Self, Status> {
        if expression.regex.is_empty() {
            return Ok(Self::Prefixes(expression.prefix));
        }
        let regex = Regex::new(&expression.regex);
        let regex = regex.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Self::Regex(Box::new(regex)))
    }
}
