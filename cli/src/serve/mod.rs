//! `kaigi serve`: the service on a store, from the first byte of its configuration to its end.

pub(crate) mod address;
pub mod args;
mod config;
mod descriptors;
pub mod fields;
mod notify;
mod signals;

pub use address::{address_of, forget_address};

use self::address::Address;
use self::args::Serve;
use self::config::Configuration;
use self::signals::Signals;
use crate::exit::{Exit, usage};
use crate::output::Console;
use crate::store::{StoreUrl, closing};
use anyhow::Context;
use domain::{EventStore, Handler};
use engine::keys::Keys;
use server::Parts;
use server::access::Guards;
use server::listen::{Certificate, Listener};
use server::log::Log;
use server::{Service, Settings};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, lookup_host};

/// Serves until a signal ends it.
pub async fn serve(args: &Serve, console: &mut Console) -> anyhow::Result<Exit> {
    let configuration = Configuration::of(args)?;
    if args.print_config {
        console.print(&configuration.printed())?;
        console.flush()?;
        return Ok(Exit::Done);
    }
    let plan = Plan::of(&configuration, args.without_keys).await?;
    let listener = plan.listener().await?;
    plan.store.must_be_writable()?;
    must_exist(&configuration)?;
    // A signal that comes meanwhile ends the process at once, which an embedded store bears.
    let store = plan.store.open().await?;
    let signals = Signals::new()?;
    let serving = plan.serve(Arc::clone(&store), listener, signals);
    closing(&*store, serving).await
}

/// Everything that can be found wrong before the store is opened has been.
struct Plan {
    listen: String,
    addresses: Vec<SocketAddr>,
    store: StoreUrl,
    settings: Settings,
    guards: Guards,
    /// How the keys are told of when it begins.
    keys: String,
    certificate: Option<Arc<Certificate>>,
    log: Log,
}

impl Plan {
    async fn of(configuration: &Configuration, without_keys: bool) -> anyhow::Result<Self> {
        let listen = configuration.text("listen").unwrap_or_default().to_owned();
        let addresses = resolved(&listen).await?;
        if without_keys {
            must_be_loopback(&listen, &addresses)?;
        }
        let (guards, keys) = guards(configuration, without_keys)?;
        let mut settings = configuration.settings()?;
        settings.max_connections = descriptors::connections(settings.max_connections);
        Ok(Self {
            listen,
            addresses,
            store: configuration.store().clone(),
            settings,
            guards,
            keys,
            certificate: certificate(configuration)?,
            log: log(configuration)?,
        })
    }

    async fn listener(&self) -> anyhow::Result<Listener> {
        let bound = TcpListener::bind(self.addresses.as_slice()).await;
        let bound = bound.with_context(|| format!("cannot listen on {}", self.listen));
        let tcp = bound.map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(taken) if taken.kind() == ErrorKind::AddrInUse => error.context(
                "another process listens there; end it, or choose another port with --listen",
            ),
            _ => error,
        })?;
        let listener = match &self.certificate {
            Some(certificate) => Listener::tls(tcp, Arc::clone(certificate)),
            None => Listener::plain(tcp),
        };
        Ok(listener.telling(|what| eprintln!("kaigi: {what}")))
    }

    async fn serve(
        self,
        store: Arc<dyn EventStore>,
        listener: Listener,
        signals: Signals,
    ) -> anyhow::Result<Exit> {
        let address = Address::of(&listener)?;
        let service = Service::start(Parts {
            handler: Handler::new(Arc::clone(&store)),
            folder: self.store.read_models(store.id()),
            store,
            settings: self.settings,
            guards: self.guards,
            log: self.log,
        })
        .await?;
        signals.stop(Arc::clone(&service));
        let kept = self
            .store
            .folder()
            .ok()
            .map(|folder| address.keep_in(folder));
        let (at, store, keys) = (address.listening(), &self.store, &self.keys);
        eprintln!("kaigi: listening on {at} (store {store}, {keys})");
        notify::tell("READY=1");
        let cut_off = server::listen::serve(listener, Arc::clone(&service)).await;
        notify::tell("STOPPING=1");
        service.close().await;
        drop(kept);
        told_of_end(cut_off);
        Ok(Exit::Done)
    }
}

fn told_of_end(cut_off: usize) {
    match cut_off {
        0 => eprintln!("kaigi: stopped; everything under way was answered"),
        1 => eprintln!("kaigi: stopped; 1 connection was cut off when --grace was over"),
        more => eprintln!("kaigi: stopped; {more} connections were cut off when --grace was over"),
    }
}

async fn resolved(listen: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let wrong = |what: String| {
        usage(format!(
            "cannot listen on {listen:?}: {what}; name an address and a port, as in 127.0.0.1:7400"
        ))
    };
    let found = lookup_host(listen).await;
    let found: Vec<_> = found.map_err(|error| wrong(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(wrong("it has no address".to_owned()));
    }
    Ok(found)
}

fn must_be_loopback(listen: &str, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let is_loopback = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
    if addresses.iter().all(is_loopback) {
        return Ok(());
    }
    Err(usage(format!(
        "--without-keys admits everybody who can connect, so it listens on this machine alone and not on {listen}: \
         leave it out and make keys with `kaigi keys create`, or say --listen 127.0.0.1:7400"
    )))
}

/// Who is admitted, and how that is told of.
fn guards(configuration: &Configuration, without_keys: bool) -> anyhow::Result<(Guards, String)> {
    if without_keys {
        return Ok((Guards::open(), "without keys".to_owned()));
    }
    let Some(file) = configuration.path("keys") else {
        return Err(usage(format!(
            "{} has no folder for keys: name their file with --keys FILE; `kaigi keys create` makes one",
            configuration.store()
        )));
    };
    if !file.exists() {
        if is_in_store(&file, configuration.store()) {
            // A disk that is not mounted has neither, and then no key must be made.
            must_exist(configuration)?;
        }
        return Err(usage(format!(
            "there are no keys in {}, so nobody would be admitted; `kaigi keys create` makes the first, and \
             --without-keys serves this machine alone",
            file.display()
        )));
    }
    let keys = Keys::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok((Guards::new(keys), format!("keys {}", file.display())))
}

fn is_in_store(file: &Path, store: &StoreUrl) -> bool {
    matches!(store, StoreUrl::Sled(folder) if file.parent() == Some(folder))
}

fn must_exist(configuration: &Configuration) -> anyhow::Result<()> {
    if configuration.is_on("create") {
        return Ok(());
    }
    configuration.store().must_exist_to_serve()
}

fn certificate(configuration: &Configuration) -> anyhow::Result<Option<Arc<Certificate>>> {
    let [chain, key] = ["tls_certificate", "tls_key"].map(|name| configuration.path(name));
    match (chain, key) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => open(&chain, &key).map(Some),
        (Some(_), None) => Err(usage("--tls-certificate needs --tls-key beside it")),
        (None, Some(_)) => Err(usage("--tls-key needs --tls-certificate beside it")),
    }
}

fn open(chain: &Path, key: &Path) -> anyhow::Result<Arc<Certificate>> {
    let opened = Certificate::open(chain, key);
    opened
        .map(Arc::new)
        .map_err(|error| usage(error.to_string()))
}

fn log(configuration: &Configuration) -> anyhow::Result<Log> {
    match configuration.text("log") {
        Some("json") => Ok(Log::to(std::io::stderr())),
        Some("none") => Ok(Log::silent()),
        _ => Err(usage("--log must be json or none")),
    }
}
