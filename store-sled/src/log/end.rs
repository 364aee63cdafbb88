//! The end of the log: where the last whole commit ends, and what stands after it.

use super::error::LogError;
use super::segment::Segment;
use super::segments::{End, Log};
use crate::at;
use crate::block::Groups;
use crate::block::frame::HEADER_BYTES;
use std::fs::File;

/// The end of the last commit that is there whole, at or after `from`. What lies behind it is a torn write if no later
/// commit is there: each is written only once the one before is durable.
pub(crate) fn find_end(log: &Log, from: End, promised: u64, written: u64) -> Result<End, LogError> {
    let mut end = from;
    // A file of the log is begun only once all before it is durable.
    let promised = promised.max(log.last().first.saturating_sub(1));
    let mut frames = log.frames(end.address, written);
    let mut next = end.position + 1;
    // The end moves by whole commits: a frame says how many events of its commit are in the frames after it.
    let damage = loop {
        let read = match frames.next(next) {
            Ok(None) => break None,
            Ok(Some(read)) => read,
            Err(LogError::Damage(damage)) => break Some(damage),
            Err(error) => return Err(error),
        };
        if let Err(damage) = Groups::new(next, read.block) {
            break Some(damage);
        }
        let header = read.header;
        next = header.next();
        if header.behind == 0 {
            end = End {
                position: next - 1,
                address: frames.address(),
            };
        }
    };
    let Some(damage) = damage else {
        return Ok(end);
    };
    // A torn write is the only reason for which something may be cut off. It was not acknowledged, so no note tells of
    // it, and the commit after it was never begun. Anything else that does not hold is damage, and stays for `repair`.
    let is_torn = end.position >= promised && !later_commit(log, end, written)?;
    if is_torn { Ok(end) } else { Err(damage.into()) }
}

/// Whether a commit that came after the first one behind the end is there, at least in parts.
fn later_commit(log: &Log, end: End, written: u64) -> Result<bool, LogError> {
    let mut from = end.address;
    while let Some((address, header)) = log.find(from, written)? {
        if header.commit() > end.position + 1 {
            return Ok(true);
        }
        from = address + header.frame_bytes() as u64;
    }
    Ok(false)
}

/// Cuts off what was torn, and makes durable what is about to be shown. What was not acknowledged is written once more:
/// after a failed sync the system may hold it for written although the disk never got it.
pub(crate) fn settle(log: &Log, end: End, acknowledged: u64) -> Result<File, LogError> {
    let last = log.last();
    let io = |error| LogError::io(&last.path, error);
    let file = last.to_write().map_err(io)?;
    if last.end()? > end.address {
        // The next commit would overwrite only a part of it.
        file.set_len(last.offset(end.address)).map_err(io)?;
    }
    // Readers are about to see these events and the index is about to have them, so they must survive the next power cut.
    if acknowledged < end.position {
        write_again(log, &last, &file, end, acknowledged)?;
    }
    file.sync_all().map_err(io)?;
    Ok(file)
}

fn write_again(
    log: &Log,
    last: &Segment,
    file: &File,
    end: End,
    acknowledged: u64,
) -> Result<(), LogError> {
    // Files before the last one were durable before that was begun.
    let first = acknowledged.saturating_add(1).max(last.first);
    let (first, address) = log.locate(first, end.address)?;
    let mut frames = log.frames(address, end.address);
    let mut next = first;
    loop {
        let address = frames.address();
        let Some(read) = frames.next(next)? else {
            return Ok(());
        };
        let mut frame = vec![0; HEADER_BYTES];
        read.header.write(&mut frame);
        frame.extend_from_slice(read.block);
        let written = at::write_all(file, &frame, last.offset(address));
        written.map_err(|error| LogError::io(&last.path, error))?;
        next = read.header.next();
    }
}
