//! Where the service of an embedded store is: a file beside the events, for those who find the store in use.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use server::listen::Listener;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "service.json";

/// How long somebody who serves may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(300);

/// Where a service is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Address {
    url: String,
    pid: u32,
    started_at: String,
    /// As it was asked to listen, which may be everywhere.
    #[serde(skip)]
    listening: String,
}

/// The file that tells of it, while the service lasts.
pub(super) struct Kept(PathBuf);

impl Address {
    pub(super) fn of(listener: &Listener) -> anyhow::Result<Self> {
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let scheme = if listener.is_tls() { "https" } else { "http" };
        Ok(Self {
            url: format!("{scheme}://{}", reachable(address)),
            pid: std::process::id(),
            started_at: domain::now().to_string(),
            listening: format!("{scheme}://{address}"),
        })
    }

    pub(super) fn listening(&self) -> &str {
        &self.listening
    }

    /// Keeps it there. Who cannot read it is told less, and nothing else is lost.
    pub(super) fn keep_in(&self, folder: &Path) -> Kept {
        let path = folder.join(FILE);
        if let Err(error) = self.write(&path) {
            eprintln!("kaigi: {} is not kept: {error}", path.display());
        }
        Kept(path)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("json.new");
        let text = serde_json::to_string(self).map_err(io::Error::other)?;
        fs::write(&fresh, text + "\n")?;
        fs::rename(&fresh, path)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Should it stay, it is found out: nobody answers there.
        let _ = fs::remove_file(&self.0);
    }
}

/// The address of the service that has the store in that folder, if one answers there now.
pub fn address_of(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(FILE)).ok()?;
    let address: Address = serde_json::from_str(&text).ok()?;
    let (_, at) = address.url.split_once("://")?;
    let answers = TcpStream::connect_timeout(&at.parse().ok()?, PATIENCE);
    answers.is_ok().then_some(address.url)
}

/// Forgets where a service was that died: whoever has opened the store knows that none has it.
pub fn forget_address(folder: &Path) {
    let _ = fs::remove_file(folder.join(FILE));
}

/// An address that stands for all of the machine's cannot be connected to everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
