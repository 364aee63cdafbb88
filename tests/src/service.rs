//! A running service on a store in memory, and a key for each role.

use domain::{Entry, EventStore, Handler, MemoryStore, Position, StoreError, Timestamp};
use engine::keys::{Grant, Key, KeyFile, Keys};
use projections::{AllFour, Checkpointed};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use server::Parts;
use server::access::Guards;
use server::log::Log;
use server::{Service, Settings};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A service that listens on the loopback.
pub struct Running {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    /// The service itself.
    pub service: Arc<Service>,
    /// The keys it knows.
    pub keys: Held,
    client: Client,
    serving: JoinHandle<usize>,
}

/// The texts of keys that a service knows, one of each role.
#[derive(Debug, Clone)]
pub struct Held {
    /// The telephone system's.
    pub telephony: String,
    /// The desktop's of `agent:ana`.
    pub ana: String,
    /// The desktop's of `agent:ben`.
    pub ben: String,
    /// `supervisor:sam`'s.
    pub sam: String,
    /// A dashboard's.
    pub reader: String,
    /// An auditor's.
    pub auditor: String,
    /// An operator's.
    pub operator: String,
}

/// How a service under test is made.
pub struct Setup {
    /// Its store.
    pub store: Arc<dyn EventStore>,
    /// What an operator would choose.
    pub settings: Settings,
    /// Where it keeps read models.
    pub folder: Option<PathBuf>,
    /// The file of its keys; without one they are in memory.
    pub keys: Option<PathBuf>,
    /// The clock it goes by; without one the machine's.
    pub clock: Option<Box<dyn Fn() -> Timestamp + Send + Sync>>,
    /// Where it logs.
    pub log: Log,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            settings: Settings::default(),
            folder: None,
            keys: None,
            clock: None,
            log: Log::silent(),
        }
    }
}

/// The secret part of a key's text. It may contain `_`, which also stands before it and before the key's id.
pub fn random_part(key: &str) -> &str {
    let part = key.splitn(3, '_').nth(2);
    part.expect("a key is kaigi_ID_SECRET")
}

/// One key of each role, and their texts.
pub fn one_of_each() -> (Vec<Key>, Held) {
    let mut keys = Vec::new();
    let mut key = |name: &str, grant: Grant| {
        let (key, text) = Key::create(name, vec![grant]);
        keys.push(key);
        text
    };
    let id = |text: &str| text.parse().expect("the id is valid");
    let held = Held {
        telephony: key("telephony", Grant::Telephony),
        ana: key("ana", Grant::Desk(id("ana"))),
        ben: key("ben", Grant::Desk(id("ben"))),
        sam: key(
            "sam",
            Grant::Supervisor("sam".parse().expect("the id is valid")),
        ),
        reader: key("reader", Grant::Reader),
        auditor: key("auditor", Grant::Auditor),
        operator: key("operator", Grant::Operator),
    };
    (keys, held)
}

/// Those keys in a file.
pub fn kept(file: &Path, keys: Vec<Key>) -> Keys {
    let kept = KeyFile::at(file);
    for key in keys {
        kept.add(key).expect("a key can be kept");
    }
    Keys::open(file).expect("what was kept can be read")
}

/// A service on that store, with no listener in front of it and no keys.
pub async fn bare(store: Arc<dyn EventStore>, folder: &Path, settings: Settings) -> Arc<Service> {
    let parts = Parts {
        handler: Handler::new(Arc::clone(&store)),
        store,
        settings,
        guards: Guards::new(Keys::of(Vec::new())),
        folder: Some(folder.to_owned()),
        log: Log::silent(),
    };
    Service::start(parts).await.expect("the service starts")
}

/// All that stands in the store, damaged events among it.
pub async fn entries(store: &dyn EventStore) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let after = entries.last().map_or(Position::START, Entry::position);
        match store.read_all(after, 1000).await {
            Ok(events) if events.is_empty() => return entries,
            Ok(events) => entries.extend(events.into_iter().map(Entry::Event)),
            Err(StoreError::DamagedEvent(event)) => entries.push(Entry::Damaged(*event)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The read models that the store's entries make, by a fold from the first one.
pub async fn expected(store: &dyn EventStore) -> Checkpointed<AllFour> {
    let mut model = Checkpointed::new(store.id());
    for entry in entries(store).await {
        match entry {
            Entry::Event(event) => model.fold(&[event]),
            Entry::Damaged(event) => model.fold_damaged(&event),
        }
    }
    model
}

impl Running {
    /// On an empty store in memory, with the default settings.
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// Made like that.
    pub async fn with(setup: Setup) -> Self {
        let (keys, held) = one_of_each();
        let keys = match setup.keys {
            Some(file) => kept(&file, keys),
            None => Keys::of(keys),
        };
        let mut handler = Handler::new(Arc::clone(&setup.store));
        if let Some(clock) = setup.clock {
            handler = handler.with_clock(clock);
        }
        let service = Service::start(Parts {
            handler,
            store: setup.store,
            settings: setup.settings,
            guards: Guards::new(keys),
            folder: setup.folder,
            log: setup.log,
        })
        .await
        .expect("the service starts");
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let serving = tokio::spawn(server::listen::serve(listener, Arc::clone(&service)));
        Self {
            url: format!("http://{address}"),
            service,
            keys: held,
            client: Client::new(),
            serving,
        }
    }

    /// A request with that key.
    pub fn request(&self, method: Method, key: &str, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.client.request(method, url).bearer_auth(key)
    }

    /// A question with that key.
    pub fn get(&self, key: &str, path: &str) -> RequestBuilder {
        self.request(Method::GET, key, path)
    }

    /// A command for that call by the telephone system: its fields without the call.
    pub async fn send(&self, call: &str, command: &Value) -> reqwest::Response {
        let mut command = command.clone();
        command["call"] = call.into();
        self.request(
            Method::POST,
            &self.keys.telephony,
            &format!("/v1/calls/{call}/commands"),
        )
        .header("content-type", "application/json")
        .body(command.to_string())
        .send()
        .await
        .expect("the service answers")
    }

    /// Stops it as a signal would, and waits for its end.
    pub async fn stop(self) {
        self.service.stop();
        self.serving.await.expect("serving does not panic");
        self.service.close().await;
    }
}
