//! Many calls at once, the order kept within each, answers in the order of the input: what a stream of commands over
//! HTTP and a file of them have in common. Whoever reads takes a [`Place`] for each line, whoever writes takes the
//! [`Answers`]; between the two there is never more than was agreed.

use crate::retry::Retry;
use domain::json::{AnswerJson, RejectionJson};
use domain::{Answer, CallId, Command, CommandId, HandleError, Handler, Request, Timestamp};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

/// Where lines come in.
pub struct Intake {
    answers: mpsc::Sender<oneshot::Receiver<Answered>>,
    calls: Arc<Calls>,
}

/// A line's place in the order of the answers.
pub struct Place {
    line: u64,
    answer: oneshot::Sender<Answered>,
}

/// A command as it came in.
pub struct Asked {
    /// What is asked.
    pub request: Request,
    /// The sender's id, or a random one.
    pub id: CommandId,
    /// When it was read.
    pub read_at: Timestamp,
}

/// The answers, in the order of the lines.
pub struct Answers {
    waiting: mpsc::Receiver<oneshot::Receiver<Answered>>,
    /// The line that is answered next.
    next: Option<oneshot::Receiver<Answered>>,
}

/// An answer, ready to be written.
#[derive(Debug)]
pub struct Answered {
    /// The line that is answered.
    pub line: u64,
    /// One object of JSON and a line feed.
    pub json: Vec<u8>,
    /// What it came to.
    pub outcome: Outcome,
}

/// What a line came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its events are durable.
    Accepted,
    /// The business, or the service, said no.
    Refused,
    /// The line was no command.
    Malformed,
    /// The store failed, or others kept writing to the call: for this command, or an earlier one of its call.
    Undecided(HandleError),
    /// The input ended here before its end.
    Unreadable,
}

/// What there is to write now.
#[derive(Debug)]
pub enum Ready {
    /// The next answer.
    Answered(Answered),
    /// Nothing before the next line is decided.
    UnderWay,
    /// Nothing: every line is answered that was read.
    Idle,
    /// Nothing ever again.
    Ended,
}

/// What was judged, for whoever counts.
pub struct Judged<'a> {
    /// What was asked.
    pub command: &'a Command,
    /// What came of it; of a command that followed an undecided one of its call, why that was not decided.
    pub result: Result<&'a Answer, &'a HandleError>,
    /// How long it took since it was read.
    pub took: Duration,
}

/// Only a defect of ours drops a command; it must not look like the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command was dropped unanswered; please report this")]
pub struct Dropped;

/// The way in and the way out, with at most `most` lines between them (at least three). Must be called within a
/// runtime. Everything judged is told, whether or not its answer is still wanted.
pub fn in_order(
    handler: Arc<Handler>,
    most: usize,
    told: impl Fn(&Judged<'_>) + Send + Sync + 'static,
) -> (Intake, Answers) {
    let never = Arc::new(Retry::until_idle_for(Duration::ZERO));
    in_order_retrying(handler, never, most, told)
}

/// The same, retrying commands that the store did not decide. Later commands of the call wait meanwhile; those of other
/// calls do not.
pub fn in_order_retrying(
    handler: Arc<Handler>,
    retry: Arc<Retry>,
    most: usize,
    told: impl Fn(&Judged<'_>) + Send + Sync + 'static,
) -> (Intake, Answers) {
    // One more is being answered, and one has been read.
    let (answers, waiting) = mpsc::channel(most - 2);
    let calls = Arc::new(Calls {
        handler,
        retry,
        told: Box::new(told),
        runtime: runtime::Handle::current(),
        courses: Mutex::default(),
    });
    let next = None;
    (Intake { answers, calls }, Answers { waiting, next })
}

impl Intake {
    /// Waits until there is room for a line; none once nobody wants answers any more.
    pub async fn place(&self, line: u64) -> Option<Place> {
        let (answer, answered) = oneshot::channel();
        self.answers.send(answered).await.ok()?;
        Some(Place { line, answer })
    }

    /// The same on a thread that may wait.
    pub fn place_blocking(&self, line: u64) -> Option<Place> {
        let (answer, answered) = oneshot::channel();
        self.answers.blocking_send(answered).ok()?;
        Some(Place { line, answer })
    }

    /// Has the command judged, after those of its call that came before. It is judged to the end whether or not anybody
    /// waits for the answer.
    pub fn judge(&self, place: Place, asked: Asked) {
        let begun = Instant::now();
        self.calls.take(Job {
            place,
            asked,
            begun,
        });
    }
}

impl Place {
    /// Answers a line that is no command.
    pub fn malformed(self, error: &str) {
        self.error(error, Outcome::Malformed);
    }

    /// Answers in place of a line that cannot be read, and of all that would follow.
    pub fn unreadable(self, error: &str) {
        self.error(error, Outcome::Unreadable);
    }

    /// Refuses a command before anybody judged it.
    pub fn refused(self, call: &CallId, id: CommandId, rejection: RejectionJson) {
        let answer = AnswerJson::refused(call, id, rejection);
        self.answered(&answer, Outcome::Refused);
    }

    fn error(self, error: &str, outcome: Outcome) {
        self.answered(&serde_json::json!({ "error": error }), outcome);
    }

    fn answered(self, answer: &impl Serialize, outcome: Outcome) {
        let Self { line, answer: to } = self;
        let json = numbered(line, answer);
        // Nobody may want it any more.
        let _ = to.send(Answered {
            line,
            json,
            outcome,
        });
    }
}

/// Puts the line's number before what the answer says anyway.
fn numbered(line: u64, answer: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(1024);
    json.extend_from_slice(b"{\"line\":");
    json.extend_from_slice(line.to_string().as_bytes());
    let begin = json.len();
    serde_json::to_writer(&mut json, answer).expect("an answer is JSON");
    json[begin] = b',';
    json.push(b'\n');
    json
}

impl Answers {
    /// The next answer, if it is there.
    pub fn ready(&mut self) -> Result<Ready, Dropped> {
        let mut next = match self.next.take() {
            Some(next) => next,
            None => match self.waiting.try_recv() {
                Ok(next) => next,
                Err(TryRecvError::Empty) => return Ok(Ready::Idle),
                Err(TryRecvError::Disconnected) => return Ok(Ready::Ended),
            },
        };
        match next.try_recv() {
            Ok(answered) => Ok(Ready::Answered(answered)),
            Err(oneshot::error::TryRecvError::Closed) => Err(Dropped),
            Err(oneshot::error::TryRecvError::Empty) => {
                self.next = Some(next);
                Ok(Ready::UnderWay)
            }
        }
    }

    /// The next answer once it is there; none at the end. Nothing is lost if this is not waited for.
    pub async fn next(&mut self) -> Result<Option<Answered>, Dropped> {
        if self.next.is_none() {
            self.next = self.waiting.recv().await;
        }
        let Some(next) = &mut self.next else {
            return Ok(None);
        };
        let answered = next.await;
        self.next = None;
        answered.map(Some).map_err(|_| Dropped)
    }
}

/// A line on its way.
struct Job {
    place: Place,
    asked: Asked,
    begun: Instant,
}

/// The calls that have commands under way.
struct Calls {
    handler: Arc<Handler>,
    retry: Arc<Retry>,
    told: Box<dyn Fn(&Judged<'_>) + Send + Sync>,
    runtime: runtime::Handle,
    courses: Mutex<HashMap<CallId, Course>>,
}

/// How it goes with a call.
enum Course {
    /// One of its commands is being judged, and these wait for it.
    UnderWay(VecDeque<Job>),
    /// One of its commands was not decided: what follows must not be judged as if that had never been sent, until it
    /// has been sent again.
    Undecided(CommandId, HandleError),
}

impl Calls {
    fn take(self: &Arc<Self>, job: Job) {
        let mut courses = self.courses();
        match courses.get_mut(&job.asked.request.call) {
            Some(Course::UnderWay(waiting)) => waiting.push_back(job),
            Some(Course::Undecided(id, error)) if *id != job.asked.id => {
                let (id, error) = (*id, error.clone());
                drop(courses);
                self.not_judged(job, id, &error);
            }
            Some(Course::Undecided(..)) | None => {
                let call = job.asked.request.call.clone();
                courses.insert(call, Course::UnderWay(VecDeque::new()));
                drop(courses);
                self.runtime.spawn(Arc::clone(self).carry_out(job));
            }
        }
    }

    /// Judges the command, and then those of the call that came meanwhile, one after the other.
    async fn carry_out(self: Arc<Self>, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            let Asked {
                request,
                id,
                read_at,
            } = &job.asked;
            let attempt = || self.handler.handle(request, *id, *read_at);
            let result = self.retry.decided(attempt).await;
            next = self.after(&request.call, *id, &result);
            self.tell(&job, result.as_ref());
            answer(job, result);
        }
    }

    /// The call's next command, if one waits and may be judged.
    fn after(
        &self,
        call: &CallId,
        id: CommandId,
        result: &Result<Answer, HandleError>,
    ) -> Option<Job> {
        if let Err(error) = result
            && RejectionJson::of(error).is_none()
        {
            return self.sent_again(call, id, error);
        }
        let mut courses = self.courses();
        let next = match courses.get_mut(call) {
            Some(Course::UnderWay(waiting)) => waiting.pop_front(),
            Some(Course::Undecided(..)) | None => None,
        };
        if next.is_none() {
            courses.remove(call);
        }
        next
    }

    /// The command that was not decided, if it has been sent again already; those before it are not judged.
    fn sent_again(&self, call: &CallId, id: CommandId, error: &HandleError) -> Option<Job> {
        let (passed, again) = {
            let mut courses = self.courses();
            let Some(Course::UnderWay(mut waiting)) = courses.remove(call) else {
                return None;
            };
            let again = waiting.iter().position(|job| job.asked.id == id);
            let later = waiting.split_off(again.unwrap_or(waiting.len()));
            (waiting, Self::resume(&mut courses, call, id, error, later))
        };
        for job in passed {
            self.not_judged(job, id, error);
        }
        again
    }

    /// Takes the first of those that came later, which is the undecided one again; without any it is waited for.
    fn resume(
        courses: &mut HashMap<CallId, Course>,
        call: &CallId,
        id: CommandId,
        error: &HandleError,
        mut later: VecDeque<Job>,
    ) -> Option<Job> {
        let again = later.pop_front();
        let course = match &again {
            Some(_) => Course::UnderWay(later),
            None => Course::Undecided(id, error.clone()),
        };
        courses.insert(call.clone(), course);
        again
    }

    fn not_judged(&self, job: Job, earlier: CommandId, error: &HandleError) {
        self.tell(&job, Err(error));
        let said = format!(
            "an earlier command of this call was not decided; send both again, first the one with the id {earlier}"
        );
        undecided(job, &said, error.clone());
    }

    fn tell(&self, job: &Job, result: Result<&Answer, &HandleError>) {
        (self.told)(&Judged {
            command: &job.asked.request.command,
            result,
            took: job.begun.elapsed(),
        });
    }

    /// Nothing that panics is done while it is locked.
    fn courses(&self) -> MutexGuard<'_, HashMap<CallId, Course>> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(job: Job, result: Result<Answer, HandleError>) {
    match result {
        Ok(answer) => {
            let accepted = AnswerJson::accepted(&answer);
            job.place.answered(&accepted, Outcome::Accepted);
        }
        Err(error) => match RejectionJson::of(&error) {
            Some(rejection) => job
                .place
                .refused(&job.asked.request.call, job.asked.id, rejection),
            None => undecided(job, &error.to_string(), error),
        },
    }
}

fn undecided(job: Job, said: &str, error: HandleError) {
    let (call, id) = (&job.asked.request.call, job.asked.id);
    let answer = serde_json::json!({
        "call": call.as_str(), "id": id.to_string(), "error": said, "code": error.code(),
    });
    job.place.answered(&answer, Outcome::Undecided(error));
}
