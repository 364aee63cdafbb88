//! The way around 44 ms a call.
//!
//! The vendor's client leaves Nagle's algorithm on: of the two small writes that make a call, the second waits until
//! the server acknowledges the first, which it puts off for 40 ms. Its makers mended that after 1.2.0; nothing of the
//! socket can be set through it until then. So we set it from beside: we look through the sockets of this process for
//! those that lead to the cluster's ports, and turn the algorithm off there. Where the system does not allow that
//! (only Linux has the call, and a container may forbid it) everything works as well, and slower.
//!
//! To be deleted with the client's next release.

use std::collections::BTreeSet;

/// What came of a look through the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unclogged {
    /// How many connections to the cluster there are.
    pub(crate) connections: usize,
    /// On how many of them Nagle's algorithm was on until now.
    pub(crate) now: usize,
}

/// Turns Nagle's algorithm off on this process's connections to those ports, or says why that cannot be done.
#[cfg(target_os = "linux")]
pub(crate) fn unclog(ports: &BTreeSet<u16>) -> Result<Unclogged, String> {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    let denied = |error: rustix::io::Errno| format!("the system does not allow it: {error}");
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).map_err(denied)?;
    let mut found = Unclogged {
        connections: 0,
        now: 0,
    };
    for descriptor in sockets().map_err(|error| error.to_string())? {
        if let Some(was_on) = unclogged(&ourselves, descriptor, ports).map_err(denied)? {
            found.connections += 1;
            found.now += usize::from(was_on);
        }
    }
    Ok(found)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unclog(_: &BTreeSet<u16>) -> Result<Unclogged, String> {
    Err("only Linux can".to_owned())
}

/// The descriptors of this process that are sockets.
#[cfg(target_os = "linux")]
fn sockets() -> std::io::Result<Vec<i32>> {
    let is_socket = |path: &std::path::Path| {
        let target = std::fs::read_link(path).unwrap_or_default();
        target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"socket:")
    };
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_string_lossy().parse();
        if let (Ok(number), true) = (number, is_socket(&entry.path())) {
            sockets.push(number);
        }
    }
    Ok(sockets)
}

/// Whether the algorithm was on, if the socket leads to one of the ports. Works on a duplicate, because the original is
/// the client's; one that was closed meanwhile is none of ours.
#[cfg(target_os = "linux")]
fn unclogged(
    ourselves: &rustix::fd::OwnedFd,
    descriptor: i32,
    ports: &BTreeSet<u16>,
) -> Result<Option<bool>, rustix::io::Errno> {
    use rustix::io::Errno;
    use rustix::net::sockopt::{set_tcp_nodelay, tcp_nodelay};
    use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
    let socket = match pidfd_getfd(ourselves, descriptor, PidfdGetfdFlags::empty()) {
        Ok(socket) => socket,
        Err(Errno::BADF) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !peer_port(&socket).is_some_and(|port| ports.contains(&port)) {
        return Ok(None);
    }
    let was_on = !tcp_nodelay(&socket)?;
    if was_on {
        set_tcp_nodelay(&socket, true)?;
    }
    Ok(Some(was_on))
}

#[cfg(target_os = "linux")]
fn peer_port(socket: &rustix::fd::OwnedFd) -> Option<u16> {
    let peer = rustix::net::getpeername(socket).ok()??;
    let peer = std::net::SocketAddr::try_from(peer).ok()?;
    Some(peer.port())
}
