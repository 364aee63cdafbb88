//! Where lists are read: from a router in the process, over a store at hand, or from one behind HTTP. Both are asked the
//! same question, and their rows are printed alike.

use crate::output::{Console, Output, shown};
use client::{Client, ClientError, Question};
use domain::envelope::Hash;
use domain::json::Sha256Text;
use domain::{Position, Prefix, Timestamp};
use projections::Listing;
use projections::table::Table;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use server::read_models::{AtHand, Reply, csv_head, csv_records};

/// What answers questions for lists.
pub enum Router {
    /// In the process.
    AtHand(AtHand),
    /// Behind HTTP.
    Service(Client),
}

/// The rows of a list, and what they were read at.
pub struct Rows {
    /// When they were asked for.
    pub as_of: Timestamp,
    /// The events they were made from.
    pub events: Prefix,
    source: Source,
}

enum Source {
    /// Lines of JSON, or of CSV if that is printed, made while they are read.
    Lines(Lines),
    /// Rows that came over HTTP.
    Values(std::vec::IntoIter<Value>),
}

/// Bytes that come piece by piece, as lines.
struct Lines {
    reply: Reply,
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
}

/// How rows are printed.
#[derive(Clone, Copy)]
pub struct Sheet<'t> {
    /// The columns of CSV.
    pub fields: &'t [&'t str],
    /// What people see.
    pub table: &'t Table,
}

/// A page of rows.
#[derive(Deserialize)]
struct Page {
    #[serde(deserialize_with = "time")]
    as_of: Timestamp,
    position: Position,
    count: u64,
    proof: Sha256Text,
    rows: Vec<Value>,
    next: Option<String>,
}

/// How many rows are asked for at once.
const PAGE: usize = 5000;

impl Router {
    /// All rows, as they are at one position, to be printed in that form.
    pub async fn ask(&self, question: &Question, output: Output) -> anyhow::Result<Rows> {
        match self {
            Self::AtHand(router) => {
                let target = question.target();
                let reply = match output {
                    Output::Csv => router.csv(&target).await?,
                    Output::Table | Output::Json | Output::Ndjson => router.lines(&target).await?,
                };
                Ok(Rows::at_hand(reply))
            }
            Self::Service(client) => Ok(of_service(client, question).await?),
        }
    }
}

/// All rows of a list of the service, as they are at one position.
pub async fn of_service(client: &Client, question: &Question) -> Result<Rows, ClientError> {
    let answer = client.ask(&question.clone().by_line()).await?;
    let header = |name: &str| answer.headers.get(name)?.to_str().ok();
    if let Some(rows) = of_lines(header, answer.text().ok()) {
        return Ok(rows);
    }
    // An older service sends lines of a page, and a proxy may know JSON alone.
    by_page(client, question, answer.json().ok()).await
}

/// The rows of an answer that says that it has all of them.
fn of_lines<'a>(header: impl Fn(&str) -> Option<&'a str>, lines: Option<&str>) -> Option<Rows> {
    let (as_of, events) = head(header)?;
    let rows = lines?.lines().map(serde_json::from_str);
    let rows: Vec<_> = rows.collect::<Result<_, _>>().ok()?;
    Some(Rows::of(as_of, events, rows))
}

/// What the headers of an answer say that has all rows.
fn head<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<(Timestamp, Prefix)> {
    if header("kaigi-complete") != Some("true") {
        return None;
    }
    let proof: Sha256Text = serde_json::from_value(header("kaigi-proof")?.into()).ok()?;
    let events = Prefix {
        count: header("kaigi-count")?.parse().ok()?,
        position: Position(header("kaigi-position")?.parse().ok()?),
        rolling_hash: Hash(proof.0),
    };
    Some((header("kaigi-as-of")?.parse().ok()?, events))
}

/// The rows page by page: they reflect everything up to the position of the first.
async fn by_page(
    client: &Client,
    question: &Question,
    first: Option<Page>,
) -> Result<Rows, ClientError> {
    let question = question.clone().with("limit", &PAGE);
    let first = match first {
        Some(page) => page,
        None => client.ask(&question).await?.json()?,
    };
    let Page {
        as_of,
        position,
        count,
        proof,
        mut rows,
        mut next,
    } = first;
    while let Some(cursor) = next {
        let question = question.clone().with("cursor", &cursor);
        let page: Page = client.ask(&question).await?.json()?;
        rows.extend(page.rows);
        next = page.next;
    }
    let events = Prefix {
        count,
        position,
        rolling_hash: Hash(proof.0),
    };
    Ok(Rows::of(as_of, events, rows))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Rows {
    fn of(as_of: Timestamp, events: Prefix, rows: Vec<Value>) -> Self {
        Self {
            as_of,
            events,
            source: Source::Values(rows.into_iter()),
        }
    }

    fn at_hand(reply: Reply) -> Self {
        let (as_of, events) =
            head(|name| reply.header(name)).expect("the router in the process says what it has");
        let lines = Lines {
            reply,
            bytes: Vec::new(),
            start: 0,
        };
        Self {
            as_of,
            events,
            source: Source::Lines(lines),
        }
    }

    /// How many rows there are of those that came over HTTP.
    pub fn count(&self) -> usize {
        match &self.source {
            Source::Values(rows) => rows.len(),
            Source::Lines(_) => 0,
        }
    }

    /// The next row.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        match &mut self.source {
            Source::Values(rows) => Ok(rows.next()),
            Source::Lines(lines) => match lines.next().await {
                Some(line) => Ok(Some(serde_json::from_slice(line)?)),
                None => Ok(None),
            },
        }
    }

    /// All rows that follow.
    pub async fn all(&mut self) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// The next row as JSON.
    async fn next_text(&mut self) -> Option<String> {
        match &mut self.source {
            Source::Values(rows) => rows.next().map(|row| row.to_string()),
            Source::Lines(lines) => {
                let line = lines.next().await?;
                Some(String::from_utf8_lossy(line).into_owned())
            }
        }
    }

    /// Prints them the way that was chosen.
    pub async fn print(mut self, sheet: Sheet<'_>, console: &mut Console) -> anyhow::Result<()> {
        match console.output() {
            Output::Table => {
                let rows = self.all().await?;
                let columns = shown(sheet.table, self.as_of);
                console.table(&rows, &columns, sheet.table.none)
            }
            Output::Json => self.print_json(console).await,
            Output::Ndjson => {
                while let Some(row) = self.next_text().await {
                    console.print(&row)?;
                    console.print("\n")?;
                }
                Ok(())
            }
            Output::Csv => self.print_csv(sheet.fields, console).await,
        }
    }

    /// One object on one line, never whole in memory: what explains a day's figures is long.
    async fn print_json(&mut self, console: &mut Console) -> anyhow::Result<()> {
        let empty = Listing::<Value>::new(self.as_of, self.events, Vec::new());
        let empty = serde_json::to_string(&empty)?;
        console.print(empty.strip_suffix("]}").expect("the rows stand last"))?;
        let mut separator = "";
        while let Some(row) = self.next_text().await {
            console.print(separator)?;
            console.print(&row)?;
            separator = ",";
        }
        console.print("]}\n")
    }

    async fn print_csv(&mut self, fields: &[&str], console: &mut Console) -> anyhow::Result<()> {
        if let Source::Lines(lines) = &mut self.source {
            while let Some(line) = lines.next().await {
                console.print(&String::from_utf8_lossy(line))?;
                console.print("\n")?;
            }
            return Ok(());
        }
        console.print(&csv_head(fields))?;
        while let Some(row) = self.next().await? {
            console.print(&csv_records(fields, &[row]))?;
        }
        Ok(())
    }
}

impl Lines {
    async fn next(&mut self) -> Option<&[u8]> {
        let mut searched = self.start;
        loop {
            let end = self.bytes[searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line = self.start..searched + end;
                self.start = line.end + 1;
                return Some(&self.bytes[line]);
            }
            self.bytes.drain(..self.start);
            self.start = 0;
            searched = self.bytes.len();
            self.bytes.extend_from_slice(&self.reply.next().await?);
        }
    }
}
