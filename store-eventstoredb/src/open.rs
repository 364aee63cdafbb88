//! Opening: what can be wrong is found here, and told apart.

use crate::error::OpenError;
use crate::identity::{self, FORMAT, Found, STREAM};
use crate::link::{Failure, Link, denied};
use crate::reach;
use crate::read::{Only, Way, read_all};
use crate::url::ConnectionString;
use domain::StoreId;
use eventstore::StreamPosition;
pub(crate) async fn open(url: &str) -> Result<(StoreId, Link), OpenError> {
    let url = ConnectionString::parse(url)?;
    let node = reach::reachable(&url).await?.clone();
    reach::files_are_whole(&url)?;
    let link = Link::new(url);
    if let Err(Failure::Unanswered(_)) = identity::read_within(&link, reach::PATIENCE).await {
        reach::speaks_as_we_do(&link.url, &node).await?;
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
