//! Connections: their limits, and their end.

use domain::{Handler, MemoryStore};
use engine::keys::Keys;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use server::Parts;
use server::access::Guards;
use server::listen::{Certificate, Listener, serve};
use server::log::Log;
use server::{Service, Settings};
use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tests::service::one_of_each;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// How long something that is waited for may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// A limit of time that a test waits out.
const SHORT_MS: u64 = 200;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: kaigi\r\n\r\n";

/// What a service wrote to its log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn all(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }
}

const DOCUMENT: &str = "GET /openapi.json HTTP/1.1\r\nhost: kaigi\r\nconnection: close\r\n\r\n";

/// A service, listening; its clients here are plain sockets, to do what no well-behaved client does.
struct Here {
    address: SocketAddr,
    service: Arc<Service>,
    telephony: String,
    log: Lines,
    serving: JoinHandle<usize>,
    runtime: Runtime,
}

impl Here {
    fn with(settings: Settings) -> Self {
        Self::listening(settings, Listener::plain)
    }

    fn listening(settings: Settings, listener: impl FnOnce(TcpListener) -> Listener) -> Self {
        let runtime = Runtime::new().unwrap();
        let (keys, held) = one_of_each();
        let log = Lines::default();
        let store = Arc::new(MemoryStore::new());
        let parts = Parts {
            store: Arc::clone(&store) as _,
            handler: Handler::new(store),
            settings,
            guards: Guards::new(Keys::of(keys)),
            folder: None,
            log: Log::to(log.clone()),
        };
        let service = runtime.block_on(Service::start(parts)).unwrap();
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = tcp.local_addr().unwrap();
        let serving = runtime.spawn(serve(listener(tcp), Arc::clone(&service)));
        Self {
            address,
            service,
            telephony: held.telephony,
            log,
            serving,
            runtime,
        }
    }

    fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// Waits for the end of a service that was told to stop; answers how many connections were cut off.
    fn ended(self) -> usize {
        self.runtime.block_on(self.serving).unwrap()
    }

    fn stop(self) {
        self.service.stop();
        assert_eq!(self.ended(), 0);
    }

    /// The head of a command whose body is that long.
    fn command_of(&self, length: usize) -> String {
        format!(
            "POST /v1/calls/c1/commands HTTP/1.1\r\nhost: kaigi\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n",
            self.telephony
        )
    }

    /// A client that has shown its key, so that its connection keeps its place.
    fn known(&self) -> Client {
        let mut client = self.connect();
        assert!(self.knows(&mut client));
        client
    }

    /// Whether a question with a key is answered on this connection.
    fn knows(&self, client: &mut Client) -> bool {
        let question = format!(
            "POST /v1/calls/none/commands HTTP/1.1\r\nhost: kaigi\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}",
            self.telephony
        );
        client.send(question).answer().0.starts_with("HTTP/1.1 400")
    }

    /// A client whose command of that length is under way: its body is waited for.
    fn asking(&self, length: usize) -> Client {
        let mut client = self.connect();
        let (head, _) = client.send(self.command_of(length)).answer();
        assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
        client
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.0.get_mut().write_all(text.as_ref()).unwrap();
        self
    }

    /// The head of an answer, and its body of the length that the head tells.
    fn answer(&mut self) -> (String, String) {
        answer_on(&mut self.0)
    }

    /// All that comes until the connection ends.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }

    fn is_healthy(&mut self) -> bool {
        self.send(HEALTH).answer().0.starts_with("HTTP/1.1 204")
    }
}

fn answer_on(stream: &mut BufReader<impl Read>) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).unwrap();
        assert!(read > 0, "the connection ended: {head:?}");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Asks again and again until it holds.
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never held");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn settings() -> Settings {
    Settings::default()
}

/// Nothing but one limit of time ends a connection.
fn endless() -> Settings {
    let hour = 3_600_000;
    Settings {
        header_timeout_ms: hour,
        idle_timeout_ms: hour,
        keep_alive_ms: hour,
        keep_alive_anonymous_ms: hour,
        heartbeat_ms: hour,
        ..Settings::default()
    }
}

/// HTTP/2, as little of it as asking once takes.
mod http2 {
    use std::io::Read;

    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    const WINDOW: u8 = 8;
    const END: u8 = 1;
    pub(super) const PING: u8 = 6;

    pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        [&head, payload].concat()
    }

    /// What a connection begins with: the preface, and how many bytes of an answer it takes at once.
    pub(super) fn begin(window: u32) -> Vec<u8> {
        let settings = [&[0, 4], &window.to_be_bytes()[..]].concat();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        [&preface[..], &frame(4, 0, 0, &settings)].concat()
    }

    pub(super) fn get(path: &str) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let fields = [
            vec![0x82, 0x86, 0x44],
            text(path),
            vec![0x41],
            text("kaigi"),
        ]
        .concat();
        frame(HEADERS, 5, 1, &fields)
    }

    /// Room for so many bytes more, of the answer and of the connection.
    pub(super) fn room(bytes: u32) -> Vec<u8> {
        let frame = |stream| frame(WINDOW, 0, stream, &bytes.to_be_bytes());
        [frame(0), frame(1)].concat()
    }

    /// The payload of the next frame of that kind.
    pub(super) fn next(stream: &mut impl Read, kind: u8) -> Vec<u8> {
        flagged(stream, kind).1
    }

    /// The rest of an answer's body.
    pub(super) fn body(stream: &mut impl Read) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let (flags, data) = flagged(stream, DATA);
            body.extend(data);
            if flags & END != 0 {
                return body;
            }
        }
    }

    /// The flags and the payload of the next frame of that kind.
    fn flagged(stream: &mut impl Read, kind: u8) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).unwrap();
            if head[3] == kind {
                return (head[4], payload);
            }
        }
    }
}

#[test]
fn headers_beyond_the_limit_are_refused_with_what_to_do() {
    let here = Here::with(Settings {
        max_header_bytes: 1000,
        ..settings()
    });
    let long = |bytes: usize| {
        format!(
            "GET /healthz HTTP/1.1\r\nhost: kaigi\r\nx-long: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    let mut client = here.connect();
    let (head, _) = client.send(long(900)).answer();
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    let (head, body) = client.send(long(1000)).answer();
    assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    assert!(head.contains("application/problem+json"), "{head}");
    assert!(
        body.contains("headers_too_large") && body.contains("1000 bytes"),
        "{body}"
    );
    assert!(client.is_healthy(), "it was read to its end");

    let mut client = here.connect();
    // The service need not read all of it.
    let _ = client.0.get_mut().write_all(long(1_000_000).as_bytes());
    let (head, _) = client.answer();
    assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    client.rest();
    here.stop();
}

#[test]
fn what_is_no_http_is_answered_and_the_connection_ends() {
    let here = Here::with(settings());
    let mut client = here.connect();
    let (head, _) = client.send("EHLO kaigi\r\n\r\n").answer();
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(client.rest(), b"");
    here.stop();
}

#[test]
fn who_dawdles_with_the_headers_is_cut_off() {
    let here = Here::with(Settings {
        header_timeout_ms: SHORT_MS,
        ..endless()
    });
    for begin in [
        "",
        "GET",
        "GET /healthz HTTP/1.1\r\nhost: kaigi\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        assert_eq!(here.connect().send(begin).rest(), b"", "{begin}");
    }
    // A byte now and then is not enough.
    let mut slow = here.connect();
    slow.send("GET /healthz HTTP/1.1\r\nx-slow: ");
    wait_until(|| slow.0.get_mut().write_all(b"x").is_err());
    here.stop();
}

#[test]
fn who_dawdles_with_a_second_request_is_cut_off_too() {
    let here = Here::with(Settings {
        header_timeout_ms: SHORT_MS,
        ..endless()
    });
    let mut client = here.connect();
    assert!(client.is_healthy());
    assert_eq!(client.send("GET /heal").rest(), b"");
    here.stop();
}

#[test]
fn a_connection_without_a_request_is_closed_in_the_end() {
    let here = Here::with(Settings {
        keep_alive_ms: SHORT_MS,
        ..endless()
    });
    let mut client = here.connect();
    assert!(client.is_healthy());
    assert_eq!(client.rest(), b"");
    here.stop();
}

#[test]
fn who_falls_silent_within_a_body_is_told_and_cut_off() {
    let here = Here::with(Settings {
        idle_timeout_ms: SHORT_MS,
        ..endless()
    });
    let mut client = here.asking(100);
    client.send("{\"type\":");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.starts_with("HTTP/1.1 408"), "{rest}");
    assert!(
        rest.contains(&format!("nothing came for {SHORT_MS} ms")),
        "{rest}"
    );
    here.stop();
}

#[test]
fn a_byte_of_a_body_now_and_then_is_not_enough() {
    let here = Here::with(Settings {
        idle_timeout_ms: SHORT_MS,
        ..endless()
    });
    let mut client = here.asking(60_000);
    let stream = client.0.get_mut();
    let between = Duration::from_millis(SHORT_MS / 10);
    stream.set_read_timeout(Some(between)).unwrap();
    let begun = Instant::now();
    let mut first = [0];
    while stream.read(&mut first).is_err() {
        assert!(begun.elapsed() < PATIENCE, "it was never told");
        stream.write_all(b" ").unwrap();
    }
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (head, body) = client.answer();
    assert!(head.starts_with("TTP/1.1 408"), "{head}");
    assert!(
        body.contains(&format!("within {} ms", 4 * SHORT_MS)),
        "{body}"
    );
    drop(client);
    here.stop();
}

#[test]
fn who_takes_an_answer_slowly_over_http2_is_given_all_of_it() {
    let here = Here::with(Settings {
        keep_alive_ms: SHORT_MS,
        header_timeout_ms: SHORT_MS,
        ..endless()
    });
    let (_, whole) = here.connect().send(DOCUMENT).answer();
    let mut client = here.connect();
    client
        .send(http2::begin(1000))
        .send(http2::get("/openapi.json"));
    let mut body = http2::next(&mut client.0, http2::DATA);
    // As long as nothing is taken, whoever has nothing under way would be gone.
    let mut others = (0..3).map(|_| here.connect().rest());
    assert!(others.all(|rest| rest.is_empty()));
    client.send(http2::room(1_000_000));
    body.extend(http2::body(&mut client.0));
    assert_eq!(body.len(), whole.len());
    assert_eq!(body, whole.as_bytes());
    drop(client);
    here.stop();
}

#[test]
fn a_connection_is_closed_behind_its_only_answer_if_none_is_to_be_kept() {
    let here = Here::with(Settings {
        keep_alive_ms: 0,
        ..endless()
    });
    let mut client = here.connect();
    assert!(client.is_healthy());
    assert_eq!(client.rest(), b"");
    here.stop();
}

#[test]
fn who_takes_nothing_of_the_answers_is_cut_off() {
    let here = Here::with(Settings {
        idle_timeout_ms: SHORT_MS,
        ..endless()
    });
    let mut greedy = here.connect();
    let many = HEALTH.repeat(1000);
    // It asks and asks, and reads nothing; once all that lies between is full, only the end of the connection ends this.
    let error = loop {
        if let Err(error) = greedy.0.get_mut().write_all(many.as_bytes()) {
            break error;
        }
    };
    let ends = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(ends.contains(&error.kind()), "{error}");
    assert!(here.connect().is_healthy());
    here.stop();
}

#[test]
fn who_leaves_no_room_for_an_answer_over_http2_is_cut_off() {
    let here = Here::with(Settings {
        idle_timeout_ms: SHORT_MS,
        ..endless()
    });
    let mut client = here.connect();
    client.send(http2::begin(0)).send(http2::get("/nowhere"));
    http2::next(&mut client.0, http2::HEADERS);
    client.rest();
    here.stop();
}

#[test]
fn http2_is_spoken_with_whoever_begins_it() {
    let here = Here::with(settings());
    let mut client = here.connect();
    client
        .send(http2::begin(65_535))
        .send(http2::get("/healthz"));
    let answer = http2::next(&mut client.0, http2::HEADERS);
    assert_eq!(answer.first(), Some(&0x89), "the status is 204: {answer:?}");
    here.service.stop();
    // It asks whether all was seen that it sent before it said that it ends.
    let asked = http2::next(&mut client.0, http2::PING);
    client.send(http2::frame(http2::PING, 1, 0, &asked)).rest();
    assert_eq!(here.ended(), 0);
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_are_served() {
    let here = Here::with(Settings {
        max_connections: 2,
        ..settings()
    });
    let (mut one, mut other) = (here.known(), here.known());
    for _ in 0..100 {
        let mut more = here.connect();
        let (head, body) = more.send(HEALTH).answer();
        assert!(
            head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"),
            "{head}"
        );
        assert!(body.contains("too_many_connections"), "{body}");
        assert_eq!(more.rest(), b"");
    }
    assert!(one.is_healthy() && other.is_healthy());
    drop(one);
    wait_until(|| here.connect().is_healthy());
    here.stop();
}

#[test]
fn a_connection_without_a_key_makes_room_for_the_next_and_one_with_a_key_does_not() {
    let here = Here::with(Settings {
        max_connections: 3,
        ..endless()
    });
    let mut known = here.known();
    let (mut first, mut second) = (here.connect(), here.connect());
    assert!(first.is_healthy() && second.is_healthy());
    for _ in 0..10 {
        let mut next = here.connect();
        assert!(next.is_healthy());
        assert_eq!(first.rest(), b"", "it was idle for longest");
        (first, second) = (second, next);
    }
    // Neither headers that never end nor silence hold a place.
    for begin in [
        "GET /healthz HTTP/1.1\r\nx-slow: ",
        "PRI * HTTP/2.0\r\n",
        "",
    ] {
        let mut slow = here.connect();
        slow.send(begin);
        assert_eq!(first.rest(), b"");
        (first, second) = (second, slow);
    }
    let mut after = here.known();
    assert!(here.knows(&mut known) && here.knows(&mut after));
    here.stop();
}

#[test]
fn an_address_has_so_many_connections_without_a_key_and_closes_its_own() {
    let here = Here::with(Settings {
        max_anonymous_per_address: 2,
        ..endless()
    });
    let mut known: Vec<_> = (0..5).map(|_| here.known()).collect();
    let (mut first, mut second, mut third) = (here.connect(), here.connect(), here.connect());
    assert_eq!(first.rest(), b"");
    assert!(second.is_healthy() && third.is_healthy());
    assert!(known.iter_mut().all(|client| here.knows(client)));
    here.stop();
}

#[test]
fn a_connection_is_kept_longer_once_it_has_shown_a_key() {
    let here = Here::with(Settings {
        keep_alive_anonymous_ms: SHORT_MS,
        ..endless()
    });
    let (mut known, mut anonymous) = (here.known(), here.connect());
    assert!(anonymous.is_healthy());
    assert_eq!(anonymous.rest(), b"");
    assert!(here.knows(&mut known));
    here.stop();
}

#[test]
fn those_that_are_refused_cannot_keep_others_from_being_refused() {
    let here = Here::with(Settings {
        max_connections: 1,
        ..settings()
    });
    let mut one = here.known();
    let _silent: Vec<_> = (0..64).map(|_| here.connect()).collect();
    assert_eq!(here.connect().rest(), b"", "it is closed without a word");
    assert!(one.is_healthy());
    here.service.stop();
    assert_eq!(here.ended(), 0);
}

#[test]
fn the_end_answers_what_is_under_way_and_closes_the_rest() {
    let here = Here::with(settings());
    let command = r#"{"type":"connect_call","call":"c1","agent":"agent:ana"}"#;
    let (mut idle, mut silent) = (here.connect(), here.connect());
    assert!(idle.is_healthy());
    let mut asking = here.asking(command.len());
    let (begin, rest) = command.split_at(10);
    asking.send(begin);
    here.service.stop();
    assert_eq!(idle.rest(), b"");
    assert_eq!(silent.rest(), b"");
    let refused = || {
        TcpStream::connect(here.address)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    wait_until(refused);
    assert!(!here.serving.is_finished());
    let (head, body) = asking.send(rest).answer();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert!(body.contains("\"revision\":1"), "{body}");
    assert_eq!(asking.rest(), b"");
    assert_eq!(here.ended(), 0);
}

#[test]
fn what_takes_longer_than_the_grace_is_cut_off_and_counted() {
    let here = Here::with(Settings {
        grace_ms: SHORT_MS,
        ..endless()
    });
    let mut asking = [here.asking(100), here.asking(100)];
    here.service.stop();
    let log = here.log.clone();
    assert_eq!(here.ended(), 2);
    wait_until(|| log.all().len() == 2);
    for line in log.all() {
        assert_eq!(
            (&line["status"], &line["code"]),
            (&499.into(), &"client_gone".into())
        );
        assert_eq!(line["route"], "/v1/calls/{call}/commands");
        assert_eq!(line["peer"], "127.0.0.1");
        assert!(line["key"].is_string(), "{line}");
    }
    for client in &mut asking {
        assert_eq!(client.rest(), b"");
    }
}

/// A certificate and its key, as files.
struct Files {
    folder: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = made();
        let files = Self {
            folder,
            der: made.cert.der().clone(),
        };
        files.write(&made.cert.pem(), &made.signing_key.serialize_pem());
        files
    }

    fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn write(&self, chain: &str, key: &str) {
        fs::write(self.chain(), chain).unwrap();
        fs::write(self.key(), key).unwrap();
    }

    fn open(&self) -> Result<Certificate, String> {
        Certificate::open(&self.chain(), &self.key()).map_err(|error| error.to_string())
    }
}

fn made() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

type Secure = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Shakes hands, trusting that certificate alone; nothing if another is shown.
fn secure(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocol: &[u8],
) -> Option<Secure> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions();
    let mut config = config
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = "localhost".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = Client::to(address).0.into_inner();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).ok()?;
    }
    assert_eq!(connection.alpn_protocol(), Some(protocol));
    Some(BufReader::new(StreamOwned::new(connection, tcp)))
}

fn is_healthy(secure: &mut Secure) -> bool {
    secure.get_mut().write_all(HEALTH.as_bytes()).unwrap();
    answer_on(secure).0.starts_with("HTTP/1.1 204")
}

#[test]
fn over_tls_both_versions_are_spoken() {
    let files = Files::new();
    let certificate = Arc::new(files.open().unwrap());
    let here = Here::listening(settings(), |tcp| Listener::tls(tcp, certificate));
    let mut one = secure(here.address, &files.der, b"http/1.1").unwrap();
    assert!(is_healthy(&mut one));
    let mut two = secure(here.address, &files.der, b"h2").unwrap();
    let asked = [http2::begin(65_535), http2::get("/healthz")].concat();
    two.get_mut().write_all(&asked).unwrap();
    let answer = http2::next(&mut two, http2::HEADERS);
    assert_eq!(answer.first(), Some(&0x89), "the status is 204: {answer:?}");
    drop(two);
    here.stop();
}

#[test]
fn who_dawdles_with_the_handshake_or_does_not_speak_tls_is_cut_off() {
    let files = Files::new();
    let certificate = Arc::new(files.open().unwrap());
    let short = Settings {
        header_timeout_ms: SHORT_MS,
        ..endless()
    };
    let here = Here::listening(short, |tcp| Listener::tls(tcp, certificate));
    assert_eq!(here.connect().rest(), b"");
    let plain = here.connect().send(HEALTH).rest();
    assert!(!plain.starts_with(b"HTTP"), "{plain:?}");
    let mut silent = secure(here.address, &files.der, b"http/1.1").unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    here.stop();
}

#[test]
fn a_changed_certificate_is_taken_once_both_files_fit() {
    let files = Files::new();
    let certificate = Arc::new(files.open().unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let here = Here::listening(settings(), |tcp| {
        let told = Arc::clone(&told);
        let tell = move |what: &str| told.lock().unwrap().push(what.to_owned());
        Listener::tls(tcp, certificate).telling(tell)
    });
    let was_told = |what: &str| told.lock().unwrap().iter().any(|told| told.contains(what));
    let mut before = secure(here.address, &files.der, b"http/1.1").unwrap();
    let new = made();
    fs::write(files.chain(), new.cert.pem()).unwrap();
    wait_until(|| was_told("the certificate before stays in use: the key in"));
    assert!(secure(here.address, &files.der, b"http/1.1").is_some());
    fs::write(files.key(), new.signing_key.serialize_pem()).unwrap();
    wait_until(|| was_told("the certificate has changed"));
    let mut after = secure(here.address, new.cert.der(), b"http/1.1").unwrap();
    assert!(secure(here.address, &files.der, b"http/1.1").is_none());
    assert!(is_healthy(&mut after));
    assert!(
        is_healthy(&mut before),
        "a connection keeps what it began with"
    );
    here.service.stop();
    assert_eq!(here.ended(), 0);
}

#[test]
fn a_certificate_that_cannot_be_used_says_why() {
    let files = Files::new();
    let other = made();
    let (chain, key) = (
        fs::read_to_string(files.chain()).unwrap(),
        fs::read_to_string(files.key()).unwrap(),
    );
    let refused = |chain: &str, key: &str| {
        files.write(chain, key);
        files.open().err().unwrap()
    };
    let error = refused(&chain, &other.signing_key.serialize_pem());
    assert!(error.contains("does not fit the certificate"), "{error}");
    let error = refused("", &key);
    assert!(
        error.contains("chain.pem holds no certificate in PEM"),
        "{error}"
    );
    let error = refused(&chain, &chain);
    assert!(
        error.contains("key.pem holds no private key in PEM"),
        "{error}"
    );
    let missing = Certificate::open(Path::new("nowhere.pem"), &files.key());
    let error = missing.err().unwrap().to_string();
    assert!(error.contains("nowhere.pem cannot be read"), "{error}");
}
