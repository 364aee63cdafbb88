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

/// Turns Nagle's algorithm off on this process's connections to those ports; answers how many there are, or why not.
#[cfg(target_os = "linux")]
pub(crate) fn unclog(ports: &BTreeSet<u16>) -> Result<usize, String> {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    let denied = |error: rustix::io::Errno| format!("the system does not allow it: {error}");
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty()).map_err(denied)?;
    let mut found = 0;
    for descriptor in sockets().map_err(|error| error.to_string())? {
        found += usize::from(unclogged(&ourselves, descriptor, ports).map_err(denied)?);
    }
    Ok(found)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unclog(_: &BTreeSet<u16>) -> Result<usize, String> {
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

/// Works on a duplicate, because the original is the client's. One that was closed meanwhile is none of ours.
#[cfg(target_os = "linux")]
fn unclogged(
    ourselves: &rustix::fd::OwnedFd,
    descriptor: i32,
    ports: &BTreeSet<u16>,
) -> Result<bool, rustix::io::Errno> {
    use rustix::io::Errno;
    use rustix::net::sockopt::set_tcp_nodelay;
    use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
    let socket = match pidfd_getfd(ourselves, descriptor, PidfdGetfdFlags::empty()) {
        Ok(socket) => socket,
        Err(Errno::BADF) => return Ok(false),
        Err(error) => return Err(error),
    };
    let leads_there = peer_port(&socket).is_some_and(|port| ports.contains(&port));
    Ok(leads_there && set_tcp_nodelay(&socket, true).is_ok())
}

#[cfg(target_os = "linux")]
fn peer_port(socket: &rustix::fd::OwnedFd) -> Option<u16> {
    let peer = rustix::net::getpeername(socket).ok()??;
    let peer = std::net::SocketAddr::try_from(peer).ok()?;
    Some(peer.port())
}
