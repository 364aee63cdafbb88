//! Opening: what can be wrong is found here, and told apart.

use crate::error::OpenError;
use crate::identity::{self, FORMAT, Found, STREAM};
use crate::link::{Failure, Link, denied};
use crate::read::{Only, Way, read_all};
use crate::url::ConnectionString;
use domain::StoreId;
use eventstore::StreamPosition;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a node may take to accept a connection, or to say something.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn open(url: &str) -> Result<(StoreId, Link), OpenError> {
    let url = ConnectionString::parse(url)?;
    let node = reachable(&url).await?;
    let link = Link::new(url);
    if let Err(Failure::Unanswered(why)) = identity::read_within(&link, PATIENCE).await {
        speaks_as_we_do(&link.url, &node, &why).await?;
    }
    let id = opened(&link).await?;
    Ok((id, link))
}

async fn opened(link: &Link) -> Result<StoreId, OpenError> {
    let what = format!("read stream {STREAM}");
    let read = async || {
        identity::read(link)
            .await
            .map_err(|failure| first_refusal(link, &what, failure))
    };
    let found = read().await?;
    let from = StreamPosition::End;
    let last = link.call(|client, limit| {
        read_all(
            client,
            link,
            from,
            Only::Everything,
            Way::Backwards,
            1,
            limit,
        )
    });
    last.await
        .map_err(|failure| refusal(link, "read $all", failure))?;
    let identity = match found {
        Found::Nothing => {
            let created = identity::create(link).await;
            created
                .map_err(|failure| refusal(link, &format!("write to stream {STREAM}"), failure))?;
            read().await?
        }
        found => found,
    };
    match identity {
        Found::Identity(identity) if identity.format > FORMAT => Err(OpenError::Damaged(format!(
            "its format is {}, and this program reads {FORMAT}; use a newer kaigi",
            identity.format
        ))),
        Found::Identity(identity) => Ok(identity.id),
        Found::Nothing => Err(OpenError::Damaged(format!(
            "stream {STREAM} was written and is not there"
        ))),
        Found::Other(why) => Err(OpenError::Damaged(format!(
            "stream {STREAM} is not ours: {why}"
        ))),
    }
}

/// The first thing that is asked needs no right that a user could lack by oversight.
fn first_refusal(link: &Link, what: &str, failure: Failure) -> OpenError {
    match (failure, &link.url.user) {
        (Failure::Denied, Some(user)) => OpenError::Credentials(format!(
            "the server refuses user {:?}: the password is wrong, or there is no such user, or it may not even {what}",
            user.name
        )),
        (Failure::Denied, None) => OpenError::Credentials(format!(
            "the server does not let anybody {what} without a name; say who you are: esdb://user:password@host"
        )),
        (failure, _) => refusal(link, what, failure),
    }
}

fn refusal(link: &Link, what: &str, failure: Failure) -> OpenError {
    match failure {
        Failure::Denied => OpenError::Right(format!(
            "cannot {what}: {}; grant it (docs/eventstoredb.md lists the rights that are needed)",
            denied(&link.url)
        )),
        Failure::Unanswered(why) => OpenError::Unreachable(why),
        Failure::Refused(why) => OpenError::Unreachable(format!("cannot {what}: {why}")),
        Failure::Deleted => OpenError::Damaged(format!("cannot {what}: it was deleted")),
        Failure::Missing | Failure::Conflict(_) => {
            OpenError::Damaged(format!("cannot {what}: the server's answer makes no sense"))
        }
    }
}

/// A node that accepts connections, or why none does.
async fn reachable(url: &ConnectionString) -> Result<String, OpenError> {
    let mut reasons = Vec::new();
    for host in url.settings.hosts() {
        let node = format!("{}:{}", host.host, host.port);
        match timeout(PATIENCE, TcpStream::connect(&node)).await {
            Ok(Ok(_)) => return Ok(node),
            Ok(Err(error)) => reasons.push(format!("{node}: {error}")),
            Err(_) => reasons.push(format!("{node}: no answer in {} s", PATIENCE.as_secs())),
        }
    }
    Err(OpenError::Unreachable(reasons.join("; ")))
}

/// A node accepts connections and does not answer: perhaps one side speaks TLS, and the other does not. Otherwise it
/// may answer yet.
async fn speaks_as_we_do(url: &ConnectionString, node: &str, why: &str) -> Result<(), OpenError> {
    let secure = url.settings.is_secure_mode_enabled();
    match (timeout(PATIENCE, speaks_tls(node)).await, secure) {
        (Ok(Ok(true)), false) => Err(OpenError::Tls(format!(
            "{node} speaks TLS; say tls=true instead of tls=false"
        ))),
        (Ok(Ok(false)), true) => Err(OpenError::Tls(format!(
            "{node} does not speak TLS; say tls=false if that is meant to be so"
        ))),
        (_, true) if is_about_certificates(why) => Err(OpenError::Tls(format!(
            "the certificate of {node} is not trusted: {why}; name its authority with tlsCaFile=PATH"
        ))),
        _ => Ok(()),
    }
}

fn is_about_certificates(why: &str) -> bool {
    why.to_lowercase().contains("certificate")
}

/// Whether the node answers half a greeting as TLS does: with an alert.
async fn speaks_tls(node: &str) -> io::Result<bool> {
    const ALERT: u8 = 0x15;
    let greeting = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let mut stream = TcpStream::connect(node).await?;
    stream.write_all(&greeting).await?;
    let mut answer = [0];
    match stream.read(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer[0] == ALERT),
    }
}
