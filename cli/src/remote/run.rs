//! `kaigi run` through a service: lines go out while answers come in, and what was not answered when a connection
//! breaks is sent again. Every command has an id, so that nothing is applied twice.

use super::under_way::{Request, has_room, send};
use crate::exit::Exit;
use crate::lines::Lines;
use crate::run::{Stopped, Tally};
use bytes::{Bytes, BytesMut};
use client::{Client, ClientError, Patience, Waits};
use domain::json::{parse_command, write_command};
use domain::{CallId, CommandId};
use serde::Deserialize;
use serde_json::json;
use server::commands::lines::Line;
use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::io::{self, BufRead, Write};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

/// How many lines are in flight at most.
const IN_FLIGHT: usize = 4096;

/// About how many bytes of lines are sent together.
const PIECE_BYTES: usize = 64 * 1024;

/// How long the input may pause before the request is ended in good order; the next line begins another.
const PAUSE: Duration = Duration::from_secs(5);

/// How long a service that answered before is waited for: about as long as a restart of it on a large store may take.
const THROUGH_A_RESTART: Patience = Patience {
    attempts: 15,
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::from_secs(10),
};

/// A line on its way.
enum Entry {
    Command(Command),
    /// It is not sent, and answered when its turn comes.
    Answered(String, Unsent),
}

/// Why a line is not sent.
#[derive(Clone, Copy)]
enum Unsent {
    Malformed,
    /// An earlier command of its call was not decided.
    Undecided,
    Unreadable,
}

/// A command, and the line it stands on.
struct Command {
    line: u64,
    call: CallId,
    id: CommandId,
    json: String,
}

/// What matters of an answer.
#[derive(Deserialize)]
struct Answer {
    accepted: Option<bool>,
    id: Option<Uuid>,
    error: Option<String>,
}

/// Sends the commands of the input and writes the answers as they come, in order. Tells how the program must end, and
/// what became of it all.
pub async fn run(
    client: Client,
    input: Box<dyn BufRead + Send>,
    output: &mut impl Write,
    progress: impl FnMut(&Tally),
) -> anyhow::Result<(Exit, Tally)> {
    let (entries, input_lines) = mpsc::channel(256);
    // Not joined: one that waits for its input must not keep an interrupted program.
    std::thread::spawn(move || read(input, &entries));
    let mut sending = Sending {
        waits: client.patience().waits(),
        client,
        output,
        progress,
        input: input_lines,
        has_more: true,
        waiting: VecDeque::new(),
        undecided: HashSet::new(),
        interrupt: Interrupt::Awaited(Box::pin(interrupted())),
        tally: Tally::default(),
    };
    let ended = sending.send_all().await;
    let told = match ended {
        Ok(()) => sending.give_up("it was interrupted"),
        Err(Ending::Output(error)) => Err(error),
        Err(Ending::Service(error)) if error.is_passing() => {
            eprintln!("kaigi: {error}");
            sending.tally.stopped = Some(Stopped::ByStore);
            sending.give_up(&error.to_string())
        }
        Err(Ending::Service(error)) => {
            // What was answered before is the user's.
            let _ = sending.output.flush();
            return Err(error.into());
        }
    };
    if let Err(error) = told {
        sending.tally.stopped = Some(Stopped::ByOutput(error.to_string()));
    }
    Ok((exit_of(&sending.tally), sending.tally))
}

fn exit_of(tally: &Tally) -> Exit {
    let malformed = if tally.malformed > 0 {
        Exit::Malformed
    } else {
        Exit::Done
    };
    let stopped = match tally.stopped {
        Some(Stopped::ByStore) => Exit::TryAgain,
        Some(Stopped::ByUser | Stopped::ByInput | Stopped::ByOutput(_)) => Exit::Failed,
        None => Exit::Done,
    };
    let undecided = tally.undecided_as.unwrap_or(Exit::Done);
    stopped.and(undecided).and(malformed)
}

/// Why not all was sent.
enum Ending {
    Service(ClientError),
    Output(io::Error),
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Ending::Output(error)
    }
}

impl From<ClientError> for Ending {
    fn from(error: ClientError) -> Self {
        Ending::Service(error)
    }
}

/// What tells to read no more.
enum Interrupt {
    Awaited(std::pin::Pin<Box<dyn Future<Output = ()>>>),
    Came,
}

impl Interrupt {
    /// Waits for it; it comes once.
    async fn comes(&mut self) {
        match self {
            Interrupt::Awaited(interrupt) => interrupt.await,
            Interrupt::Came => pending().await,
        }
        *self = Interrupt::Came;
    }

    fn came(&self) -> bool {
        matches!(self, Interrupt::Came)
    }
}

/// Where signals cannot be had, an interrupt ends the program as it does any other.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

struct Sending<'o, W, P> {
    client: Client,
    waits: Waits,
    output: &'o mut W,
    progress: P,
    input: mpsc::Receiver<Entry>,
    /// The input may have more lines.
    has_more: bool,
    /// What was read and is not answered, in the order of the input.
    waiting: VecDeque<Entry>,
    /// Calls with a command that was not decided: what follows it must not be judged as if it had never been sent.
    undecided: HashSet<CallId>,
    interrupt: Interrupt,
    tally: Tally,
}

impl<W: Write, P: FnMut(&Tally)> Sending<'_, W, P> {
    /// One request after the other, until there is nothing to send.
    async fn send_all(&mut self) -> Result<(), Ending> {
        while self.wait_for_a_command().await? {
            match self.exchange().await {
                Err(Ending::Service(error)) => self.wait_after(error).await?,
                ended => ended?,
            }
        }
        Ok(())
    }

    async fn wait_after(&mut self, error: ClientError) -> Result<(), Ending> {
        let Some(wait) = self.waits.next(&error) else {
            return Err(error.into());
        };
        self.output.flush()?;
        tokio::select! {
            () = sleep(wait) => {}
            () = self.interrupt.comes() => self.stop(0),
        }
        Ok(())
    }

    /// Reads no more, and lets go of what was not sent.
    fn stop(&mut self, sent: usize) {
        self.tally.stopped = Some(Stopped::ByUser);
        self.has_more = false;
        self.input.close();
        self.waiting.truncate(sent);
    }

    /// Whether there is a command to send; what needs no service is answered meanwhile.
    async fn wait_for_a_command(&mut self) -> Result<bool, Ending> {
        loop {
            self.answer_unsent(&mut 0)?;
            if self.interrupt.came() {
                return Ok(false);
            }
            if !self.waiting.is_empty() {
                return Ok(true);
            }
            self.output.flush()?;
            tokio::select! {
                entry = self.input.recv() => match entry {
                    Some(entry) => self.waiting.push_back(entry),
                    None => return Ok(false),
                },
                () = self.interrupt.comes() => self.stop(0),
            }
        }
    }

    /// One request: what waits, and what is read meanwhile, until the input ends or pauses and all is answered.
    async fn exchange(&mut self) -> Result<(), Ending> {
        let mut request = Request::begin(&self.client);
        // How many of those that wait are in this request.
        let mut sent = 0;
        let mut paused = false;
        loop {
            self.answer_unsent(&mut sent)?;
            if request.answers.is_empty() {
                self.output.flush()?;
            }
            let unsent = sent < self.waiting.len();
            if !unsent && (paused || !self.has_more) {
                request.end();
                if self.waiting.is_empty() {
                    request.ended().await;
                    return Ok(());
                }
            }
            let reads = self.has_more && !paused && self.waiting.len() < IN_FLIGHT;
            tokio::select! {
                biased;
                answer = request.answers.recv() => match answer {
                    Some(answer) => self.take(&answer?, &mut sent)?,
                    None => return Err(self.broken_off("it ended before every line was answered").into()),
                },
                () = has_room(request.pieces.as_ref()), if unsent => {
                    let piece = self.piece(&mut sent);
                    // One that takes no more says why in its answers.
                    let _ = send(request.pieces.as_ref(), piece).await;
                }
                entry = self.input.recv(), if reads => match entry {
                    Some(entry) => self.waiting.push_back(entry),
                    None => self.has_more = false,
                },
                () = self.interrupt.comes() => self.stop(sent),
                () = sleep(PAUSE), if self.waiting.is_empty() && reads => paused = true,
            }
        }
    }

    /// The next lines that were not sent, together.
    fn piece(&mut self, sent: &mut usize) -> Bytes {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES
            && let Some(entry) = self.waiting.get_mut(*sent)
        {
            *sent += 1;
            let Entry::Command(command) = entry else {
                continue;
            };
            if self.undecided.contains(&command.call) {
                let why = "an earlier command of this call was not decided; send both again";
                *entry = Entry::Answered(command.undecided(why), Unsent::Undecided);
                continue;
            }
            piece.extend_from_slice(command.json.as_bytes());
            piece.extend_from_slice(b"\n");
        }
        piece.freeze()
    }

    /// Writes the answer of the first line that waits.
    fn take(&mut self, text: &str, sent: &mut usize) -> Result<(), Ending> {
        let answer: Result<Answer, _> = serde_json::from_str(text);
        let (Ok(answer), Some(said)) = (answer, behind_its_line(text)) else {
            return Err(self.not_understood("an answer that is none").into());
        };
        let Some(id) = answer.id else {
            // It takes no more lines, and says why.
            let why = answer.error.unwrap_or_default();
            return Err(self.broken_off(&why).into());
        };
        let command = match self.waiting.pop_front() {
            Some(Entry::Command(command)) if command.id.0 == id => command,
            _ => return Err(self.not_understood("answers in another order").into()),
        };
        *sent = sent.saturating_sub(1);
        self.waits = THROUGH_A_RESTART.waits();
        match answer.accepted {
            Some(true) => self.tally.accepted += 1,
            Some(false) => self.tally.refused += 1,
            None => self.not_decided(&command),
        }
        writeln!(self.output, "{{\"line\":{}{said}", command.line)?;
        self.answered();
        Ok(())
    }

    fn answered(&mut self) {
        self.tally.lines += 1;
        (self.progress)(&self.tally);
    }

    fn not_decided(&mut self, command: &Command) {
        self.undecided.insert(command.call.clone());
        self.tally.undecided += 1;
        self.tally.first_undecided = self.tally.first_undecided.or(Some(command.line));
        self.tally.undecided_as = Some(Exit::TryAgain);
    }

    /// Writes what needs no service, as far as it is its turn.
    fn answer_unsent(&mut self, sent: &mut usize) -> io::Result<()> {
        while let Some(Entry::Answered(text, why)) = self.waiting.front() {
            self.output.write_all(text.as_bytes())?;
            match why {
                Unsent::Malformed => self.tally.malformed += 1,
                Unsent::Undecided => self.tally.undecided += 1,
                Unsent::Unreadable => self.tally.stopped = Some(Stopped::ByInput),
            }
            self.waiting.pop_front();
            *sent = sent.saturating_sub(1);
            self.answered();
        }
        Ok(())
    }

    /// Says of what still waits that nobody knows what became of it.
    fn give_up(&mut self, why: &str) -> io::Result<()> {
        loop {
            self.answer_unsent(&mut 0)?;
            let Some(Entry::Command(command)) = self.waiting.pop_front() else {
                return self.output.flush();
            };
            self.output.write_all(command.undecided(why).as_bytes())?;
            self.not_decided(&command);
            self.answered();
        }
    }

    fn broken_off(&self, why: &str) -> ClientError {
        ClientError::Unreachable {
            url: self.client.url().to_owned(),
            why: why.to_owned(),
        }
    }

    fn not_understood(&self, what: &str) -> ClientError {
        ClientError::Protocol {
            url: self.client.url().to_owned(),
            what: what.to_owned(),
        }
    }
}

impl Command {
    fn undecided(&self, error: &str) -> String {
        let (call, id) = (self.call.as_str(), self.id.to_string());
        let json = json!({ "line": self.line, "call": call, "id": id, "error": error });
        format!("{json}\n")
    }
}

/// The answer without `{"line":N`, which counts within one request.
fn behind_its_line(text: &str) -> Option<&str> {
    let said = text.strip_prefix("{\"line\":")?;
    let said = said.trim_start_matches(|c: char| c.is_ascii_digit());
    said.starts_with(',').then_some(said)
}

/// Reads until the input ends or the answers are no longer wanted.
fn read(input: Box<dyn BufRead + Send>, entries: &mpsc::Sender<Entry>) {
    for (line, text) in (1..).zip(Lines::new(input)) {
        if matches!(&text, Line::Text(text) if text.trim_ascii().is_empty()) {
            continue;
        }
        if entries.blocking_send(entry(line, text)).is_err() {
            return;
        }
    }
}

fn entry(line: u64, text: Line) -> Entry {
    let answered = |error: &str, why| {
        let json = json!({ "line": line, "error": error });
        Entry::Answered(format!("{json}\n"), why)
    };
    let text = match text {
        Line::Text(text) => text,
        Line::Malformed(error) => return answered(&error, Unsent::Malformed),
        Line::Unreadable(error) => {
            let error = format!("the input cannot be read on: {error}");
            return answered(&error, Unsent::Unreadable);
        }
    };
    match parse_command(&text) {
        Ok(mut request) => {
            let id = *request.id.get_or_insert(CommandId(Uuid::new_v4()));
            Entry::Command(Command {
                line,
                id,
                json: write_command(&request),
                call: request.call,
            })
        }
        Err(error) => answered(&error.to_string(), Unsent::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::behind_its_line;

    #[test]
    fn an_answer_is_told_by_the_line_of_the_input() {
        let said = behind_its_line("{\"line\":12,\"call\":\"c1\"}");
        assert_eq!(said, Some(",\"call\":\"c1\"}"));
        for text in [
            "{\"call\":\"c1\"}",
            "{\"line\":12}",
            "",
            "{\"line\":\"x\",}",
        ] {
            assert_eq!(behind_its_line(text), None, "{text}");
        }
    }
}
