//! `--server`: the program as a client of a running service, for stores that only one process can have.

pub mod call;
mod patience;
mod queue;
pub mod run;
pub mod subscription;
mod under_way;
pub mod watch;

use crate::exit::usage;
use client::{Client, Options, RemoteStore};
use domain::EventStore;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// A running service by URL, and how it is approached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    url: String,
    access: Access,
}

/// What stands beside a service's URL on the command line or in the environment.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Access {
    key: Option<String>,
    authorities: Option<Vec<u8>>,
}

/// The environment variable that holds the key: a command line stands in the list of processes.
const KEY: &str = "KAIGI_KEY";

impl Access {
    /// The key from its file or the environment, and the certificates of private authorities.
    pub fn of(key_file: Option<&Path>, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let key = match key_file {
            Some(file) => {
                let key = String::from_utf8(read(file, "--key-file")?);
                Some(key.map_err(|_| usage("the file that --key-file names holds no key"))?)
            }
            None => std::env::var(KEY).ok().filter(|key| !key.is_empty()),
        };
        let authorities = ca_file.map(|file| read(file, "--ca-file"));
        Ok(Self {
            key,
            authorities: authorities.transpose()?,
        })
    }
}

fn read(file: &Path, named_by: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        usage(format!(
            "cannot read {}, which {named_by} names: {error}",
            file.display()
        ))
    })
}

impl ServiceUrl {
    /// Whether a text names a service rather than a store.
    pub fn is_url(text: &str) -> bool {
        text.starts_with("http://") || text.starts_with("https://")
    }

    /// Approached like that.
    #[must_use]
    pub fn with(self, access: &Access) -> Self {
        Self {
            url: self.url,
            access: access.clone(),
        }
    }

    /// A client of it.
    pub fn client(&self) -> anyhow::Result<Client> {
        let options = Options {
            key: self.access.key.clone(),
            authorities: self.access.authorities.clone(),
            ..Options::default()
        };
        Ok(Client::with(&self.url, &options)?)
    }

    /// Its store, for reading.
    pub async fn open(&self) -> anyhow::Result<Arc<dyn EventStore>> {
        Ok(Arc::new(RemoteStore::open(self.client()?).await?))
    }

    /// Whether both are the same by name.
    pub fn is_same(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let client = Client::new(url, None).map_err(|error| error.to_string())?;
        Ok(Self {
            url: client.url().to_owned(),
            access: Access::default(),
        })
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_some() {
            "a key"
        } else {
            "no key"
        };
        write!(f, "Access({key})")
    }
}
