//! A port at which nothing listens.

use tokio::net::TcpSocket;

/// A port of the loopback that refuses connections. It stays reserved while this exists, so no other program can begin
/// to listen there in the middle of a test.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    /// Reserves one.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket is made");
        let any = "127.0.0.1:0".parse().expect("it is an address");
        socket.bind(any).expect("a port is free");
        Self(socket)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }
}
