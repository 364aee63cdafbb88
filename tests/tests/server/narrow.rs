//! A client of a stream that takes no more than it reads.

use tests::contract::in_time;
use tests::service::Running;
use tests::sse::{Sent, sent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A client that asks, with as little room for an answer as there can be.
pub(crate) async fn a_narrow_client(service: &Running, key: &str, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: kaigi\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The answer so far, once it has that text.
pub(crate) async fn read_until(stream: &mut TcpStream, text: &str) -> Vec<u8> {
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(text) {
        in_time(stream.read_buf(&mut answer)).await.unwrap();
    }
    answer
}

/// What a client gets of an answer in chunks that it has begun to read.
pub(crate) async fn everything(mut stream: TcpStream, mut answer: Vec<u8>) -> Vec<Sent> {
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    let head = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (mut rest, mut body) = (&answer[head + 4..], Vec::new());
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    sent(&body)
}
