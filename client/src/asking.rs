//! Questions to a service and commands for it, with patience where a repetition is safe.

use crate::patience::{Patience, Waits};
use crate::stream::Events;
use crate::{ClientError, Lines, Problem};
use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;
use tokio::time::sleep;

/// A service, and the key it is asked with. Connections are used again; a clone shares them.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<HeaderValue>,
    patience: Patience,
}

/// How a service is approached.
#[derive(Clone, Default)]
pub struct Options {
    /// The key; without one none is sent.
    pub key: Option<String>,
    /// Certificates of authorities that this machine does not know, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// How often and how soon to try again.
    pub patience: Patience,
}

/// What is asked: a path, its parameters, and in which form the answer should come.
#[derive(Debug, Clone)]
pub struct Question {
    path: Vec<String>,
    parameters: Vec<(&'static str, String)>,
    accept: &'static str,
    roles: Option<&'static str>,
}

/// What a service answered, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long an answer or a stream may be silent; streams say more often that they are still there.
const SILENCE: Duration = Duration::from_mins(1);

impl Question {
    /// A question whose path has those segments; whatever they hold is escaped.
    pub fn new<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self {
            path: path.into_iter().map(Into::into).collect(),
            parameters: Vec::new(),
            accept: "application/json",
            roles: None,
        }
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// With a parameter, if it has a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }

    /// Its path and query, escaped.
    pub fn target(&self) -> String {
        let mut url = Url::parse("http://localhost").expect("it is an URL");
        self.put_into(&mut url);
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    fn put_into(&self, url: &mut Url) {
        url.path_segments_mut()
            .expect("an URL of HTTP has a path")
            .pop_if_empty()
            .extend(&self.path);
        if !self.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.parameters);
        }
    }

    /// Which roles may ask it, such as `auditor or operator`: said to whoever has another.
    #[must_use]
    pub fn for_roles(self, roles: &'static str) -> Self {
        let roles = Some(roles);
        Self { roles, ..self }
    }

    /// Answered one JSON value a line.
    #[must_use]
    pub fn by_line(self) -> Self {
        Self {
            accept: NDJSON,
            ..self
        }
    }
}

const NDJSON: &str = "application/x-ndjson";

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ClientError::protocol(&self.url, error.to_string()))
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, ClientError> {
        str::from_utf8(&self.body)
            .map_err(|_| ClientError::protocol(&self.url, "an answer that is not UTF-8"))
    }
}

impl Client {
    /// The service at that URL, asked with that key.
    pub fn new(url: &str, key: Option<String>) -> Result<Self, ClientError> {
        let options = Options {
            key,
            ..Options::default()
        };
        Self::with(url, &options)
    }

    /// The service at that URL, approached like that.
    pub fn with(url: &str, options: &Options) -> Result<Self, ClientError> {
        let base = based(url)?;
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECTING)
            .read_timeout(SILENCE)
            .tcp_keepalive(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("kaigi/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &options.authorities {
            let authorities = Certificate::from_pem_bundle(pem);
            let authorities = authorities.map_err(|error| no_certificates(&error))?;
            if authorities.is_empty() {
                return Err(no_certificates(&"there is none in it"));
            }
            for authority in authorities {
                http = http.add_root_certificate(authority);
            }
        }
        let http = http.build();
        let http = http.map_err(|error| ClientError::on_the_way(&base, &error))?;
        Ok(Self {
            http,
            base,
            key: options.key.as_deref().map(bearer).transpose()?,
            patience: options.patience,
        })
    }

    /// Where the service is.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// How often and how soon it tries again.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Asks, again and again while the service is away or busy, as far as patience goes.
    pub async fn ask(&self, question: &Question) -> Result<Answer, ClientError> {
        let mut waits = self.patience.waits();
        loop {
            let request = self.request(Method::GET, self.url_of(question));
            match self.answered(request.header(ACCEPT, question.accept)).await {
                Err(error) => {
                    let error = error.needing(question.roles);
                    self.again(&mut waits, error).await?;
                }
                answer => return answer,
            }
        }
    }

    /// Posts JSON whose repetition does no harm: a command with an id. Tries again like a question.
    pub async fn post(
        &self,
        path: impl IntoIterator<Item = &str>,
        json: String,
    ) -> Result<Answer, ClientError> {
        let (url, body) = (self.at(path), Bytes::from(json));
        let mut waits = self.patience.waits();
        loop {
            let request = self.request(Method::POST, url.clone());
            let request = request.header(CONTENT_TYPE, "application/json");
            match self.answered(request.body(body.clone())).await {
                Err(error) => self.again(&mut waits, error).await?,
                answer => return answer,
            }
        }
    }

    /// Posts lines as they come, and hands out the lines that are answered as they come. Tried once: who knows which
    /// lines were answered sends the others again.
    pub async fn exchange(
        &self,
        path: impl IntoIterator<Item = &str>,
        lines: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Lines, ClientError> {
        let lines = futures_util::StreamExt::map(lines, Ok::<_, Infallible>);
        let request = self
            .request(Method::POST, self.at(path))
            .header(CONTENT_TYPE, NDJSON)
            .header(ACCEPT, NDJSON)
            .body(Body::wrap_stream(lines));
        let response = self.sent(request).await?;
        Ok(Lines::new(response.url().clone(), response))
    }

    /// Opens a stream of server-sent events, after the one with that id. Tried once, as what follows depends on what
    /// came before.
    pub async fn follow(
        &self,
        question: &Question,
        last_id: Option<&str>,
    ) -> Result<Events, ClientError> {
        let mut request = self
            .request(Method::GET, self.url_of(question))
            .header(ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.sent(request).await;
        let response = response.map_err(|error| error.needing(question.roles))?;
        Ok(Events::new(response.url().clone(), response))
    }

    /// Waits before the next attempt, if there may be one.
    async fn again(&self, waits: &mut Waits, error: ClientError) -> Result<(), ClientError> {
        match waits.next(&error) {
            Some(wait) => {
                sleep(wait).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.header("authorization", key.clone()),
            None => request,
        }
    }

    fn at<'s>(&self, path: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an URL of HTTP has a path")
            .pop_if_empty()
            .extend(path);
        url
    }

    fn url_of(&self, question: &Question) -> Url {
        let mut url = self.base.clone();
        question.put_into(&mut url);
        url
    }

    async fn answered(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        let response = self.sent(request).await?;
        let (url, headers) = (response.url().clone(), response.headers().clone());
        let body = response.bytes().await;
        let body = body.map_err(|error| self.on_the_way(&error))?;
        Ok(Answer { url, headers, body })
    }

    /// The head of an answer, if all is well.
    async fn sent(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await;
        let response = response.map_err(|error| self.on_the_way(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> ClientError {
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.on_the_way(&error),
        };
        let url = self.url().to_owned();
        match Problem::read(status.as_u16(), &body, retry_after) {
            Some(problem) => ClientError::Refused {
                url,
                problem: Box::new(problem),
            },
            None if stands_before_it(status) => ClientError::Unreachable {
                url,
                why: format!("what stands before it says {status}"),
            },
            None => ClientError::Protocol {
                url,
                what: format!("it says {status}"),
            },
        }
    }

    fn on_the_way(&self, error: &reqwest::Error) -> ClientError {
        ClientError::on_the_way(&self.url(), error)
    }
}

/// What a proxy says of a service that is away.
fn stands_before_it(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn based(url: &str) -> Result<Url, ClientError> {
    let misnamed = |why: &str| ClientError::Misnamed(format!("the service's URL {why}"));
    let url = Url::parse(url)
        .map_err(|error| misnamed(&format!("must be like https://HOST:PORT ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(misnamed("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(misnamed(
            "has no user and password; a key comes from KAIGI_KEY or a file",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(misnamed("has neither ? nor #"));
    }
    Ok(url)
}

fn bearer(key: &str) -> Result<HeaderValue, ClientError> {
    // Nothing of a key is repeated, whatever is wrong with it.
    let value = HeaderValue::from_str(&format!("Bearer {}", key.trim()));
    let mut value = value.map_err(|_| {
        ClientError::Misnamed(
            "the key has characters that no key has; it is one line like kaigi_ID_SECRET"
                .to_owned(),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn no_certificates(why: &impl fmt::Display) -> ClientError {
    ClientError::Misnamed(format!(
        "the authorities' certificates must be PEM, beginning with -----BEGIN CERTIFICATE----- ({why})"
    ))
}

/// In whole seconds; the other form, a date, is not one this service uses.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_some() {
            "a key"
        } else {
            "no key"
        };
        write!(f, "Client({}, {key})", self.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_that_of_a_service_or_says_what_to_change() {
        for (url, wrong) in [
            ("localhost", "must be like https://"),
            ("localhost:7777", "must begin with https://"),
            ("ftp://localhost", "must begin with https://"),
            ("http://ana:geheim@localhost", "no user and password"),
            ("http://localhost/?key=geheim", "neither ? nor #"),
        ] {
            let error = Client::new(url, None).unwrap_err().to_string();
            assert!(
                error.contains(wrong) && !error.contains("geheim"),
                "{error}"
            );
        }
    }

    #[test]
    fn paths_are_below_the_url_and_whatever_a_call_is_named_is_escaped() {
        for base in ["http://localhost/kaigi", "http://localhost/kaigi/"] {
            let client = Client::new(base, None).unwrap();
            assert_eq!(client.url(), "http://localhost/kaigi");
            let question = Question::new(["v1", "calls", "a?b#c%d"])
                .with("queue", &"a b&c+d")
                .with_some("agent", None::<String>);
            assert_eq!(
                client.url_of(&question).as_str(),
                "http://localhost/kaigi/v1/calls/a%3Fb%23c%25d?queue=a+b%26c%2Bd"
            );
        }
    }

    #[test]
    fn no_key_is_shown() {
        let client = Client::new("http://localhost", Some("kaigi_a_geheim\n".to_owned())).unwrap();
        assert_eq!(format!("{client:?}"), "Client(http://localhost, a key)");
        let wrong = Client::new("http://localhost", Some("geh\u{7f}eim".to_owned()));
        let error = wrong.unwrap_err().to_string();
        assert!(
            error.contains("one line") && !error.contains("eim\""),
            "{error}"
        );
    }
}
