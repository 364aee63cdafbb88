//! How long a request may go on: until its key is revoked, changed or expired.
//!
//! Every request has one [`Admission`]. The guard in front of the routes cuts the request off when it ends; a handler
//! asks it for an [`Effect`] right before it changes anything.

use crate::Problem;
use crate::clock::Clock;
use axum::http::StatusCode;
use engine::keys::{Key, Keys, Standing};
use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// How often a key that expires is compared with the clock, which may be set.
const BETWEEN_LOOKS_MS: u64 = 500;

/// The permission of one request, which ends with its key.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None if the request needs no key.
    holder: Option<Holder>,
    has_begun_an_effect: AtomicBool,
}

/// The key that a request came with.
struct Holder {
    /// As it was when the request was admitted.
    key: Arc<Key>,
    keys: Keys,
    clock: Clock,
    /// The generation of the keys in which it was found valid last.
    valid_in: AtomicU64,
}

/// Proof that the key was valid right before the effect. Functions that change something take one.
#[derive(Debug)]
pub(crate) struct Effect(());

impl Admission {
    /// The permission of a request that needs no key; it never ends.
    pub(super) fn endless() -> Self {
        Self::of(None)
    }

    /// The permission of a request with that key.
    pub(super) fn with(key: Arc<Key>, keys: &Keys, clock: &Clock) -> Self {
        Self::of(Some(Holder {
            key,
            keys: keys.share(),
            clock: clock.clone(),
            valid_in: AtomicU64::new(u64::MAX),
        }))
    }

    fn of(holder: Option<Holder>) -> Self {
        Self(Arc::new(Inner {
            holder,
            has_begun_an_effect: AtomicBool::new(false),
        }))
    }

    /// Whether the key is still valid.
    pub(crate) fn is_valid(&self) -> bool {
        self.0.holder.as_ref().is_none_or(Holder::is_valid)
    }

    /// Waits until the key ends.
    pub(crate) async fn ended(&self) {
        match &self.0.holder {
            Some(holder) => holder.ended().await,
            None => pending().await,
        }
    }

    /// Must be asked right before something changes. From then on the request is answered even if its key ends, because
    /// the response says whether the change was made.
    pub(crate) fn begin_effect(&self) -> Result<Effect, Problem> {
        if !self.is_valid() {
            return Err(key_ended());
        }
        self.0.has_begun_an_effect.store(true, Ordering::Release);
        Ok(Effect(()))
    }

    /// Whether the request has changed something, or is about to.
    pub(crate) fn has_begun_an_effect(&self) -> bool {
        self.0.has_begun_an_effect.load(Ordering::Acquire)
    }

    /// The answer, unless the key ends before the request has an effect.
    pub(crate) async fn bound<T>(&self, answer: impl Future<Output = T>) -> Result<T, Problem> {
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return self.unless_ended(answer),
            () = self.ended() => {}
        }
        if self.has_begun_an_effect() {
            return Ok(answer.await);
        }
        Err(key_ended())
    }

    fn unless_ended<T>(&self, answer: T) -> Result<T, Problem> {
        if self.has_begun_an_effect() || self.is_valid() {
            Ok(answer)
        } else {
            Err(key_ended())
        }
    }
}

impl Holder {
    fn is_valid(&self) -> bool {
        let generation = self.keys.generation();
        let is_known = self.valid_in.load(Ordering::Acquire) == generation;
        if is_known && self.key.expires_at.is_none() {
            return true;
        }
        let is_valid = self.is_unchanged() && self.is_standing();
        if is_valid {
            self.valid_in.store(generation, Ordering::Release);
        }
        is_valid
    }

    /// A key with other roles, or another secret, is another key.
    fn is_unchanged(&self) -> bool {
        let now = self.keys.get(&self.key.id);
        now.is_some_and(|now| {
            now.sha256 == self.key.sha256
                && now.grants == self.key.grants
                && now.expires_at == self.key.expires_at
                && now.revoked_at.is_none()
        })
    }

    fn is_standing(&self) -> bool {
        self.key.standing(self.clock.latest()) == Standing::Valid
    }

    async fn ended(&self) {
        let mut changes = self.keys.changes();
        loop {
            changes.mark_unchanged();
            if !self.is_valid() {
                return;
            }
            tokio::select! {
                // The sender is held by the keys, which outlive this.
                _ = changes.changed() => {}
                () = self.next_look() => {}
            }
        }
    }

    /// Waits until the clock may show that the key has expired.
    async fn next_look(&self) {
        let Some(end) = self.key.expires_at else {
            return pending().await;
        };
        let left_ms = end.millis_since(self.clock.latest());
        sleep(Duration::from_millis(left_ms.clamp(1, BETWEEN_LOOKS_MS))).await;
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Holder").field(&self.key.id).finish()
    }
}

/// The key ended during the request. The client has proved that it knows the key, so the response may say so.
pub(crate) fn key_ended() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "key_revoked",
        "this key was revoked or has expired since the request began, and nothing was changed; send it again with \
         another key",
    )
}
