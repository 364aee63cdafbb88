//! The places for connections, and which connection makes room for another.
//!
//! A connection is anonymous until a request on it is admitted with a key. Anonymous connections never keep
//! others out: when places run out, in all or for one address, the one that has been idle for longest is closed. Some of the
//! places are for keys of the telephone system alone.

use crate::Settings;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// How many connections beyond the limit may wait for a 503 at once; further ones are closed without a response.
const MAX_REFUSED_AT_ONCE: usize = 64;

/// How many connections that were closed to make room may still be ending.
const MAX_LEAVING: usize = 64;

/// One place in eight is for keys of the telephone system alone.
const TELEPHONY_SHARE: usize = 8;

/// The places for connections.
pub(super) struct Places {
    table: Arc<Mutex<Table>>,
    for_refused: Arc<Semaphore>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    most: usize,
    /// For keys without the role telephony.
    most_others: usize,
    /// Anonymous connections of one address; 0 for as many as there are places.
    most_per_address: usize,
}

/// A connection's place; it is free again when this is dropped.
pub(super) enum Place {
    Served(Arc<Seat>),
    /// Its first request is answered with 503, because there is no place.
    Refused(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit),
}

/// The place of a connection that is served.
pub(crate) struct Seat {
    id: u64,
    table: Arc<Mutex<Table>>,
    limits: Limits,
    is_admitted: AtomicBool,
    /// Another connection needs the place.
    must_leave: Arc<Notify>,
}

struct Table {
    next_id: u64,
    seats: HashMap<u64, Entry>,
    /// Anonymous connections, the first to leave first.
    anonymous: BTreeSet<Rank>,
    of_address: HashMap<IpAddr, BTreeSet<Rank>>,
    /// Connections that were admitted with a key that has not the role telephony.
    others: usize,
    /// Connections that have not ended, those that must leave among them.
    alive: watch::Sender<usize>,
}

struct Entry {
    address: IpAddr,
    standing: Standing,
    must_leave: Arc<Notify>,
}

/// What a connection has shown.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Anonymous { under_way: usize, since: Instant },
    Telephony,
    Other,
}

/// In which order anonymous connections leave: those without a request under way first, and of these the one that has
/// been idle for longest. Bytes that are no whole request do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    has_a_request: bool,
    since: Instant,
    id: u64,
}

impl Places {
    pub(super) fn within(settings: &Settings) -> Self {
        let most = settings.max_connections;
        let limits = Limits {
            most,
            most_others: most - most / TELEPHONY_SHARE,
            most_per_address: settings.max_anonymous_per_address,
        };
        let table = Table {
            next_id: 0,
            seats: HashMap::new(),
            anonymous: BTreeSet::new(),
            of_address: HashMap::new(),
            others: 0,
            alive: watch::Sender::new(0),
        };
        Self {
            table: Arc::new(Mutex::new(table)),
            for_refused: Arc::new(Semaphore::new(MAX_REFUSED_AT_ONCE)),
            limits,
        }
    }

    /// A place for a connection from that address; none if it must be closed without a response.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Place> {
        let seat = self.seat(network(peer));
        if let Some(seat) = seat {
            return Some(Place::Served(Arc::new(seat)));
        }
        let permit = Arc::clone(&self.for_refused).try_acquire_owned();
        permit.ok().map(Place::Refused)
    }

    fn seat(&self, address: IpAddr) -> Option<Seat> {
        let mut table = locked(&self.table);
        table.make_room(address, &self.limits)?;
        let must_leave = Arc::new(Notify::new());
        let id = table.enter(address, &must_leave);
        drop(table);
        Some(Seat {
            id,
            table: Arc::clone(&self.table),
            limits: self.limits,
            is_admitted: AtomicBool::new(false),
            must_leave,
        })
    }

    /// How many connections have not ended.
    pub(super) fn taken(&self) -> usize {
        *locked(&self.table).alive.borrow()
    }

    /// Waits until every connection has ended.
    pub(super) async fn all_free(&self) {
        let mut alive = locked(&self.table).alive.subscribe();
        // The sender is in the table, which outlives this.
        let _ = alive.wait_for(|alive| *alive == 0).await;
    }
}

impl Seat {
    /// Waits until another connection needs the place.
    pub(super) async fn must_leave(&self) {
        self.must_leave.notified().await;
    }

    /// Whether a request on this connection was admitted with a key.
    pub(super) fn is_admitted(&self) -> bool {
        self.is_admitted.load(Ordering::Acquire)
    }

    /// A request on this connection was admitted with a key. Returns whether there is a place for it.
    pub(crate) fn admit(&self, has_telephony: bool) -> bool {
        if self.is_admitted() {
            return true;
        }
        let is_admitted = locked(&self.table).admit(self.id, has_telephony, &self.limits);
        self.is_admitted.fetch_or(is_admitted, Ordering::AcqRel);
        is_admitted
    }

    /// A request came in.
    pub(super) fn request_began(&self) {
        self.request_changed(|under_way| under_way + 1);
    }

    /// A request was answered.
    pub(super) fn request_ended(&self) {
        self.request_changed(|under_way| under_way.saturating_sub(1));
    }

    fn request_changed(&self, change: impl FnOnce(usize) -> usize) {
        if !self.is_admitted() {
            locked(&self.table).request_changed(self.id, change);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        table.remove(self.id);
        table.alive.send_modify(|alive| *alive -= 1);
    }
}

impl Table {
    /// Closes the anonymous connection that must leave for another one. None if there is no place to be had.
    fn make_room(&mut self, address: IpAddr, limits: &Limits) -> Option<()> {
        if *self.alive.borrow() >= limits.most + MAX_LEAVING {
            return None;
        }
        let of_address = self.of_address.get(&address);
        if let Some(same) = of_address
            && limits.most_per_address > 0
            && same.len() >= limits.most_per_address
        {
            let first = same.first().map(|rank| rank.id);
            self.close(first)?;
        }
        if self.seats.len() >= limits.most {
            let first = self.anonymous.first().map(|rank| rank.id);
            self.close(first)?;
        }
        Some(())
    }

    fn close(&mut self, id: Option<u64>) -> Option<()> {
        let entry = self.remove(id?)?;
        entry.must_leave.notify_one();
        Some(())
    }

    fn enter(&mut self, address: IpAddr, must_leave: &Arc<Notify>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let standing = Standing::Anonymous {
            under_way: 0,
            since: Instant::now(),
        };
        let entry = Entry {
            address,
            standing,
            must_leave: Arc::clone(must_leave),
        };
        self.line_up(id, &entry);
        self.seats.insert(id, entry);
        self.alive.send_modify(|alive| *alive += 1);
        id
    }

    fn admit(&mut self, id: u64, has_telephony: bool, limits: &Limits) -> bool {
        let standing = self.seats.get(&id).map(|entry| entry.standing);
        if matches!(standing, Some(Standing::Telephony | Standing::Other)) {
            // Another request on the connection was admitted meanwhile.
            return true;
        }
        if !has_telephony && self.others >= limits.most_others {
            return false;
        }
        let Some(mut entry) = self.remove(id) else {
            return false;
        };
        if has_telephony {
            entry.standing = Standing::Telephony;
        } else {
            entry.standing = Standing::Other;
            self.others += 1;
        }
        self.seats.insert(id, entry);
        true
    }

    fn request_changed(&mut self, id: u64, change: impl FnOnce(usize) -> usize) {
        let Some(mut entry) = self.remove(id) else {
            return;
        };
        if let Standing::Anonymous { under_way, since } = &mut entry.standing {
            *under_way = change(*under_way);
            *since = Instant::now();
        }
        self.line_up(id, &entry);
        if matches!(entry.standing, Standing::Other) {
            self.others += 1;
        }
        self.seats.insert(id, entry);
    }

    fn line_up(&mut self, id: u64, entry: &Entry) {
        if let Some(rank) = entry.rank(id) {
            self.anonymous.insert(rank);
            self.of_address
                .entry(entry.address)
                .or_default()
                .insert(rank);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.seats.remove(&id)?;
        if let Some(rank) = entry.rank(id) {
            self.anonymous.remove(&rank);
            self.leave_address(entry.address, &rank);
        }
        if matches!(entry.standing, Standing::Other) {
            self.others -= 1;
        }
        Some(entry)
    }

    fn leave_address(&mut self, address: IpAddr, rank: &Rank) {
        if let Some(same) = self.of_address.get_mut(&address) {
            same.remove(rank);
            if same.is_empty() {
                self.of_address.remove(&address);
            }
        }
    }
}

impl Entry {
    /// Where an anonymous connection stands among those that may have to leave.
    fn rank(&self, id: u64) -> Option<Rank> {
        match self.standing {
            Standing::Anonymous { under_way, since } => Some(Rank {
                has_a_request: under_way > 0,
                since,
                id,
            }),
            Standing::Telephony | Standing::Other => None,
        }
    }
}

/// One client can have as many IPv6 addresses of a network of 64 bits as it likes, so these count as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
    }
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(max_connections: usize, max_anonymous_per_address: usize) -> Places {
        Places::within(&Settings {
            max_connections,
            max_anonymous_per_address,
            ..Settings::default()
        })
    }

    fn seat(places: &Places, address: &str) -> Option<Arc<Seat>> {
        match places.take(address.parse().unwrap()) {
            Some(Place::Served(seat)) => Some(seat),
            Some(Place::Refused(_)) | None => None,
        }
    }

    fn is_leaving(seat: &Seat) -> bool {
        !locked(&seat.table).seats.contains_key(&seat.id)
    }

    #[test]
    fn the_anonymous_connection_that_is_idle_for_longest_leaves_and_no_other() {
        let places = places(3, 0);
        let [first, second, third] =
            ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| seat(&places, address).unwrap());
        first.request_began();
        first.request_ended();
        second.request_began();
        let fourth = seat(&places, "10.0.0.4").unwrap();
        assert!(is_leaving(&third), "it never asked anything");
        assert!(fourth.admit(true));
        let fifth = seat(&places, "10.0.0.5").unwrap();
        assert!(is_leaving(&first), "the second has a request under way");
        assert!(second.admit(true) && fifth.admit(true));
        assert!(seat(&places, "10.0.0.6").is_none(), "all have keys");
    }

    #[test]
    fn an_address_makes_room_for_itself_and_its_keys_do_not_count() {
        let places = places(100, 2);
        let with_key = seat(&places, "2001:db8::1").unwrap();
        assert!(with_key.admit(false));
        let first = seat(&places, "2001:db8::2").unwrap();
        let other = seat(&places, "10.0.0.1").unwrap();
        let second = seat(&places, "2001:db8::3").unwrap();
        let third = seat(&places, "2001:db8::4").unwrap();
        assert!(is_leaving(&first));
        for stays in [with_key, other, second, third] {
            assert!(!is_leaving(&stays));
        }
    }

    #[test]
    fn some_places_are_for_the_telephone_system_alone() {
        let places = places(16, 0);
        let seats: Vec<_> = (0..14)
            .map(|_| seat(&places, "10.0.0.1").unwrap())
            .collect();
        assert!(seats.iter().all(|seat| seat.admit(false)));
        let late = seat(&places, "10.0.0.1").unwrap();
        assert!(!late.admit(false));
        assert!(late.admit(true));
        drop(seats);
        assert!(seat(&places, "10.0.0.1").unwrap().admit(false));
    }

    #[test]
    fn a_flood_cannot_have_more_connections_than_there_are_descriptors() {
        let places = places(8, 0);
        let flood: Vec<_> = (0..1000)
            .map(|_| places.take([10, 0, 0, 1].into()))
            .collect();
        assert_eq!(places.taken(), 8 + MAX_LEAVING);
        let held = flood.iter().flatten().count();
        assert_eq!(held, 8 + MAX_LEAVING + MAX_REFUSED_AT_ONCE);
        drop(flood);
        assert_eq!(places.taken(), 0);
    }
}
