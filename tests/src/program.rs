//! The real program, run as its users run it.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// The built program. Cargo builds it if this test runs alone; within the whole suite it is there already, because these
/// are the packages and libraries of `cargo test --workspace`. With the program's package alone, many dependencies would
/// have other features or other debug information and be compiled a second time.
pub fn kaigi() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--workspace", "--lib", "--bin", "kaigi", "--quiet"]);
        cargo.arg("--message-format=json");
        // What cargo says of this test to whoever runs in it; a build script that looks at it would run again, and all
        // that depends on it be built anew, with every change from the one cargo to the other.
        for (name, _) in std::env::vars_os() {
            let of_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
            let is_said = |name: &str| of_test.iter().any(|begin| name.starts_with(begin));
            if name.to_str().is_some_and(is_said) {
                cargo.env_remove(name);
            }
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the program does not build");
        let messages = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
        let mut messages = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(PathBuf::from(message["executable"].as_str()?))
        });
        messages.next().expect("cargo names the program")
    })
}

/// One run of the program on a store, prepared step by step.
pub struct Run {
    command: Command,
    input: Vec<u8>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it printed to standard error.
    pub err: String,
}

/// The program with those arguments, on the embedded store in `folder`.
pub fn on<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Run {
    let mut run = bare(args);
    let mut store = std::ffi::OsString::from("sled:");
    store.push(folder);
    run.command.env("KAIGI_STORE", store);
    run
}

/// The program with those arguments and no store named.
pub fn bare<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new(kaigi());
    command.args(args);
    for name in ["KAIGI_STORE", "KAIGI_SERVER", "KAIGI_KEY", "KAIGI_KEYS"] {
        command.env_remove(name);
    }
    Run {
        command,
        input: Vec::new(),
    }
}

impl Run {
    /// What it reads from standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it with open pipes and hands it over.
    pub fn start(mut self) -> Child {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        let input = self.input.clone();
        let mut child = self.start();
        let mut stdin = child.stdin.take().expect("standard input is piped");
        // Written beside the reading, or a long input and a long output would wait for each other.
        let writer = std::thread::spawn(move || {
            // A program that refuses its arguments closes its input unread.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("writing does not panic");
        Ran::from(output)
    }
}

/// A run of the program that goes on while the test watches it.
pub struct Started {
    child: Child,
    out: Stream,
    err: Stream,
    writer: JoinHandle<()>,
}

impl Run {
    /// Starts it with its whole input, and reads what it prints.
    pub fn begin(self) -> Started {
        let input = self.input.clone();
        let mut child = self.start();
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let out = Stream::of(child.stdout.take().expect("standard output is piped"));
        let err = Stream::of(child.stderr.take().expect("standard error is piped"));
        // A program that was interrupted closes its input unread.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        Started {
            child,
            out,
            err,
            writer,
        }
    }
}

impl Started {
    /// Waits until it has printed that many lines.
    pub fn wait_for_lines(&self, lines: usize) {
        let what = format!("{lines} lines");
        self.out
            .wait_until(&what, |text| text.lines().count() >= lines);
    }

    /// Waits until it has printed that to standard error.
    pub fn wait_until_told(&self, wanted: &str) {
        self.wait_until_told_again(wanted, 0);
    }

    /// Waits until it has printed that to standard error more than `times` times.
    pub fn wait_until_told_again(&self, wanted: &str, times: usize) {
        let again = |text: &str| text.matches(wanted).count() > times;
        self.err.wait_until(wanted, again);
    }

    /// How often it has printed that to standard error so far.
    pub fn times_told(&self, wanted: &str) -> usize {
        let printed = self.err.printed.0.lock().expect("no reader panics");
        printed.text.matches(wanted).count()
    }

    /// Interrupts it, as Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ran {
        let status = self.child.wait().expect("the program ends");
        self.writer.join().expect("writing does not panic");
        Ran {
            code: status.code(),
            out: self.out.rest(),
            err: self.err.rest(),
        }
    }
}

/// What a program has printed so far.
struct Stream {
    printed: Arc<(Mutex<Printed>, Condvar)>,
    reader: JoinHandle<()>,
}

#[derive(Default)]
struct Printed {
    text: String,
    ended: bool,
}

/// How long a line that must come is waited for, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(2);

impl Stream {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let printed = Arc::default();
        let reader = std::thread::spawn({
            let printed = Arc::clone(&printed);
            move || read_to_its_end(pipe, &printed)
        });
        Self { printed, reader }
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let (printed, grown) = &*self.printed;
        let printed = printed.lock().expect("no reader panics");
        let waits = |printed: &mut Printed| !is_so(&printed.text) && !printed.ended;
        let waited = grown.wait_timeout_while(printed, PATIENCE, waits);
        let (printed, _) = waited.expect("no reader panics");
        assert!(is_so(&printed.text), "never {what}: {}", printed.text);
    }

    fn rest(self) -> String {
        self.reader.join().expect("reading does not panic");
        let mut printed = self.printed.0.lock().expect("no reader panics");
        std::mem::take(&mut printed.text)
    }
}

fn read_to_its_end(pipe: impl Read, (printed, grown): &(Mutex<Printed>, Condvar)) {
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let mut printed = printed.lock().expect("no reader panics");
        printed.text.push_str(&String::from_utf8_lossy(&line));
        grown.notify_all();
        line.clear();
    }
    printed.lock().expect("no reader panics").ended = true;
    grown.notify_all();
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails the test, showing everything, unless the program ended with that code.
    #[must_use]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The output as one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The answers of a run: the line, whether it was accepted, and the rejection. The rest differs from run to run.
    pub fn decisions(&self) -> Vec<(Value, Value, Value)> {
        let answers = self.lines().into_iter();
        let of =
            |answer: Value| ["line", "accepted", "rejection"].map(|field| answer[field].clone());
        answers.map(|answer| of(answer).into()).collect()
    }

    /// Fails the test at the first answer whose decision differs, or if there is one too many or too few.
    #[track_caller]
    pub fn decides_as(&self, expected: &Self) {
        let (decisions, expected) = (self.decisions(), expected.decisions());
        for (decided, expected) in decisions.iter().zip(&expected) {
            assert_eq!(decided, expected);
        }
        assert_eq!(decisions.len(), expected.len(), "{}", self.err);
    }

    /// The output as one JSON value a line.
    pub fn lines(&self) -> Vec<Value> {
        let line = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:#?}"))
        };
        self.out.lines().map(line).collect()
    }
}
