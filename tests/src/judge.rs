//! Every route of a service, asked and held against its document.

use crate::api::{Answered, Api};
use crate::service::Held;
use domain::json::write_command;
use reqwest::{Client, Method};
use serde_json::Value;
use simulate::{Day, simulate};

/// Asks every route of a running service, and holds whatever is answered against its document.
pub struct Judge<'a> {
    url: &'a str,
    keys: &'a Held,
    client: Client,
    api: Api,
}

impl<'a> Judge<'a> {
    /// Of the service there, which knows those keys and keeps them in a file.
    pub async fn of(url: &'a str, keys: &'a Held) -> Self {
        let client = Client::new();
        let document = client.get(format!("{url}/openapi.json")).send();
        let document = document.await.expect("the service answers").text().await;
        let document = document.expect("the document comes whole");
        let api = Api::new(serde_json::from_str(&document).expect("it is JSON"));
        Self {
            url,
            keys,
            client,
            api,
        }
    }

    /// Every route with every success that the document promises, and many a refusal.
    pub async fn every_route(&self) {
        self.commands().await;
        self.read_models().await;
        self.history().await;
        self.keys_and_tokens().await;
        self.operation().await;
        let successes = self.api.successes();
        let missing: Vec<_> = successes.difference(&self.api.seen()).cloned().collect();
        assert_eq!(missing, Vec::<String>::new(), "nobody asked for these");
    }

    /// The first so many bytes of the answer to that route: a stream has no end.
    async fn ask(
        &self,
        route: (&str, &str),
        path: &str,
        key: &str,
        accept: &str,
        body: &str,
    ) -> (u16, String) {
        let method: Method = route.0.parse().expect("it is a method");
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method, url).bearer_auth(key);
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        if !body.is_empty() {
            let lines = path == "/v1/commands";
            let media_type = if lines {
                "application/x-ndjson"
            } else {
                "application/json"
            };
            request = request
                .header("content-type", media_type)
                .body(body.to_owned());
        }
        let mut answer = request.send().await.expect("the service answers");
        let status = answer.status().as_u16();
        let media_type = answer.headers().get("content-type").cloned();
        let media_type = media_type.map_or(String::new(), |media_type| {
            media_type.to_str().expect("it is a text").to_owned()
        });
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.expect("it comes whole") {
            text.extend_from_slice(&chunk);
            if media_type.starts_with("text/event-stream") {
                break;
            }
        }
        let body = String::from_utf8(text).expect("it is UTF-8");
        let answered = Answered {
            method: route.0,
            path: route.1,
            status,
            media_type: &media_type,
            body: &body,
        };
        self.api
            .judge(&answered)
            .unwrap_or_else(|why| panic!("{} {path}: {why}", route.0));
        (status, body)
    }
}

const ROWS: [&str; 3] = ["application/json", "application/x-ndjson", "text/csv"];

/// No `Accept`.
const ANY: &str = "";

/// No body.
const NONE: &str = "";

impl Judge<'_> {
    async fn commands(&self) {
        let held = self.keys;
        let day: String = simulate(&Day { calls: 30, seed: 1 })
            .map(|mut request| {
                request.at = None;
                write_command(&request) + "\n"
            })
            .collect();
        let many = ("POST", "/v1/commands");
        self.ask(many, "/v1/commands", &held.telephony, ANY, &(day + "{}\n"))
            .await;
        let one = ("POST", "/v1/calls/{call}/commands");
        let connect = r#"{"type":"connect_call","agent":"agent:ana","customer":"+15550100","queue":"billing"}"#;
        let end = r#"{"type":"end_call","by":"agent:ana"}"#;
        let stale = r#"{"type":"end_call","by":"agent:ana","expect":7}"#;
        let nobody = r#"{"type":"end_call","by":"nobody"}"#;
        let no_key = String::new();
        for (call, key, body, expected) in [
            ("c1", &held.telephony, connect, 200),
            ("c1", &held.telephony, connect, 409),
            ("c1", &held.telephony, "{", 400),
            ("none", &held.ana, end, 404),
            ("c1", &held.telephony, stale, 412),
            ("c1", &held.telephony, nobody, 422),
            ("c1", &held.ben, end, 403),
            ("c1", &held.reader, connect, 403),
            ("c1", &no_key, connect, 401),
        ] {
            let path = format!("/v1/calls/{call}/commands");
            let (status, answer) = self.ask(one, &path, key, ANY, body).await;
            assert_eq!(status, expected, "{answer}");
        }
    }

    async fn read_models(&self) {
        let reader = &self.keys.reader;
        for (route, query) in [
            ("/v1/active-calls", "?queue=billing"),
            ("/v1/active-calls", "?nonsense=1"),
            ("/v1/active-calls", "?min_position=99999999&wait=0"),
            ("/v1/wrap-up-queue", ""),
            ("/v1/handle-times", ""),
            ("/v1/handle-times", "?by=agent"),
            ("/v1/handle-times", "?window=1h&by=queue"),
            ("/v1/handle-times", "?window=1h&by=agent&explain=true"),
            ("/v1/monitoring", "?limit=1"),
        ] {
            for accept in ROWS {
                let path = format!("{route}{query}");
                self.ask(("GET", route), &path, reader, accept, NONE).await;
            }
            let changes = format!("{route}/changes");
            self.ask(("GET", &changes), &changes, reader, ANY, NONE)
                .await;
        }
        let calls = ("GET", "/v1/active-calls");
        let (status, _) = self.ask(calls, calls.1, reader, "image/png", NONE).await;
        assert_eq!(status, 406);
    }

    async fn history(&self) {
        let auditor = &self.keys.auditor;
        for accept in ROWS {
            self.ask(
                ("GET", "/v1/calls"),
                "/v1/calls?limit=3",
                auditor,
                accept,
                NONE,
            )
            .await;
        }
        for (route, path) in [
            ("/v1/calls/{call}", "/v1/calls/c1"),
            ("/v1/calls/{call}", "/v1/calls/none"),
            ("/v1/calls/{call}", "/v1/calls/c1?revision=9"),
            ("/v1/calls/{call}/events", "/v1/calls/c1/events"),
            ("/v1/calls/{call}/events", "/v1/calls/none/events"),
            ("/v1/events", "/v1/events"),
            ("/v1/events", "/v1/events?form=cloudevents"),
            ("/v1/events", "/v1/events?after=99999999"),
            ("/v1/events", "/v1/events?after=many"),
            ("/v1/proof", "/v1/proof"),
            ("/v1/proof", "/v1/proof?count=99999999"),
            ("/v1/position", "/v1/position"),
            ("/v1/store", "/v1/store"),
        ] {
            self.ask(("GET", route), path, auditor, ANY, NONE).await;
        }
        let (events, of_call) = (("GET", "/v1/events"), ("GET", "/v1/calls/{call}/events"));
        for form in ["plain", "whole", "cloudevents"] {
            let path = format!("/v1/events?form={form}&limit=5");
            self.ask(events, &path, auditor, ROWS[1], NONE).await;
            let path = format!("/v1/calls/c1/events?form={form}");
            self.ask(of_call, &path, auditor, ROWS[1], NONE).await;
        }
        self.ask(
            events,
            "/v1/events?after=0",
            auditor,
            "text/event-stream",
            NONE,
        )
        .await;
    }

    async fn keys_and_tokens(&self) {
        let (reader, operator) = (&self.keys.reader, &self.keys.operator);
        let key = r#"{"name":"wallboard","roles":["reader"]}"#;
        let keys = ("POST", "/v1/keys");
        let (_, created) = self.ask(keys, "/v1/keys", operator, ANY, key).await;
        let created: Value = serde_json::from_str(&created).expect("it is JSON");
        let created = format!("/v1/keys/{}", created["id"].as_str().expect("it is told"));
        self.ask(("GET", "/v1/keys"), "/v1/keys", operator, ANY, NONE)
            .await;
        for path in [&*created, "/v1/keys/none"] {
            self.ask(("DELETE", "/v1/keys/{id}"), path, operator, ANY, NONE)
                .await;
        }
        let stream = r#"{"stream":"/v1/active-calls/changes"}"#;
        let tokens = ("POST", "/v1/tokens");
        let (_, token) = self.ask(tokens, "/v1/tokens", reader, ANY, stream).await;
        let token: Value = serde_json::from_str(&token).expect("it is JSON");
        let url = format!("{}{}", self.url, token["url"].as_str().expect("it is told"));
        assert_eq!(
            reqwest::get(url)
                .await
                .expect("the service answers")
                .status(),
            200
        );
    }

    async fn operation(&self) {
        let (reader, operator) = (&self.keys.reader, &self.keys.operator);
        for (method, path, key) in [
            ("GET", "/v1/read-models", operator),
            ("POST", "/v1/read-models/rebuild", operator),
            ("GET", "/metrics", reader),
            ("GET", "/healthz", reader),
            ("GET", "/readyz", reader),
            ("GET", "/openapi.json", reader),
            ("GET", "/", reader),
        ] {
            self.ask((method, path), path, key, ANY, NONE).await;
        }
    }
}
