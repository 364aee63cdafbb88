//! `kaigi run` through a service: lines go out while answers come in. What was not answered when a connection broke, and
//! what the service did not decide, is sent again. Every command has an id, so that nothing is applied twice.
//!
//! A command is sent once the one before it of its call is decided. Were two of them under way, the first could be refused
//! and the second accepted before the connection breaks; the first, sent again, would be judged by what the second did.

use super::patience::Patience;
use super::queue::Queue;
use super::under_way::{Request, has_room, send};
use crate::exit::Exit;
use crate::lines::Lines;
use crate::run::{News, Stopped, Tally, said};
use crate::waiting::{Waiting, ticks};
use bytes::{Bytes, BytesMut};
use client::{Client, ClientError};
use domain::json::{parse_command, write_command};
use domain::{CallId, CommandId};
use engine::lines::Line;
use serde::Deserialize;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io::{self, BufRead, Write};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, sleep_until};
use uuid::Uuid;

/// How many lines are in flight at most.
const IN_FLIGHT: usize = 4096;

/// About how many bytes of lines are sent together.
const PIECE_BYTES: usize = 64 * 1024;

/// How long the input may pause before the request is ended in good order; the next line begins another.
const PAUSE: Duration = Duration::from_secs(5);

/// A line on its way.
enum Entry {
    /// It was not sent, or not decided.
    Command(Command),
    /// It is written when its turn comes.
    Answered(Answered),
}

/// A command, and the line it stands on.
struct Command {
    line: u64,
    call: CallId,
    id: CommandId,
    json: String,
    was_sent: bool,
}

/// An answer, ready to be written.
struct Answered {
    line: u64,
    text: String,
    came_to: CameTo,
}

/// What a line came to.
#[derive(Clone, Copy)]
enum CameTo {
    Accepted,
    Refused,
    Undecided(Exit),
    Malformed,
    Unreadable,
}

/// What matters of an answer.
#[derive(Deserialize)]
struct Answer {
    accepted: Option<bool>,
    id: Option<Uuid>,
    error: Option<String>,
    code: Option<String>,
}

/// Sends the commands of the input and writes the answers as they come, in order. What is not decided is sent again until
/// nothing was decided for as long as `patience` says. Returns how the program must end, and the tally.
pub async fn run(
    client: Client,
    patience: Duration,
    input: Box<dyn BufRead + Send>,
    output: &mut impl Write,
    news: impl FnMut(News<'_>),
) -> anyhow::Result<(Exit, Tally)> {
    let (entries, input_lines) = mpsc::channel(256);
    // Not joined: one that waits for its input must not keep an interrupted program.
    std::thread::spawn(move || read(input, &entries));
    let mut sending = Sending {
        client,
        output,
        news,
        input: input_lines,
        has_more: true,
        waiting: VecDeque::new(),
        written: 0,
        queue: Queue::default(),
        undecided: HashMap::new(),
        interrupt: Interrupt::Awaited(Box::pin(interrupted())),
        patience: Patience::of(patience),
        ticks: ticks(),
        tally: Tally::default(),
    };
    let ended = sending.send_all().await;
    let told = match ended {
        Ok(()) => sending.give_up("interrupted before it was decided; send it again with this id"),
        Err(Ending::Output(error)) => Err(error),
        Err(Ending::Failed(failed)) => match failed.into_final() {
            Ok(why) => {
                eprintln!("kaigi: {why}");
                sending.tally.stopped = Some(Stopped::ByStore);
                sending.give_up(&why)
            }
            Err(error) => {
                // The answers that came are the user's.
                let _ = sending.write_what_was_decided(&error.to_string());
                return Err(error.into());
            }
        },
    };
    if let Err(error) = told {
        sending.tally.stopped = Some(Stopped::ByOutput(error.to_string()));
    }
    Ok((sending.tally.exit(), sending.tally))
}

/// Why not all was sent.
enum Ending {
    Failed(Failed),
    Output(io::Error),
}

/// Why a request did not bring an answer to each of its lines.
enum Failed {
    /// The service cannot be reached, or answers with a problem.
    Service(ClientError),
    /// The service answered that it did not decide a command: what it said.
    Undecided(String),
}

impl Failed {
    fn is_passing(&self) -> bool {
        match self {
            Failed::Service(error) => error.is_passing(),
            Failed::Undecided(_) => true,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Failed::Service(error) => error.retry_after(),
            Failed::Undecided(_) => None,
        }
    }

    /// What to say of the commands that were left, or the error that another request would meet, too.
    fn into_final(self) -> Result<String, ClientError> {
        match self {
            Failed::Service(error) if error.is_passing() => Ok(error.to_string()),
            Failed::Service(error) => Err(error),
            Failed::Undecided(said) => Ok(said),
        }
    }
}

impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        Ending::Output(error)
    }
}

impl From<ClientError> for Ending {
    fn from(error: ClientError) -> Self {
        Ending::Failed(Failed::Service(error))
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
    output: &'o mut W,
    news: P,
    input: mpsc::Receiver<Entry>,
    /// The input may have more lines.
    has_more: bool,
    /// What was read and whose answer is not written, in the order of the input.
    waiting: VecDeque<Entry>,
    /// How many entries left `waiting`, so that an entry has a number that does not change.
    written: u64,
    queue: Queue,
    /// Calls with a command that stays undecided, and how that ends the program: what follows it must not be judged as if
    /// it had never been sent.
    undecided: HashMap<CallId, Exit>,
    interrupt: Interrupt,
    patience: Patience,
    ticks: Interval,
    tally: Tally,
}

/// Waits until that time; without one, as long as anything else takes.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

impl<W: Write, P: FnMut(News<'_>)> Sending<'_, W, P> {
    /// One request after the other, until there is nothing to send.
    async fn send_all(&mut self) -> Result<(), Ending> {
        while self.wait_for_a_command().await? {
            let exchanged = self.exchange().await;
            self.queue.take_back();
            match exchanged {
                Err(Ending::Failed(failed)) => self.wait_after(failed).await?,
                ended => ended?,
            }
        }
        Ok(())
    }

    /// Waits before the next request, if there may be one.
    async fn wait_after(&mut self, failed: Failed) -> Result<(), Ending> {
        if !failed.is_passing() || self.patience.is_over() {
            return Err(Ending::Failed(failed));
        }
        self.output.flush()?;
        let next = self.patience.next_attempt(failed.retry_after());
        while Instant::now() < next && !self.interrupt.came() {
            let waiting = self.waiting_after(&failed);
            (self.news)(News::Waiting(waiting));
            tokio::select! {
                () = sleep_until(next) => {}
                _ = self.ticks.tick() => {}
                () = self.interrupt.comes() => self.stop(),
            }
        }
        Ok(())
    }

    fn waiting_after(&self, failed: &Failed) -> Waiting {
        let Patience { since, limit, .. } = self.patience;
        match failed {
            Failed::Service(error) => Waiting::for_service(error, since, limit),
            Failed::Undecided(said) => Waiting::for_decision(said, since, limit),
        }
    }

    /// Reports the wait for commands that have to be sent again, if there are any.
    fn report_wait(&mut self) {
        if !self.queue.retried.is_empty() {
            let Patience { since, limit, .. } = self.patience;
            let waiting = Waiting::for_decision(&self.queue.said, since, limit);
            (self.news)(News::Waiting(waiting));
        }
    }

    /// Sends again what was not decided, unless patience is over.
    fn send_again(&mut self) -> Result<(), Ending> {
        if self.patience.is_over() {
            let said = std::mem::take(&mut self.queue.said);
            return Err(Ending::Failed(Failed::Undecided(said)));
        }
        self.report_wait();
        self.queue.send_again();
        Ok(())
    }

    /// Reads no more, and drops the lines at the end that were never sent.
    fn stop(&mut self) {
        self.tally.stopped = Some(Stopped::ByUser);
        self.has_more = false;
        self.input.close();
        let last_sent = self.waiting.iter().rposition(Entry::was_sent);
        self.waiting.truncate(last_sent.map_or(0, |last| last + 1));
    }

    /// Whether there is a command to send; what needs no service is answered meanwhile.
    async fn wait_for_a_command(&mut self) -> Result<bool, Ending> {
        loop {
            self.write_answered()?;
            if self.interrupt.came() {
                return Ok(false);
            }
            if !self.queue.ready.is_empty() {
                return Ok(true);
            }
            self.output.flush()?;
            let is_idle = self.waiting.is_empty();
            // Nothing is lost with what is dropped: an entry stays in its channel until it is received.
            tokio::select! {
                () = reached(self.queue.retried_at) => self.send_again()?,
                entry = self.input.recv(), if is_idle => match entry {
                    Some(entry) => {
                        self.patience.begin_anew();
                        self.admit(entry);
                    }
                    None => return Ok(false),
                },
                () = self.interrupt.comes() => self.stop(),
                _ = self.ticks.tick() => self.report_wait(),
            }
        }
    }

    /// One request: what can be sent, and what is read meanwhile, until the input ends or pauses and all is answered.
    async fn exchange(&mut self) -> Result<(), Ending> {
        let mut request = Request::begin(&self.client);
        let mut paused = false;
        loop {
            self.write_answered()?;
            if request.answers.is_empty() {
                self.output.flush()?;
            }
            let is_last = self.queue.is_sent() && (paused || !self.has_more);
            if is_last || self.interrupt.came() {
                request.end();
            }
            if request.pieces.is_none() && self.queue.awaited.is_empty() {
                request.ended().await;
                return Ok(());
            }
            self.step(&mut request, &mut paused).await?;
        }
    }

    /// The next thing that happens. Nothing is lost with what `select!` drops: answers and entries stay in their channels
    /// until they are received, room for a piece is only waited for, and the rest is waited for anew.
    async fn step(&mut self, request: &mut Request, paused: &mut bool) -> Result<(), Ending> {
        let sends = !self.queue.ready.is_empty() && !self.interrupt.came();
        let reads = self.has_more && !*paused && self.waiting.len() < IN_FLIGHT;
        let idle_until = self.patience.since + PAUSE;
        tokio::select! {
            biased;
            answer = request.answers.recv() => match answer {
                Some(answer) => self.take(&answer?)?,
                None => return Err(self.broken_off("it ended before every line was answered").into()),
            },
            () = has_room(request.pieces.as_ref()), if sends => {
                let piece = self.piece();
                // One that takes no more says why in its answers.
                let _ = send(request.pieces.as_ref(), piece).await;
            }
            entry = self.input.recv(), if reads => match entry {
                Some(entry) => self.admit(entry),
                None => self.has_more = false,
            },
            () = self.interrupt.comes() => self.stop(),
            () = reached(self.queue.retried_at) => self.send_again()?,
            _ = self.ticks.tick() => self.report_wait(),
            () = sleep_until(idle_until), if self.waiting.is_empty() && reads => *paused = true,
        }
        Ok(())
    }

    /// The number of the entry that is read next.
    fn end(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    /// Where the entry of that number stands among those that wait, unless its answer was written.
    fn place_of(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.written)?).ok()
    }

    fn command(&mut self, number: u64) -> Option<&mut Command> {
        let at = self.place_of(number)?;
        match self.waiting.get_mut(at)? {
            Entry::Command(command) => Some(command),
            Entry::Answered(_) => None,
        }
    }

    /// Takes a line that was read.
    fn admit(&mut self, entry: Entry) {
        let number = self.end();
        let call = match &entry {
            Entry::Command(command) => Some(command.call.clone()),
            Entry::Answered(_) => None,
        };
        self.waiting.push_back(entry);
        let Some(call) = call else { return };
        match self.undecided.get(&call) {
            Some(exit) => self.hold_back(number, *exit),
            None => self.queue.add(&call, number),
        }
    }

    /// Answers a command without sending it, because an earlier one of its call stays undecided.
    fn hold_back(&mut self, number: u64, exit: Exit) {
        let why = "an earlier command of this call was not decided; send both again";
        if let Some(command) = self.command(number) {
            let answered = command.undecided(why, exit);
            self.answer(number, answered);
        }
    }

    fn answer(&mut self, number: u64, answered: Answered) {
        let at = self.place_of(number);
        if let Some(entry) = at.and_then(|at| self.waiting.get_mut(at)) {
            *entry = Entry::Answered(answered);
        }
    }

    /// The next commands, together.
    fn piece(&mut self) -> Bytes {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES
            && let Some(number) = self.queue.ready.pop_front()
        {
            if let Some(command) = self.command(number) {
                command.was_sent = true;
                piece.extend_from_slice(command.json.as_bytes());
                piece.extend_from_slice(b"\n");
                self.queue.awaited.push_back(number);
            }
        }
        piece.freeze()
    }

    /// Takes the answer to the first line that awaits one.
    fn take(&mut self, text: &str) -> Result<(), Ending> {
        let answer: Result<Answer, _> = serde_json::from_str(text);
        let (Ok(answer), Some(said)) = (answer, behind_its_line(text)) else {
            return Err(self.not_understood("an answer that is none").into());
        };
        let Some(id) = answer.id else {
            // It takes no more lines, and says why.
            let why = answer.error.unwrap_or_default();
            return Err(self.broken_off(&why).into());
        };
        let number = self.queue.awaited.front().copied();
        let Some(number) = number.filter(|number| self.is_command(*number, id)) else {
            return Err(self.not_understood("answers in another order").into());
        };
        self.queue.awaited.pop_front();
        match answer.came_to(self.patience.never_retries()) {
            Some(came_to) => self.settle(number, said, came_to),
            None => self.retry(number, answer.error.unwrap_or_default()),
        }
        Ok(())
    }

    fn is_command(&mut self, number: u64, id: Uuid) -> bool {
        self.command(number)
            .is_some_and(|command| command.id.0 == id)
    }

    /// Puts the answer in the command's place, and goes on with its call.
    fn settle(&mut self, number: u64, said: &str, came_to: CameTo) {
        let Some(command) = self.command(number) else {
            return;
        };
        let (line, call) = (command.line, command.call.clone());
        let text = format!("{{\"line\":{line}{said}\n");
        self.answer(
            number,
            Answered {
                line,
                text,
                came_to,
            },
        );
        self.patience.begin_anew();
        match came_to {
            CameTo::Undecided(exit) => self.leave_undecided(&call, exit),
            _ => self.queue.go_on(&call),
        }
    }

    /// A command of the call stays undecided, and so do those after it.
    fn leave_undecided(&mut self, call: &CallId, exit: Exit) {
        self.undecided.insert(call.clone(), exit);
        for later in self.queue.remove(call) {
            self.hold_back(later, exit);
        }
    }

    fn retry(&mut self, number: u64, said: String) {
        let at = match self.queue.retried_at {
            Some(at) => at,
            None => self.patience.next_attempt(None),
        };
        self.queue.retry(number, at, said);
    }

    /// Writes the answers that are there, up to the first that is not.
    fn write_answered(&mut self) -> io::Result<()> {
        while let Some(Entry::Answered(answered)) = self.waiting.front() {
            self.output.write_all(answered.text.as_bytes())?;
            self.tally.add(answered.line, answered.came_to);
            self.waiting.pop_front();
            self.written += 1;
            (self.news)(News::Answered(&self.tally));
        }
        Ok(())
    }

    /// Writes an answer for each line that was read: for those that nothing is known of, that they are undecided.
    fn give_up(&mut self, why: &str) -> io::Result<()> {
        for entry in &mut self.waiting {
            if let Entry::Command(command) = entry {
                *entry = Entry::Answered(command.undecided(why, Exit::TryAgain));
            }
        }
        self.write_answered()?;
        self.output.flush()
    }

    /// The same if a command was decided after one that was not; otherwise there is nothing to say of either.
    fn write_what_was_decided(&mut self, why: &str) -> io::Result<()> {
        if self.waiting.iter().any(Entry::is_decided) {
            return self.give_up(why);
        }
        self.output.flush()
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

impl Tally {
    fn add(&mut self, line: u64, came_to: CameTo) {
        self.lines += 1;
        match came_to {
            CameTo::Accepted => self.accepted += 1,
            CameTo::Refused => self.refused += 1,
            CameTo::Malformed => self.malformed += 1,
            CameTo::Unreadable => self.stopped = Some(Stopped::ByInput),
            CameTo::Undecided(exit) => self.add_undecided(line, exit),
        }
    }
}

impl Answer {
    /// What the command came to; `None` if it has to be sent again.
    fn came_to(&self, never_retries: bool) -> Option<CameTo> {
        match (self.accepted, self.code.as_deref()) {
            (Some(true), _) => Some(CameTo::Accepted),
            (Some(false), _) => Some(CameTo::Refused),
            (None, Some("store_damaged" | "store_refuses")) => {
                Some(CameTo::Undecided(Exit::Failed))
            }
            (None, _) if never_retries => Some(CameTo::Undecided(Exit::TryAgain)),
            // A service of an earlier version says no code.
            (None, _) => None,
        }
    }
}

impl Entry {
    /// Whether the service may have the line.
    fn was_sent(&self) -> bool {
        match self {
            Entry::Command(command) => command.was_sent,
            Entry::Answered(_) => self.is_decided(),
        }
    }

    fn is_decided(&self) -> bool {
        matches!(
            self,
            Entry::Answered(Answered {
                came_to: CameTo::Accepted | CameTo::Refused,
                ..
            })
        )
    }
}

impl Command {
    fn undecided(&self, error: &str, exit: Exit) -> Answered {
        let (call, id) = (self.call.as_str(), self.id.to_string());
        let json = json!({ "line": self.line, "call": call, "id": id, "error": error });
        Answered {
            line: self.line,
            text: format!("{json}\n"),
            came_to: CameTo::Undecided(exit),
        }
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
    let answered = |error: &str, came_to| {
        let json = json!({ "line": line, "error": error });
        Entry::Answered(Answered {
            line,
            text: format!("{json}\n"),
            came_to,
        })
    };
    let text = match text {
        Line::Text(text) => text,
        Line::Malformed(error) => return answered(&error, CameTo::Malformed),
        Line::Unreadable(error) => {
            let error = format!("the input cannot be read on: {error}");
            return answered(&error, CameTo::Unreadable);
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
                was_sent: false,
            })
        }
        Err(error) => answered(&said(&error), CameTo::Malformed),
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
