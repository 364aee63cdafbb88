//! One connection: its requests in, their answers out, and why it ends.

use super::body::{Answered, Asked};
use super::patience::{Late, Patience, Pulse};
use super::places::Seat;
use super::stage::Stage;
use super::stream::Watched;
use crate::{Problem, Service, Settings, telling};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// The least room for the headers below the routes: what fits in it is refused with a problem, and more with a bare
/// status.
const MIN_HEADER_ROOM: usize = 64 * 1024;

/// How many requests of one connection may be under way at once.
const MAX_STREAMS: u32 = 256;

/// What all connections share.
pub(super) struct Attendance {
    service: Arc<Service>,
    router: Router,
    protocol: Builder<TokioExecutor>,
}

/// One connection, before its first byte.
pub(super) struct Connection {
    attendance: Arc<Attendance>,
    peer: SocketAddr,
    pulse: Arc<Pulse>,
    /// None if there is no place for it.
    seat: Option<Arc<Seat>>,
    stage: watch::Receiver<Stage>,
}

impl Attendance {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self {
            router: service.router(),
            protocol: protocol(&service),
            service,
        }
    }

    /// How long a connection may do nothing.
    pub(super) fn patience(&self) -> Patience {
        let settings = &self.service.settings;
        let keep_alive_ms = settings.keep_alive_ms;
        let anonymous_ms = settings.keep_alive_anonymous_ms.min(keep_alive_ms);
        Patience {
            header: Duration::from_millis(settings.header_timeout_ms),
            idle: Duration::from_millis(settings.idle_timeout_ms),
            keep_alive: Duration::from_millis(keep_alive_ms),
            keep_alive_anonymous: Duration::from_millis(anonymous_ms),
        }
    }

    pub(super) fn connection(
        self: &Arc<Self>,
        peer: SocketAddr,
        pulse: Arc<Pulse>,
        seat: Option<Arc<Seat>>,
        stage: watch::Receiver<Stage>,
    ) -> Connection {
        let attendance = Arc::clone(self);
        Connection {
            attendance,
            peer,
            pulse,
            seat,
            stage,
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        seat: Option<Arc<Seat>>,
    ) -> Response<Body> {
        let idle = Duration::from_millis(self.service.settings.idle_timeout_ms);
        let refused = self.refused(&request, seat.is_some());
        let router = match refused {
            Some(problem) => telling::refusing(&self.service, problem),
            None => self.router.clone(),
        };
        let mut request = request.map(|body| Body::new(Asked::new(body, idle)));
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer));
        if let Some(seat) = seat {
            extensions.insert(seat);
        }
        let answered = router.oneshot(request).await;
        answered.unwrap_or_else(|never| match never {})
    }

    /// Why a request gets to no route.
    fn refused(&self, request: &Request<Incoming>, is_served: bool) -> Option<Problem> {
        let settings = &self.service.settings;
        if !is_served {
            return Some(too_many_connections(settings));
        }
        let most = settings.max_header_bytes;
        (header_bytes(request) > most).then(|| too_large(most))
    }
}

/// HTTP/1.1 and HTTP/2, within the limits. How long anything may take says [`Pulse`], which knows both.
fn protocol(service: &Service) -> Builder<TokioExecutor> {
    let settings = &service.settings;
    let room = settings
        .max_header_bytes
        .saturating_mul(4)
        .max(MIN_HEADER_ROOM);
    let millis = |ms| (ms > 0).then(|| Duration::from_millis(ms));
    let mut protocol = Builder::new(TokioExecutor::new());
    protocol
        .http1()
        // Who has asked may close its side and wait; whether anybody is still there, writing tells.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(room);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(room).unwrap_or(u32::MAX))
        .keep_alive_interval(millis(settings.heartbeat_ms))
        .keep_alive_timeout(Duration::from_millis(settings.idle_timeout_ms));
    protocol
}

impl Connection {
    /// Shakes hands first, for as long as headers may take.
    pub(super) async fn serve_tls(mut self, stream: Watched, acceptor: &TlsAcceptor) {
        let accepted = tokio::select! {
            accepted = acceptor.accept(stream) => accepted,
            _ = self.pulse.late() => return,
            () = must_leave(self.seat.as_deref()) => return,
            () = reached(&mut self.stage, Stage::Stopping) => return,
        };
        // Whoever does not speak TLS, or does not trust the certificate, has ended it.
        let Ok(stream) = accepted else { return };
        self.pulse.begin();
        self.serve(stream).await;
    }

    /// Answers what is asked until the client, its slowness or the service's end ends it.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let Self {
            attendance,
            peer,
            pulse,
            seat,
            stage,
        } = self;
        let asked = Arc::clone(&pulse);
        let (answering, seated) = (Arc::clone(&attendance), seat.clone());
        let answer = move |request: Request<Incoming>| {
            let (attendance, asked) = (Arc::clone(&answering), Arc::clone(&asked));
            let seat = seated.clone();
            async move {
                let under_way = asked.asked(request.version() == Version::HTTP_2);
                let answer = attendance.answer(request, peer, seat).await;
                let answer = answer.map(|body| Body::new(Answered::new(body, under_way)));
                Ok::<_, Infallible>(answer)
            }
        };
        let protocol = attendance.protocol.clone();
        let served = protocol.serve_connection(TokioIo::new(stream), service_fn(answer));
        let mut served = pin!(served);
        let (mut stopping, mut cut_off) = (stage.clone(), stage);
        let mut is_told = false;
        loop {
            tokio::select! {
                // Whatever it ended of, the client knows.
                _ = served.as_mut() => return,
                late = pulse.late() => match late {
                    Late::Stuck => return,
                    Late::Quiet => {
                        pulse.begin();
                        served.as_mut().graceful_shutdown();
                    }
                },
                () = reached(&mut stopping, Stage::Stopping), if !is_told => {
                    is_told = true;
                    served.as_mut().graceful_shutdown();
                }
                () = reached(&mut cut_off, Stage::CutOff) => return,
                () = must_leave(seat.as_deref()) => return,
            }
        }
    }
}

/// Waits until another connection needs the place.
async fn must_leave(seat: Option<&Seat>) {
    match seat {
        Some(seat) => seat.must_leave().await,
        None => std::future::pending().await,
    }
}

/// Waits until the end has come that far.
async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    // Without a sender there is nobody left to wait for.
    let _ = stage.wait_for(|stage| *stage >= wanted).await;
}

/// The request's line and headers, as HTTP/1.1 writes them.
fn header_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let line = request.method().as_str().len() + uri.path().len() + uri.query().map_or(0, str::len);
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

fn too_large(most: usize) -> Problem {
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        format!(
            "the request's line and headers take more than {most} bytes; send fewer or shorter ones"
        ),
    )
}

/// All places are taken by connections with keys.
pub(crate) fn too_many_connections(settings: &Settings) -> Problem {
    let most = settings.max_connections;
    let detail = format!(
        "{most} connections are served at most, some of them for the telephone system alone; try again later, and keep \
         fewer connections open"
    );
    Problem::try_again("too_many_connections", detail, 1)
}
