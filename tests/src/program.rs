//! The real program, run as its users run it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The built program. Cargo builds it once if this test runs alone; within the whole suite it is there already.
pub fn kaigi() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "kaigi", "--bin", "kaigi", "--quiet"]);
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
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The output as one JSON value a line.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let line = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self:#?}"))
        };
        self.out.lines().map(line).collect()
    }
}
