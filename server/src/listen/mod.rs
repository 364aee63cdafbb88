//! How bytes come in: connections, their limits, and an end in which nothing is cut off that ends in time.
//!
//! What cannot be read as HTTP at all, and headers far beyond the limit, are answered below the routes: a bare status
//! (400, 414 or 431) without a problem's body. All else that is refused has one. Over HTTP/2 an answer that nobody takes
//! ends its connection, with all the requests that share it.

mod body;
mod connection;
mod patience;
mod places;
mod stage;
mod stream;
mod tls;

pub use tls::{BadCertificate, Certificate};

pub(crate) use self::connection::too_many_connections;
pub(crate) use self::places::Seat;

use self::connection::Attendance;
use self::patience::Pulse;
use self::places::{Place, Places};
use self::stage::Stage;
use self::stream::Watched;
use crate::Service;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long to wait for what the system lacks, such as descriptors, before the next connection is accepted.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Where a service listens.
pub struct Listener {
    tcp: TcpListener,
    certificate: Option<Arc<Certificate>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Listener {
    /// For HTTP.
    pub fn plain(tcp: TcpListener) -> Self {
        Self {
            tcp,
            certificate: None,
            tell: Box::new(|_| {}),
        }
    }

    /// For HTTPS with that certificate, which is read again when its files change.
    pub fn tls(tcp: TcpListener, certificate: Arc<Certificate>) -> Self {
        Self {
            certificate: Some(certificate),
            ..Self::plain(tcp)
        }
    }

    /// Whom to tell what no client hears of: a certificate that was read again, or could not be; a lack of descriptors.
    #[must_use]
    pub fn telling(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Where it is.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Whether it is for HTTPS.
    pub fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self::plain(tcp)
    }
}

/// Serves until the service is told to stop, and then until what is under way is answered, or has had its time. Answers
/// how many connections were cut off in the end.
pub async fn serve(listener: impl Into<Listener>, service: Arc<Service>) -> usize {
    let places = Places::within(&service.settings);
    let stage = watch::Sender::new(Stage::Serving);
    let attendance = Arc::new(Attendance::new(Arc::clone(&service)));
    let listener = listener.into();
    tokio::select! {
        () = service.stopped() => {}
        () = accept(&listener, &attendance, &places, &stage) => {}
        () = refresh(&listener) => {}
    }
    // From here on nobody can connect.
    drop(listener);
    stage.send_replace(Stage::Stopping);
    let grace = Duration::from_millis(service.settings.grace_ms);
    if timeout(grace, places.all_free()).await.is_ok() {
        return 0;
    }
    let cut_off = places.taken();
    stage.send_replace(Stage::CutOff);
    places.all_free().await;
    cut_off
}

/// Accepts for ever. What the system lacks now it may have later, so no error ends it.
async fn accept(
    listener: &Listener,
    attendance: &Arc<Attendance>,
    places: &Places,
    stage: &watch::Sender<Stage>,
) {
    let mut is_short = false;
    loop {
        match listener.tcp.accept().await {
            Ok((stream, peer)) => {
                is_short = false;
                let Some(place) = places.take(peer.ip()) else {
                    continue;
                };
                let certificate = listener
                    .certificate
                    .as_ref()
                    .map(|certificate| certificate.current());
                let stage = stage.subscribe();
                let attendance = Arc::clone(attendance);
                tokio::spawn(async move {
                    attend(attendance, stream, peer, place, certificate, stage).await;
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !is_short {
                    (listener.tell)(&format!("no connection can be accepted for now: {error}"));
                }
                is_short = true;
                sleep(BETWEEN_ATTEMPTS).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}

async fn attend(
    attendance: Arc<Attendance>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    certificate: Option<tokio_rustls::TlsAcceptor>,
    stage: watch::Receiver<Stage>,
) {
    // An answer is written in whole pieces, so waiting for more of it would only make it late.
    let _ = stream.set_nodelay(true);
    let seat = match &place {
        Place::Served(seat) => Some(Arc::clone(seat)),
        Place::Refused(_) => None,
    };
    let pulse = Arc::new(Pulse::new(attendance.patience(), seat.clone()));
    let stream = Watched::new(stream, Arc::clone(&pulse));
    let connection = attendance.connection(peer, pulse, seat, stage);
    match certificate {
        None => connection.serve(stream).await,
        Some(acceptor) => connection.serve_tls(stream, &acceptor).await,
    }
    // The last to go: whoever waits for it finds nothing left of the connection.
    drop(attendance);
    drop(place);
}

/// Reads the certificate again whenever its files change.
async fn refresh(listener: &Listener) {
    match &listener.certificate {
        Some(certificate) => certificate.refresh(&*listener.tell).await,
        None => std::future::pending().await,
    }
}
