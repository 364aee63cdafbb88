//! One life of the program: what it is asked, what it answers, and how it ends.

use crate::program::Run;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a program may take to do whatever it does here; none takes a fraction of it.
const PATIENCE: Duration = Duration::from_mins(3);

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All is answered, the input ends, and so does the program.
    ByItself,
    /// It is killed so long after its start, or once all is answered.
    KilledAfter(Duration),
    /// It is killed once it has given so many answers.
    KilledAtAnswer(usize),
    /// All is answered, the input ends, and so long after that it is killed.
    KilledWhileClosing(Duration),
}

/// What is done once there are so many answers.
pub type Meanwhile<'a> = (usize, &'a mut dyn FnMut());

/// What became of a session.
#[derive(Debug)]
pub struct Ended {
    /// The answers that were given, whole lines only.
    pub answers: Vec<String>,
    /// The exit code; none if it was killed.
    pub code: Option<i32>,
    /// What it printed to standard error.
    pub err: String,
}

/// Asks the program, with no more than `in_flight` lines unanswered.
pub fn session(
    program: Run,
    input: &[String],
    in_flight: usize,
    end: End,
    mut meanwhile: Option<Meanwhile<'_>>,
) -> Ended {
    let started = Instant::now();
    let mut child = program.start();
    let (pipe, writer) = write(child.stdin.take().expect("it is piped"));
    let heard = read(child.stdout.take().expect("it is piped"));
    let err = read_errors(&mut child);
    let mut pipe = Some(pipe);
    let mut answers = Vec::new();
    let mut asked = 0;
    let mut closed_at = None;
    loop {
        if end.is_due(started, closed_at, answers.len(), input.len()) {
            // It may have ended by itself.
            let _ = child.kill();
            break;
        }
        if let Some((_, done)) = meanwhile.take_if(|(at, _)| answers.len() >= *at) {
            done();
        }
        while asked < input.len() && asked - answers.len() < in_flight {
            // Nobody reads any more once the program has ended.
            let _ = pipe.as_ref().map(|pipe| pipe.send(input[asked].clone()));
            asked += 1;
        }
        if answers.len() == input.len() && pipe.take().is_some() {
            closed_at = Some(Instant::now());
        }
        match heard.recv_timeout(Duration::from_millis(1)) {
            Ok(answer) => answers.push(answer),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let (said, asked) = (answers.len(), input.len());
            panic!("the program hangs after {said} answers of {asked}: {end:?}");
        }
    }
    answers.extend(heard);
    drop(pipe);
    let status = child.wait().expect("it ends");
    writer.join().expect("writing does not panic");
    Ended {
        answers,
        code: status.code(),
        err: err.join().expect("reading does not panic"),
    }
}

impl End {
    fn is_due(
        self,
        started: Instant,
        closed_at: Option<Instant>,
        answers: usize,
        asked: usize,
    ) -> bool {
        match self {
            End::ByItself => false,
            End::KilledAfter(time) => started.elapsed() >= time || answers == asked,
            End::KilledAtAnswer(count) => answers >= count.min(asked),
            End::KilledWhileClosing(time) => closed_at.is_some_and(|at| at.elapsed() >= time),
        }
    }
}

/// Beside the reading, or a long input and a long output would wait for each other.
fn write(mut pipe: ChildStdin) -> (Sender<String>, JoinHandle<()>) {
    let (lines, waiting) = mpsc::channel::<String>();
    let writer = thread::spawn(move || {
        for line in waiting {
            // A program that was killed reads no more.
            if writeln!(pipe, "{line}").is_err() {
                return;
            }
        }
    });
    (lines, writer)
}

/// The answers; what a kill cut off in the middle of a line is none.
fn read(pipe: ChildStdout) -> Receiver<String> {
    let (lines, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = String::new();
            match pipe.read_line(&mut line) {
                Ok(_) if line.ends_with('\n') => _ = lines.send(line),
                Ok(_) | Err(_) => return,
            }
        }
    });
    heard
}

fn read_errors(child: &mut Child) -> JoinHandle<String> {
    let mut pipe = child.stderr.take().expect("it is piped");
    thread::spawn(move || {
        let mut said = Vec::new();
        // What could be read says enough.
        let _ = pipe.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    })
}
