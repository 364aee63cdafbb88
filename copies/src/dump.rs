//! A store as text: a header, one event a line, and a line that closes it. `docs/dump-format.md` is the specification.

use crate::commands::Commands;
use crate::error::CopyError;
use crate::line::{FORMAT, InvalidLine, LONGEST_LINE, not_a_line, parse_line, write_line};
use crate::progress::{Report, Told, Work};
use domain::json::Sha256Text;
use domain::{EventStore, Position, StoreId, StoredEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead, Read as _, Write};

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format.
    #[serde(rename = "kaigi_dump")]
    pub format: u64,
    /// The store it was taken of.
    pub store: StoreId,
    /// The position after which it begins.
    pub after: Position,
}

/// The last line, so that a dump that was cut short is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// How many events stand above it.
    pub events: u64,
    /// The position of the last of them; where the dump begins, if there is none.
    pub last: Position,
    /// SHA-256 of every byte above it.
    pub sha256: Sha256Text,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosingLine {
    closing: Closing,
}

/// Only the format, whatever else a newer header has.
#[derive(Deserialize)]
struct AnyHeader {
    kaigi_dump: u64,
}

/// Writes the events of the store after that position as it is now. Nothing is verified: also a damaged store must be
/// readable elsewhere. A history that does not verify is refused where it is restored.
pub async fn dump(
    store: &dyn EventStore,
    after: Position,
    out: &mut (dyn Write + Send),
    report: Report<'_>,
) -> Result<Closing, CopyError> {
    let info = store.info().await?;
    let mut told = Told::new(Work::Writing, info.events, report);
    let mut commands = Commands::new(store, after, info.last);
    let mut dump = DumpWriter::begin(out, store.id(), after).map_err(CopyError::Output)?;
    while let Some(command) = commands.next().await? {
        for event in &command {
            dump.write(event).map_err(CopyError::Output)?;
            told.more(1);
        }
    }
    let (_, closing) = dump.close().map_err(CopyError::Output)?;
    told.done();
    Ok(closing)
}

/// A dump being written.
pub(crate) struct DumpWriter<W> {
    out: W,
    hasher: Sha256,
    events: u64,
    last: Position,
}

impl<W: Write> DumpWriter<W> {
    pub(crate) fn begin(out: W, store: StoreId, after: Position) -> io::Result<Self> {
        let mut dump = Self {
            out,
            hasher: Sha256::new(),
            events: 0,
            last: after,
        };
        dump.line(&json_line(&Header {
            format: FORMAT,
            store,
            after,
        }))?;
        Ok(dump)
    }

    pub(crate) fn write(&mut self, event: &StoredEvent) -> io::Result<()> {
        self.events += 1;
        self.last = event.position;
        self.line(&write_line(event))
    }

    pub(crate) fn close(mut self) -> io::Result<(W, Closing)> {
        let closing = Closing {
            events: self.events,
            last: self.last,
            sha256: Sha256Text(self.hasher.finalize().into()),
        };
        self.out
            .write_all(json_line(&ClosingLine { closing }).as_bytes())?;
        self.out.flush()?;
        Ok((self.out, closing))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.hasher.update(line.as_bytes());
        self.out.write_all(line.as_bytes())
    }
}

fn json_line(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("what a dump says of itself is JSON");
    line.push('\n');
    line
}

/// A dump being read. Every line is checked; the chains of the calls are not.
pub struct DumpReader<R> {
    input: R,
    header: Header,
    hasher: Sha256,
    line: u64,
    events: u64,
    last: Position,
    closing: Option<Closing>,
}

/// A fault, and the line it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: InvalidLine,
}

impl<R: BufRead> DumpReader<R> {
    /// Begins to read: the first line must be a header.
    pub fn open(mut input: R) -> Result<Self, Fault> {
        let mut hasher = Sha256::new();
        let line = read_line(&mut input, &mut hasher).and_then(|line| header(&line));
        let header = line.map_err(|what| Fault { line: 1, what })?;
        Ok(Self {
            input,
            header,
            hasher,
            line: 1,
            events: 0,
            last: header.after,
            closing: None,
        })
    }

    /// The first line.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The last line, once all before it are read.
    pub fn closing(&self) -> Option<Closing> {
        self.closing
    }

    /// The next event, or none once the dump is closed as it should be.
    pub fn next_event(&mut self) -> Result<Option<StoredEvent>, Fault> {
        if self.closing.is_some() {
            return Ok(None);
        }
        self.line += 1;
        let next = self.next_line();
        next.map_err(|what| Fault {
            line: self.line,
            what,
        })
    }

    fn next_line(&mut self) -> Result<Option<StoredEvent>, InvalidLine> {
        let above = self.hasher.clone();
        let line = read_line(&mut self.input, &mut self.hasher)?;
        let fault = match parse_line(&line) {
            Ok(event) => return self.counted(event).map(Some),
            Err(fault) => fault,
        };
        let Ok(ClosingLine { closing }) = serde_json::from_str(&line) else {
            return Err(fault);
        };
        self.closes(closing, Sha256Text(above.finalize().into()))?;
        self.closing = Some(closing);
        Ok(None)
    }

    fn counted(&mut self, event: StoredEvent) -> Result<StoredEvent, InvalidLine> {
        if event.position <= self.last {
            return Err(InvalidLine::OutOfOrder {
                before: self.last,
                found: event.position,
            });
        }
        self.events += 1;
        self.last = event.position;
        Ok(event)
    }

    fn closes(&mut self, said: Closing, sha256: Sha256Text) -> Result<(), InvalidLine> {
        if (said.events, said.last) != (self.events, self.last) {
            return Err(InvalidLine::Miscounted {
                said: counts(said.events, said.last),
                there: counts(self.events, self.last),
            });
        }
        if said.sha256 != sha256 {
            return Err(InvalidLine::Changed {
                said: said.sha256,
                there: sha256,
            });
        }
        let rest = self.input.fill_buf().map_err(|error| unreadable(&error))?;
        if rest.is_empty() {
            Ok(())
        } else {
            Err(InvalidLine::Trailing)
        }
    }
}

fn header(line: &str) -> Result<Header, InvalidLine> {
    let AnyHeader { kaigi_dump: found } =
        serde_json::from_str(line).map_err(|_| InvalidLine::NoHeader)?;
    match found {
        0 => return Err(InvalidLine::NoHeader),
        FORMAT => {}
        _ => return Err(InvalidLine::NewerFormat { found }),
    }
    serde_json::from_str(line).map_err(|error| not_a_line(&error))
}

/// A whole line, never a longer one than there can be.
fn read_line(input: &mut impl BufRead, hasher: &mut Sha256) -> Result<String, InvalidLine> {
    let mut line = Vec::with_capacity(1024);
    let mut limited = input.take(LONGEST_LINE);
    let read = limited.read_until(b'\n', &mut line);
    read.map_err(|error| unreadable(&error))?;
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 == LONGEST_LINE {
            InvalidLine::TooLong
        } else {
            InvalidLine::Truncated
        });
    }
    hasher.update(&line);
    String::from_utf8(line).map_err(|error| {
        let place = error.utf8_error().valid_up_to() + 1;
        InvalidLine::NotALine(format!("not UTF-8 at byte {place}"))
    })
}

fn unreadable(error: &io::Error) -> InvalidLine {
    InvalidLine::Unreadable(error.to_string())
}

fn counts(events: u64, last: Position) -> String {
    format!("{events} events up to position {last}")
}
