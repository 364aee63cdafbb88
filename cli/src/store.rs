//! Which store: the one place where the program chooses.

use crate::exit::usage;
use crate::private::keep_private;
use crate::remote::{Access, ServiceUrl};
use crate::serve::address::forget_address;
use crate::waiting::Waiting;
use anyhow::Context;
use domain::{EventStore, MemoryStore, StoreId};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use store_eventstoredb::ClusterStore;
use store_sled::SledStore;
use tokio::time::{Instant, sleep_until};

/// The pause between two attempts to open a store that cannot be reached.
const BETWEEN_OPENINGS: Duration = Duration::from_secs(1);

/// A store by URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store in that folder.
    Sled(PathBuf),
    /// A store that is gone when the program ends.
    Memory,
    /// A cluster's store, which other processes use at the same time.
    Cluster(ClusterUrl),
    /// The store of a running service, for reading.
    Service(ServiceUrl),
}

/// The connection string of a cluster, as its vendor's tools take it. Nobody is shown the password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterUrl(String);

impl StoreUrl {
    /// The embedded store in a folder `kaigi` of the user's data folder.
    pub fn default_store() -> anyhow::Result<Self> {
        let folder = data_folder()
            .ok_or_else(|| usage("no home folder is known; name a store with --store sled:PATH"))?;
        Ok(StoreUrl::Sled(folder.join("kaigi")))
    }

    /// Opens it, creating an embedded one that is not there yet. A cluster is asked whether it is there, and lets us in.
    pub async fn open(&self) -> anyhow::Result<Arc<dyn EventStore>> {
        Ok(match self {
            StoreUrl::Sled(path) => Arc::new(self.open_sled(path)?),
            StoreUrl::Memory => Arc::new(MemoryStore::new()),
            StoreUrl::Cluster(url) => {
                // Boxed, because connecting takes room that no other store needs.
                let opened = Box::pin(ClusterStore::open(&url.0)).await;
                Arc::new(opened.with_context(|| format!("cannot open {self}"))?)
            }
            StoreUrl::Service(url) => url.open().await?,
        })
    }

    /// Opens it. A cluster that cannot be reached is tried again until patience ends.
    pub async fn open_within(
        &self,
        patience: Duration,
        mut waiting: impl FnMut(&Waiting),
    ) -> anyhow::Result<Arc<dyn EventStore>> {
        let began = Instant::now();
        loop {
            let error = match self.open().await {
                Err(error) if is_away(&error) && began.elapsed() < patience => error,
                opened => return opened,
            };
            waiting(&Waiting::to_open(&error, began, patience));
            sleep_until((Instant::now() + BETWEEN_OPENINGS).min(began + patience)).await;
        }
    }

    /// Whether the open store can be back after it was away. An embedded store that failed has to be opened again.
    pub fn comes_back(&self) -> bool {
        match self {
            StoreUrl::Cluster(_) | StoreUrl::Service(_) => true,
            StoreUrl::Sled(_) | StoreUrl::Memory => false,
        }
    }

    /// Opens an embedded store that is there, for what no other store can do.
    pub fn open_embedded(&self) -> anyhow::Result<SledStore> {
        let path = self.folder()?;
        self.must_exist()?;
        self.open_sled(path)
    }

    fn open_sled(&self, path: &Path) -> anyhow::Result<SledStore> {
        let store = SledStore::open(path).with_context(|| format!("cannot open {self}"))?;
        forget_address(path);
        keep_private(path);
        Ok(store)
    }

    /// Whether what is shown of it is all there is to it, and no password is left out.
    pub fn is_shown_whole(&self) -> bool {
        match self {
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Service(_) => true,
            StoreUrl::Cluster(url) => url.to_string() == url.0,
        }
    }

    /// The folder of an embedded store, also of one that is too damaged to be known for a store.
    pub fn folder(&self) -> anyhow::Result<&Path> {
        let path = match self {
            StoreUrl::Sled(path) => path,
            StoreUrl::Memory => {
                return Err(usage(format!(
                    "{self} has no files; name an embedded store with --store sled:PATH"
                )));
            }
            StoreUrl::Cluster(_) => {
                return Err(usage(format!(
                    "{self} has its files in the cluster, whose own tools look after them; `kaigi store digest` \
                     verifies every hash and takes --against, `kaigi store backup` keeps a copy, and this works on --store sled:PATH only"
                )));
            }
            StoreUrl::Service(_) => {
                return Err(usage(format!(
                    "{self} has its files where the service runs; name the store there with --store sled:PATH"
                )));
            }
        };
        if !path.join("log").is_dir() {
            self.must_exist()?;
        }
        Ok(path)
    }

    /// Refuses a store that nobody writes to before anything is read for it.
    pub fn must_be_writable(&self) -> anyhow::Result<()> {
        match self {
            StoreUrl::Sled(path) if SledStore::is_archive(path) => Err(usage(format!(
                "{self} is an archive, which nobody writes to; name the store it belongs to"
            ))),
            StoreUrl::Service(_) => Err(usage(format!(
                "{self} takes commands, not events; stop the service and name its store, or send it commands with \
                 `kaigi run`"
            ))),
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) => Ok(()),
        }
    }

    /// A service is approached like that; for stores it makes no difference.
    #[must_use]
    pub fn approached(self, access: &Access) -> Self {
        match self {
            StoreUrl::Service(url) => StoreUrl::Service(url.with(access)),
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) => self,
        }
    }

    /// Whether both name the same store; two in memory never are one. A cluster has many names, and copying between
    /// two of them is refused by the store's id.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (StoreUrl::Sled(one), StoreUrl::Sled(other)) => {
                let real = |path: &PathBuf| std::fs::canonicalize(path).ok();
                one == other || real(one).is_some_and(|one| Some(one) == real(other))
            }
            (StoreUrl::Cluster(one), StoreUrl::Cluster(other)) => one == other,
            (StoreUrl::Service(one), StoreUrl::Service(other)) => one.is_same(other),
            (
                StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) | StoreUrl::Service(_),
                _,
            ) => false,
        }
    }

    /// The folder where read models keep their checkpoints: beside the events, or for a cluster in the user's data
    /// folder, by the store's id. A store in memory has none, and a service keeps its own.
    pub fn read_models(&self, id: StoreId) -> Option<PathBuf> {
        match self {
            StoreUrl::Sled(path) => Some(path.join("read-models")),
            StoreUrl::Memory | StoreUrl::Service(_) => None,
            StoreUrl::Cluster(_) => {
                let of_store = data_folder()?.join("kaigi-clusters").join(id.to_string());
                Some(of_store.join("read-models"))
            }
        }
    }

    /// Which command tells more of damage that was met.
    pub fn when_damaged(&self) -> &'static str {
        match self {
            StoreUrl::Sled(_) | StoreUrl::Memory => {
                "`kaigi store damaged` lists the damaged calls; `kaigi store check` tells what is damaged first, and \
                 what to do then"
            }
            StoreUrl::Cluster(_) => {
                "`kaigi store damaged` lists the damaged calls; a backup may hold them whole"
            }
            StoreUrl::Service(_) => {
                "`kaigi store damaged` lists the damaged calls; `kaigi store check` tells more, where the service runs"
            }
        }
    }

    /// Refuses to serve an embedded store that is not there: a volume that is not mounted must not become an empty store.
    pub fn must_exist_to_serve(&self) -> anyhow::Result<()> {
        match self {
            StoreUrl::Sled(path) if !may_be_there(path) => {
                let path = path.display();
                Err(crate::exit::not_found(format!(
                    "there is no store at {path}. If there should be one, look whether its disk is mounted; to make a new \
                     one, `kaigi store create`, or `kaigi serve --create`"
                )))
            }
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) | StoreUrl::Service(_) => {
                Ok(())
            }
        }
    }

    /// Makes a new embedded store, and refuses if there is one.
    pub fn create(&self) -> anyhow::Result<SledStore> {
        let StoreUrl::Sled(path) = self else {
            return Err(usage(format!(
                "{self} needs no creating; name an embedded store with --store sled:PATH"
            )));
        };
        if may_be_there(path) {
            return Err(usage(format!(
                "there is a store at {} already",
                path.display()
            )));
        }
        self.open_sled(path)
    }

    /// Refuses to open what is not there, so that a mistyped path is not a new and empty store.
    pub fn must_exist(&self) -> anyhow::Result<()> {
        match self {
            StoreUrl::Sled(path) if !SledStore::is_at(path) && !path.is_file() => {
                Err(crate::exit::not_found(format!(
                    "there is no store at {}; `kaigi store create` and `kaigi run` make one, and --store or KAIGI_STORE names another",
                    path.display()
                )))
            }
            StoreUrl::Sled(_) | StoreUrl::Memory | StoreUrl::Cluster(_) | StoreUrl::Service(_) => {
                Ok(())
            }
        }
    }
}

/// Whether opening that folder would find more than nothing: a whole store, or what is left of one.
fn may_be_there(path: &Path) -> bool {
    SledStore::is_at(path) || path.is_file() || path.join("log").is_dir()
}

/// Whether no node of a cluster could be reached.
fn is_away(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref();
    matches!(error, Some(store_eventstoredb::OpenError::Unreachable(_)))
}

/// Does something with an open store, and closes it whatever came of that.
pub async fn closing<T>(
    store: &dyn EventStore,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let ended = work.await;
    let closed = store.close().await.context("cannot close the store");
    let done = ended?;
    closed?;
    Ok(done)
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        if ClusterStore::is_url(url) {
            return url.parse().map(StoreUrl::Cluster);
        }
        if ServiceUrl::is_url(url) {
            return url.parse().map(StoreUrl::Service);
        }
        match url.split_once(':') {
            Some(("sled", "")) => Err("sled: needs a folder, as in sled:./calls".to_owned()),
            Some(("sled", path)) => Ok(StoreUrl::Sled(path.into())),
            Some(("memory", "")) => Ok(StoreUrl::Memory),
            _ => Err(format!(
                "{:?} is an unknown store; known are sled:PATH, memory: and esdb://HOST:PORT (or kurrentdb://)",
                without_credentials(url)
            )),
        }
    }
}

impl FromStr for ClusterUrl {
    type Err = String;

    /// What else is wrong with it, says whoever connects.
    fn from_str(url: &str) -> Result<Self, String> {
        // Up to the question mark the password is known for what it is.
        match url.split_once('?') {
            Some((_, parameters)) if parameters.contains('@') => Err(
                "an @ stands behind a question mark: in a user or password, write ? as %3F and @ as %40"
                    .to_owned(),
            ),
            Some(_) | None => Ok(Self(url.to_owned())),
        }
    }
}

/// What may be told of a text that should have been a URL, and may hold a password anywhere.
fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => text.to_owned(),
    }
}

impl fmt::Display for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ClusterStore::shown(&self.0))
    }
}

impl fmt::Debug for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterUrl({self})")
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sled(path) => write!(f, "sled:{}", path.display()),
            StoreUrl::Memory => f.write_str("memory:"),
            StoreUrl::Cluster(url) => write!(f, "{url}"),
            StoreUrl::Service(url) => write!(f, "{url}"),
        }
    }
}

/// Where the user's programs keep their data, by the custom of the system.
fn data_folder() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    if cfg!(windows) {
        return named("LOCALAPPDATA");
    }
    let home = std::env::home_dir();
    let custom = if cfg!(target_os = "macos") {
        Path::new("Library/Application Support")
    } else {
        Path::new(".local/share")
    };
    named("XDG_DATA_HOME")
        .filter(absolute)
        .or_else(|| home.map(|home| home.join(custom)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_url() {
        assert_eq!("sled:/a b".parse(), Ok(StoreUrl::Sled("/a b".into())));
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
    }

    #[test]
    fn a_cluster_is_named_by_its_connection_string() {
        for scheme in ["esdb", "kurrentdb", "kurrent", "kdb"] {
            for scheme in [scheme.to_owned(), format!("{scheme}+discover")] {
                let url = format!("{scheme}://localhost:2113?tls=false");
                let store: StoreUrl = url.parse().unwrap();
                assert!(matches!(store, StoreUrl::Cluster(_)), "{url}");
                assert_eq!(store.to_string(), url);
            }
        }
    }

    #[test]
    fn an_unknown_store_says_which_are_known_and_no_password() {
        for url in [
            "",
            "/tmp/x",
            "memory:x",
            "esdb:/admin:geheim@x",
            "esbd://admin:geheim@x",
            "admin:geheim?@x",
        ] {
            let error = url.parse::<StoreUrl>().unwrap_err();
            assert!(error.contains("known are sled:PATH, memory: and esdb:"));
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn no_password_is_shown_however_it_is_written() {
        for password in [
            "geheim",
            "ge:geheim",
            "ge@geheim",
            "ge/geheim",
            "%40geheim",
            "geheim#",
        ] {
            for rest in ["host:2113", "a:1,b:2,c:3/?tls=false&nodePreference=leader"] {
                let url = format!("esdb+discover://admin:{password}@{rest}");
                let store: StoreUrl = url.parse().unwrap();
                let shown = format!("esdb+discover://admin:***@{rest}");
                assert_eq!(store.to_string(), shown);
                assert_eq!(
                    format!("{store:?}"),
                    format!("Cluster(ClusterUrl({shown}))")
                );
            }
        }
        let ambiguous = "esdb://admin:ge?heim@host".parse::<StoreUrl>().unwrap_err();
        assert!(
            ambiguous.contains("%3F") && !ambiguous.contains("heim"),
            "{ambiguous}"
        );
    }

    #[test]
    fn a_cluster_has_no_files_and_is_the_same_by_the_same_name_only() {
        let cluster = |url: &str| url.parse::<StoreUrl>().unwrap();
        let one = cluster("esdb://admin:geheim@localhost");
        for refused in [
            one.folder().map(Path::to_owned),
            one.open_embedded().map(|_| "".into()),
        ] {
            let error = format!("{:#}", refused.unwrap_err());
            assert!(error.contains("`kaigi store digest`") && error.contains("--store sled:PATH"));
            assert!(!error.contains("geheim"), "{error}");
        }
        assert!(one.is_same(&one.clone()) && !one.is_same(&cluster("esdb://localhost")));
        assert!(!one.is_same(&StoreUrl::Sled("esdb://admin:geheim@localhost".into())));
        assert!(one.must_exist().is_ok() && one.must_be_writable().is_ok());
        assert!(!format!("{one:?}").contains("geheim"));
    }

    #[test]
    fn checkpoints_lie_beside_the_events_or_with_the_user_by_the_id_of_the_store() {
        let id = StoreId(uuid::Uuid::new_v4());
        let sled = StoreUrl::Sled("calls".into());
        assert_eq!(sled.read_models(id), Some("calls/read-models".into()));
        assert_eq!(StoreUrl::Memory.read_models(id), None);
        let cluster: StoreUrl = "esdb://localhost".parse().unwrap();
        let expected = format!("kaigi-clusters/{id}/read-models");
        let folder = cluster.read_models(id);
        assert!(folder.is_none_or(|folder| folder.ends_with(expected)));
    }
}
