//! A file of the log.

use super::error::LogError;
use crate::at;
use crate::damage::Damage;
use crate::files::sync_folder;
use crate::presence;
use domain::StoreId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const MAGIC: &[u8; 12] = b"kaigi-log-1\n";

/// Magic, identity, first position, address of the first frame, checksum.
pub(crate) const HEADER_BYTES: usize = 12 + 16 + 8 + 8 + 4;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store: StoreId,
    /// The position of its first event.
    pub(crate) first: u64,
    /// The address of its first frame.
    pub(crate) start: u64,
}

/// A file of the log, open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) first: u64,
    pub(crate) start: u64,
}

impl SegmentHeader {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.store.0.as_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.start.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (covered, checksum) = bytes.split_last_chunk()?;
        let holds = u32::from_be_bytes(*checksum) == crc32fast::hash(covered);
        let rest = covered.strip_prefix(MAGIC).filter(|_| holds)?;
        let (id, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (start, _) = rest.split_first_chunk()?;
        Some(Self {
            store: StoreId(Uuid::from_bytes(*id)),
            first: u64::from_be_bytes(*first),
            start: u64::from_be_bytes(*start),
        })
    }
}

impl Segment {
    /// Where a segment with that first position lies.
    pub(crate) fn path(folder: &Path, first: u64) -> PathBuf {
        folder.join(format!("{first:020}.log"))
    }

    /// Makes a new, empty one and makes its name outlive a power cut.
    pub(crate) fn create(folder: &Path, header: &SegmentHeader) -> io::Result<Self> {
        let path = Self::path(folder, header.first);
        let created = Self::create_at(&path, folder, header);
        if created.is_err() {
            // The log may go on in the file before it, and then this one would not follow. It may not be there.
            let _ = fs::remove_file(&path);
        }
        created
    }

    fn create_at(path: &Path, folder: &Path, header: &SegmentHeader) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&header.bytes())?;
        file.sync_all()?;
        sync_folder(folder)?;
        let (first, start) = (header.first, header.start);
        Ok(Self {
            file: File::open(path)?,
            path: path.to_owned(),
            first,
            start,
        })
    }

    /// A handle to write with; one thread has it.
    pub(crate) fn to_write(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.path)
    }

    /// Opens one and reads its header; nothing if the file is shorter than that, as a crash leaves it.
    pub(crate) fn open(path: &Path) -> Result<Option<(Self, SegmentHeader)>, LogError> {
        let file = File::open(path).map_err(|error| LogError::io(path, error))?;
        let mut bytes = [0; HEADER_BYTES];
        let read = at::read_full(&file, &mut bytes, 0);
        if read.map_err(|error| LogError::io(path, error))? < HEADER_BYTES {
            return Ok(None);
        }
        let header = SegmentHeader::read(&bytes).ok_or_else(|| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Damage::new(format!("the header of the log's file {name} is damaged"))
        })?;
        let segment = Self {
            path: path.to_owned(),
            file,
            first: header.first,
            start: header.start,
        };
        Ok(Some((segment, header)))
    }

    /// The address behind its last byte.
    pub(crate) fn end(&self) -> Result<u64, LogError> {
        let about = self.file.metadata();
        let length = about
            .map_err(|error| LogError::io(&self.path, error))?
            .len();
        Ok(self.start + length.saturating_sub(HEADER_BYTES as u64))
    }

    /// Verifies that the open file is still where it was.
    pub(crate) fn verify(&self) -> Result<(), String> {
        presence::verify(&self.file, &self.path)
    }

    /// Reads what there is from that address on; less than asked for only at the end of the file.
    pub(crate) fn read_at(&self, address: u64, into: &mut [u8]) -> Result<usize, LogError> {
        let read = at::read_full(&self.file, into, self.offset(address));
        read.map_err(|error| LogError::io(&self.path, error))
    }

    /// Where in the file an address is.
    pub(crate) fn offset(&self, address: u64) -> u64 {
        HEADER_BYTES as u64 + address.saturating_sub(self.start)
    }
}

/// The files of the log in a folder, in order.
pub(crate) fn segments_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The first position in a file of the log, by its name; nothing if it is named otherwise, as other programs' are.
pub(crate) fn first_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}
