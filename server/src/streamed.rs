//! Bodies that are made piece by piece while the client reads, each piece within the budget of its key.

use crate::Service;
use crate::access::Caller;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::io;
use std::sync::Arc;

/// How many bytes a piece has, about.
pub(crate) const PIECE: usize = 64 * 1024;

/// What makes the pieces.
pub(crate) trait Pieces: Send + Sized + 'static {
    /// How many bytes the next piece takes, about.
    fn next_bytes(&self) -> usize {
        PIECE
    }

    /// The next piece; `None` after the last one. An error cuts the answer off, so that the client does not take it
    /// for whole.
    fn next(
        &mut self,
        service: &Service,
        key: &str,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CutOff>> + Send;
}

/// Why an answer ends before its end; the client sees a broken connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CutOff(pub(crate) &'static str);

struct Sending<P> {
    service: Arc<Service>,
    caller: Caller,
    /// None after the last piece, or after a failure.
    pieces: Option<P>,
}

/// The body that those pieces make.
pub(crate) fn body<P: Pieces>(service: &Arc<Service>, caller: &Caller, pieces: P) -> Body {
    let sending = Sending {
        service: Arc::clone(service),
        caller: caller.clone(),
        pieces: Some(pieces),
    };
    Body::from_stream(unfold(sending, Sending::next))
}

impl<P: Pieces> Sending<P> {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let mut pieces = self.pieces.take()?;
        if !self.caller.is_admitted() {
            let why = CutOff("the key is not admitted any more");
            return Some((Err(io::Error::other(why)), self));
        }
        let key = self.caller.key();
        let allowance = self.service.budget.take(key, pieces.next_bytes()).await;
        match pieces.next(&self.service, key).await {
            Ok(Some(piece)) => {
                self.pieces = Some(pieces);
                Some((Ok(allowance.cover(piece)), self))
            }
            Ok(None) => None,
            Err(why) => Some((Err(io::Error::other(why)), self)),
        }
    }
}
