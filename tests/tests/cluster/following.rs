//! Following all calls: gap-free whatever happens on the way, and equal to following the embedded store.

use super::{call, keep, nodes, open};
use domain::{EventStore, Follower, Position, Revision, StoredEvent};
use projections::{AllFour, Projection};
use std::sync::Arc;
use std::time::Duration;
use store_sled::SledStore;
use tests::contract::{a_whole_call, batches, chatter};
use tests::standin::Failure;
