//! A store put on trial: the whole contract, then a load, during which a cluster's leader may be asked to resign. For
//! stores that tests cannot start by themselves: what does not hold is told, not panicked over.

use crate::contract::{Opener, checks};
use crate::load::{Found, Load, Outcome, connect, drive, look};
use async_trait::async_trait;
use domain::{EventStore, StoreError};
use eventstore::operations::{Client, OperationalOptions};
use eventstore::{Authentication, ClientSettings, Endpoint, Error};
use kaigi::store::StoreUrl;
use serde::Serialize;
use std::any::Any;
use std::fmt::{self, Display};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store_eventstoredb::ClusterStore;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// What was promised, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In words.
    pub promise: String,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How long it took to find out.
    pub ms: u64,
}

/// What came of a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum Verdict {
    /// It held.
    Held,
    /// It did not, and why.
    DidNotHold(String),
    /// Something else than this program put it to the test, and what was seen.
    Seen(String),
    /// It was not put to the test, and why.
    NotTried(String),
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held => f.write_str("held"),
            Self::DidNotHold(why) => write!(f, "DID NOT HOLD: {why}"),
            Self::Seen(what) => write!(f, "seen: {what}"),
            Self::NotTried(why) => write!(f, "not tried: {why}"),
        }
    }
}

/// Whoever wants to hear of findings as they come.
pub type Tell<'a> = &'a mut dyn FnMut(Finding);

/// The store on trial. Its calls, which stay in it, have names that begin with one text.
pub struct Accused {
    url: StoreUrl,
    prefix: String,
    last: Mutex<Option<Arc<dyn EventStore>>>,
}

impl Accused {
    /// The store at that URL. Opened once, so that what is wrong with the URL or the server is known before.
    pub async fn at(url: StoreUrl) -> anyhow::Result<Self> {
        url.open().await?.close().await?;
        let random = Uuid::new_v4().simple().to_string();
        Ok(Self {
            url,
            prefix: format!("contract-{}", &random[..8]),
            last: Mutex::default(),
        })
    }

    /// What the names of all its calls begin with.
    pub fn calls(&self) -> &str {
        &self.prefix
    }

    /// Two openings of it; only of a cluster two can be had.
    async fn twice(&self) -> [Arc<dyn EventStore>; 2] {
        let one = self.open().await;
        match self.url {
            StoreUrl::Cluster(_) => [one, opened(&self.url).await],
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Service(_) => [Arc::clone(&one), one],
        }
    }

    fn remember(&self, store: Option<Arc<dyn EventStore>>) -> Option<Arc<dyn EventStore>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut last, store)
    }
}

#[async_trait]
impl Opener for Accused {
    /// Closes the one that a check before left open: an embedded store is open once.
    async fn open(&self) -> Arc<dyn EventStore> {
        if let Some(before) = self.remember(None) {
            before.close().await.expect("closed");
        }
        let store = opened(&self.url).await;
        self.remember(Some(Arc::clone(&store)));
        store
    }

    async fn reopen(&self, store: Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        if self.url == StoreUrl::Memory {
            return store;
        }
        drop(store);
        self.open().await
    }

    async fn beside(&self, store: &Arc<dyn EventStore>) -> Arc<dyn EventStore> {
        match self.url {
            StoreUrl::Cluster(_) => opened(&self.url).await,
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Service(_) => Arc::clone(store),
        }
    }

    fn longest_batch(&self) -> usize {
        match self.url {
            StoreUrl::Cluster(_) => 400,
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Service(_) => 2000,
        }
    }

    fn prefix(&self) -> String {
        let random = Uuid::new_v4().simple().to_string();
        format!("{}-{}", self.prefix, &random[..12])
    }
}

async fn opened(url: &StoreUrl) -> Arc<dyn EventStore> {
    let store = url.open().await;
    store.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Puts it to every check whose words hold the given ones.
pub async fn contract(accused: &Arc<Accused>, words: &str, tell: Tell<'_>) {
    for check in checks() {
        let promise = check.name.replace('_', " ");
        if promise.contains(words) {
            let opener = Arc::clone(accused) as Arc<dyn Opener>;
            let (finding, _) = tried(promise, check.put_to(opener)).await;
            tell(finding);
        }
    }
}

/// Loads it from two sides at once, and looks for everything that was acknowledged. What came of the load, if it ended.
pub async fn soak(
    accused: &Arc<Accused>,
    load: Load,
    election: Election,
    tell: Tell<'_>,
) -> Option<Outcome> {
    let Load { calls, lasting, .. } = load;
    let promise = format!(
        "commands for {calls} calls are taken from two sides, {} s",
        lasting.as_secs()
    );
    let (begun, begins) = oneshot::channel();
    let (over, ends) = oneshot::channel();
    let mut leaders = Leaders::default();
    if let Election::Watched(operator, _) = &election {
        leaders.look(operator).await;
    }
    let loading = async {
        let ended = tried(promise, loaded(Arc::clone(accused), load, begun)).await;
        drop(over);
        ended
    };
    // A load that never began is told in its own row.
    let electing = async {
        let _ = begins.await;
        held(election, leaders, lasting / 3, ends).await
    };
    let ((finding, loaded), elected) = tokio::join!(loading, electing);
    tell(finding);
    if matches!(accused.url, StoreUrl::Cluster(_)) {
        tell(elected);
    }
    let (load, outcome) = loaded?;
    aftermath(accused, load, outcome.clone(), tell).await;
    Some(outcome)
}

/// Says when every call is connected and the load itself begins.
async fn loaded(accused: Arc<Accused>, load: Load, begun: oneshot::Sender<()>) -> (Load, Outcome) {
    const GRACE: Duration = Duration::from_mins(2);
    let [one, other] = accused.twice().await;
    let since = one.info().await.expect("it tells").last;
    let load = Load { since, ..load };
    let connected = connect(Arc::clone(&one), &load).await;
    let _ = begun.send(());
    let both = async { tokio::join!(drive(one, &load), drive(other, &load)) };
    let Ok((by_one, by_other)) = timeout(load.lasting + GRACE, both).await else {
        panic!("some commands had no answer for {} s", GRACE.as_secs());
    };
    let accepted = by_one.accepted + by_other.accepted;
    assert!(accepted > 0, "no command was accepted");
    (load, connected.and(by_one).and(by_other))
}

/// What the store holds once it is quiet, told by one that was opened anew.
async fn aftermath(accused: &Arc<Accused>, load: Load, outcome: Outcome, tell: Tell<'_>) {
    let acknowledged = outcome.acknowledged.len() as u64;
    let looking = looked(Arc::clone(accused), load, outcome);
    let (read, found) = tried("afterwards every call can be read".to_owned(), looking).await;
    let ms = read.ms;
    tell(read);
    let Some(found) = found else { return };
    let more = found
        .events
        .saturating_sub(acknowledged - found.lost.len() as u64);
    let faults = [
        ("nothing acknowledged is lost", any(&found.lost)),
        ("nothing is there twice", any(&found.twice)),
        ("every chain of hashes holds", any(&found.broken)),
        (
            "nothing is there that was not acknowledged",
            (more > 0).then(|| format!("{more} events")),
        ),
    ];
    for (promise, fault) in faults {
        tell(Finding {
            promise: promise.to_owned(),
            verdict: fault.map_or(Verdict::Held, Verdict::DidNotHold),
            ms,
        });
    }
}

async fn looked(accused: Arc<Accused>, load: Load, outcome: Outcome) -> Found {
    let store = match accused.url {
        StoreUrl::Memory => accused.remember(None).expect("it was loaded"),
        StoreUrl::Sled(_) | StoreUrl::Cluster(_) | StoreUrl::Service(_) => accused.open().await,
    };
    let found: Result<_, StoreError> = look(&*store, &load, &outcome).await;
    found.unwrap_or_else(|error| panic!("{error}"))
}

/// How many there are and the first of them, or nothing.
fn any<T: fmt::Debug>(found: &[T]) -> Option<String> {
    let first = found.first()?;
    Some(format!("{} of them, first {first:?}", found.len()))
}

/// What a cluster's server says that it is, for whoever is shown the findings later.
pub async fn server_version(url: &str) -> Option<String> {
    let (settings, _) = ClusterStore::client_settings(url).ok()?;
    let client = Client::new(settings).ok()?;
    let told = timeout(PATIENCE, client.server_version()).await;
    Some(told.ok()?.ok()?.version().to_string())
}

/// How long a node may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this program does about the leader of a cluster during the load.
pub enum Election {
    /// It asks the leader to resign.
    Asked(Operator),
    /// It watches whether another node becomes the leader; if none does, the promise is not tried for that reason.
    Watched(Operator, String),
    /// It cannot do anything, for that reason.
    Untried(String),
}

/// The address of a cluster's operators, and a user who may ask the leader to resign.
pub struct Operator {
    settings: ClientSettings,
    user: Option<Authentication>,
}

impl Operator {
    /// By the connection string of the cluster, or why there is nothing to ask for.
    pub fn of(url: &str) -> Result<Self, String> {
        let settings = ClusterStore::client_settings(url).map_err(|error| error.to_string());
        let (settings, user) = settings?;
        if settings.hosts().len() < 2 && !settings.is_dns_discovery_enabled() {
            return Err("the connection string names one node".to_owned());
        }
        Ok(Self { settings, user })
    }

    /// The node that a client that wants the leader turns to.
    async fn leader(&self) -> Result<Endpoint, String> {
        let client = Client::new(self.settings.clone()).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, client.current_selected_node()).await {
            Ok(node) => node.map_err(|error| error.to_string()),
            Err(_) => Err("no node answers".to_owned()),
        }
    }

    async fn resign(&self) -> Result<(), Error> {
        self.client()?.resign_node(&self.options()).await
    }

    /// Sets the priority of the leader below that of all other nodes, until it starts again.
    async fn lower_priority(&self) -> Result<(), Error> {
        // The client takes no negative priority, and keeps the lower 32 bits of a larger one: -1.
        const LOWEST: usize = usize::MAX;
        let options = self.options();
        self.client()?.set_node_priority(LOWEST, &options).await
    }

    fn client(&self) -> Result<Client, Error> {
        let client = Client::new(self.settings.clone());
        client.map_err(|error| Error::InitializationError(error.to_string()))
    }

    fn options(&self) -> OperationalOptions {
        let options = OperationalOptions::default();
        match self.user.clone() {
            Some(user) => options.authenticated(user),
            None => options,
        }
    }
}

/// Asks the leader to resign after a while and waits for the next one, or watches the leader until the load is over.
async fn held(
    election: Election,
    leaders: Leaders,
    after: Duration,
    over: oneshot::Receiver<()>,
) -> Finding {
    let promise = "the leader resigns meanwhile, and another node leads".to_owned();
    let mut began = Instant::now();
    let verdict = match election {
        Election::Untried(why) => Verdict::NotTried(why),
        Election::Watched(operator, why) => leaders.watch(&operator, over).await.verdict(why),
        Election::Asked(operator) => {
            sleep(after).await;
            began = Instant::now();
            resigned(&operator).await
        }
    };
    Finding {
        promise,
        verdict,
        ms: millis(began.elapsed()),
    }
}

async fn resigned(operator: &Operator) -> Verdict {
    let before = match operator.leader().await {
        Ok(leader) => leader,
        Err(why) => return Verdict::DidNotHold(why),
    };
    // Where this is refused, so is the resignation; where it is not known, asking again has to do.
    let _ = operator.lower_priority().await;
    let asking = asked_until_another_leads(operator, &before);
    match timeout(Duration::from_secs(30), asking).await {
        Ok(Ok(())) => Verdict::Held,
        Ok(Err(Error::AccessDenied)) => {
            Verdict::NotTried("the server refuses it; its user needs group $ops".to_owned())
        }
        Ok(Err(error)) => Verdict::DidNotHold(error.to_string()),
        Err(_) => Verdict::DidNotHold(format!("{} still leads", name(&before))),
    }
}

/// Asks again as long as the same node is elected: of candidates with one priority, a random one is.
async fn asked_until_another_leads(operator: &Operator, before: &Endpoint) -> Result<(), Error> {
    const ELECTION: Duration = Duration::from_secs(4);
    loop {
        operator.resign().await?;
        if timeout(ELECTION, next_leader(operator, before))
            .await
            .is_ok()
        {
            return Ok(());
        }
    }
}

async fn next_leader(operator: &Operator, before: &Endpoint) {
    let mut leaders = Leaders {
        led: vec![name(before)],
        ..Leaders::default()
    };
    while leaders.led.len() < 2 {
        sleep(BETWEEN_LOOKS).await;
        leaders.look(operator).await;
    }
}

/// How often the leader is looked for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// The nodes that led, one after the other.
#[derive(Default)]
struct Leaders {
    led: Vec<String>,
    /// The node that clients turn to, and how many times in a row.
    latest: (String, u32),
}

impl Leaders {
    /// During an election clients turn to any node, so one that leads is found there some times in a row.
    async fn look(&mut self, operator: &Operator) {
        let Ok(leader) = operator.leader().await.map(|leader| name(&leader)) else {
            return;
        };
        if self.latest.0 != leader {
            self.latest = (leader.clone(), 0);
        }
        self.latest.1 += 1;
        let sure = self.latest.1 >= 3 || self.led.is_empty();
        if sure && self.led.last() != Some(&leader) {
            self.led.push(leader);
        }
    }

    async fn watch(mut self, operator: &Operator, mut over: oneshot::Receiver<()>) -> Self {
        while timeout(BETWEEN_LOOKS, &mut over).await.is_err() {
            self.look(operator).await;
        }
        self
    }

    fn verdict(self, otherwise: String) -> Verdict {
        match &self.led[..] {
            [] | [_] => Verdict::NotTried(otherwise),
            [first, others @ ..] => {
                Verdict::Seen(format!("{first} led, then {}", others.join(", then ")))
            }
        }
    }
}

fn name(node: &Endpoint) -> String {
    format!("{}:{}", node.host, node.port)
}

/// Tries it on a task of its own, where a panic is what did not hold.
async fn tried<T: Send + 'static>(
    promise: String,
    trial: impl Future<Output = T> + Send + 'static,
) -> (Finding, Option<T>) {
    let began = Instant::now();
    let ended = tokio::spawn(trial).await;
    let (verdict, value) = match ended {
        Ok(value) => (Verdict::Held, Some(value)),
        Err(panic) => (Verdict::DidNotHold(words(&*panic.into_panic())), None),
    };
    let ms = millis(began.elapsed());
    (
        Finding {
            promise,
            verdict,
            ms,
        },
        value,
    )
}

/// What a panic says, on one line that can be shown.
fn words(panic: &(dyn Any + Send)) -> String {
    const LONGEST: usize = 600;
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    let words: Vec<_> = said
        .unwrap_or("a panic without words")
        .split_whitespace()
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
