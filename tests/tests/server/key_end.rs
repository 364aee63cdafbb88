//! What becomes of requests and streams whose key is revoked or expires while they are under way.

use super::commands::conversation::Conversation;
use super::commands::wire::Wire;
use domain::{EventStore, MemoryStore, Timestamp};
use engine::keys::{Grant, Key, KeyFile, Role};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use server::Settings;
use server::access::Access;
use server::route::Route;
use server::routes::table;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::service::{Held, Running, Setup};

/// A service whose keys are in a file.
struct Here {
    service: Running,
    file: KeyFile,
    _folder: TempDir,
}

impl Here {
    async fn with(settings: Settings) -> Self {
        let setup = Setup {
            settings,
            ..Setup::default()
        };
        Self::of(setup).await
    }

    async fn of(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let keys = Some(path.clone());
        Self {
            service: Running::with(Setup { keys, ..setup }).await,
            file: KeyFile::at(path),
            _folder: folder,
        }
    }

    fn look(&self) {
        self.service.service.guards.keys().unwrap().look();
    }

    fn revoke(&self, text: &str) {
        let id = text.split('_').nth(1).unwrap();
        self.file.revoke(id, domain::now()).unwrap();
        self.look();
    }

    /// How many requests and streams are under way that end with their key.
    fn under_way(&self) -> usize {
        self.service.service.guards.keys().unwrap().watchers()
    }

    async fn events(&self) -> u64 {
        self.service.service.store.info().await.unwrap().last.0
    }
}

/// No limit of time but the key's end ends a request.
fn endless() -> Settings {
    let hour = 3_600_000;
    Settings {
        idle_timeout_ms: hour,
        max_wait_ms: hour,
        heartbeat_ms: hour,
        ..Settings::default()
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A key that may take the route.
fn key_for<'a>(route: &Route, held: &'a Held) -> &'a str {
    let Access::Roles(roles) = route.access else {
        panic!("{} needs no key", route.path)
    };
    match roles[0] {
        Role::Telephony => &held.telephony,
        Role::Desk => &held.ana,
        Role::Supervisor => &held.sam,
        Role::Reader => &held.reader,
        Role::Auditor => &held.auditor,
        Role::Operator => &held.operator,
    }
}

/// A body that the route would accept.
fn body_for(route: &Route) -> String {
    let connect = json!({"call": "c1", "type": "connect_call", "agent": "agent:ana"});
    match route.operation.id {
        "sendCommand" => connect.to_string(),
        "sendCommands" => format!("{connect}\n"),
        "createKey" => json!({"name": "another", "roles": ["operator"]}).to_string(),
        "createToken" => json!({"stream": "/v1/active-calls/changes"}).to_string(),
        other => panic!("{other} takes a body: write here one that it accepts"),
    }
}

#[tokio::test]
async fn a_request_whose_key_is_revoked_while_its_body_comes_changes_nothing() {
    let takes_a_body = |route: &Arc<Route>| route.operation.body.is_some();
    for route in table().into_iter().filter(takes_a_body) {
        let here = Here::with(endless()).await;
        let (media_type, _) = route.operation.body.as_ref().unwrap();
        let (key, body) = (key_for(&route, &here.service.keys), body_for(&route));
        let headers = [
            format!("content-type: {media_type}"),
            format!("content-length: {}", body.len()),
            "expect: 100-continue".to_owned(),
            "connection: close".to_owned(),
        ];
        let headers = headers.each_ref().map(String::as_str);
        let path = route.path.replace("{call}", "c1");
        let mut wire = Wire::post_with(&here.service, key, &path, &headers).await;
        if *media_type == "application/json" {
            wire.until_asked_for_the_body().await;
        }
        let (begin, rest) = body.split_at(body.len() / 2);
        wire.send(begin.as_bytes()).await;
        eventually("it is under way", async || here.under_way() > 0).await;
        here.revoke(key);
        // The connection may be closed already.
        let answer = wire.try_send(rest.as_bytes()).await.answer().await;
        let told = format!("{}: {} {}", route.path, answer.status, answer.body);
        if *media_type == "application/json" {
            assert_eq!(answer.status, 401, "{told}");
            assert!(answer.body.contains("key_revoked"), "{told}");
        } else {
            assert!(answer.body.contains("not admitted any more"), "{told}");
        }
        assert_eq!(here.events().await, 0, "{told}");
        assert_eq!(here.file.keys().unwrap().len(), 7, "{told}");
        here.service.stop().await;
    }
}

#[tokio::test]
async fn a_question_that_waits_ends_with_its_key() {
    for path in [
        "/v1/position?past=9&wait=3600",
        "/v1/events?after=0&wait=3600",
        "/v1/active-calls?min_position=9&wait=3600",
    ] {
        let here = Here::with(endless()).await;
        let key = here.service.keys.auditor.clone();
        let waiting = tokio::spawn(here.service.get(&key, path).send());
        eventually("it waits", async || here.under_way() > 0).await;
        here.revoke(&key);
        let (status, problem) = refusal(waiting.await.unwrap().unwrap()).await;
        assert_eq!(
            (status, &problem["code"]),
            (401, &json!("key_revoked")),
            "{path}"
        );
        here.service.stop().await;
    }
}

async fn refusal(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn a_silent_stream_of_commands_ends_with_its_key() {
    let here = Here::with(endless()).await;
    let mut conversation = Conversation::begin(&here.service).await;
    let connect = json!({"call": "c1", "type": "connect_call", "agent": "agent:ana"});
    conversation.say(format!("{connect}\n")).await;
    assert_eq!(conversation.answer().await["accepted"], true);
    here.revoke(&here.service.keys.telephony);
    let rest = conversation.rest().await;
    let [end] = rest.as_slice() else {
        panic!("{rest:?}")
    };
    assert!(
        end["error"]
            .as_str()
            .unwrap()
            .contains("not admitted any more")
    );
    here.service.stop().await;
}

#[tokio::test]
async fn a_stream_of_commands_that_completes_no_line_in_time_ends() {
    let settings = Settings {
        idle_timeout_ms: 300,
        ..endless()
    };
    let here = Here::with(settings).await;
    let mut conversation = Conversation::begin(&here.service).await;
    let said = conversation.said();
    let dribbling = tokio::spawn(async move {
        while said.send(Ok(" ".to_owned())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let end = conversation.answer().await;
    assert!(
        end["error"].as_str().unwrap().contains("no whole line"),
        "{end}"
    );
    assert_eq!(conversation.rest().await, [] as [Value; 0]);
    dribbling.await.unwrap();
    here.service.stop().await;
}

#[tokio::test]
async fn a_stream_of_commands_takes_a_place_among_the_streams_of_its_key() {
    let settings = Settings {
        max_streams_per_key: 1,
        ..endless()
    };
    let here = Here::with(settings).await;
    let conversation = Conversation::begin(&here.service).await;
    let connect = json!({"call": "c2", "type": "connect_call", "agent": "agent:ana"});
    let another = async || {
        let key = &here.service.keys.telephony;
        let request = here.service.request(Method::POST, key, "/v1/commands");
        let request = request.header("content-type", "application/x-ndjson");
        let request = request.body(format!("{connect}\n"));
        refusal(request.send().await.unwrap()).await
    };
    let (status, problem) = another().await;
    assert_eq!(
        (status, &problem["code"]),
        (429, &json!("too_many_streams"))
    );
    assert_eq!(here.events().await, 0, "no line of it was read");
    conversation.end().await;
    eventually("there is a place again", async || another().await.0 == 200).await;
    here.service.stop().await;
}

/// A clock that the test sets.
#[derive(Clone)]
struct Wall(Arc<AtomicU64>);

const HOUR_MS: u64 = 3_600_000;

impl Wall {
    fn right() -> Self {
        Self(Arc::new(AtomicU64::new(domain::now().as_millis())))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn set_ahead(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn set_back(&self, ms: u64) {
        self.0.fetch_sub(ms, Ordering::Relaxed);
    }

    /// A service that goes by it, on that store.
    async fn service(&self, store: Arc<dyn EventStore>, max_ahead_ms: u64) -> Here {
        let clock = self.clone();
        let settings = Settings {
            max_ahead_ms,
            ..endless()
        };
        Here::of(Setup {
            store,
            settings,
            clock: Some(Box::new(move || clock.now())),
            ..Setup::default()
        })
        .await
    }
}

impl Here {
    /// Adds a key that expires then.
    fn expiring(&self, at: Timestamp) -> String {
        let (mut key, text) = Key::create("expiring", vec![Grant::Auditor]);
        key.expires_at = Some(at);
        self.file.add(key).unwrap();
        self.look();
        text
    }

    async fn status(&self, key: &str) -> u16 {
        let asked = self.service.get(key, "/v1/store").send().await;
        asked.unwrap().status().as_u16()
    }

    async fn trouble(&self) -> Value {
        let asked = self.service.get("", "/readyz").send().await;
        refusal(asked.unwrap()).await.1["trouble"].clone()
    }

    /// The gauge of the clock, in whole hours.
    async fn hours_off(&self) -> String {
        let asked = self.service.get(&self.service.keys.reader, "/metrics");
        let text = asked.send().await.unwrap().text().await.unwrap();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix("kaigi_clock_error_seconds "));
        let seconds: f64 = line.unwrap().parse().unwrap();
        format!("{:.0}", seconds / 3600.0)
    }
}

#[tokio::test]
async fn a_request_ends_when_its_key_expires_and_a_clock_set_back_revives_none() {
    let wall = Wall::right();
    let here = wall
        .service(Arc::new(MemoryStore::new()), 2 * HOUR_MS)
        .await;
    let key = here.expiring(wall.now().plus_millis(HOUR_MS));
    let path = "/v1/position?past=9&wait=3600";
    let waiting = tokio::spawn(here.service.get(&key, path).send());
    eventually("it waits", async || here.under_way() > 0).await;
    wall.set_ahead(HOUR_MS);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 401);
    wall.set_back(HOUR_MS);
    assert_eq!(here.status(&key).await, 401);
    eventually("it is said", async || {
        here.trouble().await == json!(["clock"])
    })
    .await;
    assert_eq!(here.hours_off().await, "-1");
    here.service.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_before_the_start_revives_no_key() {
    let wall = Wall::right();
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let here = wall.service(Arc::clone(&store), 60_000).await;
    let end = wall.now();
    let connect = json!({"type": "connect_call", "agent": "agent:ana"});
    assert_eq!(here.service.send("c1", &connect).await.status(), 200);
    here.service.stop().await;
    wall.set_back(HOUR_MS);
    let here = wall.service(store, 60_000).await;
    let key = here.expiring(end);
    assert_eq!(here.status(&key).await, 401);
    eventually("it is said", async || {
        here.trouble().await == json!(["clock"])
    })
    .await;
    assert_eq!(here.hours_off().await, "-1");
    let later = json!({"type": "connect_call", "agent": "agent:ana"});
    assert_eq!(
        here.service.send("c2", &later).await.status(),
        200,
        "it serves all the same"
    );
    here.service.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_is_reported_until_it_is_right_again() {
    let wall = Wall::right();
    let here = wall.service(Arc::new(MemoryStore::new()), 60_000).await;
    eventually("it is ready", async || here.trouble().await == json!([])).await;
    wall.set_ahead(HOUR_MS);
    assert_eq!(here.trouble().await, json!(["clock"]));
    assert_eq!(here.hours_off().await, "1");
    wall.set_back(HOUR_MS);
    assert_eq!(here.trouble().await, json!([]));
    here.service.stop().await;
}
