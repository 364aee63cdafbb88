//! `kaigi run`: many calls at once, the order kept within each, answers in the order of the input.

use crate::exit::Exit;
use crate::lines::{Line, Lines};
use anyhow::Context;
use domain::handle::HandleError;
use domain::json::{AnswerJson, RejectionJson, parse_command};
use domain::{CommandId, Handler, Request, StoreError, Timestamp};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// How many lines are read before the first of them is answered; the interface promises at most 4,096.
const IN_FLIGHT: usize = 4096;

/// How many commands are handled side by side. A call always has the same lane, which keeps its order.
const LANES: usize = 1024;

/// What became of a file of commands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were commands, or should have been.
    pub lines: u64,
    /// Commands that were accepted.
    pub accepted: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Lines that were no commands.
    pub malformed: u64,
    /// Commands that the store could not take.
    pub failed: u64,
    /// The first line that was not answered because the store failed or somebody interrupted.
    pub stopped: Option<Stopped>,
}

/// Why not all of the input was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The store failed.
    ByStore,
    /// Somebody interrupted.
    ByUser,
    /// The input could not be read on.
    ByInput,
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
    text: String,
    outcome: Outcome,
}

/// What a line came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    Malformed,
    Failed(Exit),
    Unreadable,
}

/// Applies the commands of the input and writes the answers. Tells how the program must end, and what became of it all.
pub async fn run(
    handler: Arc<Handler>,
    input: Box<dyn BufRead + Send>,
    output: &mut impl Write,
    mut progress: impl FnMut(&Tally),
) -> anyhow::Result<(Exit, Tally)> {
    let stop = Arc::new(AtomicBool::new(false));
    let (answers, mut waiting) = mpsc::channel(IN_FLIGHT);
    let lanes = lanes(&handler);
    let reader = {
        let (handler, stop) = (Arc::clone(&handler), Arc::clone(&stop));
        std::thread::spawn(move || read(input, &handler, &lanes, &answers, &stop))
    };
    let mut tally = Tally::default();
    let mut exit = Exit::Done;
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    loop {
        let next = match waiting.try_recv() {
            Ok(next) => Some(next),
            Err(_) if interrupted => None,
            Err(_) => {
                output.flush().context("cannot write the answers")?;
                tokio::select! {
                    next = waiting.recv() => next,
                    _ = &mut interrupt => {
                        interrupted = true;
                        stop.store(true, Ordering::Relaxed);
                        continue;
                    }
                }
            }
        };
        let Some(next) = next else { break };
        let answered = answered(next, output).await?;
        output
            .write_all(answered.text.as_bytes())
            .context("cannot write the answers")?;
        exit = exit.and(count(&mut tally, answered.outcome));
        if tally.stopped.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
        progress(&tally);
    }
    output.flush().context("cannot write the answers")?;
    if interrupted {
        tally.stopped = tally.stopped.or(Some(Stopped::ByUser));
        exit = exit.and(Exit::Failed);
    } else {
        // A reader that waits for its input must not keep an interrupted program; any other is done by now.
        reader.join().expect("reading lines does not panic");
    }
    Ok((exit, tally))
}

/// The answer once there is one; what was answered before is written out meanwhile.
async fn answered(
    mut answer: oneshot::Receiver<Answered>,
    output: &mut impl Write,
) -> anyhow::Result<Answered> {
    if let Ok(answered) = answer.try_recv() {
        return Ok(answered);
    }
    output.flush().context("cannot write the answers")?;
    answer.await.context("a command was dropped unanswered")
}

fn count(tally: &mut Tally, outcome: Outcome) -> Exit {
    tally.lines += 1;
    match outcome {
        Outcome::Accepted => {
            tally.accepted += 1;
            Exit::Done
        }
        Outcome::Refused => {
            tally.refused += 1;
            Exit::Done
        }
        Outcome::Malformed => {
            tally.malformed += 1;
            Exit::Malformed
        }
        Outcome::Failed(exit) => {
            tally.failed += 1;
            tally.stopped = tally.stopped.or(Some(Stopped::ByStore));
            exit
        }
        Outcome::Unreadable => {
            tally.stopped = tally.stopped.or(Some(Stopped::ByInput));
            Exit::Failed
        }
    }
}

fn lanes(handler: &Arc<Handler>) -> Vec<mpsc::UnboundedSender<Job>> {
    let lane = |_| {
        // Unbounded, yet never longer than what is in flight: the reader waits for room there.
        let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
        let handler = Arc::clone(handler);
        tokio::spawn(async move {
            while let Some(job) = waiting.recv().await {
                let (answer, answered) = handle(&handler, job).await;
                // Nobody waits any more once the program was interrupted.
                let _ = answer.send(answered);
            }
        });
        jobs
    };
    (0..LANES).map(lane).collect()
}

async fn handle(handler: &Handler, job: Job) -> (oneshot::Sender<Answered>, Answered) {
    let result = handler.handle(&job.request, job.id, job.read_at).await;
    let answered = match &result {
        Ok(answer) => Answered {
            text: numbered(job.line, &AnswerJson::accepted(answer)),
            outcome: Outcome::Accepted,
        },
        Err(error) => match RejectionJson::of(error) {
            Some(rejection) => Answered {
                text: numbered(
                    job.line,
                    &AnswerJson::refused(&job.request.call, job.id, rejection),
                ),
                outcome: Outcome::Refused,
            },
            None => failed(&job, error),
        },
    };
    (job.answer, answered)
}

fn failed(job: &Job, error: &HandleError) -> Answered {
    let exit = match error {
        HandleError::Store(StoreError::Corrupt(_)) => Exit::Failed,
        HandleError::Store(StoreError::Unavailable(_))
        | HandleError::Unsettled { .. }
        | HandleError::Rejected(_)
        | HandleError::Expected { .. }
        | HandleError::CommandIdReused(_) => Exit::TryAgain,
    };
    Answered {
        text: error_line(job.line, Some((&job.request, job.id)), &error.to_string()),
        outcome: Outcome::Failed(exit),
    }
}

/// Puts the line's number before what the answer says anyway.
fn numbered(line: u64, answer: &AnswerJson<'_>) -> String {
    let json = serde_json::to_string(answer).expect("an answer is JSON");
    format!("{{\"line\":{line},{}\n", &json[1..])
}

fn error_line(line: u64, command: Option<(&Request, CommandId)>, error: &str) -> String {
    let json = match command {
        Some((request, id)) => serde_json::json!({
            "line": line, "call": request.call.as_str(), "id": id.to_string(), "error": error,
        }),
        None => serde_json::json!({ "line": line, "error": error }),
    };
    format!("{json}\n")
}

/// Reads until the input ends, the store fails or the answers are no longer wanted.
fn read(
    input: Box<dyn BufRead + Send>,
    handler: &Handler,
    lanes: &[mpsc::UnboundedSender<Job>],
    answers: &mpsc::Sender<oneshot::Receiver<Answered>>,
    stop: &AtomicBool,
) {
    let lane_of = BuildHasherDefault::<DefaultHasher>::default();
    for (line, text) in (1..).zip(Lines::new(input)) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (answer, answered) = oneshot::channel();
        if matches!(&text, Line::Text(text) if text.trim_ascii().is_empty()) {
            continue;
        }
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
                let text = error_line(line, None, &error);
                let _ = answer.send(Answered { text, outcome });
            }
        }
    }
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
