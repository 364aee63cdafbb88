//! What a consumer of the feed has seen, and how it knows that nothing of it is missing: r(n) = SHA-256(r(n-1), the
//! hash of event n), over all events of a store in their order.

use domain::envelope::{Hash, roll};
use domain::json::Sha256Text;
use domain::{Position, StoreId};
use serde::{Deserialize, Serialize};

/// The events of a store up to one of them: how many there are, and the digest of them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePrefix {
    /// The store.
    pub store: StoreId,
    /// Where the last of them stands.
    pub position: Position,
    /// How many there are.
    pub count: u64,
    /// The digest of them all.
    pub rolling_hash: Sha256Text,
}

/// What the feed says of an event beside the event itself: the prefix that ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Counted {
    /// Where the event stands.
    pub position: Position,
    /// Its own hash.
    pub hash: Sha256Text,
    /// How many events there are up to it.
    pub count: u64,
    /// The digest of them all.
    pub rolling_hash: Sha256Text,
}

/// The service counts otherwise than this consumer: a proof that what was seen is not what the store holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Another store.
    #[error(
        "the service serves another store now: {theirs} instead of {ours}; follow it from its start, with another \
         checkpoint"
    )]
    Store {
        /// What was followed.
        ours: StoreId,
        /// What is there now.
        theirs: StoreId,
    },
    /// Events came twice, or in another order.
    #[error(
        "at position {theirs}: an event came that does not stand after position {ours}, the last one seen; it came \
         twice, or out of order"
    )]
    Order {
        /// The last one seen.
        ours: Position,
        /// The one that came.
        theirs: Position,
    },
    /// Events are missing, or there are too many.
    #[error(
        "at position {position}: the service has {theirs} events up to there and {ours} came; since position {since}, \
         up to which both agreed, {} ", missed(*ours, *theirs)
    )]
    Count {
        /// Where.
        position: Position,
        /// Up to where both agreed.
        since: Position,
        /// How many came.
        ours: u64,
        /// How many the service has.
        theirs: u64,
    },
    /// As many events, and another digest.
    #[error(
        "at position {position}: of {count} events as many came, and their rolling hash is {ours} here and {theirs} at \
         the service; what came after position {since}, up to which both agreed, is not what the store holds"
    )]
    Hash {
        /// Where.
        position: Position,
        /// Up to where both agreed.
        since: Position,
        /// How many events.
        count: u64,
        /// What follows from what came.
        ours: Hash,
        /// What the service has.
        theirs: Hash,
    },
}

fn missed(ours: u64, theirs: u64) -> String {
    match theirs.checked_sub(ours) {
        Some(missing) => format!("{missing} were not sent"),
        None => format!("{} too many were sent", ours - theirs),
    }
}

impl StorePrefix {
    /// Nothing of that store yet.
    pub fn empty(store: StoreId) -> Self {
        Self {
            store,
            position: Position::START,
            count: 0,
            rolling_hash: Sha256Text([0; 32]),
        }
    }

    /// Goes on by the next event, if the service counts as we do.
    pub fn take_in(&mut self, event: &Counted) -> Result<(), Disagreement> {
        if event.position <= self.position {
            return Err(Disagreement::Order {
                ours: self.position,
                theirs: event.position,
            });
        }
        let rolled = roll(Hash(self.rolling_hash.0), Hash(event.hash.0));
        let next = Self {
            store: self.store,
            position: event.position,
            count: self.count + 1,
            rolling_hash: Sha256Text(rolled.0),
        };
        next.holds(self.position, event.count, event.rolling_hash)?;
        *self = next;
        Ok(())
    }

    /// Whether what the service says of the same prefix, by itself or when a stream begins, is what we have.
    pub fn agree(&self, theirs: &Self) -> Result<(), Disagreement> {
        if theirs.store != self.store {
            return Err(Disagreement::Store {
                ours: self.store,
                theirs: theirs.store,
            });
        }
        self.holds(self.position, theirs.count, theirs.rolling_hash)
    }

    fn holds(&self, since: Position, count: u64, hash: Sha256Text) -> Result<(), Disagreement> {
        if count != self.count {
            return Err(Disagreement::Count {
                position: self.position,
                since,
                ours: self.count,
                theirs: count,
            });
        }
        if hash != self.rolling_hash {
            return Err(Disagreement::Hash {
                position: self.position,
                since,
                count,
                ours: Hash(self.rolling_hash.0),
                theirs: Hash(hash.0),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn store() -> StoreId {
        StoreId(Uuid::from_u128(1))
    }

    /// A feed of three events, with gaps between their positions.
    fn a_feed() -> Vec<Counted> {
        let mut rolled = Hash([0; 32]);
        let counted = (1..=3).map(|count: u64| {
            let hash = [u8::try_from(count).unwrap(); 32];
            rolled = roll(rolled, Hash(hash));
            Counted {
                position: Position(count * 10),
                hash: Sha256Text(hash),
                count,
                rolling_hash: Sha256Text(rolled.0),
            }
        });
        counted.collect()
    }

    fn taken<'e>(
        events: impl IntoIterator<Item = &'e Counted>,
    ) -> Result<StorePrefix, Disagreement> {
        let mut seen = StorePrefix::empty(store());
        for event in events {
            seen.take_in(event)?;
        }
        Ok(seen)
    }

    #[test]
    fn whoever_saw_every_event_agrees_with_the_service() {
        let feed = a_feed();
        let seen = taken(&feed).unwrap();
        assert_eq!((seen.position, seen.count), (Position(30), 3));
        let theirs = StorePrefix {
            rolling_hash: feed[2].rolling_hash,
            ..seen
        };
        assert_eq!(seen.agree(&theirs), Ok(()));
    }

    #[test]
    fn an_event_that_is_missing_or_comes_again_is_noticed_at_once() {
        let feed = a_feed();
        assert_eq!(
            taken([&feed[0], &feed[2]]),
            Err(Disagreement::Count {
                position: Position(30),
                since: Position(10),
                ours: 2,
                theirs: 3
            })
        );
        let order = Disagreement::Order {
            ours: Position(10),
            theirs: Position(10),
        };
        assert_eq!(taken([&feed[0], &feed[0]]), Err(order));
    }

    #[test]
    fn an_event_that_is_another_is_noticed_at_once() {
        let mut feed = a_feed();
        feed[1].hash = Sha256Text([9; 32]);
        let Err(Disagreement::Hash {
            position, since, ..
        }) = taken(&feed)
        else {
            panic!("another hash is another digest");
        };
        assert_eq!((position, since), (Position(20), Position(10)));
    }

    #[test]
    fn a_prefix_of_another_store_or_of_an_altered_one_is_not_gone_on_with() {
        let seen = taken(&a_feed()).unwrap();
        let elsewhere = StorePrefix {
            store: StoreId(Uuid::from_u128(2)),
            ..seen
        };
        assert!(matches!(
            seen.agree(&elsewhere),
            Err(Disagreement::Store { .. })
        ));
        let altered = StorePrefix {
            rolling_hash: Sha256Text([9; 32]),
            ..seen
        };
        assert!(matches!(
            seen.agree(&altered),
            Err(Disagreement::Hash { .. })
        ));
        let shorter = StorePrefix { count: 2, ..seen };
        assert!(matches!(
            seen.agree(&shorter),
            Err(Disagreement::Count { .. })
        ));
    }
}
