//! `kaigi run`: many calls at once, the order kept within each, answers in the order of the input.

use crate::exit::Exit;
use crate::lines::{Line, Lines};
use domain::handle::HandleError;
use domain::json::{AnswerJson, RejectionJson, parse_command};
use domain::{CallId, CommandId, Handler, Request, StoreError, Timestamp};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc, oneshot};

/// How many lines wait to be answered. One more is being answered and one has been read, so that at most 4,096 are in
/// flight.
const WAITING: usize = 4094;

/// How many commands are handled side by side. A call always has the same lane, which keeps its order.
const LANES: usize = 1024;

/// What became of a file of commands.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were answered.
    pub lines: u64,
    /// Commands that were accepted.
    pub accepted: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Lines that were no commands.
    pub malformed: u64,
    /// Commands that were not decided.
    pub undecided: u64,
    /// The first line that has such a command.
    pub first_undecided: Option<u64>,
    /// What such commands end the program with.
    pub undecided_as: Option<Exit>,
    /// Why not all of the input was answered.
    pub stopped: Option<Stopped>,
}

/// Why not all of the input was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The store failed.
    ByStore,
    /// Somebody interrupted.
    ByUser,
    /// The input could not be read on.
    ByInput,
    /// The answers could not be written.
    ByOutput(String),
}

/// What tells the reader to read no more.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    interrupted: AtomicBool,
    store_failed: AtomicBool,
    /// The reader came to the end of the input.
    read_all: AtomicBool,
    interrupt: Notify,
}

/// A line on its way: the answer comes later, in the order of the input.
struct Job {
    line: u64,
    request: Request,
    id: CommandId,
    read_at: Timestamp,
    answer: oneshot::Sender<Answered>,
}

/// An answer, ready to be written.
struct Answered {
    line: u64,
    text: String,
    outcome: Outcome,
}

/// What a line came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    Malformed,
    /// The store failed, or others kept writing to the call.
    Undecided(Exit),
    Unreadable,
}

/// Applies the commands of the input and writes the answers. Tells how the program must end, and what became of it all.
pub async fn run(
    handler: Arc<Handler>,
    input: Box<dyn BufRead + Send>,
    output: &mut impl Write,
    progress: impl FnMut(&Tally),
) -> (Exit, Tally) {
    let stop = Arc::new(Stop::default());
    let interrupt = tokio::spawn(note_interrupt(Arc::clone(&stop)));
    let (answers, waiting) = mpsc::channel(WAITING);
    let lanes = lanes(&handler, &stop);
    let reading = Arc::clone(&stop);
    // Not joined: one that waits for its input must not keep an interrupted program.
    std::thread::spawn(move || read(input, &handler, &lanes, &answers, &reading));
    let mut tally = Tally::default();
    let written = write(waiting, &stop, output, &mut tally, progress).await;
    interrupt.abort();
    stop.asked.store(true, Ordering::Relaxed);
    tally.stopped = tally.stopped.take().or(match written {
        Err(error) => Some(Stopped::ByOutput(error.to_string())),
        Ok(()) => stop.reason(),
    });
    (exit_of(&tally), tally)
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

impl Stop {
    fn reason(&self) -> Option<Stopped> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if is_set(&self.store_failed) {
            Some(Stopped::ByStore)
        } else if is_set(&self.read_all) {
            None
        } else if is_set(&self.interrupted) {
            Some(Stopped::ByUser)
        } else {
            Some(Stopped::ByInput)
        }
    }
}

async fn note_interrupt(stop: Arc<Stop>) {
    // Where signals cannot be had, an interrupt ends the program as it does any other.
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.interrupted.store(true, Ordering::Relaxed);
        stop.asked.store(true, Ordering::Relaxed);
        stop.interrupt.notify_one();
    }
}

/// Writes the answers in the order of the input, and hands them on whenever the next is not there yet.
async fn write(
    mut waiting: mpsc::Receiver<oneshot::Receiver<Answered>>,
    stop: &Stop,
    output: &mut impl Write,
    tally: &mut Tally,
    mut progress: impl FnMut(&Tally),
) -> io::Result<()> {
    loop {
        let next = match waiting.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => break,
            // What was read is answered; the reader may wait for input that never comes.
            Err(TryRecvError::Empty) if stop.interrupted.load(Ordering::Relaxed) => break,
            Err(TryRecvError::Empty) => {
                output.flush()?;
                tokio::select! {
                    next = waiting.recv() => match next {
                        Some(next) => next,
                        None => break,
                    },
                    () = stop.interrupt.notified() => continue,
                }
            }
        };
        let answered = answered(next, output).await?;
        output.write_all(answered.text.as_bytes())?;
        tally.count(&answered);
        progress(tally);
    }
    output.flush()
}

/// The answer once there is one; what was answered before is handed on meanwhile.
async fn answered(
    mut answer: oneshot::Receiver<Answered>,
    output: &mut impl Write,
) -> io::Result<Answered> {
    if let Ok(answered) = answer.try_recv() {
        return Ok(answered);
    }
    output.flush()?;
    // Only a defect of ours drops a command; it must not look like the end of the input.
    let dropped = |_| io::Error::other("a command was dropped unanswered; please report this");
    answer.await.map_err(dropped)
}

impl Tally {
    fn count(&mut self, answered: &Answered) {
        self.lines += 1;
        match answered.outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Malformed => self.malformed += 1,
            Outcome::Undecided(exit) => {
                self.undecided += 1;
                self.first_undecided = self.first_undecided.or(Some(answered.line));
                self.undecided_as = Some(self.undecided_as.map_or(exit, |other| other.and(exit)));
            }
            Outcome::Unreadable => self.stopped = Some(Stopped::ByInput),
        }
    }
}

fn lanes(handler: &Arc<Handler>, stop: &Arc<Stop>) -> Vec<mpsc::UnboundedSender<Job>> {
    let lane = |_| {
        // Unbounded, yet never longer than what is in flight: the reader waits for room there.
        let (jobs, waiting) = mpsc::unbounded_channel();
        tokio::spawn(work(Arc::clone(handler), Arc::clone(stop), waiting));
        jobs
    };
    (0..LANES).map(lane).collect()
}

/// Handles the commands of a lane's calls, one after the other.
async fn work(handler: Arc<Handler>, stop: Arc<Stop>, mut waiting: mpsc::UnboundedReceiver<Job>) {
    let mut lane = Lane {
        handler,
        stop,
        undecided: HashMap::new(),
    };
    while let Some(job) = waiting.recv().await {
        let (text, outcome) = lane.handle(&job).await;
        let answered = Answered {
            line: job.line,
            text,
            outcome,
        };
        // Nobody waits any more once the program was interrupted.
        let _ = job.answer.send(answered);
    }
}

struct Lane {
    handler: Arc<Handler>,
    stop: Arc<Stop>,
    /// Calls with a command that was not decided: what follows it must not be judged as if it had never been sent.
    undecided: HashMap<CallId, Exit>,
}

impl Lane {
    async fn handle(&mut self, job: &Job) -> (String, Outcome) {
        if let Some(exit) = self.undecided.get(&job.request.call) {
            let error = "an earlier command of this call was not decided; send both again";
            return (undecided(job, error), Outcome::Undecided(*exit));
        }
        match self.handler.handle(&job.request, job.id, job.read_at).await {
            Ok(answer) => (
                numbered(job.line, &AnswerJson::accepted(&answer)),
                Outcome::Accepted,
            ),
            Err(error) => match RejectionJson::of(&error) {
                Some(rejection) => {
                    let answer = AnswerJson::refused(&job.request.call, job.id, rejection);
                    (numbered(job.line, &answer), Outcome::Refused)
                }
                None => self.not_decided(job, &error),
            },
        }
    }

    fn not_decided(&mut self, job: &Job, error: &HandleError) -> (String, Outcome) {
        let exit = Exit::of_command(error);
        self.undecided.insert(job.request.call.clone(), exit);
        if let HandleError::Store(StoreError::Unavailable(_)) = error {
            // The whole store, not one call: nothing more is worth reading.
            self.stop.store_failed.store(true, Ordering::Relaxed);
            self.stop.asked.store(true, Ordering::Relaxed);
        }
        (undecided(job, &error.to_string()), Outcome::Undecided(exit))
    }
}

/// Puts the line's number before what the answer says anyway.
fn numbered(line: u64, answer: &AnswerJson<'_>) -> String {
    let json = serde_json::to_string(answer).expect("an answer is JSON");
    format!("{{\"line\":{line},{}\n", &json[1..])
}

fn undecided(job: &Job, error: &str) -> String {
    let (call, id) = (job.request.call.as_str(), job.id.to_string());
    let json = serde_json::json!({ "line": job.line, "call": call, "id": id, "error": error });
    format!("{json}\n")
}

fn malformed(line: u64, error: &str) -> String {
    let json = serde_json::json!({ "line": line, "error": error });
    format!("{json}\n")
}

/// Reads until the input ends, the store fails or the answers are no longer wanted.
fn read(
    input: Box<dyn BufRead + Send>,
    handler: &Handler,
    lanes: &[mpsc::UnboundedSender<Job>],
    answers: &mpsc::Sender<oneshot::Receiver<Answered>>,
    stop: &Stop,
) {
    let lane_of = BuildHasherDefault::<DefaultHasher>::default();
    for (line, text) in (1..).zip(Lines::new(input)) {
        if stop.asked.load(Ordering::Relaxed) {
            return;
        }
        if matches!(&text, Line::Text(text) if text.trim_ascii().is_empty()) {
            continue;
        }
        let (answer, answered) = oneshot::channel();
        if answers.blocking_send(answered).is_err() {
            return;
        }
        match parsed(text) {
            Ok(request) => {
                let lane = lane_of.hash_one(&request.call) % LANES as u64;
                let lane = usize::try_from(lane).expect("there are few lanes");
                let job = Job {
                    line,
                    id: request.id.unwrap_or_else(|| handler.random_id()),
                    request,
                    read_at: handler.now(),
                    answer,
                };
                if lanes[lane].send(job).is_err() {
                    return;
                }
            }
            Err((outcome, error)) => {
                let text = malformed(line, &error);
                // Nobody waits any more once the program was interrupted.
                let _ = answer.send(Answered {
                    line,
                    text,
                    outcome,
                });
            }
        }
    }
    stop.read_all.store(true, Ordering::Relaxed);
}

fn parsed(line: Line) -> Result<Request, (Outcome, String)> {
    match line {
        Line::Text(text) => {
            parse_command(&text).map_err(|error| (Outcome::Malformed, error.to_string()))
        }
        Line::Malformed(error) => Err((Outcome::Malformed, error)),
        Line::Unreadable(error) => Err((
            Outcome::Unreadable,
            format!("the input cannot be read on: {error}"),
        )),
    }
}
