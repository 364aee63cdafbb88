//! Opening: what can be wrong is found here, and told apart.

use crate::error::OpenError;
use crate::identity::{self, FORMAT, Found, STREAM};
use crate::link::{Failure, Link, Time, denied};
use crate::reach;
use crate::read::{Only, Stretch, Way, read_all};
use crate::url::ConnectionString;
use domain::StoreId;
use eventstore::{Client, StreamPosition};

/// From this version on, reads of a stream tell positions.
const OLDEST: (usize, usize) = (22, 10);

pub(crate) async fn open(url: &str) -> Result<(StoreId, Link), OpenError> {
    let url = ConnectionString::parse(url)?;
    let node = reach::reachable(&url).await?.clone();
    reach::files_are_whole(&url)?;
    let link = Link::new(url);
    let soon = Time::of(reach::PATIENCE, reach::PATIENCE);
    if let Err(Failure::Unanswered(_)) = identity::read(&link, soon).await {
        reach::speaks_as_we_do(&link.url, &node).await?;
    }
    let id = opened(&link).await?;
    Ok((id, link))
}

async fn opened(link: &Link) -> Result<StoreId, OpenError> {
    let reading = format!("read stream {STREAM}");
    let found = identity::read(link, link.time()).await;
    let found = found.map_err(|failure| first_refusal(link, &reading, failure))?;
    new_enough(link).await?;
    all_can_be_read(link).await?;
    let found = match found {
        Found::Nothing => {
            let created = identity::create(link).await;
            let writing = format!("write to stream {STREAM}");
            created.map_err(|failure| refusal(link, &writing, failure))?;
            let written = identity::read_written(link).await;
            written.map_err(|failure| refusal(link, &reading, failure))?
        }
        found => found,
    };
    match found {
        Found::Identity(identity) if identity.format > FORMAT => Err(OpenError::Damaged(format!(
            "its format is {}, and this program reads {FORMAT}; use a newer kaigi",
            identity.format
        ))),
        Found::Identity(identity) => Ok(identity.id),
        Found::Nothing => Err(OpenError::Unreachable(format!(
            "the cluster is not available: stream {STREAM} was written, and no node has it yet"
        ))),
        Found::Other(why) => Err(OpenError::Damaged(format!(
            "stream {STREAM} is not ours: {why}"
        ))),
    }
}

async fn new_enough(link: &Link) -> Result<(), OpenError> {
    let asked = |client: Client, _| async move { client.server_info().await };
    let info = link.call(link.time(), asked).await;
    let info = info.map_err(|failure| refusal(link, "ask the server what it can do", failure))?;
    let version = info.version();
    if (version.major(), version.minor()) < OLDEST {
        return Err(OpenError::TooOld(format!(
            "the server is version {version}, and {}.{} is the oldest that tells positions where we need them",
            OLDEST.0, OLDEST.1
        )));
    }
    Ok(())
}

async fn all_can_be_read(link: &Link) -> Result<(), OpenError> {
    let last = Stretch {
        from: StreamPosition::End,
        only: Only::Everything,
        way: Way::Backwards,
        most: 1,
    };
    let read = link.call(link.time(), |client, limit| {
        read_all(client, link, last, limit)
    });
    let read = read.await.map(drop);
    read.map_err(|failure| refusal(link, "read $all", failure))
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
        Failure::Unanswered(why) => {
            OpenError::Unreachable(format!("the cluster is not available: {why}"))
        }
        Failure::Refused(why) => OpenError::Refused(format!("cannot {what}: {why}")),
        Failure::Deleted => OpenError::Damaged(format!("cannot {what}: it was deleted")),
        Failure::Missing | Failure::Conflict(_) => {
            OpenError::Damaged(format!("cannot {what}: the server's answer makes no sense"))
        }
    }
}
