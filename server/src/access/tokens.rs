//! Tokens for streams: a browser's `EventSource` cannot send a header, so what admits it stands in the query, for one
//! stream and a short time. They are kept by this process alone, and only their hashes.

use crate::Settings;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tokens that are valid.
pub(super) struct Tokens {
    lasts: Duration,
    live: Mutex<HashMap<[u8; 32], Token>>,
}

struct Token {
    /// The key it was given for, with which it ends.
    key: Arc<str>,
    /// The path and query it is for, exactly.
    stream: String,
    ends: Instant,
}

/// A token that was just made.
pub(super) struct Issued {
    /// Its text.
    pub(super) text: String,
    /// Where it leads.
    pub(super) url: String,
    /// Until when.
    pub(super) expires_at: Timestamp,
}

/// A key has as many tokens as it can have; the time until one ends.
pub(super) struct Full(pub(super) Duration);

/// How many tokens a key may have at a time.
pub(super) const MOST_PER_KEY: usize = 100;

/// The query's parameter that is a token.
const NAME: &str = "token";

impl Tokens {
    pub(super) fn within(settings: &Settings) -> Self {
        Self {
            lasts: Duration::from_millis(settings.token_ttl_ms),
            live: Mutex::new(HashMap::new()),
        }
    }

    /// A token of that key for that stream.
    pub(super) fn issue(&self, key: &str, stream: &PathAndQuery) -> Result<Issued, Full> {
        let now = Instant::now();
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, token| token.ends > now);
        let own = live.values().filter(|token| *token.key == *key);
        if own.clone().count() >= MOST_PER_KEY {
            let first = own.map(|token| token.ends).min();
            return Err(Full(first.map_or(Duration::ZERO, |first| first - now)));
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let text = URL_SAFE_NO_PAD.encode(random);
        let token = Token {
            key: key.into(),
            stream: stream.to_string(),
            ends: now + self.lasts,
        };
        live.insert(Sha256::digest(&text).into(), token);
        let joint = if stream.query().is_some() { '&' } else { '?' };
        let lasts_ms = u64::try_from(self.lasts.as_millis()).unwrap_or(u64::MAX);
        Ok(Issued {
            url: format!("{stream}{joint}{NAME}={text}"),
            text,
            expires_at: domain::now().plus_millis(lasts_ms),
        })
    }

    /// Whose token stands in that query, if it is for that very stream, and the same without it.
    pub(super) fn redeem(&self, uri: &Uri) -> Option<(Arc<str>, Uri)> {
        let (text, stream) = taken_out(uri)?;
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let hash: [u8; 32] = Sha256::digest(text).into();
        let token = live.get(&hash)?;
        let holds = token.ends > Instant::now() && token.stream == stream.as_str();
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(stream);
        let uri = Uri::from_parts(parts).ok()?;
        holds.then(|| (Arc::clone(&token.key), uri))
    }
}

/// Whether anything stands in the query that would be a token.
pub(super) fn stands_in(uri: &Uri) -> bool {
    pairs(uri).any(|pair| token(pair).is_some())
}

/// The token of a query, which stands there once, and path and query without it.
fn taken_out(uri: &Uri) -> Option<(&str, PathAndQuery)> {
    let mut tokens = pairs(uri).filter_map(token);
    let (text, None) = (tokens.next()?, tokens.next()) else {
        return None;
    };
    let others: Vec<_> = pairs(uri).filter(|pair| token(pair).is_none()).collect();
    let path = uri.path();
    let rest = match others.as_slice() {
        [] => path.to_owned(),
        others => format!("{path}?{}", others.join("&")),
    };
    rest.parse().ok().map(|rest| (text, rest))
}

fn pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

fn token(pair: &str) -> Option<&str> {
    pair.strip_prefix(NAME)?.strip_prefix('=')
}
