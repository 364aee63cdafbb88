//! Many commands, one a line, and their answers while they still come.

use super::conditions::{TooFarAhead, by_no_rule, must_have_happened, must_run};
use super::headers::correlation;
use super::refusal;
use crate::access::Caller;
use crate::body::{BrokenOff, MALFORMED, NDJSON, Pieces, must_be};
use crate::metrics::{Outcome, UNKNOWN};
use crate::request::Params;
use crate::route::Route;
use crate::{Problem, Service};
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use domain::json::{RejectionJson, parse_command};
use domain::{Correlation, Request};
use engine::in_order::{Answers, Asked, Dropped, Intake, Place, Ready, in_order};
use engine::lines::{Cutter, Line};
use futures_util::stream::unfold;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};

/// How many lines of one request are read, judged or about to be answered at once.
const IN_FLIGHT: usize = 512;

/// About how many bytes of answers go out together.
const CHUNK_BYTES: usize = 64 * 1024;

/// How long a sender that was told to stop has for stopping, in milliseconds, before it is cut off.
const LINGER_MS: u64 = 1000;

/// How long after one line of the log the next may tell what a sender may not send, in milliseconds.
const BETWEEN_DENIALS_MS: u64 = 1000;

pub(crate) async fn send(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(route): Extension<Arc<Route>>,
    _: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    must_run(&service)?;
    must_be(NDJSON, &headers)?;
    // The response begins before the first line; each line asks again.
    caller.begin_effect()?;
    let counting = Arc::clone(&service);
    let handler = Arc::clone(&service.handler);
    let (intake, answers) = in_order(handler, IN_FLIGHT, move |judged| {
        let metrics = &counting.metrics;
        metrics.judged(judged.command, judged.result, judged.took);
    });
    let pieces = Pieces::of(body, &service.settings);
    let idle_timeout_ms = service.settings.idle_timeout_ms;
    let reader = Reader {
        idle_timeout_ms,
        service,
        caller,
        route,
        correlation: correlation(&headers),
        intake,
        line: 0,
        denials: Denials::default(),
    };
    // Reads for as long as somebody takes the answers.
    tokio::spawn(reader.read(pieces));
    let mut response = Response::new(Body::from_stream(unfold(answers, chunk)));
    let ndjson = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    Ok(response)
}

/// Takes the lines of one request.
struct Reader {
    service: Arc<Service>,
    caller: Caller,
    route: Arc<Route>,
    correlation: Option<Correlation>,
    intake: Intake,
    /// The line that was taken last.
    line: u64,
    /// How long the next whole line may take.
    idle_timeout_ms: u64,
    denials: Denials,
}

/// Why no more lines are taken.
enum End {
    OfBody,
    BrokenOff(BrokenOff),
    /// Bytes came, but no whole line.
    NoLine(u64),
    Stopping,
    /// The key was revoked, or has expired, since the stream began.
    KeyRevoked,
    /// Nobody takes the answers any more.
    Unwanted,
    /// The last answer has said why.
    Said,
}

impl End {
    /// What the sender must know, if it still listens and does not know.
    fn said(&self) -> Option<String> {
        let again = "send this line and those after it again";
        match self {
            End::OfBody | End::Unwanted | End::Said => None,
            End::BrokenOff(why) => Some(format!("{why}; {again}")),
            End::NoLine(ms) => Some(format!("no whole line came for {ms} ms; {again}")),
            End::Stopping => Some(format!(
                "the service is stopping; {again}, to a service that runs"
            )),
            End::KeyRevoked => Some(format!(
                "this key is not admitted any more; {again}, with another key"
            )),
        }
    }
}

/// Lines that their sender may not send, and that the log was not told of yet.
#[derive(Default)]
struct Denials {
    lines: u64,
    /// Of the last of them.
    code: &'static str,
    told: Option<Instant>,
}

impl Denials {
    fn add(&mut self, code: &'static str) {
        self.lines += 1;
        self.code = code;
    }

    /// Whoever sends nothing else must not fill the log.
    fn are_due(&self) -> bool {
        let between = Duration::from_millis(BETWEEN_DENIALS_MS);
        self.told.is_none_or(|told| told.elapsed() >= between)
    }

    fn tell(&mut self, service: &Service, caller: &Caller, route: &Route) {
        if self.lines == 0 {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        service.log.denied(lines, self.code, caller.key(), route);
        self.told = Some(Instant::now());
    }
}

impl Reader {
    async fn read(mut self, mut pieces: Pieces) {
        let end = self.read_lines(&mut pieces).await;
        self.denials.tell(&self.service, &self.caller, &self.route);
        let Some(said) = end.said() else { return };
        if let Some(place) = self.intake.place(self.line + 1).await {
            place.unreadable(&said);
        }
        // The response ends here; the sender may still send.
        drop(self.intake);
        if !matches!(end, End::BrokenOff(_)) {
            linger(pieces).await;
        }
    }

    async fn read_lines(&mut self, pieces: &mut Pieces) -> End {
        let (service, caller) = (Arc::clone(&self.service), self.caller.clone());
        let mut stopped = pin!(service.stopped());
        let mut key_ended = pin!(caller.ended());
        let mut cutter = Cutter::default();
        let mut due = self.next_line_due();
        loop {
            let piece = tokio::select! {
                biased;
                () = &mut stopped => return End::Stopping,
                () = &mut key_ended => return End::KeyRevoked,
                piece = pieces.next() => piece,
                () = sleep_until(due) => return End::NoLine(self.idle_timeout_ms),
            };
            let ended = match piece {
                Ok(Some(piece)) => {
                    let ended = self.take_piece(&mut cutter, &piece).await;
                    if piece.contains(&b'\n') {
                        due = self.next_line_due();
                    }
                    ended
                }
                Ok(None) => match cutter.rest() {
                    Some(line) => self.take(line).await.or(Some(End::OfBody)),
                    None => Some(End::OfBody),
                },
                Err(why) => Some(End::BrokenOff(why)),
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// Until when the next whole line must be there. Time in which lines are not read, because answers are not taken,
    /// does not count.
    fn next_line_due(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_millis(self.idle_timeout_ms)
    }

    async fn take_piece(&mut self, cutter: &mut Cutter, mut piece: &[u8]) -> Option<End> {
        while let Some(line) = cutter.cut(&mut piece) {
            if let Some(end) = self.take(line).await {
                return Some(end);
            }
        }
        None
    }

    /// Takes a line once there is room for its answer, and no faster than the key may send.
    async fn take(&mut self, line: Line) -> Option<End> {
        tokio::select! {
            biased;
            () = self.service.guards.pace(&self.caller) => {}
            () = self.caller.ended() => {}
            () = self.service.stopped() => {}
        }
        if let Some(end) = self.ends() {
            return Some(end);
        }
        self.line += 1;
        if line.is_blank() {
            return None;
        }
        let Some(place) = self.intake.place(self.line).await else {
            return Some(End::Unwanted);
        };
        // The key may have ended while there was no room.
        if let Some(said) = self.ends().and_then(|end| end.said()) {
            place.unreadable(&said);
            return Some(End::Said);
        }
        self.judge(line, place);
        None
    }

    /// Why this line is not taken any more, if it is not.
    fn ends(&self) -> Option<End> {
        if self.service.is_stopping() {
            Some(End::Stopping)
        } else if self.caller.is_admitted() {
            None
        } else {
            Some(End::KeyRevoked)
        }
    }

    fn judge(&mut self, line: Line, place: Place) {
        match parsed(line) {
            Ok(request) => self.ask(request, place),
            Err((code, error)) => {
                let metrics = &self.service.metrics;
                metrics.unjudged(UNKNOWN, Outcome::Malformed, code);
                place.malformed(&error);
            }
        }
    }

    fn ask(&mut self, mut request: Request, place: Place) {
        let handler = &self.service.handler;
        if request.correlation.is_none() {
            request.correlation.clone_from(&self.correlation);
        }
        let asked = Asked {
            id: request.id.unwrap_or_else(|| handler.random_id()),
            read_at: handler.now(),
            request,
        };
        match self.permitted(&asked) {
            Ok(()) => self.intake.judge(place, asked),
            Err((outcome, rejection)) => {
                let kind = asked.request.command.name();
                let metrics = &self.service.metrics;
                metrics.unjudged(kind, outcome, rejection.code);
                if outcome == Outcome::Denied {
                    self.denied(rejection.code);
                }
                place.refused(&asked.request.call, asked.id, rejection);
            }
        }
    }

    fn denied(&mut self, code: &'static str) {
        self.denials.add(code);
        if self.denials.are_due() {
            self.denials.tell(&self.service, &self.caller, &self.route);
        }
    }

    /// Whether this caller may send that. Nothing is looked up before that is certain.
    fn permitted(&self, asked: &Asked) -> Result<(), (Outcome, RejectionJson)> {
        let request = &asked.request;
        self.caller.may_send(&request.command).map_err(|problem| {
            let denied = by_no_rule(problem.code(), problem.detail().to_owned());
            (Outcome::Denied, denied)
        })?;
        let max_ahead_ms = self.service.settings.max_ahead_ms;
        must_have_happened(request, asked.read_at, max_ahead_ms).map_err(|error| {
            let refused = by_no_rule(TooFarAhead::CODE, error.to_string());
            (Outcome::Malformed, refused)
        })
    }
}

/// The command on that line, or what is wrong with it, for programs and for people.
fn parsed(line: Line) -> Result<Request, (&'static str, String)> {
    match line {
        Line::Text(text) => {
            parse_command(&text).map_err(|error| (refusal::code(&error), refusal::said(&error)))
        }
        Line::Malformed(error) | Line::Unreadable(error) => Err((MALFORMED, error)),
    }
}

/// Lets a sender finish that was told to: cutting it off in the midst of a line would take the last answers from it.
async fn linger(mut pieces: Pieces) {
    let dropped = async { while let Ok(Some(_)) = pieces.next().await {} };
    // One that goes on sending is cut off.
    let _ = timeout(Duration::from_millis(LINGER_MS), dropped).await;
}

/// The next answers, as many as there are; what is there never waits for what is not.
async fn chunk(mut answers: Answers) -> Option<(Result<Bytes, Dropped>, Answers)> {
    let first = match answers.next().await {
        Ok(first) => first?,
        Err(dropped) => return Some((Err(dropped), answers)),
    };
    let mut chunk = first.json;
    // Those that were judged together are answered one after the other: they get the chance to be sent together.
    let mut patient = true;
    while chunk.len() < CHUNK_BYTES {
        match answers.ready() {
            Ok(Ready::Answered(answered)) => chunk.extend_from_slice(&answered.json),
            Ok(Ready::UnderWay) if patient => {
                patient = false;
                tokio::task::yield_now().await;
            }
            Ok(Ready::UnderWay | Ready::Idle | Ready::Ended) => break,
            Err(dropped) => return Some((Err(dropped), answers)),
        }
    }
    Some((Ok(chunk.into()), answers))
}
