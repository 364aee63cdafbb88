//! Talking to the cluster: one client at a time, made anew when it is dead or its node is gone, and every call with a
//! deadline.

use crate::heads::Heads;
use crate::nodelay::{Unclogged, unclog};
use crate::session::Session;
use crate::url::ConnectionString;
use crate::words::{self, in_words};
use domain::{Backoff, StoreError};
use eventstore::{Client, CurrentRevision, Error};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// How long one attempt may take: a healthy node answers in milliseconds, and another one may be healthy.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The same where the server may have to look through what others wrote.
const LONG_ATTEMPT: Duration = Duration::from_secs(10);

/// And all attempts of such a call together, if the connection string does not allow more.
const LONG: Duration = Duration::from_secs(30);

/// The first pause between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The same between looks beside a write, so that a slow server is not asked much more often for being slow.
const FIRST_PAUSE_BESIDE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// How long a client lives at least, so that an outage does not make one after the other.
const BETWEEN_SESSIONS: Duration = Duration::from_millis(250);

/// A call that took longer may have met Nagle's algorithm.
const SLOW: Duration = Duration::from_millis(15);

/// How often sockets are looked through, at most; less often once that changes nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
const BETWEEN_IDLE_LOOKS: Duration = Duration::from_secs(5);

/// How many calls are under way at once: servers take a hundred on a connection, and more are slower than fewer in turn.
const AT_ONCE: usize = 64;

/// The same for looks beside calls that wait for an answer and may hold all places of the others.
const BESIDE: usize = 32;

/// The cluster, as far as this process has to do with it.
pub(crate) struct Link {
    pub(crate) url: ConnectionString,
    pub(crate) heads: Heads,
    session: Mutex<Option<Arc<Session>>>,
    /// Held by who makes a client, for all who need one: how many there were, and when the last was made.
    making: tokio::sync::Mutex<(u64, Option<Instant>)>,
    /// Where the nodes are that we know of.
    ports: Arc<Mutex<BTreeSet<u16>>>,
    /// When the sockets may be looked through again.
    next_look: Mutex<Instant>,
    at_once: Semaphore,
    beside: Semaphore,
    closed: AtomicBool,
}

/// How long a call may take.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    until: Instant,
    attempt: Duration,
    lane: Lane,
}

/// Which limit of calls at once counts.
#[derive(Clone, Copy)]
enum Lane {
    Main,
    Beside,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The stream is at another number: that of its last event, or there is none.
    Conflict(Option<u64>),
    /// There is no such stream.
    Missing,
    /// The stream was deleted for good.
    Deleted,
    /// The user may not do that, or is none.
    Denied,
    /// Another attempt would change nothing.
    Refused(String),
    /// No attempt had an answer before the deadline; whether anything was written is unknown.
    Unanswered(String),
}

/// What to do about an error.
enum Verdict {
    /// Another attempt with the same client.
    Again,
    /// Another attempt, with a new client unless this one answered others meanwhile.
    Late,
    /// Another attempt with a new client.
    Anew,
    Final(Failure),
}

impl Time {
    /// So long, in attempts of that length.
    pub(crate) fn of(limit: Duration, attempt: Duration) -> Self {
        Self {
            until: Instant::now() + limit,
            attempt,
            lane: Lane::Main,
        }
    }

    /// The same for a look beside a call that waits for its answer.
    pub(crate) fn beside(self) -> Self {
        Self {
            lane: Lane::Beside,
            ..self
        }
    }

    /// The pauses between attempts, until it is over.
    pub(crate) fn pauses(self) -> Pauses {
        let first = match self.lane {
            Lane::Main => FIRST_PAUSE,
            Lane::Beside => FIRST_PAUSE_BESIDE,
        };
        Pauses {
            until: self.until,
            backoff: Backoff::new(first, LONGEST_PAUSE),
        }
    }
}

/// Pauses that grow, as long as there is time.
pub(crate) struct Pauses {
    until: Instant,
    backoff: Backoff,
}

impl Pauses {
    /// Waits for a while, or says at once that it is too late.
    pub(crate) async fn wait(&mut self) -> bool {
        self.wait_unless(std::future::pending()).await
    }

    /// The same; the pause ends early with that event.
    pub(crate) async fn wait_unless(&mut self, event: impl Future<Output = ()>) -> bool {
        let pause = self.backoff.pause();
        if Instant::now() + pause >= self.until {
            return false;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = event => {}
        }
        true
    }
}

impl Link {
    pub(crate) fn new(url: ConnectionString) -> Self {
        Self {
            ports: Arc::new(Mutex::new(url.ports())),
            url,
            heads: Heads::new(),
            session: Mutex::new(None),
            making: tokio::sync::Mutex::new((0, None)),
            next_look: Mutex::new(Instant::now()),
            at_once: Semaphore::new(AT_ONCE),
            beside: Semaphore::new(BESIDE),
            closed: AtomicBool::new(false),
        }
    }

    /// From now on nothing is asked any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        *held(&self.session) = None;
    }

    /// As long as the connection string says.
    pub(crate) fn time(&self) -> Time {
        Time::of(self.url.deadline, ATTEMPT)
    }

    /// Longer, for what the server may have to look for past what others wrote.
    pub(crate) fn long_time(&self) -> Time {
        Time::of(self.url.deadline.max(LONG), LONG_ATTEMPT)
    }

    /// Makes calls go out at once: on how many connections, or why it cannot be done.
    pub(crate) fn unclogged(&self) -> Result<Unclogged, String> {
        let ports = held(&self.ports).clone();
        unclog(&ports)
    }

    /// Attempts until there is an answer or the time is over. An attempt must be such that repeating it after an
    /// unknown outcome is safe.
    pub(crate) async fn call<T, F>(
        &self,
        time: Time,
        attempt: impl Fn(Client, Duration) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (answer, _) = self.begin(time, attempt).await?;
        Ok(answer)
    }

    /// The same for an answer that goes on, with the client that it depends on.
    pub(crate) async fn begin<T, F>(
        &self,
        time: Time,
        attempt: impl Fn(Client, Duration) -> F,
    ) -> Result<(T, Arc<Session>), Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pauses = time.pauses();
        let mut why = Error::DeadlineExceeded;
        loop {
            match self.attempt(time, &attempt).await? {
                Ok(answer) => return Ok(answer),
                // The last attempt may be cut short: what an earlier one met says more.
                Err(Error::DeadlineExceeded) => {}
                Err(error) => why = error,
            }
            if !pauses.wait().await {
                return Err(Failure::Unanswered(in_words(&why, &self.url.nodes())));
            }
        }
    }

    /// One attempt, as soon as it is its turn; an error is one that another attempt may not meet.
    async fn attempt<T, F>(
        &self,
        time: Time,
        attempt: &impl Fn(Client, Duration) -> F,
    ) -> Result<Result<(T, Arc<Session>), Error>, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let places = match time.lane {
            Lane::Main => &self.at_once,
            Lane::Beside => &self.beside,
        };
        let Ok(_turn) = timeout_at(time.until, places.acquire()).await else {
            return Ok(Err(Error::DeadlineExceeded));
        };
        let session = self.session().await?;
        let began = Instant::now();
        let limit = time
            .until
            .saturating_duration_since(began)
            .min(time.attempt);
        let ended = timeout(limit, attempt(session.client.clone(), limit)).await;
        if began.elapsed() > SLOW {
            self.look_at_the_sockets();
        }
        let error = match ended.unwrap_or(Err(Error::DeadlineExceeded)) {
            Ok(answer) => {
                session.answered();
                return Ok(Ok((answer, session)));
            }
            Err(error) => error,
        };
        match self.failed(&session, began, &error) {
            Some(failure) => Err(failure),
            None => Ok(Err(error)),
        }
    }

    /// Gives up a client that the error shows to be useless. The failure, if another attempt would change nothing.
    pub(crate) fn failed(
        &self,
        session: &Session,
        began: Instant,
        error: &Error,
    ) -> Option<Failure> {
        match self.verdict(error) {
            Verdict::Again => {}
            // One slow call is no reason to take the connection from all others.
            Verdict::Late if session.answered_since(began) => {}
            Verdict::Late | Verdict::Anew => self.drop_session(session),
            Verdict::Final(failure) => {
                session.answered();
                return Some(failure);
            }
        }
        None
    }

    /// The client of the moment.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Unanswered("it was closed".to_owned()));
        }
        if let Some(session) = self.there() {
            return Ok(session);
        }
        let mut making = self.making.lock().await;
        if let Some(session) = self.there() {
            return Ok(session);
        }
        if let Some(before) = making.1 {
            sleep_until(before + BETWEEN_SESSIONS).await;
        }
        *making = (making.0 + 1, Some(Instant::now()));
        let session = self.made(making.0).await?;
        *held(&self.session) = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Making one reads certificates from files, so it has a thread of its own.
    async fn made(&self, number: u64) -> Result<Arc<Session>, Failure> {
        let settings = self.url.settings.clone();
        let made = tokio::task::spawn_blocking(move || Session::make(number, settings)).await;
        let session = made.unwrap_or_else(|panicked| Err(panicked.to_string()));
        // The files were read when the store was opened: what is missing now may be there again.
        let session = session.map_err(Failure::Unanswered)?;
        if self.url.is_cluster() {
            let ports = Arc::clone(&self.ports);
            session.ask_for_ports(self.url.settings.clone(), move |port| {
                held(&ports).insert(port);
            });
        }
        *held(&self.next_look) = Instant::now();
        Ok(Arc::new(session))
    }

    fn there(&self) -> Option<Arc<Session>> {
        held(&self.session).clone()
    }

    /// Of many that fail together the first drops it; whoever comes later has the next one already. Those that still
    /// wait for an answer keep it until they have it.
    fn drop_session(&self, failed: &Session) {
        let mut session = held(&self.session);
        if session
            .as_ref()
            .is_some_and(|session| session.number == failed.number)
        {
            *session = None;
            self.heads.forget();
        }
    }

    fn verdict(&self, error: &Error) -> Verdict {
        match error {
            Error::NotLeaderException(leader) => {
                // The client goes there by itself.
                held(&self.ports).extend(u16::try_from(leader.port));
                Verdict::Again
            }
            // Servers answer so with different codes.
            Error::ServerError(why) | Error::Grpc { message: why, .. }
                if why
                    .to_lowercase()
                    .replace(' ', "")
                    .contains("invalidposition") =>
            {
                Verdict::Final(Failure::Refused(
                    "no event stands at that position; give one that an event or an answer showed"
                        .to_owned(),
                ))
            }
            Error::DeadlineExceeded => Verdict::Late,
            Error::ServerError(_)
            | Error::ConnectionClosed
            | Error::GrpcConnectionError(_)
            | Error::InternalParsingError(_)
            | Error::InternalClientError
            | Error::InitializationError(_)
            | Error::IllegalStateError(_) => Verdict::Anew,
            Error::Grpc { code, message } => {
                verdict_on_status(&code.to_string(), *code as i32, message)
            }
            Error::AccessDenied => Verdict::Final(Failure::Denied),
            Error::ResourceNotFound => Verdict::Final(Failure::Missing),
            Error::ResourceDeleted => Verdict::Final(Failure::Deleted),
            Error::ResourceAlreadyExists => Verdict::Final(Failure::Conflict(None)),
            Error::UnsupportedFeature => Verdict::Final(Failure::Refused(
                "the server is too old: it does not know the call".to_owned(),
            )),
            Error::WrongExpectedVersion { current, .. } => {
                Verdict::Final(Failure::Conflict(match current {
                    CurrentRevision::Current(number) => Some(*number),
                    CurrentRevision::NoStream => None,
                }))
            }
        }
    }

    fn look_at_the_sockets(&self) {
        let now = Instant::now();
        {
            let mut next = held(&self.next_look);
            if now < *next {
                return;
            }
            *next = now + BETWEEN_LOOKS;
        }
        // Where it cannot be done, everything works, and `store info` says why it is slow.
        if !self.unclogged().is_ok_and(|unclogged| unclogged.now > 0) {
            *held(&self.next_look) = now + BETWEEN_IDLE_LOOKS;
        }
    }
}

/// Nothing here is left half-done by a panic.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By the numbers of gRPC: a cancelled or aborted call (a time-out within the cluster) may be repeated, and so may one
/// whose node is overloaded. What the server does not accept as it is, it never will.
fn verdict_on_status(name: &str, code: i32, message: &str) -> Verdict {
    const CANCELLED: i32 = 1;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const ABORTED: i32 = 10;
    match code {
        CANCELLED | RESOURCE_EXHAUSTED | ABORTED => Verdict::Again,
        _ => Verdict::Final(Failure::Refused(format!("{name}: {message}"))),
    }
}

/// A stream that is missing is told in an answer. Where the call itself is answered so, the node knows no leader, and
/// that must not be taken for a call that nobody wrote to.
pub(crate) fn no_leader(error: Error) -> Error {
    match error {
        Error::ResourceNotFound => words::no_leader(),
        error => error,
    }
}

impl Failure {
    /// The failure of something that neither conflicts nor can be missing.
    pub(crate) fn into_store_error(self, what: &str, url: &ConnectionString) -> StoreError {
        match self {
            Failure::Unanswered(why) => StoreError::Unavailable(format!("cannot {what}: {why}")),
            Failure::Denied => StoreError::Refused(format!("cannot {what}: {}", denied(url))),
            Failure::Refused(why) => StoreError::Refused(format!("cannot {what}: {why}")),
            Failure::Deleted => StoreError::Corrupt(format!("cannot {what}: it was deleted")),
            Failure::Missing | Failure::Conflict(_) => {
                StoreError::Refused(format!("cannot {what}: the server's answer makes no sense"))
            }
        }
    }
}

/// Who may not.
pub(crate) fn denied(url: &ConnectionString) -> String {
    match &url.user {
        Some(user) => format!("the server refuses it to user {:?}", user.name),
        None => "the server refuses it without a user name".to_owned(),
    }
}
