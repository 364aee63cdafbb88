//! Which store: the one place where the program chooses.

use crate::exit::usage;
use anyhow::Context;
use domain::{EventStore, MemoryStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use store_sled::SledStore;

/// A store by URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store in that folder.
    Sled(PathBuf),
    /// A store that is gone when the program ends.
    Memory,
}

impl StoreUrl {
    /// The embedded store in a folder `kaigi` of the user's data folder.
    pub fn default_store() -> anyhow::Result<Self> {
        let folder = data_folder()
            .ok_or_else(|| usage("no home folder is known; name a store with --store sled:PATH"))?;
        Ok(StoreUrl::Sled(folder.join("kaigi")))
    }

    /// Opens it, creating an embedded one that is not there yet.
    pub fn open(&self) -> anyhow::Result<Arc<dyn EventStore>> {
        Ok(match self {
            StoreUrl::Sled(path) => {
                Arc::new(SledStore::open(path).with_context(|| format!("cannot open {self}"))?)
            }
            StoreUrl::Memory => Arc::new(MemoryStore::new()),
        })
    }

    /// Opens an embedded store that is there, for what no other store can do.
    pub fn open_embedded(&self) -> anyhow::Result<SledStore> {
        let path = self.folder()?;
        self.must_exist()?;
        SledStore::open(path).with_context(|| format!("cannot open {self}"))
    }

    /// The folder of an embedded store, also of one that is too damaged to be known for a store.
    pub fn folder(&self) -> anyhow::Result<&Path> {
        let StoreUrl::Sled(path) = self else {
            return Err(usage(format!(
                "{self} has no files; name an embedded store with --store sled:PATH"
            )));
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
            StoreUrl::Sled(_) | StoreUrl::Memory => Ok(()),
        }
    }

    /// Whether both name the same store; two in memory never are one.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (StoreUrl::Sled(one), StoreUrl::Sled(other)) => {
                let real = |path: &PathBuf| std::fs::canonicalize(path).ok();
                one == other || real(one).is_some_and(|one| Some(one) == real(other))
            }
            (StoreUrl::Sled(_) | StoreUrl::Memory, _) => false,
        }
    }

    /// The folder beside the events where read models keep their checkpoints; a store in memory has none.
    pub fn read_models(&self) -> Option<PathBuf> {
        match self {
            StoreUrl::Sled(path) => Some(path.join("read-models")),
            StoreUrl::Memory => None,
        }
    }

    /// Refuses to open what is not there, so that a mistyped path is not a new and empty store.
    pub fn must_exist(&self) -> anyhow::Result<()> {
        match self {
            StoreUrl::Sled(path) if !SledStore::is_at(path) && !path.is_file() => {
                Err(crate::exit::not_found(format!(
                    "there is no store at {}; `kaigi run` makes one, and --store or KAIGI_STORE names another",
                    path.display()
                )))
            }
            StoreUrl::Sled(_) | StoreUrl::Memory => Ok(()),
        }
    }
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
        match url.split_once(':') {
            Some(("sled", "")) => Err("sled: needs a folder, as in sled:./calls".to_owned()),
            Some(("sled", path)) => Ok(StoreUrl::Sled(path.into())),
            Some(("memory", "")) => Ok(StoreUrl::Memory),
            _ => Err(format!(
                "{url:?} is an unknown store; known are sled:PATH and memory:"
            )),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Sled(path) => write!(f, "sled:{}", path.display()),
            StoreUrl::Memory => f.write_str("memory:"),
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
    fn an_unknown_store_says_which_are_known() {
        for url in [
            "",
            "esdb://localhost:2113",
            "kurrentdb://x",
            "/tmp/x",
            "memory:x",
        ] {
            let error = url.parse::<StoreUrl>().unwrap_err();
            assert!(error.contains("known are sled:PATH and memory:"), "{error}");
        }
    }
}
