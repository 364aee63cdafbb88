//! The real program as a service: started on a port that is free, and ready when it is handed over.

use crate::program::{Ran, Run, on};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long something that is waited for may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running `kaigi serve`. It is killed if nobody ends it otherwise.
pub struct Serving {
    /// Where it is: `http://127.0.0.1:PORT`.
    pub url: String,
    child: Child,
    told: Arc<Told>,
    reader: Option<JoinHandle<()>>,
}

/// What it has said so far on standard error.
#[derive(Default)]
struct Told {
    text: Mutex<(String, bool)>,
    grown: Condvar,
}

impl Serving {
    /// On the embedded store in that folder, admitting everybody.
    pub fn on(folder: &Path) -> Self {
        Self::with(folder, ["--without-keys"])
    }

    /// The same with those arguments behind `serve --listen 127.0.0.1:0`.
    pub fn with<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        let serve = ["serve", "--listen", "127.0.0.1:0"].map(Into::into);
        Self::start(on(folder, serve.into_iter().chain(args)))
    }

    /// Any run that serves, on a new store if there is none. Fails the test if it ends instead of listening.
    pub fn start(run: Run) -> Self {
        Self::of(run.env("KAIGI_CREATE", "true").start())
    }

    /// The same of a process that was started otherwise, with both outputs piped.
    pub fn of(mut child: Child) -> Self {
        let told = Arc::new(Told::default());
        let stderr = child.stderr.take().expect("standard error is piped");
        let reader = std::thread::spawn({
            let told = Arc::clone(&told);
            move || told.read(stderr)
        });
        let mut serving = Self {
            url: String::new(),
            child,
            told,
            reader: Some(reader),
        };
        let ready = serving.wait_until_told("kaigi: listening on ");
        let url = ready
            .split_once("listening on ")
            .and_then(|(_, rest)| rest.split(' ').next());
        url.expect("the line names it").clone_into(&mut serving.url);
        serving
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The `HOST:PORT` of it.
    pub fn address(&self) -> &str {
        self.url
            .split_once("://")
            .map_or("", |(_, address)| address)
    }

    /// What it has said so far on standard error.
    pub fn told(&self) -> String {
        self.told
            .text
            .lock()
            .expect("nobody panics with it")
            .0
            .clone()
    }

    /// Waits until it has said that on standard error, and answers the line. Fails the test if it ends without.
    pub fn wait_until_told(&self, wanted: &str) -> String {
        let line_of = |text: &str| {
            text.lines()
                .find(|line| line.contains(wanted))
                .map(str::to_owned)
        };
        let text = self.told.text.lock().expect("nobody panics with it");
        let waits = |(text, is_over): &mut (String, bool)| line_of(text).is_none() && !*is_over;
        let (text, _) = self
            .told
            .grown
            .wait_timeout_while(text, PATIENCE, waits)
            .expect("nobody panics with it");
        line_of(&text.0).unwrap_or_else(|| panic!("it never said {wanted:?}, but: {}", text.0))
    }

    /// Sends it a signal, such as `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.pid().to_string()])
            .status();
        assert!(
            sent.expect("kill is there").success(),
            "the signal is not sent"
        );
    }

    /// Stops it as systemd would, and waits for its end.
    pub fn stop(self) -> Ran {
        self.signal("TERM");
        self.ended()
    }

    /// Kills it, as an accident would, and waits until it is gone.
    pub fn kill(mut self) -> Ran {
        self.child.kill().expect("it can be killed");
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ran {
        let status = self.child.wait().expect("it can be waited for");
        let reader = self.reader.take().expect("only its end takes it");
        reader.join().expect("reading does not panic");
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().expect("standard output is piped");
        stdout.read_to_string(&mut out).expect("it is UTF-8");
        Ran {
            code: status.code(),
            out,
            err: self.told(),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    /// Reads it to its end, or the program would wait for a full pipe.
    fn read(&self, stderr: impl std::io::Read) {
        let mut lines = BufReader::new(stderr);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            self.text
                .lock()
                .expect("nobody panics with it")
                .0
                .push_str(&line);
            self.grown.notify_all();
            line.clear();
        }
        self.text.lock().expect("nobody panics with it").1 = true;
        self.grown.notify_all();
    }
}
