//! The log: every event there ever was, in the order of commits, in files that are only ever appended to.
//!
//! A segment is a file named by the position of its first event. It begins with a header (magic, the store's identity,
//! the first position, the address of the first frame, a checksum), then frames. An **address** is a place in the log
//! as if it were one file without segment headers: it stays the same when segments are cut or moved.

mod end;
mod error;
mod hints;
mod open;
mod piece;
mod read;
mod search;
mod segment;
mod segments;
mod tidy;
mod write;

pub(crate) use end::{find_end, settle};
pub(crate) use error::LogError;
pub(crate) use open::{Unfinished, open};
pub(crate) use piece::Piece;
pub(crate) use read::Frames;
pub(crate) use segment::{Segment, SegmentHeader, first_of, segments_in};
pub(crate) use segments::{End, Log};
pub(crate) use tidy::{part, settle_part, tidied, tidy};
pub(crate) use write::Writer;
