//! Talking to the cluster: one client at a time, made anew when it is dead or its node is gone, and every call with a
//! deadline.

use crate::heads::Heads;
use crate::nodelay::unclog;
use crate::url::ConnectionString;
use domain::StoreError;
use eventstore::{Client, CurrentRevision, Error};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long one attempt may take: a healthy node answers in milliseconds, and another one may be healthy.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The wait before a second attempt, doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A call that took longer may have met Nagle's algorithm.
const SLOW: Duration = Duration::from_millis(15);

/// How many calls are under way at once.
const AT_ONCE: usize = 64;

/// How often sockets are looked through, at most.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// The cluster, as far as this process has to do with it.
pub(crate) struct Link {
    pub(crate) url: ConnectionString,
    pub(crate) heads: Heads,
    state: Mutex<State>,
    /// Held by who makes a client, for all who need one.
    making: tokio::sync::Mutex<()>,
    /// Servers take a hundred calls on a connection; more at once are slower than fewer in turn.
    at_once: Semaphore,
    closed: AtomicBool,
}

struct State {
    session: Option<Session>,
    sessions: u64,
    /// Where the nodes are that we know of.
    ports: BTreeSet<u16>,
    looked: Option<Instant>,
}

/// A client, and its number among those there were.
#[derive(Clone)]
struct Session {
    number: u64,
    client: Client,
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
    /// Another attempt with a new client.
    Anew,
    Final(Failure),
}

impl Link {
    pub(crate) fn new(url: ConnectionString) -> Self {
        let state = State {
            session: None,
            sessions: 0,
            ports: url.ports(),
            looked: None,
        };
        Self {
            url,
            heads: Heads::new(),
            state: Mutex::new(state),
            making: tokio::sync::Mutex::new(()),
            at_once: Semaphore::new(AT_ONCE),
            closed: AtomicBool::new(false),
        }
    }

    /// From now on nothing is asked any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.state().session = None;
    }

    /// Makes calls go out at once: on how many connections, or why it cannot be done.
    pub(crate) fn unclogged(&self) -> Result<usize, String> {
        unclog(&self.state().ports)
    }

    /// Attempts until there is an answer, at most until the deadline of the connection string. An attempt must be
    /// such that repeating it after an unknown outcome is safe.
    pub(crate) async fn call<T, F>(
        &self,
        attempt: impl Fn(Client, Duration) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.call_within(self.url.deadline, attempt).await
    }

    /// The same with a deadline of its own.
    pub(crate) async fn call_within<T, F>(
        &self,
        limit: Duration,
        attempt: impl Fn(Client, Duration) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + limit;
        let most = ATTEMPT.max(limit / 3);
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(deadline, most, &attempt).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if Instant::now() + pause >= deadline {
                return Err(Failure::Unanswered(told(&error)));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt, as soon as it is its turn; an error is one that another attempt may not meet.
    async fn attempt<T, F>(
        &self,
        deadline: Instant,
        most: Duration,
        attempt: &impl Fn(Client, Duration) -> F,
    ) -> Result<Result<T, Error>, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Ok(_turn) = timeout_at(deadline, self.at_once.acquire()).await else {
            return Ok(Err(Error::DeadlineExceeded));
        };
        let Session { number, client } = self.session().await?;
        let began = Instant::now();
        let limit = deadline.saturating_duration_since(began).min(most);
        let ended = timeout(limit, attempt(client, limit)).await;
        if began.elapsed() > SLOW {
            self.look_at_the_sockets();
        }
        let error = match ended.unwrap_or(Err(Error::DeadlineExceeded)) {
            Ok(answer) => return Ok(Ok(answer)),
            Err(error) => error,
        };
        match self.verdict(&error) {
            Verdict::Again => {}
            Verdict::Anew => self.drop_session(number),
            Verdict::Final(failure) => return Err(failure),
        }
        Ok(Err(error))
    }

    /// The client of the moment. Making one reads certificates from files, so it has a thread of its own.
    async fn session(&self) -> Result<Session, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Unanswered("it was closed".to_owned()));
        }
        if let Some(session) = self.there() {
            return Ok(session);
        }
        let _making = self.making.lock().await;
        if let Some(session) = self.there() {
            return Ok(session);
        }
        let settings = self.url.settings.clone();
        let made = tokio::task::spawn_blocking(move || Client::new(settings)).await;
        let client = match made {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(Failure::Refused(error.to_string())),
            Err(error) => return Err(Failure::Unanswered(error.to_string())),
        };
        let mut state = self.state();
        state.sessions += 1;
        let session = Session {
            number: state.sessions,
            client,
        };
        state.session = Some(session.clone());
        Ok(session)
    }

    fn there(&self) -> Option<Session> {
        self.state().session.clone()
    }

    /// Of many that fail together the first drops it; whoever comes later has the next one already.
    fn drop_session(&self, number: u64) {
        let mut state = self.state();
        if state
            .session
            .as_ref()
            .is_some_and(|session| session.number == number)
        {
            state.session = None;
            self.heads.forget();
        }
    }

    fn verdict(&self, error: &Error) -> Verdict {
        match error {
            Error::NotLeaderException(leader) => {
                // The client goes there by itself.
                self.state().ports.extend(u16::try_from(leader.port));
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
            Error::ServerError(_)
            | Error::ConnectionClosed
            | Error::GrpcConnectionError(_)
            | Error::DeadlineExceeded
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
        let mut state = self.state();
        let now = Instant::now();
        if state
            .looked
            .is_some_and(|before| now - before < BETWEEN_LOOKS)
        {
            return;
        }
        state.looked = Some(now);
        // Where it cannot be done, everything works, and `store info` says why it is slow.
        let _ = unclog(&state.ports);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Error::ResourceNotFound => Error::ServerError("the node knows no leader".to_owned()),
        error => error,
    }
}

/// The error in words, without what its own words lack.
fn told(error: &Error) -> String {
    match error {
        Error::NotLeaderException(leader) => {
            format!("the leader changed to {}:{}", leader.host, leader.port)
        }
        Error::ConnectionClosed => "no node answers".to_owned(),
        Error::DeadlineExceeded => "no answer in time".to_owned(),
        Error::Grpc { message, .. } => message.clone(),
        error => error.to_string().trim_end_matches('.').to_owned(),
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
            Failure::Missing | Failure::Conflict(_) => StoreError::Unavailable(format!(
                "cannot {what}: the server's answer makes no sense"
            )),
        }
    }
}

/// Who may not.
pub(crate) fn denied(url: &ConnectionString) -> String {
    match &url.user {
        Some(user) => format!("the server refuses it to user {:?}", user.name),
        None => "the server refuses it to whoever names no user".to_owned(),
    }
}
