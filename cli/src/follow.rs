//! `kaigi follow`: a service's events as they come, and the proof that none was missed.

use crate::args::{Beginning, Follow};
use crate::exit::{Exit, altered};
use crate::output::{Console, json_line};
use crate::remote::subscription::{Subscription, Told};
use crate::remote::watch::waiting;
use anyhow::Context;
use client::sse::Message;
use client::{Client, ClientError, Counted, Question, StorePrefix};
use domain::Position;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::time::{MissedTickBehavior, interval};

/// How often a checkpoint is written at most while events come.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(1);

/// Prints what comes until interrupted, or until all is seen that there was.
pub async fn follow(client: &Client, args: &Follow, console: &mut Console) -> anyhow::Result<Exit> {
    let checkpoint = args.checkpoint.clone().map(Checkpoint);
    let seen = match &checkpoint {
        Some(checkpoint) => checkpoint.read()?,
        None => None,
    };
    let end = match args {
        Follow {
            until_caught_up: true,
            ..
        }
        | Follow {
            after: Beginning::Now,
            ..
        } => Some(end(client).await?),
        Follow { .. } => None,
    };
    let after = match (seen, args.after) {
        (Some(seen), _) => seen.position,
        (None, Beginning::After(position)) => position,
        (None, Beginning::Start) => Position::START,
        (None, Beginning::Now) => end.unwrap_or_default(),
    };
    let following = Following {
        seen,
        agreed: false,
        since: seen,
        kept: seen,
        after,
        until: end.filter(|_| args.until_caught_up),
        checkpoint,
        quiet: args.quiet,
        console,
    };
    following.until_ended(client).await
}

/// A question about the feed.
fn feed(what: &str) -> Question {
    Question::new(["v1", what]).for_roles("auditor or operator")
}

/// Where the store ends now.
async fn end(client: &Client) -> anyhow::Result<Position> {
    #[derive(Deserialize)]
    struct Stands {
        position: Position,
    }
    let answer = client.ask(&feed("position")).await?;
    let Stands { position } = answer.json()?;
    Ok(position)
}

/// A feed under way.
struct Following<'c> {
    /// What was seen; none until the service has said what it begins with.
    seen: Option<StorePrefix>,
    /// The service has said of what an earlier run saw that it is the same.
    agreed: bool,
    /// What came before this run: seen by an earlier one, or taken on trust.
    since: Option<StorePrefix>,
    /// What the checkpoint holds.
    kept: Option<StorePrefix>,
    after: Position,
    /// Where to end, if not by an interrupt.
    until: Option<Position>,
    checkpoint: Option<Checkpoint>,
    quiet: bool,
    console: &'c mut Console,
}

/// Why there is no more to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    CaughtUp,
    Interrupted,
}

impl Following<'_> {
    async fn until_ended(mut self, client: &Client) -> anyhow::Result<Exit> {
        let ended = self.take_all(client).await;
        // Whatever ended it: what was printed was seen.
        let kept = self.keep();
        let ended = ended?;
        kept?;
        match ended {
            Ended::CaughtUp => self.prove(client).await?,
            Ended::Interrupted => self.status()?,
        }
        self.console.flush()?;
        Ok(Exit::Done)
    }

    async fn take_all(&mut self, client: &Client) -> anyhow::Result<Ended> {
        let events = feed("events").with("after", &self.after);
        let mut feed = Subscription::new(client.clone(), events);
        let mut told_to_end = std::pin::pin!(told_to_end());
        let mut ticks = interval(BETWEEN_CHECKPOINTS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_caught_up() {
            tokio::select! {
                biased;
                () = &mut told_to_end => return Ok(Ended::Interrupted),
                _ = ticks.tick() => self.keep()?,
                told = feed.next() => match told {
                    Ok(Told::Message(message)) => self.take(&message)?,
                    Ok(Told::BrokenOff(why)) => waiting(why.as_ref()),
                    Err(error) => return Err(self.refused(error)),
                },
            }
        }
        Ok(Ended::CaughtUp)
    }

    fn is_caught_up(&self) -> bool {
        let reached = self.seen.zip(self.until);
        self.agreed && reached.is_some_and(|(seen, until)| seen.position >= until)
    }

    fn take(&mut self, message: &Message) -> anyhow::Result<()> {
        match &*message.event {
            "begin" => self.begin(&read(&message.data)?),
            "progress" => self.compare(&read(&message.data)?),
            // The stream ends behind these, and is opened again.
            "cut_off" | "stopping" => Ok(()),
            _ => self.take_event(&message.data),
        }
    }

    /// The stream begins, for the first time or again.
    fn begin(&mut self, begun: &StorePrefix) -> anyhow::Result<()> {
        match &self.seen {
            Some(seen) => seen.agree(begun)?,
            None if self.after == Position::START => {
                StorePrefix::empty(begun.store).agree(begun)?;
            }
            None => {}
        }
        let seen = *self.seen.get_or_insert(*begun);
        self.since.get_or_insert(seen);
        self.agreed = true;
        Ok(())
    }

    fn compare(&mut self, theirs: &StorePrefix) -> anyhow::Result<()> {
        self.seen.as_ref().context(NO_BEGINNING)?.agree(theirs)?;
        if self.quiet { self.status() } else { Ok(()) }
    }

    fn take_event(&mut self, data: &str) -> anyhow::Result<()> {
        let mut event: Value = read(data)?;
        let counted = Counted::deserialize(&event).context(NOT_UNDERSTOOD)?;
        self.seen
            .as_mut()
            .context(NO_BEGINNING)?
            .take_in(&counted)?;
        if self.quiet {
            return Ok(());
        }
        // What remains is the line that `kaigi events` prints.
        let fields = event.as_object_mut().context(NOT_UNDERSTOOD)?;
        for ours in ["count", "rolling_hash"] {
            fields.shift_remove(ours);
        }
        self.console.print(&json_line(&event))
    }

    /// Hands on what was printed, and then notes that it was seen.
    fn keep(&mut self) -> anyhow::Result<()> {
        self.console.flush()?;
        if let (Some(checkpoint), Some(seen)) = (&self.checkpoint, &self.seen)
            && self.kept.as_ref() != Some(seen)
        {
            checkpoint.write(seen)?;
            self.kept = Some(*seen);
        }
        Ok(())
    }

    /// The service is asked once more, apart from the stream, and its answer compared.
    async fn prove(&mut self, client: &Client) -> anyhow::Result<()> {
        let seen = self.seen.context(NO_BEGINNING)?;
        let question = feed("proof").with("position", &seen.position);
        let answer = client.ask(&question).await;
        let answer = answer.map_err(|error| self.refused(error))?;
        let theirs: StorePrefix = answer.json()?;
        seen.agree(&theirs)?;
        let since = self.since.unwrap_or(seen);
        let proof = json!({
            "caught_up": true, "store": seen.store, "position": seen.position, "count": seen.count,
            "rolling_hash": seen.rolling_hash,
            "since": {
                "position": since.position, "count": since.count, "rolling_hash": since.rolling_hash,
            },
        });
        self.console.print(&json_line(&proof))
    }

    fn status(&mut self) -> anyhow::Result<()> {
        let Some(seen) = &self.seen else {
            return Ok(());
        };
        if self.quiet {
            self.console.print(&json_line(seen))?;
            return self.console.flush();
        }
        eprintln!(
            "kaigi: seen up to position {}: {} events, rolling hash {}",
            seen.position, seen.count, seen.rolling_hash
        );
        Ok(())
    }

    /// A service that has less than was seen of it has lost something.
    fn refused(&self, error: ClientError) -> anyhow::Error {
        match (error.problem(), &self.seen) {
            (Some(problem), Some(seen)) if LOST.contains(&&*problem.code) => altered(format!(
                "position {} was seen, and {}",
                seen.position, problem.detail
            )),
            _ => error.into(),
        }
    }
}

/// What a service says of a position that it does not have.
const LOST: [&str; 2] = ["ahead_of_store", "no_such_prefix"];

const NO_BEGINNING: &str = "the service's stream does not say what it begins with";

const NOT_UNDERSTOOD: &str = "an event of the service is not understood";

fn read<T: for<'de> Deserialize<'de>>(data: &str) -> anyhow::Result<T> {
    serde_json::from_str(data).context(NOT_UNDERSTOOD)
}

/// Where it is kept what was seen.
struct Checkpoint(PathBuf);

impl Checkpoint {
    /// None if there is no such file yet.
    fn read(&self) -> anyhow::Result<Option<StorePrefix>> {
        let path = self.0.display();
        match fs::read(&self.0) {
            Ok(bytes) => {
                let seen = serde_json::from_slice(&bytes);
                seen.map(Some)
                    .with_context(|| format!("{path} is no checkpoint of this command"))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
        }
    }

    /// Replaces it whole or not at all.
    fn write(&self, seen: &StorePrefix) -> anyhow::Result<()> {
        let folder = match self.0.parent() {
            Some(folder) if folder != Path::new("") => folder,
            Some(_) | None => Path::new("."),
        };
        let written = || {
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(json_line(seen).as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.0).map_err(|error| error.error)
        };
        let written = written();
        written.with_context(|| format!("cannot write {}", self.0.display()))?;
        Ok(())
    }
}

/// Waits until a person or the system ends the program.
async fn told_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // Where signals cannot be had, an interrupt ends the program as it does any other.
    let _ = tokio::signal::ctrl_c().await;
}
