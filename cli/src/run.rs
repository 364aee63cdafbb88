//! `kaigi run`: many calls at once, the order kept within each, answers in the order of the input.

use crate::exit::Exit;
use crate::lines::Lines;
use crate::waiting::{Waiting, ticks};
use domain::json::{InvalidCommand, parse_command};
use domain::{HandleError, Handler, StoreError};
use engine::in_order::{
    Answered, Answers, Asked, Intake, Judged, Outcome, Place, Ready, in_order_retrying,
};
use engine::lines::Line;
use engine::retry::Retry;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Interval;

/// How many lines are read, judged or about to be answered at once.
const IN_FLIGHT: usize = 4096;

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

/// What a run reports while it goes on.
pub enum News<'a> {
    /// So much was answered.
    Answered(&'a Tally),
    /// No command is decided for the moment.
    Waiting(Waiting),
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
struct Stop {
    patience: Duration,
    retry: Arc<Retry>,
    asked: AtomicBool,
    interrupted: AtomicBool,
    store_failed: AtomicBool,
    /// The reader came to the end of the input.
    read_all: AtomicBool,
    interrupt: Notify,
}

/// Applies the commands of the input and writes the answers. Commands that the store does not decide are retried until
/// none was decided for as long as `patience` says. Returns how the program must end, and the tally.
pub async fn run(
    handler: Arc<Handler>,
    patience: Duration,
    input: Box<dyn BufRead + Send>,
    output: &mut impl Write,
    news: impl FnMut(News<'_>),
) -> (Exit, Tally) {
    let stop = Arc::new(Stop::after(patience));
    let interrupt = tokio::spawn(note_interrupt(Arc::clone(&stop)));
    let (retry, failures) = (Arc::clone(&stop.retry), note_failures(&stop));
    let (intake, answers) = in_order_retrying(Arc::clone(&handler), retry, IN_FLIGHT, failures);
    let reading = Arc::clone(&stop);
    // Not joined: one that waits for its input must not keep an interrupted program.
    std::thread::spawn(move || read(input, &handler, &intake, &reading));
    let mut tally = Tally::default();
    let written = write(answers, &stop, output, &mut tally, news).await;
    interrupt.abort();
    stop.asked.store(true, Ordering::Relaxed);
    tally.stopped = tally.stopped.take().or(match written {
        Err(error) => Some(Stopped::ByOutput(error.to_string())),
        Ok(()) => stop.reason(),
    });
    (tally.exit(), tally)
}

impl Stop {
    fn after(patience: Duration) -> Self {
        Self {
            patience,
            retry: Arc::new(Retry::until_idle_for(patience)),
            asked: AtomicBool::default(),
            interrupted: AtomicBool::default(),
            store_failed: AtomicBool::default(),
            read_all: AtomicBool::default(),
            interrupt: Notify::default(),
        }
    }

    /// No more lines are read, and commands that were tried in vain are not tried again.
    fn stop(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.retry.stop();
    }

    /// What commands wait for at the moment.
    fn waiting(&self) -> Option<Waiting> {
        let wait = self.retry.waiting()?;
        Some(Waiting::to_decide(&wait.why, wait.since, self.patience))
    }

    fn reason(&self) -> Option<Stopped> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if is_set(&self.store_failed) && is_set(&self.interrupted) {
            Some(Stopped::ByUser)
        } else if is_set(&self.store_failed) {
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
        stop.stop();
        stop.interrupt.notify_one();
    }
}

/// Writes the answers in the order of the input, and hands them on whenever the next is not there yet.
async fn write(
    mut answers: Answers,
    stop: &Stop,
    output: &mut impl Write,
    tally: &mut Tally,
    mut news: impl FnMut(News<'_>),
) -> io::Result<()> {
    let mut ticks = ticks();
    loop {
        let next = match answers.ready().map_err(io::Error::other)? {
            Ready::Answered(answered) => Next::Answered(answered),
            Ready::Ended => Next::Ended,
            // What was read is answered; the reader may wait for input that never comes.
            Ready::Idle if stop.interrupted.load(Ordering::Relaxed) => Next::Ended,
            Ready::Idle | Ready::UnderWay => {
                output.flush()?;
                awaited(&mut answers, stop, &mut ticks).await?
            }
        };
        match next {
            Next::Answered(answered) => {
                output.write_all(&answered.json)?;
                tally.count(&answered);
                news(News::Answered(tally));
            }
            Next::Nothing => {
                if let Some(waiting) = stop.waiting() {
                    news(News::Waiting(waiting));
                }
            }
            Next::Ended => return output.flush(),
        }
    }
}

/// What a writer that waited came upon.
enum Next {
    Answered(Answered),
    /// A tick passed, or the run was interrupted.
    Nothing,
    Ended,
}

/// Waits for the next answer, but not past a tick or an interrupt. An answer that is not returned stays in `answers`, so
/// nothing is lost with what `select!` drops.
async fn awaited(answers: &mut Answers, stop: &Stop, ticks: &mut Interval) -> io::Result<Next> {
    tokio::select! {
        biased;
        next = answers.next() => {
            let next = next.map_err(io::Error::other)?;
            Ok(next.map_or(Next::Ended, Next::Answered))
        }
        () = stop.interrupt.notified() => Ok(Next::Nothing),
        _ = ticks.tick() => Ok(Next::Nothing),
    }
}

impl Tally {
    /// How a run of these lines ends the program.
    pub fn exit(&self) -> Exit {
        let malformed = if self.malformed > 0 {
            Exit::Malformed
        } else {
            Exit::Done
        };
        let stopped = match self.stopped {
            Some(Stopped::ByStore) => Exit::TryAgain,
            Some(Stopped::ByUser | Stopped::ByInput | Stopped::ByOutput(_)) => Exit::Failed,
            None => Exit::Done,
        };
        let undecided = self.undecided_as.unwrap_or(Exit::Done);
        stopped.and(undecided).and(malformed)
    }

    fn count(&mut self, answered: &Answered) {
        self.lines += 1;
        match &answered.outcome {
            Outcome::Accepted => self.accepted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Malformed => self.malformed += 1,
            Outcome::Undecided(error) => self.add_undecided(answered.line, Exit::of_command(error)),
            Outcome::Unreadable => self.stopped = Some(Stopped::ByInput),
        }
    }

    /// Counts a command that was not decided, and what it ends the program with.
    pub(crate) fn add_undecided(&mut self, line: u64, exit: Exit) {
        self.undecided += 1;
        self.first_undecided = self.first_undecided.or(Some(line));
        self.undecided_as = Some(self.undecided_as.map_or(exit, |other| other.and(exit)));
    }
}

/// Tells the reader of a store that failed: of the whole store, not one call, so that nothing more is worth reading.
fn note_failures(stop: &Arc<Stop>) -> impl Fn(&Judged<'_>) + use<> {
    let stop = Arc::clone(stop);
    move |judged| {
        if let Err(HandleError::Store(StoreError::Unavailable(_))) = judged.result {
            stop.store_failed.store(true, Ordering::Relaxed);
            stop.stop();
        }
    }
}

/// Reads until the input ends, the store fails or the answers are no longer wanted.
fn read(input: Box<dyn BufRead + Send>, handler: &Handler, intake: &Intake, stop: &Stop) {
    for (line, text) in (1..).zip(Lines::new(input)) {
        if stop.asked.load(Ordering::Relaxed) {
            return;
        }
        if text.is_blank() {
            continue;
        }
        let Some(place) = intake.place_blocking(line) else {
            return;
        };
        take(text, place, handler, intake);
    }
    stop.read_all.store(true, Ordering::Relaxed);
}

/// The error, and where the program explains more.
pub(crate) fn said(error: &InvalidCommand) -> String {
    match error {
        InvalidCommand::UnknownType { .. } => {
            format!("{error}; see `kaigi help run` for all of them")
        }
        error if error.has_more_after_it() => {
            format!("{error}; each command stands on a line of its own")
        }
        error => error.to_string(),
    }
}

fn take(line: Line, place: Place, handler: &Handler, intake: &Intake) {
    match line {
        Line::Text(text) => match parse_command(&text) {
            Ok(request) => {
                let asked = Asked {
                    id: request.id.unwrap_or_else(|| handler.random_id()),
                    read_at: handler.now(),
                    request,
                };
                intake.judge(place, asked);
            }
            Err(error) => place.malformed(&said(&error)),
        },
        Line::Malformed(error) => place.malformed(&error),
        Line::Unreadable(error) => {
            place.unreadable(&format!("the input cannot be read on: {error}"));
        }
    }
}
