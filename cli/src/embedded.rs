//! `kaigi store check`, `repair` and `archive`: what is done with the files of the embedded store, and no other has.

use crate::against::{self, Against};
use crate::args::Archive;
use crate::exit::{Exit, usage};
use crate::facts::{Fact, print};
use crate::output::{Console, Output, column, number, plain};
use crate::private::keep_private;
use crate::progress;
use crate::store::{StoreUrl, closing};
use anyhow::Context;
use copies::line::write_line;
use domain::{EventStore as _, StoredEvent};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use store_sled::Options;
use store_sled::archive::{Archived, Because};
use store_sled::check::{CheckError, Checked, FirstDamage};
use store_sled::repair::{Loss, Repaired};

/// `kaigi store create`: makes a store where there is none.
pub async fn create(url: &StoreUrl, console: &mut Console) -> anyhow::Result<Exit> {
    let store = url.create()?;
    let id = store.id().to_string();
    closing(&store, async { Ok(()) }).await?;
    let facts = [
        Fact::new("store", "store", url.to_string()),
        Fact::new("id", "id", id),
    ];
    print("a new store", &facts, console)?;
    Ok(Exit::Done)
}

/// `kaigi store check`: reads everything, and says what was found, or what is damaged first.
pub fn check(url: &StoreUrl, against: Option<&str>, console: &mut Console) -> anyhow::Result<Exit> {
    let folder = url.folder()?;
    let against = against.map(Against::read).transpose()?;
    let mut progress = progress::bytes("checking");
    let report = |read, total| progress.of(read, total);
    let count = against.map_or(0, |against| against.count);
    let checked = store_sled::check::check_to(folder, &Options::default(), count, report);
    progress.done();
    let compared = match (&checked, &against) {
        (Ok((checked, found)), Some(against)) => against
            .compare(checked.id, checked.events, *found)
            .map(Some),
        (Ok(_) | Err(_), _) => Ok(None),
    };
    let mut facts = match &checked {
        Ok((checked, _)) => whole(url, checked),
        Err(CheckError::Damaged(damage)) => damaged(url, damage, false),
        Err(CheckError::Index(damage)) => damaged(url, damage, true),
        Err(_) => Vec::new(),
    };
    facts.extend(against::fact_of(&compared));
    if !facts.is_empty() {
        print("a check", &facts, console)?;
    }
    checked.with_context(|| url.to_string())?;
    compared.map(|_| Exit::Done)
}

fn whole(url: &StoreUrl, checked: &Checked) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("store", "store", url.to_string()),
        Fact::new("id", "id", checked.id.to_string()),
        Fact::new("damaged", "damaged", false).shown("nothing"),
        Fact::new("events", "events", checked.events),
        Fact::new("calls", "calls", checked.calls),
        Fact::new(
            "history digest",
            "history_digest",
            checked.digest.to_string(),
        ),
        Fact::new("certain up to", "certain_to", checked.certain_to)
            .shown(format!("position {}", checked.certain_to)),
        Fact::new("index rows", "index_rows", checked.index_rows),
    ];
    let torn = Fact::new("torn bytes", "torn_bytes", checked.torn_bytes);
    facts.push(match checked.torn_bytes {
        0 => torn.for_programs(),
        bytes => torn.shown(format!(
            "{bytes} at the end, of a commit that nobody was told of; opening the store cuts them off"
        )),
    });
    facts
}

fn damaged(url: &StoreUrl, damage: &FirstDamage, index_only: bool) -> Vec<Fact> {
    let part = if index_only {
        "the index only; no event is damaged"
    } else {
        "events"
    };
    // What is read of damaged bytes may be anything.
    let call = damage.call.as_deref().map(plain);
    vec![
        Fact::new("store", "store", url.to_string()),
        Fact::new("damaged", "damaged", true).shown(part),
        Fact::new("index only", "index_only", index_only).for_programs(),
        Fact::new("what", "what", plain(&damage.what)),
        Fact::new("call", "call", call),
        Fact::new("revision", "revision", damage.revision),
        Fact::new("position", "position", damage.position),
    ]
}

/// `kaigi store repair`: what is whole goes into a new store, and what is lost is told.
pub async fn repair(
    url: &StoreUrl,
    into: &Path,
    stranded: Option<PathBuf>,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let folder = url.folder()?;
    let stranded = match stranded {
        Some(file) => file,
        None => beside(into)?,
    };
    must_be_free(&stranded, folder)?;
    let mut progress = progress::bytes("salvaging");
    let report = |read, total| progress.of(read, total);
    let repaired = store_sled::repair::repair(folder, into, report);
    progress.done();
    let repaired = repaired.with_context(|| format!("cannot salvage {url}"))?;
    if !repaired.stranded.is_empty() {
        write_stranded(&stranded, &repaired.stranded)
            .with_context(|| format!("cannot write {}", stranded.display()))?;
    }
    let into = StoreUrl::Sled(into.to_owned());
    // Makes its index, and notes where it ends.
    into.open().await?.close().await?;
    let salvage = Salvage {
        from: url,
        into,
        stranded: Some(stranded).filter(|_| !repaired.stranded.is_empty()),
        repaired,
    };
    salvage.print(console)
}

/// Where stranded events go unless a file is named: beside the new store.
fn beside(into: &Path) -> anyhow::Result<PathBuf> {
    let name = into.file_name().ok_or_else(|| {
        let into = into.display();
        usage(format!("{into} has no name of its own; name a new folder"))
    })?;
    let mut name = OsString::from(name);
    name.push("-stranded.ndjson");
    Ok(into.with_file_name(name))
}

/// Looked at before anything is written.
fn must_be_free(file: &Path, damaged: &Path) -> anyhow::Result<()> {
    if file.exists() {
        return Err(usage(format!(
            "{} is there already; name another file with --stranded",
            file.display()
        )));
    }
    let real = |path: &Path| path.canonicalize().ok();
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let damaged = real(damaged);
    if real(folder).is_some_and(|folder| damaged.is_some_and(|damaged| folder.starts_with(damaged)))
    {
        return Err(usage(format!(
            "{} is in the damaged store, which is only read; name another file with --stranded",
            file.display()
        )));
    }
    Ok(())
}

fn write_stranded(file: &Path, events: &[StoredEvent]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create_new(file)?);
    for event in events {
        out.write_all(write_line(event).as_bytes())?;
    }
    out.into_inner()?.sync_all()
}

/// What is told of a repair.
struct Salvage<'a> {
    from: &'a StoreUrl,
    into: StoreUrl,
    repaired: Repaired,
    /// Where the stranded events are, if there are any.
    stranded: Option<PathBuf>,
}

impl Salvage<'_> {
    fn print(&self, console: &mut Console) -> anyhow::Result<Exit> {
        let lost = self.has_losses();
        print("a repair", &self.facts(lost), console)?;
        if console.output() == Output::Table {
            self.print_losses(console)?;
            console.print(&self.advice())?;
            console.flush()?;
        }
        if !lost {
            return Ok(Exit::Done);
        }
        eprintln!(
            "kaigi: some events are lost; a backup may hold them: look for one before {} is used",
            self.into
        );
        Ok(Exit::Altered)
    }

    fn has_losses(&self) -> bool {
        let repaired = &self.repaired;
        !(repaired.losses.is_empty() && repaired.unknown.is_empty() && repaired.stranded.is_empty())
    }

    fn facts(&self, lost: bool) -> Vec<Fact> {
        let repaired = &self.repaired;
        let losses: Vec<_> = repaired.losses.iter().map(loss_json).collect();
        let (calls, unknown) = (losses.len(), self.unknown());
        let unknown_json: Vec<_> = unknown
            .iter()
            .map(|(first, last)| json!({"first": first, "last": last}))
            .collect();
        let file = self
            .stranded
            .as_ref()
            .map(|file| file.display().to_string());
        let mut facts = vec![
            Fact::new("from", "from", self.from.to_string()),
            Fact::new("into", "into", self.into.to_string()),
            Fact::new("id", "id", repaired.id.to_string()),
            Fact::new("events", "events", repaired.events),
            Fact::new("calls", "calls", repaired.calls),
            Fact::new("of these saved", "recovered", repaired.recovered).shown(format!(
                "{} events from the index or out of damaged blocks",
                repaired.recovered
            )),
            Fact::new("lost", "lost", lost).shown(match (lost, calls) {
                (false, _) => "nothing".to_owned(),
                (true, 0) => "events of calls that nothing tells".to_owned(),
                (true, 1) => "events of 1 call".to_owned(),
                (true, calls) => format!("events of {calls} calls"),
            }),
            Fact::new("losses", "losses", losses).for_programs(),
        ];
        let shown = unknown.iter().map(|(first, last)| range(*first, *last));
        let shown = shown.collect::<Vec<_>>().join(", ");
        let positions = Fact::new("positions lost", "unknown", unknown_json).shown(shown);
        facts.push(if unknown.is_empty() {
            positions.for_programs()
        } else {
            positions
        });
        let count = repaired.stranded.len();
        let stranded = Fact::new(
            "stranded",
            "stranded",
            json!({"events": count, "file": file}),
        );
        facts.push(match file {
            None => stranded.for_programs(),
            Some(file) => stranded.shown(format!(
                "{count} whole events that cannot follow, in {file}"
            )),
        });
        facts
    }

    /// The first and the last of each run of positions whose calls nothing tells.
    fn unknown(&self) -> Vec<(u64, u64)> {
        let ranges = self.repaired.unknown.iter();
        ranges.map(|range| (range.start, range.end - 1)).collect()
    }

    fn print_losses(&self, console: &mut Console) -> anyhow::Result<()> {
        if self.repaired.losses.is_empty() {
            return Ok(());
        }
        let columns = [
            column("CALL", |loss: &Loss| loss.call.to_string()),
            number("KEPT UP TO", |loss: &Loss| loss.kept_to.to_string()),
            number("KNOWN UP TO", |loss: &Loss| loss.known_to.to_string()),
            number("STRANDED", |loss: &Loss| loss.stranded.to_string()),
        ];
        console.print("\n")?;
        console.table(&self.repaired.losses, &columns, "")
    }

    fn advice(&self) -> String {
        format!(
            "\nNow read the new store once: kaigi --store {} store check\n\
             Keep the damaged one: nothing else may hold what could not be read.\n",
            self.into
        )
    }
}

fn loss_json(loss: &Loss) -> Value {
    json!({
        "call": loss.call, "kept_to": loss.kept_to, "known_to": loss.known_to, "stranded": loss.stranded,
    })
}

fn range(first: u64, last: u64) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first} to {last}")
    }
}

/// `kaigi store archive`: moves completed calls out of the store.
pub async fn archive(
    url: &StoreUrl,
    args: &Archive,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    url.must_be_writable()?;
    let store = url.open_embedded()?;
    let archived = closing(&store, async {
        let moved = store.archive(args.before, &args.to).await;
        moved.with_context(|| format!("archiving {url} did not finish"))
    });
    let archived = archived.await?;
    keep_private(&args.to);
    if let Some(why) = &archived.rows_stay {
        eprintln!(
            "kaigi: the calls are archived, but the index did not shrink: {why}; archive again"
        );
    }
    print("an archive", &moved(url, &args.to, &archived), console)?;
    if console.output() == Output::Table && archived.up_to.0 > 0 {
        console.print(&format!(
            "\nThe store reads those calls in {}, which must stay there.\n",
            args.to.display(),
        ))?;
        console.flush()?;
    }
    Ok(Exit::Done)
}

fn moved(url: &StoreUrl, to: &Path, archived: &Archived) -> Vec<Fact> {
    let to = to.canonicalize().unwrap_or_else(|_| to.to_owned());
    let (why, newer, call, shown) = because(&archived.because);
    vec![
        Fact::new("store", "store", url.to_string()),
        Fact::new("archive", "archive", to.display().to_string()),
        Fact::new("events moved", "events", archived.events),
        Fact::new("bytes moved", "bytes", archived.bytes),
        Fact::new("calls shrunk", "calls", archived.calls),
        Fact::new("archived to", "up_to_position", archived.up_to.0)
            .shown(format!("position {}", archived.up_to)),
        Fact::new("no more moved", "because", why).shown(shown),
        Fact::new("newer", "newer", newer).for_programs(),
        Fact::new("call", "call", call).for_programs(),
    ]
}

/// Why no more was moved: in a word, the time or the call it is about, and in a sentence.
fn because(because: &Because) -> (&'static str, Option<String>, Option<String>, String) {
    match because {
        Because::End => {
            let shown = "there is no more".to_owned();
            ("end", None, None, shown)
        }
        Because::Newer(at) => {
            let shown = format!("the next event was recorded at {at}");
            ("newer", Some(at.to_string()), None, shown)
        }
        Because::GoesOn(call) => {
            let shown = format!(
                "call {call} is not completed: kaigi show call {call}; kaigi show active-calls --idle 4h finds others"
            );
            ("goes_on", None, Some(call.to_string()), shown)
        }
    }
}
